/** Does the accept loop outlive everything but its closing? @module */

import { assertEquals, assertFalse, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Acceptor } from "../../lib/listener/accept.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";
import { ScriptedListener } from "../support/scripted_listener.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** An acceptor on a scripted listener, and what it told its watcher. */
function scripted() {
  const listener = new ScriptedListener();
  const heard: unknown[] = [];
  const acceptor = new Acceptor(listener, {
    lost: () => void heard.push("lost"),
    starved: (error) => void heard.push(error),
  });
  return { listener, acceptor, heard };
}

/** An error as Deno makes it of what the kernel says. */
function systemError(message: string, code?: string, ErrorClass: new (m: string) => Error = Error) {
  const error = new ErrorClass(message);
  return code === undefined ? error : Object.assign(error, { code });
}

const EMFILE = () => systemError("Too many open files (os error 24)", "EMFILE");
const UNKNOWN = () => systemError("Something new (os error 999)");
const BAD_RESOURCE = () => new Deno.errors.BadResource("Listener has been closed");

/** Lets fake time pass up to the next attempt; tells how many ms that took. */
async function nextAttempt(time: FakeTime, listener: ScriptedListener): Promise<number> {
  const before = time.now, { accepts } = listener;
  time.next();
  await time.runMicrotasks();
  assertEquals(listener.accepts, accepts + 1);
  return time.now - before;
}

Deno.test("next() gives the socket that the listener gives", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = new ScriptedSocket();
  listener.give(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, []);
});

Deno.test("next() asks the listener for one socket at a time", async () => {
  const { listener, acceptor } = scripted();
  assertEquals(listener.accepts, 0);
  const first = acceptor.next();
  assertEquals(listener.accepts, 1);
  listener.give(new ScriptedSocket());
  await first;
  assertEquals(listener.accepts, 1);
});

/** What an accept that fails is to be taken for. */
type Word = "lost" | "starved";

const { NotConnected, ConnectionAborted, ConnectionReset, TimedOut, PermissionDenied } =
  Deno.errors;

/** Each errno of accept(2), as Deno 2.9 hands it on, and what it means. */
const WITH_CODE: Record<string, [word: Word, error: () => Error]> = {
  ENOTCONN: ["lost", () => systemError("(os error 107)", "ENOTCONN", NotConnected)],
  ECONNABORTED: ["lost", () => systemError("(os error 103)", "ECONNABORTED", ConnectionAborted)],
  ECONNRESET: ["lost", () => systemError("(os error 104)", "ECONNRESET", ConnectionReset)],
  ETIMEDOUT: ["lost", () => systemError("(os error 110)", "ETIMEDOUT", TimedOut)],
  EPERM: ["lost", () => systemError("(os error 1)", "EPERM", PermissionDenied)],
  EHOSTUNREACH: ["lost", () => systemError("(os error 113)", "EHOSTUNREACH")],
  ENETUNREACH: ["lost", () => systemError("(os error 101)", "ENETUNREACH")],
  EMFILE: ["starved", EMFILE],
  ENOBUFS: ["starved", () => systemError("(os error 105)", "ENOBUFS")],
  ENOMEM: ["starved", () => systemError("(os error 12)", "ENOMEM")],
  EINVAL: ["starved", () => systemError("(os error 22)", "EINVAL", TypeError)],
};

/** Those that arrive without a `code`, so that their numbers on Linux have to tell. */
const WITHOUT_CODE: Record<string, [word: Word, message: string]> = {
  ENFILE: ["starved", "Too many open files in system (os error 23)"],
  ENONET: ["lost", "Machine is not on the network (os error 64)"],
  EPROTO: ["lost", "Protocol error (os error 71)"],
  ENOPROTOOPT: ["lost", "Protocol not available (os error 92)"],
  EOPNOTSUPP: ["lost", "Operation not supported (os error 95)"],
  ENETDOWN: ["lost", "Network is down (os error 100)"],
  EHOSTDOWN: ["lost", "Host is down (os error 112)"],
};

/** Fails once, and asserts what that was taken for: "lost" asks again at once, "starved" waits. */
async function assertTakenFor(word: Word, error: Error): Promise<void> {
  using time = new FakeTime();
  const { listener, acceptor, heard } = scripted();
  listener.fail(error);
  const socket = new ScriptedSocket();
  const next = acceptor.next();
  await time.runMicrotasks();
  assertEquals(heard, [word === "lost" ? "lost" : error]);
  assertEquals([listener.accepts, acceptor.backingOff], word === "lost" ? [2, false] : [1, true]);
  if (word === "starved") await nextAttempt(time, listener);
  listener.give(socket);
  assertStrictEquals(await next, socket);
}

for (const [name, [word, error]] of Object.entries(WITH_CODE)) {
  Deno.test(`next() takes ${name} for ${word}`, () => assertTakenFor(word, error()));
}

for (const [name, [word, message]] of Object.entries(WITHOUT_CODE)) {
  Deno.test({
    name: `next() takes ${name} for ${word} though it comes without a code`,
    ignore: Deno.build.os !== "linux",
    fn: () => assertTakenFor(word, systemError(message)),
  });
}

for (const ErrorClass of [NotConnected, ConnectionAborted, ConnectionReset]) {
  Deno.test(`next() knows ${ErrorClass.name} of another make, which has no code`, async () => {
    await assertTakenFor("lost", new ErrorClass("gone"));
    await assertTakenFor("lost", new ErrorClass("gone (os error 999)"));
  });
}

for (const thrown of [UNKNOWN(), new Deno.errors.Busy("Another accept task is ongoing"), null, 7]) {
  Deno.test(`next() takes ${thrown} for starved, as everything that it does not know`, async () => {
    await assertTakenFor("starved", thrown as Error);
  });
}

Deno.test("next() takes one BadResource for an interrupted accept and asks again", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = new ScriptedSocket();
  listener.fail(BAD_RESOURCE());
  listener.give(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, ["lost"]);
});

Deno.test("next() takes two BadResource at once for a listener that somebody closed", async () => {
  const { listener, acceptor } = scripted();
  listener.close();
  assertEquals(await acceptor.next(), null);
  assertEquals(listener.accepts, 2);
  assertEquals([acceptor.closed, acceptor.over], [false, true]);
});

Deno.test("next() ends when somebody closes the listener while it waits", async () => {
  const { listener, acceptor } = scripted();
  const next = acceptor.next();
  listener.close();
  assertEquals(await next, null);
});

Deno.test("next() goes on after two BadResource that are far apart", async () => {
  using time = new FakeTime();
  const { listener, acceptor, heard } = scripted();
  const next = acceptor.next();
  listener.fail(BAD_RESOURCE());
  await time.tickAsync(1000);
  listener.fail(BAD_RESOURCE());
  await time.runMicrotasks();
  const socket = new ScriptedSocket();
  listener.give(socket);
  assertStrictEquals(await next, socket);
  assertEquals(heard, ["lost", "lost"]);
});

Deno.test("next() goes on after two BadResource with something else between them", async () => {
  const { listener, acceptor, heard } = scripted();
  const socket = new ScriptedSocket();
  listener.fail(BAD_RESOURCE());
  listener.fail(systemError("gone", "ECONNABORTED"));
  listener.fail(BAD_RESOURCE());
  listener.give(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard, ["lost", "lost", "lost"]);
});

Deno.test("next() outlives ten thousand clients that are gone, without a wait", async () => {
  const { listener, acceptor, heard } = scripted();
  for (let i = 0; i < 10_000; i++) listener.fail(systemError("gone", "ENOTCONN"));
  const socket = new ScriptedSocket();
  listener.give(socket);
  assertStrictEquals(await acceptor.next(), socket);
  assertEquals(heard.length, 10_000);
});

Deno.test("next() waits 5 ms when starved, then twice as long each time, up to 1 s", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.otherwise = () => ({ error: EMFILE() });
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
  for (let i = 0; i < 4; i++) listener.fail(EMFILE());
  const first = acceptor.next();
  await time.runMicrotasks();
  for (let i = 0; i < 4; i++) await nextAttempt(time, listener);
  listener.give(new ScriptedSocket());
  await first;

  listener.fail(EMFILE());
  const second = acceptor.next();
  await time.runMicrotasks();
  assertEquals(await nextAttempt(time, listener), 5);
  listener.give(new ScriptedSocket());
  await second;
});

Deno.test("backingOff says that it waits to try again", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.fail(EMFILE());
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
  listener.fail(EMFILE());
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
    listener.fail(error);
    assertEquals(await next, null);
    assertEquals(heard, []);
  }
});

Deno.test("next() hands out a socket that arrives after close(), and then null", async () => {
  const { listener, acceptor } = scripted();
  listener.holdsAtClose = true;
  const socket = new ScriptedSocket();
  const next = acceptor.next();
  acceptor.close();
  listener.give(socket);
  assertStrictEquals(await next, socket);
  assertEquals(await acceptor.next(), null);
  assertEquals(listener.accepts, 1);
});

Deno.test("close() is safe to call twice, and on a listener that refuses", () => {
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
  listener.otherwise = () => ({ error: UNKNOWN() });
  const start = time.now;
  const next = assertRejects(() => acceptor.next(), Error, "Something new");
  let settled = false;
  next.then(() => settled = true);
  await time.runMicrotasks();
  while (!settled && time.now < start + 60_000) {
    time.next();
    await time.runMicrotasks();
  }
  const lasted = time.now - start;
  // The first attempt that comes when 30 s are over: the waits before sum up to 30,275 ms.
  assertEquals(lasted, 30_275);
  // The last one is thrown, not told: who is told of one may expect another try.
  assertFalse(heard.includes(await next));
  assertEquals(heard.length, listener.accepts - 1);
});

/** Has every attempt fail for two minutes; asserts that a socket is still taken after that. */
async function assertNeverGivesUp(otherwise: (attempt: number) => Error): Promise<void> {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  listener.otherwise = () => ({ error: otherwise(listener.accepts) });
  const next = acceptor.next();
  await time.runMicrotasks();
  for (const start = time.now; time.now < start + 120_000;) await nextAttempt(time, listener);
  listener.otherwise = undefined;
  const socket = new ScriptedSocket();
  await nextAttempt(time, listener);
  listener.give(socket);
  assertStrictEquals(await next, socket);
}

for (const code of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]) {
  Deno.test(`next() never gives up for ${code}`, async () => {
    await assertNeverGivesUp(() => systemError("no room", code));
  });
}

Deno.test("next() counts the 30 s anew when a shortage comes between", async () => {
  // A shortage every 25th time: at most 25 s of unknown failures in a row.
  await assertNeverGivesUp((attempt) => attempt % 25 === 0 ? EMFILE() : UNKNOWN());
});

Deno.test("next() counts the 30 s anew after a success", async () => {
  using time = new FakeTime();
  const { listener, acceptor } = scripted();
  for (let round = 0; round < 3; round++) {
    listener.otherwise = () => ({ error: UNKNOWN() });
    const next = acceptor.next();
    await time.runMicrotasks();
    for (const start = time.now; time.now < start + 29_000;) await nextAttempt(time, listener);
    listener.otherwise = undefined;
    await nextAttempt(time, listener);
    listener.give(new ScriptedSocket());
    await next;
  }
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

/** Errnos that accept4(2) may give, and what they mean once they have gone through Deno. */
const INJECTED: Record<string, "lost" | "starved"> = {
  ECONNABORTED: "lost",
  EHOSTUNREACH: "lost",
  EINTR: "lost",
  EINVAL: "starved",
  EMFILE: "starved",
  ENETDOWN: "lost",
  ENFILE: "starved",
  ENOBUFS: "starved",
  ENOMEM: "starved",
  EPERM: "lost",
  EPROTO: "lost",
  ETIMEDOUT: "lost",
};

netTest("next() sorts what Deno makes of each errno of accept4(2), and goes on", async (t) => {
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
