/** The limits of one server count and wait as their interfaces say. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { privateLimits } from "../../lib/server/private_limits.ts";
import { TokenBucket } from "../support/token_bucket.ts";

Deno.test("slots.take() takes as many as there are, and again what was given back", () => {
  const { slots } = privateLimits({ maxConnections: 2 });
  assertEquals([slots.take(), slots.take(), slots.take(), slots.free], [true, true, false, false]);
  slots.giveBack();
  assertEquals([slots.free, slots.take(), slots.free], [true, true, false]);
});

Deno.test("slots.limit takes none away when it is lowered, and adds some when it is raised", () => {
  const { slots } = privateLimits({ maxConnections: 2 });
  slots.take();
  slots.take();
  slots.limit = 1;
  slots.giveBack();
  assertEquals([slots.limit, slots.free], [1, false]);
  slots.limit = Infinity;
  assertEquals(slots.take(), true);
});

Deno.test("peers.enter() counts each peer by itself, by the limit of the moment", () => {
  const { peers } = privateLimits({ maxConnections: 1 });
  assertEquals(["a", "a", "a", "b"].map((key) => peers.enter(key, 2)), [true, true, false, true]);
  peers.leave("a");
  assertEquals([peers.enter("a", 1), peers.enter("a", 2)], [false, true]);
  for (const key of ["a", "a", "b"]) peers.leave(key);
  assertEquals(peers.enter("a", 1), true);
});

Deno.test("rate.wait() says when there is a token, and what is owed is waited for, too", () => {
  using time = new FakeTime();
  const rate = privateLimits({ maxConnections: 1, maxRate: { interval: 100, burst: 2 } }).rate!;
  const waits = [1, 2, 3, 4].map(() => {
    const wait = rate.wait();
    rate.take();
    return wait;
  });
  assertEquals(waits, [0, 0, 100, 200]);
  time.tick(300);
  assertEquals(rate.wait(), 0);
});

Deno.test("rate.take() of a token that was waited for too long does not put off the next", () => {
  using time = new FakeTime();
  const rate = privateLimits({ maxConnections: 1, maxRate: { interval: 100, burst: 1 } }).rate!;
  rate.take();
  for (const late of [1, 19, 0, 7]) {
    time.tick(rate.wait() + late);
    rate.take();
    assertEquals(rate.wait(), 100 - late);
  }
  time.tick(rate.wait() + 20); // nothing has waited for so long
  rate.take();
  assertEquals(rate.wait(), 100);
});

Deno.test("rate is absent where there is no limit, and so are the rates of peers", () => {
  const { rate, peerRates, turn, threads } = privateLimits({ maxConnections: 1 });
  assertEquals([rate, peerRates, turn, threads], [undefined, undefined, undefined, 1]);
});

const rate = fc.record({
  interval: fc.integer({ min: 1, max: 50 }),
  burst: fc.integer({ min: 1, max: 5 }),
});

/** Ms by which a token may be taken late without being put off. */
const LATE = 20;

Deno.test("rate does what a token bucket does, or one that overflows a little later", () => {
  // Ms that pass, or a token that is taken.
  const steps = fc.array(fc.oneof(fc.nat(120), fc.constant("take" as const)), { maxLength: 60 });
  fc.assert(fc.property(rate, steps, (maxRate, steps) => {
    using time = new FakeTime();
    const rate = privateLimits({ maxConnections: 1, maxRate }).rate!;
    const strict = new TokenBucket(maxRate);
    const late = new TokenBucket(maxRate, LATE);
    const buckets = [strict, late];
    for (const step of steps) {
      if (step === "take") {
        rate.take();
        for (const bucket of buckets) bucket.take();
      } else {
        time.tick(step);
        for (const bucket of buckets) bucket.pass(step);
      }
      assert(rate.wait() <= strict.wait);
      assert(rate.wait() >= late.wait);
    }
  }));
});
