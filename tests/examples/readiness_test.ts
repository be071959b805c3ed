import { assertEquals } from "@std/assert";
import { echo } from "../../examples/echo.ts";
import { probes } from "../../examples/readiness.ts";
import { serve, type Server } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectMany, dial, LOOPBACK, readExactly } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { Program } from "../support/program.ts";

/** Asks the probes directly; `200 ready`. */
async function ask(server: Server, path: string): Promise<string> {
  const response = probes(server)(new Request(`http://127.0.0.1${path}`));
  return `${response.status} ${(await response.text()).trim()}`;
}

netTest("readiness.ts: a server that runs is ready and alive", async () => {
  await using server = serve(LOOPBACK, echo);
  assertEquals(await ask(server, "/readyz"), "200 ready");
  assertEquals(await ask(server, "/livez"), "200 alive");
  assertEquals(await ask(server, "/"), "404 not found");
});

netTest("readiness.ts: a lame duck still accepts and is not ready, but alive", async () => {
  const server = serve(LOOPBACK, echo);
  const stopped = server.shutdown({ lameDuck: Infinity });
  assertEquals(server.accepting, true);
  assertEquals(await ask(server, "/readyz"), "503 draining");
  assertEquals(await ask(server, "/livez"), "200 alive");
  server.shutdown();
  await stopped;
  assertEquals(await ask(server, "/readyz"), "503 stopped");
});

netTest(
  "readiness.ts: a server that is full or paused is not ready until it is not any more",
  async () => {
    await using server = serve({ ...LOOPBACK, maxConnections: 1 }, echo);
    using _clients = await connectMany(server.addr, 1);
    await until(() => !server.accepting);
    assertEquals(await ask(server, "/readyz"), "503 waits for slot");
    server.maxConnections = 2;
    server.pause();
    assertEquals(await ask(server, "/readyz"), "503 waits for resume");
    server.resume();
    assertEquals(await ask(server, "/readyz"), "200 ready");
  },
);

/** What an example of this kind prints: where it serves, and where it is asked. */
async function addresses(program: Program): Promise<{ addr: Deno.NetAddr; health: string }> {
  const [, port] = /^Listening on tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(await program.line()) ?? [];
  const [, health = ""] = /^Probes on (http:\/\/\S+)\/readyz$/.exec(await program.line()) ?? [];
  return { addr: { transport: "tcp", hostname: "127.0.0.1", port: Number(port) }, health };
}

netTest(
  "readiness.ts: at SIGTERM it is not ready any more, serves on, and then ends with 0",
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
    // Somebody who has not heard of it yet.
    using late = await dial(addr);
    await late.write(bytes`hello`);
    assertEquals(text(await readExactly(late, 5)), "hello");
    // It is held by nothing, though its probes could go on for ever.
    assertEquals(await late.read(new Uint8Array(1)), null);
    assertEquals((await program.status).code, 0);
    assertEquals(await program.complaints(), []);
  },
  { os: ["linux", "darwin"] },
);
