/** Pins the parts of `@std/testing` that tests here rely on, for the originals and the stand-in alike. @module */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  AssertionError,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  assertSpyCall,
  assertSpyCalls,
  MockError,
  returnsNext,
  type Spy,
  spy,
  type Stub,
  stub,
} from "@std/testing/mock";
import { FakeTime, TimeError } from "@std/testing/time";

/** All that fake time replaces. */
function replaced(): unknown[] {
  return [Date, setTimeout, clearTimeout, setInterval, clearInterval, AbortSignal.timeout];
}

/** Sets timers that write down their name and the time, counted from now. */
function recorder(): { log: string[]; timer: (name: string) => () => void } {
  const start = Date.now();
  const log: string[] = [];
  return { log, timer: (name) => () => log.push(`${name} ${Date.now() - start}`) };
}

Deno.test("FakeTime() replaces date and timers until disposed, and nothing else", () => {
  const before = replaced();
  const others = [queueMicrotask, performance.now, globalThis.setImmediate, Temporal.Now.instant];
  {
    using _time = new FakeTime();
    replaced().forEach((value, i) => assertNotStrictEquals(value, before[i]));
    const still = [queueMicrotask, performance.now, globalThis.setImmediate, Temporal.Now.instant];
    others.forEach((value, i) => assertStrictEquals(value, still[i]));
  }
  replaced().forEach((value, i) => assertStrictEquals(value, before[i]));
});

Deno.test("FakeTime() puts the same functions in place each time, as the original does", () => {
  const [first, second] = [0, 1].map(() => {
    using _time = new FakeTime();
    return replaced();
  });
  first!.forEach((value, i) => assertStrictEquals(value, second![i]));
});

Deno.test("FakeTime() starts now, or at a number, a text or a date", () => {
  const before = Date.now();
  {
    using time = new FakeTime();
    assert(time.start >= before && time.start < before + 60_000);
    assertEquals(Date.now(), time.start);
  }
  for (const start of [1_000, "1970-01-01T00:00:01Z", new Date(1_000)]) {
    using time = new FakeTime(start);
    assertEquals([time.start, time.now, Date.now(), new Date().getTime()], Array(4).fill(1_000));
  }
  assertThrows(() => new FakeTime(NaN), TypeError);
});

Deno.test("FakeTime() throws when time is already faked", () => {
  using _time = new FakeTime();
  assertThrows(() => new FakeTime(), TimeError, "time is already faked");
});

Deno.test("FakeTime.restore() throws when time is real", () => {
  const time = new FakeTime();
  time.restore();
  assertThrows(() => time.restore(), TimeError);
  assertThrows(() => FakeTime.restore(), TimeError);
  const other = new FakeTime(5);
  assertEquals(other.now, 5);
  FakeTime.restore();
  assertThrows(() => FakeTime.restore(), TimeError);
});

Deno.test("FakeTime dates are dates", () => {
  const RealDate = Date;
  using time = new FakeTime(86_400_000 * 2);
  const date = new Date();
  time.tick(500);
  assertEquals(date.getTime(), time.start);
  assertInstanceOf(date, Date);
  assertInstanceOf(date, RealDate);
  assertEquals(date, new RealDate(time.start));
  assertEquals(structuredClone(date), date);
  assertEquals(new Date(5).toISOString(), "1970-01-01T00:00:00.005Z");
  assertEquals(Date.UTC(1970, 0, 1, 0, 0, 1), 1_000);
  assert(Date().includes("1970"));
});

Deno.test("FakeTime.tick() calls timers when they are due, in order, with their arguments", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout((name: string) => timer(name)(), 30, "late");
  setTimeout(timer("early"), 10);
  setTimeout(timer("first"), 20);
  setTimeout(timer("second"), 20);
  time.tick(9);
  assertEquals(log, []);
  time.tick(1);
  assertEquals(log, ["early 10"]);
  time.tick(100);
  assertEquals(log, ["early 10", "first 20", "second 20", "late 30"]);
  assertEquals(time.now, time.start + 110);
});

Deno.test("FakeTime.tick() calls timers of 0 ms, also those that timers set", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout(() => {
    timer("outer")();
    setTimeout(timer("inner"));
  }, 0);
  assertEquals(log, []);
  time.tick();
  assertEquals(log, ["outer 0", "inner 0"]);
});

Deno.test("FakeTime.tick() repeats intervals until they are cleared", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  const id = setInterval(timer("interval"), 10);
  setTimeout(timer("timeout"), 20);
  time.tick(25);
  // At 20 the timeout comes first: it was set before the interval was set again.
  assertEquals(log, ["interval 10", "timeout 20", "interval 20"]);
  clearInterval(id);
  time.tick(100);
  assertEquals(log.length, 3);
});

Deno.test("FakeTime.tick() leaves time at a timer that throws", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout(() => {
    throw new RangeError("thrown by a timer");
  }, 10);
  setTimeout(timer("other"), 10);
  assertThrows(() => time.tick(50), RangeError, "thrown by a timer");
  assertEquals([time.now - time.start, log], [10, []]);
  time.tick(40);
  assertEquals([time.now - time.start, log], [50, ["other 10"]]);
});

Deno.test("FakeTime timers are numbers, and harmless where real ones are asked for", () => {
  const real = setTimeout(() => {}, 60_000);
  const time = new FakeTime();
  try {
    const { log, timer } = recorder();
    const id = setTimeout(timer("fake"), 10);
    assertEquals(typeof id, "number");
    assertEquals(typeof setInterval(() => {}, 1_000), "number");
    Deno.unrefTimer(id);
    Deno.refTimer(id);
    clearTimeout(real);
    clearTimeout(undefined);
    time.tick(10);
    assertEquals(log, ["fake 10"]);
    clearTimeout(id);
  } finally {
    time.restore();
    clearTimeout(real);
  }
});

Deno.test("FakeTime clears a timer that is due at the same time", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout(() => clearTimeout(second), 10);
  const second = setTimeout(timer("second"), 10);
  const itself = setInterval(() => {
    timer("interval")();
    clearInterval(itself);
  }, 10);
  time.tick(100);
  assertEquals(log, ["interval 10"]);
});

Deno.test("FakeTime takes only functions as timers", () => {
  using _time = new FakeTime();
  // The types of the runtime allow for text, which it would run as a script.
  const text = "0" as unknown as () => void;
  assertThrows(() => void setTimeout(text, 1), TimeError);
  assertThrows(() => void setInterval(text, 1), TimeError);
});

Deno.test("FakeTime timers cannot be set once time is restored", () => {
  let fake: typeof setTimeout;
  {
    using _time = new FakeTime();
    fake = setTimeout;
  }
  assertThrows(() => void fake(() => {}, 1), TimeError);
});

Deno.test("FakeTime.now can be set forward only", () => {
  using time = new FakeTime(1_000);
  const { log, timer } = recorder();
  setTimeout(timer("timer"), 500);
  time.now = 2_000;
  assertEquals(log, ["timer 500"]);
  assertEquals([time.start, time.now, Date.now()], [1_000, 2_000, 2_000]);
  assertThrows(() => void (time.now = 1_999), RangeError);
});

Deno.test("FakeTime.next() goes to the next timer and calls all that are due then", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout(timer("a"), 10);
  setTimeout(timer("b"), 10);
  setTimeout(timer("c"), 30);
  const cleared = setTimeout(timer("d"), 40);
  clearTimeout(cleared);
  assertEquals(time.next(), true);
  assertEquals(log, ["a 10", "b 10"]);
  assertEquals(time.next(), true);
  assertEquals(time.next(), false);
  assertEquals(log, ["a 10", "b 10", "c 30"]);
  assertEquals(time.now, time.start + 30);
});

Deno.test("FakeTime.runAll() goes on until no timer is left", () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  setTimeout(() => setTimeout(timer("inner"), 10), 10);
  let left = 3;
  const id = setInterval(() => {
    timer("interval")();
    if (--left === 0) clearInterval(id);
  }, 100);
  time.runAll();
  assertEquals(log, ["inner 20", "interval 100", "interval 200", "interval 300"]);
});

Deno.test("FakeTime.runMicrotasks() runs them, and those they ask for, fake time standing still", async () => {
  using time = new FakeTime();
  const log: number[] = [];
  queueMicrotask(() => {
    log.push(1);
    Promise.resolve().then(() => log.push(2));
  });
  await time.runMicrotasks();
  assertEquals([log, time.now], [[1, 2], time.start]);
});

Deno.test("FakeTime.tickAsync() runs microtasks before it moves time", async () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  Promise.resolve().then(() => setTimeout(timer("set by a microtask"), 10));
  await time.tickAsync(10);
  assertEquals(log, ["set by a microtask 10"]);
});

Deno.test("FakeTime.nextAsync() and runAllAsync() run microtasks before each timer", async () => {
  using time = new FakeTime();
  const { log, timer } = recorder();
  Promise.resolve().then(() => setTimeout(timer("a"), 10));
  assertEquals(await time.nextAsync(), true);
  setTimeout(() => {
    timer("b")();
    Promise.resolve().then(() => setTimeout(timer("c"), 10));
  }, 10);
  setTimeout(timer("d"), 15);
  await time.runAllAsync();
  assertEquals(log, ["a 10", "b 20", "d 25", "c 30"]);
  assertEquals(await time.nextAsync(), false);
});

Deno.test("FakeTime.delay() waits in real time", async () => {
  using time = new FakeTime();
  const begin = performance.now();
  await time.delay(20);
  assert(performance.now() - begin > 15);
  assertEquals(time.now, time.start);
});

Deno.test("FakeTime.delay() stops at its signal", async () => {
  using time = new FakeTime();
  const controller = new AbortController();
  const delay = time.delay(60_000, { signal: controller.signal });
  // Not before the delay has its timer, which it would otherwise leave behind.
  await time.runMicrotasks();
  controller.abort();
  const error = await assertRejects(() => delay, DOMException);
  assertEquals(error.name, "AbortError");
  await assertRejects(() => time.delay(60_000, { signal: AbortSignal.abort() }), DOMException);
});

Deno.test("FakeTime.restoreFor() brings real time back for one call", async () => {
  const before = replaced();
  using _time = new FakeTime(0);
  const sum = await FakeTime.restoreFor(
    (a: number, b: number) => {
      assertEquals(replaced(), before);
      return a + b;
    },
    1,
    2,
  );
  assertEquals(sum, 3);
  await FakeTime.restoreFor(async () => {
    await Promise.resolve();
    assertEquals(replaced(), before);
  });
  assertEquals(Date.now(), 0);
  await assertRejects(
    () => FakeTime.restoreFor(() => Promise.reject(new RangeError("no"))),
    RangeError,
  );
  assertEquals(Date.now(), 0);
});

Deno.test("FakeTime.restoreFor() shows real time to nobody else", async () => {
  using _time = new FakeTime(0);
  const { promise, resolve } = Promise.withResolvers<void>();
  const seen: number[] = [];
  queueMicrotask(() => seen.push(Date.now()));
  await FakeTime.restoreFor(() => void setTimeout(resolve, 0));
  seen.push(Date.now());
  await promise;
  assertEquals(seen, [0, 0]);
});

Deno.test("FakeTime.restoreFor() rejects when time is real", async () => {
  await assertRejects(() => FakeTime.restoreFor(() => {}), TimeError);
});

Deno.test("FakeTime() moves AbortSignal.timeout", () => {
  using time = new FakeTime();
  const signal = AbortSignal.timeout(1_000);
  const abort = spy();
  signal.addEventListener("abort", () => abort());
  time.tick(999);
  assertEquals(signal.aborted, false);
  time.tick(1);
  assertEquals(signal.aborted, true);
  assertSpyCalls(abort, 1);
  assertInstanceOf(signal.reason, DOMException);
  assertEquals(signal.reason.name, "TimeoutError");
});

Deno.test("FakeTime() can move by itself", async () => {
  using time = new FakeTime(0, { advanceRate: 1_000, advanceFrequency: 1 });
  const { promise, resolve } = Promise.withResolvers<void>();
  setTimeout(resolve, 5_000);
  await promise;
  assert(time.now >= 5_000);
});

Deno.test("spy() remembers calls", () => {
  const nothing = spy();
  const returned: undefined = nothing("anything");
  assertEquals(returned, undefined);
  assertSpyCall(nothing, 0, { args: ["anything"], returned: undefined });

  const add: Spy<unknown, [a: number, b: number], number> = spy((a: number, b: number) => a + b);
  const sum: number = add(1, 2);
  assertEquals(sum, 3);
  assertSpyCalls(add, 1);
  assertSpyCall(add, 0, { args: [1, 2], returned: 3 });
  assertEquals(add.calls, [{ args: [1, 2], returned: 3 }]);
  assertThrows(() => assertSpyCalls(add, 2), AssertionError);
  assertThrows(() => assertSpyCall(add, 1), AssertionError);
  assertThrows(() => assertSpyCall(add, 0, { args: [1, 3] }), AssertionError);
  assertThrows(() => assertSpyCall(add, 0, { returned: 4 }), AssertionError);
  assertThrows(() => add.restore(), MockError);
});

Deno.test("spy() remembers errors", async () => {
  const refuse = spy((port: number): never => {
    throw new RangeError(`no port ${port}`);
  });
  assertThrows(() => refuse(0), RangeError);
  assertSpyCall(refuse, 0, { args: [0], error: { Class: RangeError, msgIncludes: "port 0" } });
  assertThrows(() => assertSpyCall(refuse, 0, { error: { Class: TypeError } }), AssertionError);

  const later = spy(() => Promise.reject(new RangeError("later")));
  await assertRejects(() => later(), RangeError);
  assertEquals(later.calls[0]?.error, undefined);
});

Deno.test("spy() takes the place of a method until disposed", () => {
  const counter = {
    count: 0,
    add(n: number): number {
      return this.count += n;
    },
  };
  const { add } = counter;
  {
    using added = spy(counter, "add");
    const count: number = counter.add(2);
    assertEquals(count, 2);
    assertSpyCall(added, 0, { self: counter, args: [2], returned: 2 });
    assertThrows(() => spy(counter, "add"), MockError);
    assertThrows(() => spy(counter, "count"), MockError);
  }
  assertStrictEquals(counter.add, add);
  assertEquals(counter.count, 2);
});

Deno.test("stub() does something else in the place of a method until restored", () => {
  class Dice {
    roll(sides: number): number {
      return 1 + Math.floor(Math.random() * sides);
    }
  }
  const dice = new Dice();
  const rolled: Stub<Dice, [sides: number], number> = stub(dice, "roll", (sides) => sides);
  assertEquals(dice.roll(6), 6);
  assertSpyCall(rolled, 0, { self: dice, args: [6], returned: 6 });
  assertEquals(rolled.restored, false);
  rolled.restore();
  assertEquals(rolled.restored, true);
  assertStrictEquals(dice.roll, Dice.prototype.roll);
  assertEquals(Object.hasOwn(dice, "roll"), false);
  assertThrows(() => rolled.restore(), MockError);

  using silent = stub(dice, "roll");
  assertEquals<number | undefined>(dice.roll(6), undefined);
  assertSpyCalls(silent, 1);
});

Deno.test("returnsNext() returns one value after another and throws the errors among them", () => {
  const source = { next: (): number => 0 };
  using next = stub(source, "next", returnsNext([1, new RangeError("no"), 3]));
  assertEquals(source.next(), 1);
  assertThrows(() => source.next(), RangeError, "no");
  assertEquals(source.next(), 3);
  assertThrows(() => source.next(), MockError);
  assertSpyCalls(next, 4);
});
