/** A deadline ends its connection in time, and one that is disposed never does. @module */

import { assert, assertEquals, assertFalse, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { TICK } from "../../lib/connection/coarse_clock.ts";
import { type Connection, connection, serve } from "../../mod.ts";
import { bytes } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** Ms of fake time until the connection is over; `most` if it stays. */
function lasts(time: FakeTime, conn: Connection, most: number): number {
  let passed = 0;
  for (; passed < most && !conn.signal.aborted; passed++) time.tick(1);
  return passed;
}

for (const ms of [0, 0.5, 50, 250, 1000.25, 60_000]) {
  Deno.test(`deadline(${ms}) ends the connection then, never before`, async () => {
    using time = new FakeTime();
    using conn = connection(new ScriptedSocket());
    const read = conn.read(new Uint8Array(1));
    using _ = conn.deadline(ms);
    const passed = lasts(time, conn, ms + 10 * TICK);
    assert(passed >= ms && passed <= ms + 2 * TICK, `${passed}`);
    const error = await assertRejects(() => read, DOMException, `within ${ms} ms`);
    assertEquals(error.name, "TimeoutError");
    assertEquals(conn.endReason, "deadline");
  });
}

Deno.test("a deadline that is disposed in time ends nothing, and disposing it twice neither", () => {
  using time = new FakeTime();
  using conn = connection(new ScriptedSocket());
  const deadline = conn.deadline(1000);
  time.tick(1000);
  deadline[Symbol.dispose]();
  deadline[Symbol.dispose]();
  assertEquals(lasts(time, conn, 5000), 5000);
  assertEquals(conn.endReason, undefined);
});

Deno.test("of two deadlines each counts, whichever began first", () => {
  for (const [outer, inner] of [[1000, 5000], [5000, 1000]] as const) {
    using time = new FakeTime();
    using conn = connection(new ScriptedSocket());
    using _outer = conn.deadline(outer);
    {
      using _inner = conn.deadline(inner);
      time.tick(900);
    }
    const passed = 900 + lasts(time, conn, 10_000);
    assert(passed >= outer && passed <= outer + 2 * TICK, `${passed}`);
  }
});

Deno.test("a deadline of Infinity never comes, and one of a closed connection neither", () => {
  using time = new FakeTime();
  const conn = connection(new ScriptedSocket());
  using _never = conn.deadline(Infinity);
  assertEquals(lasts(time, conn, 10_000), 10_000);
  conn.close();
  using _late = conn.deadline(100);
  time.tick(1000);
  assertEquals(conn.endReason, undefined);
});

Deno.test("deadline() refuses what is no time", () => {
  using conn = connection(new ScriptedSocket());
  for (const ms of ["5", null, NaN, undefined]) {
    assertThrows(
      () => conn.deadline(ms as number),
      TypeError,
      "Cannot set a deadline with 'ms' of",
    );
  }
  assertThrows(
    () => conn.deadline(-1),
    RangeError,
    "Cannot set a deadline with 'ms' of -1: use milliseconds from 0 up, or Infinity",
  );
  assertFalse(conn.signal.aborted);
});

netTest("a deadline bounds all that a function does, and nothing behind it", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    {
      using _ = conn.deadline(60_000);
      await conn.readLine();
    }
    await conn.write(bytes`welcome`);
  });
  using client = await dial(server.addr);
  await client.write(bytes`Ada\n`);
  assertEquals((await readAll(client)).length, 7);
});
