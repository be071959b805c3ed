/** Tests that probes are answered while the process has no descriptor left, and afterwards. @module */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { ReservedListener } from "../../lib/watch/reserved_listener.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { connectMany, dial, readAll, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

/** `ulimit -n` of the program: fewer than strangers, or more than a page takes of them. */
const DESCRIPTORS = 64;
const MORE_DESCRIPTORS = 128;

/** How many strangers connect. */
const STRANGERS = 200;

/** A server with a page, which may have few descriptors. */
class Starved implements AsyncDisposable {
  readonly program: Program;
  readonly addr: Deno.NetAddr;
  readonly page: Deno.NetAddr;

  private constructor(program: Program, addr: Deno.NetAddr, page: Deno.NetAddr) {
    this.program = program;
    this.addr = addr;
    this.page = page;
  }

  static async start(permissions: string, descriptors = DESCRIPTORS): Promise<Starved> {
    const program = new Program(new URL("programs/starved.ts", import.meta.url), {
      how: ["run", "--quiet", "--no-config", "--no-prompt", permissions],
      descriptors,
    });
    const { addr, page } = JSON.parse(await program.line());
    return new Starved(program, addr, page);
  }

  /** The status line of the answer to a probe, and its body. */
  async probe(): Promise<[status: number, body: string]> {
    const client = await dial(this.page);
    await writeAll(client, bytes`GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const answer = text(await readAll(client));
    const [, status, body = ""] = /^HTTP\/1\.1 (\d+) [^]*?\r\n\r\n([^]*)$/.exec(answer) ?? [];
    return [Number(status), body];
  }

  /** Probes until the server is ready again, which is once it has noticed that clients have left. */
  async untilReady(): Promise<void> {
    while ((await this.probe())[0] !== 200);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

const LINUX = { os: ["linux" as const], programs: ["sh"] };

for (const permissions of ["--allow-all", "--allow-net"]) {
  netTest(`a page answers probes without a free descriptor, with ${permissions}`, async () => {
    await using starved = await Starved.start(permissions);
    await starved.untilReady();
    {
      using _strangers = await connectMany(starved.addr, STRANGERS);
      // More probes than there are descriptors in reserve: each one is taken back.
      for (let i = 0; i < 30; i++) {
        const [status, body] = await starved.probe();
        assertEquals(status, 503);
        assertMatch(body, /^not ready: accepting waits for (resources|slot)\n$/);
      }
    }
    await starved.untilReady();
  }, LINUX);

  netTest(
    `strangers at the page's port keep no probe from an answer, with ${permissions}`,
    async () => {
      await using starved = await Starved.start(permissions, MORE_DESCRIPTORS);
      using _strangers = await connectMany(starved.page, STRANGERS);
      for (let i = 0; i < 10; i++) assertEquals(await starved.probe(), [200, "ready\n"]);
      using client = await dial(starved.addr);
      await client.write(bytes`x`);
      assertEquals(await client.read(new Uint8Array(1)), 1);
    },
    LINUX,
  );

  netTest(`strangers at both ports keep no probe from an answer, with ${permissions}`, async () => {
    await using starved = await Starved.start(permissions);
    {
      using _strangers = await connectMany(starved.addr, STRANGERS);
      for (let i = 0; i < 10; i++) {
        using _more = await connectMany(starved.page, 20);
        assertEquals((await starved.probe())[0], 503);
      }
    }
    await starved.untilReady();
  }, LINUX);
}

netTest("ReservedListener has a port of its own at port 0, and refuses one that is taken", () => {
  using one = new ReservedListener("127.0.0.1", 0, () => {});
  using two = new ReservedListener("127.0.0.1", 0, () => {});
  assertEquals(one.addr.port === two.addr.port, false);
  assertThrows(
    () => new ReservedListener("127.0.0.1", one.addr.port, () => {}),
    Deno.errors.AddrInUse,
  );
});

netTest("ReservedListener can be iterated over until it is closed", async () => {
  const listener = new ReservedListener("localhost", 0, () => {});
  using _client = await dial(listener.addr);
  for await (const socket of listener) {
    socket.close();
    listener.close();
  }
});
