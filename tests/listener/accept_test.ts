/** The accept loop outlives everything but its closing. @module */

import { assert, assertEquals, assertFalse, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Acceptor } from "../../lib/listener/accept.ts";
import { pair } from "../../lib/testing/pair.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";
import { turns, until } from "../support/wait.ts";
import { type ScriptedListener, scriptedListener } from "../../lib/testing/scripted_listener.ts";

/** An acceptor on a scripted listener, and the calls of its watcher. */
function scripted() {
  const listener = scriptedListener([]);
  const heard: unknown[] = [];
  const acceptor = new Acceptor(listener, {
    aborted: () => void heard.push("aborted"),
    resources: (error) => void heard.push(error),
  });
  return { listener, acceptor, heard };
}

/** An error as Deno makes it from the kernel's. */
function systemError(message: string, code?: string, ErrorClass: new (m: string) => Error = Error) {
  const error = new ErrorClass(message);
  return code === undefined ? error : Object.assign(error, { code });
}

const EMFILE = () => systemError("Too many open files (os error 24)", "EMFILE");
const UNKNOWN = () => systemError("Something new (os error 999)");
const BAD_RESOURCE = () => new Deno.errors.BadResource("Listener has been closed");

/** Lets fake time pass up to the next attempt; returns how many ms that took. */
async function nextAttempt(time: FakeTime, listener: ScriptedListener): Promise<number> {
  const before = time.now, { accepts } = listener;
  time.next();
  await time.runMicrotasks();
  assertEquals(listener.accepts, accepts + 1);
  return time.now - before;
}

Deno.test("next() gives the socket that the listener gives", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = pair()[0];
  listener.play(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, []);
});

Deno.test("next() asks the listener for one socket at a time", async () => {
  const { listener, acceptor } = scripted();
  assertEquals(listener.accepts, 0);
  const first = acceptor.next();
  assertEquals(listener.accepts, 1);
  listener.play(pair()[0]);
  await first;
  assertEquals(listener.accepts, 1);
});

Deno.test("next() asks again at once when the client is already gone", async () => {
  const { listener, acceptor, heard } = scripted();
  const [socket] = pair();
  listener.play("ENOTCONN", socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, ["aborted"]);
});

Deno.test("next() waits when resources are short", async () => {
  using time = new FakeTime();
  const { listener, acceptor, heard } = scripted();
  const error = EMFILE();
  const [socket] = pair();
  listener.play(error, socket);
  const next = acceptor.next();
  await time.runMicrotasks();
  assertEquals([heard, listener.accepts, acceptor.backingOff], [[error], 1, true]);
  await nextAttempt(time, listener);
  assertStrictEquals(await next, socket);
});

/** The errors of macOS and Windows for clients that have reset, as Deno passes them on. */
const FOREIGN: Record<string, () => Error> = {
  "EINVAL of macOS": () => systemError("Invalid argument (os error 22)", "EINVAL", TypeError),
  "macOS's error without a code": () => new TypeError("invalid argument"),
  "the reset of Windows": () =>
    systemError("An existing connection was forcibly closed (os error 10054)", "ECONNRESET"),
};

for (const [name, error] of Object.entries(FOREIGN)) {
  Deno.test(`next() outlives ${name} a thousand times in a row, and serves at once`, async () => {
    using time = new FakeTime();
    const start = time.now;
    const { listener, acceptor, heard } = scripted();
    const [socket] = pair();
    listener.play(...Array.from({ length: 1000 }, error), socket);
    assertStrictEquals(await acceptor.next(), socket);
    assertEquals(heard, Array(1000).fill("aborted"));
    assert(time.now - start < 10);
  });
}

Deno.test("next() takes one BadResource for an interrupted accept and tries again", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = pair()[0];
  listener.play(BAD_RESOURCE());
  listener.play(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, ["aborted"]);
});

Deno.test("next() takes two BadResource at once for a listener that was closed elsewhere", async () => {
  const { listener, acceptor } = scripted();
  listener.close();
  assertEquals(await acceptor.next(), null);
  assertEquals(listener.accepts, 2);
  assertEquals([acceptor.closed, acceptor.over], [false, true]);
});

Deno.test("next() ends when the listener is closed elsewhere while it waits", async () => {
  const { listener, acceptor } = scripted();
  const next = acceptor.next();
  listener.close();
  assertEquals(await next, null);
});

Deno.test("next() goes on after two BadResource that are far apart", async () => {
  using time = new FakeTime();
  const { listener, acceptor, heard } = scripted();
  const next = acceptor.next();
  listener.play(BAD_RESOURCE());
  await time.tickAsync(1000);
  listener.play(BAD_RESOURCE());
  await time.runMicrotasks();
  const socket = pair()[0];
  listener.play(socket);
  assertStrictEquals(await next, socket);
  assertEquals(heard, ["aborted", "aborted"]);
});

Deno.test("next() goes on after two BadResource with something else between them", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = pair()[0];
  listener.play(BAD_RESOURCE());
  listener.play(systemError("gone", "ECONNABORTED"));
  listener.play(BAD_RESOURCE());
  listener.play(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, ["aborted", "aborted", "aborted"]);
});

Deno.test("next() outlives ten thousand clients that are gone, without a wait", async () => {
  const { listener, acceptor, heard } = scripted();
  for (let i = 0; i < 10_000; i++) listener.play(systemError("gone", "ENOTCONN"));
  const socket = pair()[0];
  listener.play(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard.length, 10_000);
});

Deno.test("next() waits 5 ms when resources are short, then twice as long each time, up to 1 s", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.otherwise = () => EMFILE();
  const next = acceptor.next();
  await time.runMicrotasks();
  const waits: number[] = [];
  while (waits.length < 11) waits.push(await nextAttempt(time, listener));
  assertEquals(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000]);
  acceptor.close();
  assertEquals(await next, null);
});

Deno.test("next() begins with 5 ms again after a success", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  for (let i = 0; i < 4; i++) listener.play(EMFILE());
  const first = acceptor.next();
  await time.runMicrotasks();
  for (let i = 0; i < 4; i++) await nextAttempt(time, listener);
  listener.play(pair()[0]);
  await first;

  listener.play(EMFILE());
  const second = acceptor.next();
  await time.runMicrotasks();
  assertEquals(await nextAttempt(time, listener), 5);
  listener.play(pair()[0]);
  await second;
});

Deno.test("backingOff is true while it waits to try again", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.play(EMFILE());
  assertEquals(acceptor.backingOff, false);
  const next = acceptor.next();
  await time.runMicrotasks();
  assertEquals(acceptor.backingOff, true);
  await nextAttempt(time, listener);
  assertEquals(acceptor.backingOff, false);
  acceptor.close();
  await next;
});

Deno.test("close() ends a wait at once and leaves no timer", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.play(EMFILE());
  const next = acceptor.next();
  await time.runMicrotasks();
  acceptor.close();
  assertEquals(await next, null);
  assertEquals(listener.accepts, 1);
  assertEquals([acceptor.backingOff, time.next()], [false, false]);
});

Deno.test("close() ends a pending accept", async () => {
  const { listener, acceptor, heard } = scripted();
  const next = acceptor.next();
  acceptor.close();
  assertEquals(await next, null);
  assertEquals([listener.accepts, listener.closed, heard], [1, true, []]);
  assertEquals([acceptor.closed, acceptor.over], [true, true]);
});

Deno.test("close() ends next() whatever the pending accept then fails with", async () => {
  for (const error of [EMFILE(), UNKNOWN(), systemError("gone", "ENOTCONN")]) {
    const { listener, acceptor, heard } = scripted();
    listener.holdsAtClose = true;
    const next = acceptor.next();
    acceptor.close();
    listener.play(error);
    assertEquals(await next, null);
    assertEquals(heard, []);
  }
});

Deno.test("next() hands out a socket that arrives after close(), and then null", async () => {
  const { listener, acceptor } = scripted();
  listener.holdsAtClose = true;
  const socket = pair()[0];
  const next = acceptor.next();
  acceptor.close();
  listener.play(socket);
  assertStrictEquals(await next, socket);
  assertEquals(await acceptor.next(), null);
  assertEquals(listener.accepts, 1);
});

Deno.test("close() is safe to call twice, and on a listener that throws", () => {
  const { listener, acceptor } = scripted();
  let closes = 0;
  listener.close = () => {
    closes++;
    throw BAD_RESOURCE();
  };
  acceptor.close();
  acceptor.close();
  assertEquals([closes, acceptor.closed], [1, true]);
});

Deno.test("next() gives up with the error after 30 s of nothing but unknown failures", async () => {
  using time = new FakeTime();
  const { listener, acceptor, heard } = scripted();
  listener.otherwise = UNKNOWN;
  const start = time.now;
  let caught: unknown;
  const next = acceptor.next().catch((error) => void (caught = error));
  while (caught === undefined && time.now < start + 60_000) {
    await until(() => acceptor.backingOff || caught !== undefined);
    time.next();
  }
  await next;
  // The first attempt after 30 s: the waits before it add up to 30,275 ms.
  assertEquals(time.now - start, 30_275);
  // The last one is thrown and not reported: a reported one will be tried again.
  assertFalse(heard.includes(caught));
  assertEquals(heard.length, listener.accepts - 1);
});

Deno.test("next() never gives up for want of resources", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.otherwise = EMFILE;
  const next = acceptor.next();
  await time.runMicrotasks();
  for (const start = time.now; time.now < start + 120_000;) await nextAttempt(time, listener);
  listener.otherwise = undefined;
  const [socket] = pair();
  await nextAttempt(time, listener);
  listener.play(socket);
  assertStrictEquals(await next, socket);
});

Deno.test("next() lets the event loop turn while failures come at once", async () => {
  const { listener, acceptor } = scripted();
  listener.otherwise = () => "ENOTCONN";
  const next = acceptor.next();
  await turns();
  acceptor.close();
  assertEquals(await next, null);
});

Deno.test("ref() and unref() reach the listener", () => {
  const { listener, acceptor } = scripted();
  const calls: string[] = [];
  listener.ref = () => void calls.push("ref");
  listener.unref = () => void calls.push("unref");
  acceptor.unref();
  acceptor.ref();
  assertEquals(calls, ["unref", "ref"]);
});

/** Errnos that accept4(2) may give, and how they are sorted once Deno has passed them on. */
const INJECTED: Record<string, "aborted" | "resources"> = {
  ECONNABORTED: "aborted",
  EHOSTUNREACH: "aborted",
  EINTR: "aborted",
  EINVAL: "aborted",
  EMFILE: "resources",
  ENETDOWN: "aborted",
  ENFILE: "resources",
  ENOBUFS: "resources",
  ENOMEM: "resources",
  EPERM: "aborted",
  EPROTO: "aborted",
  ETIMEDOUT: "aborted",
};

netTest("next() sorts Deno's error for each errno of accept4(2), and goes on", async (t) => {
  for (const [errno, word] of Object.entries(INJECTED)) {
    await t.step(`${errno} is ${word}`, async () => {
      await using program = new Program(new URL("./programs/accepting.ts", import.meta.url), {
        under: ["strace", "-fqqo", "/dev/null", `-einject=accept4:error=${errno}:when=1`],
      });
      assertEquals(await program.line(), word);
      assertEquals(await program.line(), "accepted");
    });
  }
}, { os: ["linux"], programs: ["strace"] });
