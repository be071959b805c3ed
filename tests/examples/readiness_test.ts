/** The example answers the probes of balancers and Kubernetes, during a stop, too. @module */

import { assertEquals } from "@std/assert";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { connectMany, dial, readExactly } from "../support/peers.ts";
import { Program } from "../support/program.ts";

/** What the example prints: the addresses of the server and of the probes. */
async function addresses(program: Program): Promise<{ addr: Deno.NetAddr; health: string }> {
  const [, port] = /^Listening on tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(await program.line()) ?? [];
  const [, health = ""] = /^Probes on (http:\/\/\S+)\/readyz$/.exec(await program.line()) ?? [];
  return { addr: { transport: "tcp", hostname: "127.0.0.1", port: Number(port) }, health };
}

netTest(
  "readiness.ts is not ready any more at SIGTERM, goes on serving, and then ends with 0",
  async () => {
    await using program = new Program(new URL("../../examples/readiness.ts", import.meta.url), {
      how: ["run", "--allow-net"],
      args: ["--port", "0", "--health-port", "0", "--lame-duck", "2000"],
    });
    const { addr, health } = await addresses(program);
    const status = async (path: string) => {
      const response = await fetch(`${health}${path}`);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals([await status("/readyz"), await status("/livez")], [200, 200]);
    program.kill("SIGTERM");
    while (await status("/readyz") !== 503);
    assertEquals(await status("/livez"), 200);
    // A client of a balancer that has not noticed yet.
    using late = await dial(addr);
    await late.write(bytes`hello`);
    assertEquals(text(await readExactly(late, 5)), "hello");
    // Neither the page nor this client keeps the process from ending.
    assertEquals(await late.read(new Uint8Array(1)), null);
    assertEquals((await program.status).code, 0);
    assertEquals(await program.complaints(), []);
  },
  { os: ["linux", "darwin"] },
);

netTest(
  "readiness.ts answers probes without a free descriptor",
  async () => {
    await using program = new Program(new URL("../../examples/readiness.ts", import.meta.url), {
      how: ["run", "--allow-net"],
      args: ["--port", "0", "--health-port", "0"],
      descriptors: 64,
    });
    const { addr, health } = await addresses(program);
    const ready = async () => {
      const response = await fetch(`${health}/readyz`);
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await ready(), 200);
    {
      using _strangers = await connectMany(addr, 100);
      for (let i = 0; i < 10; i++) assertEquals(await ready(), 503);
    }
    while (await ready() !== 200);
  },
  { os: ["linux"], programs: ["sh"] },
);
