/** A rate is never exceeded beyond its burst, and waiters are served in order. @module */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { nextDue } from "../../lib/server/rate_limit.ts";
import { rateLimit } from "../../mod.ts";
import { turn } from "../support/wait.ts";
import { propertyTest } from "../wire/property.ts";

Deno.test("take() allows a burst, and then one in each interval", () => {
  using time = new FakeTime();
  const limit = rateLimit({ rate: 10, per: 1000, burst: 3 });
  assertEquals([1, 2, 3, 4].map(() => limit.take()), [true, true, true, false]);
  time.tick(99);
  assert(!limit.take());
  time.tick(1);
  assert(limit.take());
  assert(!limit.take());
  time.tick(10_000);
  assertEquals([1, 2, 3, 4].map(() => limit.take()), [true, true, true, false]);
});

Deno.test("take() takes all of `n` or nothing", () => {
  using _time = new FakeTime();
  const limit = rateLimit({ rate: 5 });
  assert(limit.take(4));
  assert(!limit.take(2));
  assert(limit.take(1));
  assert(limit.take(0));
});

Deno.test("a rate below one an interval has a burst of one", () => {
  using time = new FakeTime();
  const limit = rateLimit({ rate: 0.5 });
  assertEquals([limit.take(), limit.take()], [true, false]);
  time.tick(2000);
  assertEquals([limit.take(), limit.take()], [true, false]);
});

Deno.test("wait() serves in order, and take() does not overtake", async () => {
  using time = new FakeTime();
  const limit = rateLimit({ rate: 10, burst: 1 });
  const served: number[] = [];
  assert(limit.take());
  for (const i of [1, 2, 3]) limit.wait().then(() => served.push(i));
  assert(!limit.take());
  for (const expected of [[1], [1, 2], [1, 2, 3]]) {
    await time.tickAsync(100);
    await turn();
    assertEquals(served, expected);
    assert(!limit.take());
  }
  await time.tickAsync(100);
  assert(limit.take());
});

Deno.test("wait() gives its token back when the signal aborts and nothing waits behind it", async () => {
  using time = new FakeTime();
  const limit = rateLimit({ rate: 10, burst: 1 });
  limit.take();
  const controller = new AbortController();
  const waiting = limit.wait(1, { signal: controller.signal });
  controller.abort(new DOMException("enough", "AbortError"));
  await assertRejects(() => waiting, DOMException, "enough");
  await assertRejects(() => limit.wait(1, { signal: controller.signal }), DOMException, "enough");
  await time.tickAsync(100);
  assert(limit.take());
});

Deno.test("wait() outlasts the longest timer", async () => {
  using time = new FakeTime();
  const limit = rateLimit({ rate: 1, per: 2 ** 33, burst: 1 });
  limit.take();
  let isOver = false;
  limit.wait().then(() => isOver = true);
  await time.tickAsync(2 ** 31);
  await turn();
  assert(!isOver);
});

Deno.test("a clock that is set back delays nothing", () => {
  const limit = rateLimit({ rate: 1, burst: 1 });
  {
    using _time = new FakeTime(1e12);
    assert(limit.take());
  }
  using time = new FakeTime(1e12 - 3_600_000);
  assert(!limit.take());
  time.tick(1000);
  assert(limit.take());
});

propertyTest(
  "nextDue() allows at most the burst and the rate in any stretch of time",
  [
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 1, max: 5 }),
    fc.array(fc.tuple(fc.nat(50), fc.integer({ min: 1, max: 5 })), { maxLength: 40 }),
  ],
  (interval, burst, steps) => {
    const taken: { at: number; n: number }[] = [];
    let [now, due] = [1000, 0];
    for (const [pause, wanted] of steps) {
      now += pause;
      const n = Math.min(wanted, burst);
      const next = nextDue({ interval, burst }, due, n, now);
      if (next.wait > 0) continue;
      due = next.due;
      taken.push({ at: now, n });
    }
    for (const [i, { at }] of taken.entries()) {
      let sum = 0;
      for (const later of taken.slice(i)) {
        sum += later.n;
        assert(sum <= burst + (later.at - at) / interval, `${sum} from ${at} to ${later.at}`);
      }
    }
  },
);

Deno.test("rateLimit() rejects an invalid rate, and says what would do", () => {
  const refused: [unknown, typeof Error, string][] = [
    [undefined, TypeError, "Cannot limit a rate with undefined as options: use an object"],
    [{}, TypeError, "Cannot limit a rate with 'rate' of undefined: use a number above 0"],
    [{ rate: 0 }, RangeError, "Cannot limit a rate with 'rate' of 0: use a number above 0"],
    [{ rate: Infinity }, RangeError, "'rate' of Infinity"],
    [{ rate: 1, per: -1 }, RangeError, "'per' of -1"],
    [{ rate: 1, burst: 0 }, RangeError, "'burst' of 0: use a whole number from 1"],
    [{ rate: 1, bursts: 2 }, TypeError, "unknown option 'bursts': known here are rate, per, burst"],
  ];
  for (const [options, kind, message] of refused) {
    assertThrows(() => rateLimit(options as { rate: number }), kind, message);
  }
  assertThrows(() => rateLimit({ rate: 1, burst: 2 }).take(3), RangeError, "'n' of 3");
});
