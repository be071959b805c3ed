/** The limits hold that apply when nothing is said. @module */

import { assert, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { connection } from "../../mod.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

Deno.test("the default limits cannot be changed", () => {
  assert(Object.isFrozen(DEFAULT_LIMITS));
});

Deno.test("a connection may be idle for 5 minutes when nothing is said", async () => {
  using time = new FakeTime();
  using conn = connection(new ScriptedSocket());
  const read = conn.read(new Uint8Array(1));
  time.tick(300_000);
  assertFalse(conn.signal.aborted);
  time.tick(100);
  await assertRejects(() => read, DOMException, "'idleTimeout'");
});

Deno.test("a write may stand still for 30 seconds when nothing is said", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using conn = connection(socket);
  const write = conn.write(new Uint8Array(1));
  time.tick(30_000);
  assertFalse(conn.signal.aborted);
  time.tick(100);
  await assertRejects(() => write, DOMException, "'writeTimeout'");
});

Deno.test("1 MiB may wait behind a write when nothing is said", async () => {
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using conn = connection(socket);
  conn.write(new Uint8Array(1));
  conn.write(new Uint8Array(1 << 20));
  assertFalse(conn.signal.aborted);
  assertEquals(conn.unsentBytes, (1 << 20) + 1);
  await assertRejects(() => conn.write(new Uint8Array(1)), Deno.errors.WouldBlock, "'maxUnsent'");
});
