/** Connections of all workers come at one rate. @module */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { SharedRate } from "../../lib/fleet/shared_rate.ts";

/** Two workers with one clock, which is set by hand. */
function fleet(interval: number, burst: number) {
  const clock = { now: 1000 };
  const buffer = SharedRate.allocate();
  const rate = { interval, burst };
  const [a, b] = [0, 1].map(() => new SharedRate(buffer, rate, clock as SharedClock));
  return { a: a!, b: b!, clock };
}

Deno.test("wait() is 0 until the burst of all workers together is taken", () => {
  const { a, b } = fleet(100, 3);
  for (const rate of [a, b, a]) {
    assertEquals(rate.wait(), 0);
    rate.take();
  }
  assertEquals([a.wait(), b.wait()], [100, 100]);
});

Deno.test("wait() falls with the time, and one token comes at each interval", () => {
  const { a, b, clock } = fleet(100, 1);
  a.take();
  clock.now += 60;
  assertAlmostEquals(b.wait(), 40, 1e-3);
  clock.now += 40;
  assertEquals(b.wait(), 0);
  b.take();
  assertAlmostEquals(a.wait(), 100, 1e-3);
});

Deno.test("take() owes what is not there, and the next wait for it", () => {
  const { a, b } = fleet(100, 1);
  a.take();
  b.take();
  a.take();
  assertAlmostEquals(b.wait(), 300, 1e-3);
});

Deno.test("take() keeps a rate of a million in a second within its rounding", () => {
  const { a, clock } = fleet(0.001, 1000);
  let taken = 0;
  for (let ms = 0; ms < 10; ms++, clock.now++) {
    while (a.wait() === 0) {
      a.take();
      taken++;
    }
  }
  assert(Math.abs(taken - 10_000) <= 10, `${taken}`);
});
