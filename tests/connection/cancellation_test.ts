/** A read gives up when it was asked to, no earlier, and leaves nothing behind. @module */

import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLessOrEqual,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Cancellation, type ReadOptions } from "../../lib/connection/cancellation.ts";
import { CoarseClock, TICK } from "../../lib/connection/coarse_clock.ts";
import { CountedSignal } from "../support/counted_signal.ts";

/** A clock that runs on after its last watcher would leave a timer behind, which the sanitizers see. */
function newClock(): CoarseClock {
  return new CoarseClock(false);
}

/** A cancellation, and the errors that it has called back with so far. */
function cancellable(options: ReadOptions, clock: CoarseClock = newClock()) {
  const calls: unknown[] = [];
  const cancellation = Cancellation.from(clock, options)!;
  cancellation.onCancel = (error) => calls.push(error);
  return { cancellation, calls };
}

/** Ms of fake time, advanced 1 ms at a time, until there was a call. */
function lasts(time: FakeTime, calls: unknown[], most: number): number {
  let passed = 0;
  for (; passed < most && calls.length === 0; passed++) time.tick(1);
  return passed;
}

Deno.test("Cancellation.from() gives nothing where there is no reason to give up", () => {
  const clock = newClock();
  assertEquals(Cancellation.from(clock, undefined), undefined);
  assertEquals(Cancellation.from(clock, {}), undefined);
  assertEquals(Cancellation.from(clock, { limit: 5 } as ReadOptions, "limit"), undefined);
  const undefinedOnes = { timeout: undefined, signal: undefined } as unknown as ReadOptions;
  assertEquals(Cancellation.from(clock, undefinedOnes), undefined);
});

Deno.test("Cancellation.from() refuses options of the wrong type with a TypeError that says what would do", () => {
  const wanted = "use milliseconds from 0 up, or Infinity";
  const given: [options: unknown, message: string][] = [
    [null, "Cannot read with null as options: use an object"],
    [500, "Cannot read with 500 as options: use an object"],
    ["fast", 'Cannot read with "fast" as options: use an object'],
    [
      { timout: 5 },
      "Cannot read with an unknown option 'timout': known here are timeout, signal, limit",
    ],
    [{ timeout: NaN }, `Cannot read with 'timeout' of NaN: ${wanted}`],
    [{ timeout: "5" }, `Cannot read with 'timeout' of "5": ${wanted}`],
    [{ timeout: null }, `Cannot read with 'timeout' of null: ${wanted}`],
    [{ timeout: 5n }, `Cannot read with 'timeout' of 5n: ${wanted}`],
    [{ signal: {} }, "Cannot read with a 'signal' that is none: use an AbortSignal"],
    [{ signal: null }, "Cannot read with a 'signal' that is none: use an AbortSignal"],
    [{ signal: "now" }, "Cannot read with a 'signal' that is none: use an AbortSignal"],
    [
      { signal: new AbortController() },
      "Cannot read with a 'signal' that is none: use an AbortSignal",
    ],
    [{ signal: new EventTarget() }, "Cannot read with a 'signal' that is none: use an AbortSignal"],
  ];
  for (const [options, message] of given) {
    const error = assertThrows(
      () => Cancellation.from(newClock(), options as ReadOptions, "limit"),
      TypeError,
    );
    assertEquals(error.message, message);
  }
});

Deno.test("Cancellation.from() refuses a timeout that is out of range with a RangeError", () => {
  for (const timeout of [-1, -Infinity, -0.5]) {
    const error = assertThrows(() => Cancellation.from(newClock(), { timeout }), RangeError);
    assertEquals(
      error.message,
      `Cannot read with 'timeout' of ${timeout}: use milliseconds from 0 up, or Infinity`,
    );
  }
});

Deno.test("Cancellation.from() throws the reason of a signal that is aborted already, whatever it is", () => {
  for (const reason of [new TypeError("mine"), "gone", null, 0]) {
    let thrown: unknown = "nothing";
    try {
      Cancellation.from(newClock(), { signal: AbortSignal.abort(reason), timeout: 500 });
    } catch (error) {
      thrown = error;
    }
    assertStrictEquals(thrown, reason);
  }
  const signal = AbortSignal.abort();
  assertThrows(() => Cancellation.from(newClock(), { signal }), DOMException, "aborted");
});

Deno.test("an option is checked before a signal that is aborted already counts", () => {
  const signal = AbortSignal.abort("gone");
  assertThrows(() => Cancellation.from(newClock(), { signal, timeout: -1 }), RangeError);
});

Deno.test("a timeout of 100 ms or more is never early and 200 ms late at most", () => {
  using time = new FakeTime();
  for (const timeout of [100, 101, 250, 1000, 12_345]) {
    for (let offset = 0; offset < TICK; offset += 9) {
      const clock = newClock();
      const other = { tick() {} }; // as the connection does
      clock.watch(other);
      time.tick(offset);
      const { calls } = cancellable({ timeout }, clock);
      const lasted = lasts(time, calls, 20_000);
      assertGreaterOrEqual(lasted, timeout, `begun ${offset} ms after a tick`);
      assertLessOrEqual(lasted, timeout + 2 * TICK, `begun ${offset} ms after a tick`);
      clock.unwatch(other);
    }
  }
});

Deno.test("a timeout below 100 ms is exact", () => {
  using time = new FakeTime();
  for (const timeout of [1, 5, 50, 99]) {
    const { calls } = cancellable({ timeout });
    assertEquals(lasts(time, calls, 1000), timeout);
  }
});

Deno.test("a timeout of 0 gives up at the next chance, not at once", () => {
  using time = new FakeTime();
  const { calls } = cancellable({ timeout: 0 });
  assertEquals(calls, []);
  time.tick(0);
  assertEquals(calls.length, 1);
});

Deno.test("a timeout tells a TimeoutError that says how long it was", () => {
  using time = new FakeTime();
  for (const timeout of [20, 2000]) {
    const { calls } = cancellable({ timeout });
    time.tick(timeout + 200);
    const [error] = calls;
    assertInstanceOf(error, DOMException);
    assertEquals(error.name, "TimeoutError");
    assertEquals(error.message, `The read gave up after its timeout of ${timeout} ms`);
  }
});

Deno.test("a timeout of Infinity never comes", () => {
  using time = new FakeTime();
  const { cancellation, calls } = cancellable({ timeout: Infinity });
  time.tick(1e9);
  assertEquals(calls, []);
  cancellation[Symbol.dispose]();
});

Deno.test("an abort tells the signal's reason at once, the very same", () => {
  const reason = new TypeError("no longer wanted");
  const controller = new AbortController();
  const { calls } = cancellable({ signal: controller.signal, timeout: Infinity });
  controller.abort(reason);
  assertEquals(calls.length, 1);
  assertStrictEquals(calls[0], reason);
});

Deno.test("of a timeout and a signal only the first one calls back", () => {
  using time = new FakeTime();
  for (const timeout of [20, 2000]) {
    for (const first of ["signal", "timeout"]) {
      const controller = new AbortController();
      const { calls } = cancellable({ signal: controller.signal, timeout });
      if (first === "timeout") time.tick(timeout + 200);
      controller.abort("signal");
      time.tick(timeout + 200);
      assertEquals(calls.length, 1, first);
      assertEquals(calls[0] === "signal", first === "signal");
    }
  }
});

Deno.test("a cancellation that is disposed tells nothing", () => {
  using time = new FakeTime();
  for (const timeout of [20, 2000]) {
    const controller = new AbortController();
    const { cancellation, calls } = cancellable({ signal: controller.signal, timeout });
    cancellation[Symbol.dispose]();
    cancellation[Symbol.dispose]();
    controller.abort("signal");
    time.tick(timeout + 200);
    assertEquals(calls, []);
  }
});

Deno.test("a cancellation without a listener is passed to the next one", () => {
  using time = new FakeTime();
  const controller = new AbortController();
  const ways: [options: ReadOptions, decide: () => void][] = [
    [{ timeout: 20 }, () => time.tick(20)],
    [{ timeout: 2000 }, () => time.tick(2200)],
    [{ signal: controller.signal }, () => controller.abort()],
  ];
  for (const [options, decide] of ways) {
    const cancellation = Cancellation.from(newClock(), options)!;
    decide();
    const calls: unknown[] = [];
    cancellation.onCancel = (error) => calls.push(error);
    assertEquals(calls.length, 1);
    assertInstanceOf(calls[0], DOMException);
  }
});

Deno.test("a cancellation that came too late for one listener is passed to the next as well", () => {
  const controller = new AbortController();
  const { cancellation, calls } = cancellable({ signal: controller.signal });
  controller.abort("stop");
  cancellation.onCancel = (error) => calls.push(error);
  assertEquals(calls, ["stop", "stop"]);
});

Deno.test("a cancellation leaves no listener at its signal, whether it came to it or not", () => {
  using time = new FakeTime();
  const signal = new CountedSignal();
  for (let i = 0; i < 100; i++) {
    const { cancellation, calls } = cancellable({ signal, timeout: [20, 2000, Infinity][i % 3]! });
    assertEquals(signal.listeners, 1);
    if (i % 2 === 0) time.tick(3000);
    assertEquals(calls.length, i % 2 === 0 && i % 3 < 2 ? 1 : 0);
    cancellation[Symbol.dispose]();
    assertEquals(signal.listeners, 0);
  }
  const { calls } = cancellable({ signal });
  signal.abort("now");
  assertEquals(calls, ["now"]);
  assertEquals(signal.listeners, 0);
});

Deno.test("a cancellation watches the clock only as long as it must", () => {
  using _time = new FakeTime(); // or the sanitizers would find a clock that is still watched
  const clock = newClock();
  const watching = new Set<unknown>();
  clock.watch = (who) => void watching.add(who);
  clock.unwatch = (who) => void watching.delete(who);
  const watches: [timeout: number, count: number][] = [[20, 0], [100, 1], [Infinity, 0]];
  for (const [timeout, count] of watches) {
    const { cancellation } = cancellable({ timeout, signal: new CountedSignal() }, clock);
    assertEquals(watching.size, count, `${timeout}`);
    cancellation[Symbol.dispose]();
    assertEquals(watching.size, 0);
  }
});

Deno.test("custom signals work like native ones", () => {
  const listeners = new Set<EventListener>();
  const signal = {
    aborted: false,
    reason: undefined as unknown,
    addEventListener: (_: string, listener: EventListener) => void listeners.add(listener),
    removeEventListener: (_: string, listener: EventListener) => void listeners.delete(listener),
  };
  const options = { signal: signal as unknown as AbortSignal };
  const { calls } = cancellable(options);
  signal.aborted = true;
  signal.reason = "over";
  for (const listener of listeners) listener(new Event("abort"));
  assertEquals(calls, ["over"]);
  assertEquals(listeners.size, 0);
  let thrown;
  try {
    Cancellation.from(newClock(), options);
  } catch (error) {
    thrown = error;
  }
  assert(thrown === "over");
});
