/** A scripted listener behaves as a listener, and plays its script. @module */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { serve } from "../../mod.ts";
import { pair } from "../../lib/testing/pair.ts";
import { type AcceptStep, scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { turns } from "../support/wait.ts";

const socket = () => pair()[1];

Deno.test("scriptedListener() gives each step of its script to one accept()", async () => {
  const [first, second] = [socket(), socket()];
  const own = new Error("of the test");
  using listener = scriptedListener([first, "EMFILE", own, second]);
  assertStrictEquals(await listener.accept(), first);
  const emfile = await assertRejects(() => listener.accept(), Error, "Too many open files");
  assertEquals("code" in emfile && emfile.code, "EMFILE");
  assertStrictEquals(await assertRejects(() => listener.accept()), own);
  assertStrictEquals(await listener.accept(), second);
  assertEquals([listener.accepts, listener.waiting, listener.closed], [4, false, false]);
});

Deno.test("scriptedListener() waits at the end of its script, and plays added steps", async () => {
  const [first, second] = [socket(), socket()];
  using listener = scriptedListener([]);
  const accepting = listener.accept();
  assert(listener.waiting);
  await assertRejects(() => listener.accept(), Deno.errors.Busy);
  listener.play();
  assert(listener.waiting);
  listener.play(first, second, "ENOTCONN");
  assertStrictEquals(await accepting, first);
  assertStrictEquals(await listener.accept(), second);
  await assertRejects(() => listener.accept(), Deno.errors.NotConnected);
});

Deno.test("scriptedListener() asks an endless script for one step at a time", async () => {
  let asked = 0;
  function* failing(): Generator<AcceptStep> {
    for (;; asked++) yield "EMFILE";
  }
  using listener = scriptedListener(failing());
  for (let i = 0; i < 3; i++) await assertRejects(() => listener.accept(), Error, "Too many");
  assertEquals(asked, 2);
});

Deno.test("scriptedListener() plays added steps after the made ones", async () => {
  const [made, added] = [socket(), socket()];
  using listener = scriptedListener(new Set([made]));
  listener.play(added);
  assertStrictEquals(await listener.accept(), made);
  assertStrictEquals(await listener.accept(), added);
});

Deno.test("scriptedListener() rejects as Deno's listeners do when it is closed", async () => {
  const listener = scriptedListener([]);
  const accepting = listener.accept();
  listener.close();
  await assertRejects(() => accepting, Deno.errors.BadResource, "Listener has been closed");
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
  assertThrows(() => listener.close(), Deno.errors.BadResource);
  listener[Symbol.dispose]();
  assert(listener.closed);
});

Deno.test("scriptedListener() resets connections that were not accepted when it is closed", async () => {
  const [[first, one], [second, two]] = [pair(), pair()];
  const plain = socket();
  const ofAnotherMake: Deno.Conn = Object.create(plain, { reset: { value: undefined } });
  let disposed = false;
  Object.defineProperty(ofAnotherMake, Symbol.dispose, { value: () => disposed = true });
  const listener = scriptedListener([one, "EMFILE", two, ofAnotherMake]);
  assertStrictEquals(await listener.accept(), one);
  listener.close();
  await assertRejects(() => second.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
  await first.write(new Uint8Array(1));
  assertEquals(await one.read(new Uint8Array(9)), 1);
  assert(disposed);
});

Deno.test("scriptedListener() can be iterated over, until it is closed or fails", async () => {
  const sockets = [socket(), socket()];
  const listener = scriptedListener(sockets);
  const accepted: Deno.Conn[] = [];
  const iterating = (async () => {
    for await (const conn of listener) accepted.push(conn);
  })();
  await turns();
  listener.close();
  await iterating;
  assertEquals(accepted, sockets);

  using failing = scriptedListener(["EMFILE"]);
  await assertRejects(
    async () => {
      for await (const _ of failing) { /* fails before */ }
    },
    Error,
    "Too many open files",
  );
});

Deno.test("scriptedListener() shows how a server handles failures, without waiting", async () => {
  using time = new FakeTime();
  const [client, conn] = pair();
  const listener = scriptedListener(["ENOTCONN", "EMFILE", "ENFILE", "ECONNABORTED", conn]);
  const reported: unknown[] = [];
  const server = serve(
    { listeners: [listener], onError: (error) => void reported.push(error) },
    (conn) => conn.write(new Uint8Array(3)),
  );
  await time.runMicrotasks();
  assertEquals(server.waitingFor, "resources");
  await time.tickAsync(5);
  await time.tickAsync(10);
  await time.runMicrotasks();
  assertEquals(await client.read(new Uint8Array(9)), 3);
  client.close();
  assertEquals(server.stats().acceptFailures, { aborted: 2, resources: 2 });
  assertEquals(reported.length, 1);
  await server.shutdown();
});

Deno.test("scriptedListener() has the address in its options", () => {
  const addr = { transport: "unix", path: "/run/app.sock" } as const;
  using listener = scriptedListener([], addr);
  assertEquals(listener.addr, addr);
});

Deno.test("scriptedListener() refuses steps that it cannot play, as soon as it sees them", async () => {
  const wrong = { step: "of another kind" } as unknown as AcceptStep;
  const message =
    "Cannot play a script with 'step' of an object: use connections, errors and names " +
    'of failures, such as "EMFILE"';
  assertThrows(() => scriptedListener([wrong]), TypeError, message);
  assertThrows(() => scriptedListener(["EFOO" as "EMFILE"]), TypeError, "Cannot fail with 'EFOO'");
  using listener = scriptedListener([]);
  assertThrows(() => listener.play("EMFILE", wrong), TypeError, message);
  const accepting = listener.accept();
  assert(listener.waiting);
  const conn = socket();
  listener.play(conn);
  assertStrictEquals(await accepting, conn);
  using made = scriptedListener(new Set([wrong]));
  await assertRejects(() => made.accept(), TypeError, message);
});

Deno.test("scriptedListener() makes steps by otherwise once its script is played", async () => {
  const [, socket] = pair();
  using listener = scriptedListener([socket]);
  listener.otherwise = () => "EMFILE";
  assertStrictEquals(await listener.accept(), socket);
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => listener.accept(), Error, "Too many open files");
  }
  listener.otherwise = undefined;
  listener.accept().catch(() => {});
  assertEquals(listener.waiting, true);
});

Deno.test("scriptedListener() that holds at close gives a socket afterwards, and then no more", async () => {
  const [, socket] = pair();
  const listener = scriptedListener([]);
  listener.holdsAtClose = true;
  const accepting = listener.accept();
  listener.close();
  assertEquals([listener.closed, listener.waiting], [true, true]);
  listener.play(socket);
  assertStrictEquals(await accepting, socket);
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
});
