/** Each peer has its own rate, and those who took most are remembered for longest. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { PrivatePeerRates } from "../../lib/server/private_peer_rates.ts";
import { TokenBucket } from "../support/token_bucket.ts";

Deno.test("take() gives each peer its burst, and then one per interval", () => {
  using time = new FakeTime();
  const rates = new PrivatePeerRates({ interval: 100, burst: 2 });
  const taken = () => ["a", "a", "a", "b"].map((key) => rates.take(key));
  assertEquals(taken(), [true, true, false, true]);
  time.tick(100);
  assertEquals(taken(), [true, false, false, true]);
});

Deno.test("take() forgets a peer once it has all its tokens again", () => {
  using time = new FakeTime();
  const rates = new PrivatePeerRates({ interval: 100, burst: 2 });
  rates.take("a");
  rates.take("b");
  rates.take("b");
  time.tick(100);
  rates.take("c");
  assertEquals(rates.size, 2);
  time.tick(100);
  rates.take("d");
  assertEquals(rates.size, 1);
  for (let i = 0; i < 9; i++) rates.take(`peer ${i}`);
  time.tick(100);
  rates.take("e"); // of ten that are to be forgotten, some at a time
  assertEquals(rates.size, 7);
  assertEquals([rates.take("peer 8"), rates.take("peer 8")], [true, true]);
});

Deno.test("take() forgets the peer that took least when there is no room for another", () => {
  using _time = new FakeTime();
  const rates = new PrivatePeerRates({ interval: 100, burst: 2 }, 3);
  for (const key of ["greedy", "greedy", "b", "c", "d", "e", "f"]) rates.take(key);
  assertEquals(rates.size, 3);
  assertEquals(rates.take("greedy"), false);
  assertEquals([rates.take("b"), rates.take("b")], [true, true]);
});

Deno.test("take() holds no more than 65,536 peers", () => {
  using _time = new FakeTime();
  const rates = new PrivatePeerRates({ interval: 1000, burst: 1 });
  for (let i = 0; i < 70_000; i++) rates.take(`2001:db8:${i}::/64`);
  assertEquals(rates.size, 65_536);
});

/** Some of a few peers come, after some ms. */
const visits = fc.array(
  fc.record({ peer: fc.integer({ min: 0, max: 9 }), after: fc.constantFrom(0, 0, 1, 7, 30, 200) }),
  { maxLength: 150 },
);

const rate = fc.record({
  interval: fc.integer({ min: 1, max: 50 }),
  burst: fc.integer({ min: 1, max: 4 }),
});

Deno.test("take() does for each peer what a token bucket of its own does", () => {
  fc.assert(fc.property(rate, visits, (rate, visits) => {
    using time = new FakeTime();
    const rates = new PrivatePeerRates(rate);
    const buckets = Array.from({ length: 10 }, () => new TokenBucket(rate));
    for (const { peer, after } of visits) {
      time.tick(after);
      for (const bucket of buckets) bucket.pass(after);
      const bucket = buckets[peer]!;
      const isFree = bucket.wait === 0;
      if (isFree) bucket.take();
      assertEquals(rates.take(`peer ${peer}`), isFree);
    }
  }));
});

Deno.test("take() with little room refuses no peer that its rate would let in", () => {
  fc.assert(fc.property(rate, visits, fc.integer({ min: 1, max: 8 }), (rate, visits, room) => {
    using time = new FakeTime();
    const rates = new PrivatePeerRates(rate, room);
    const buckets = Array.from({ length: 10 }, () => new TokenBucket(rate));
    for (const { peer, after } of visits) {
      time.tick(after);
      for (const bucket of buckets) bucket.pass(after);
      const taken = rates.take(`peer ${peer}`);
      // One that was forgotten is let in more often, and owes its bucket what that did not have.
      assert(taken || buckets[peer]!.wait > 0);
      if (taken) buckets[peer]!.take();
      assert(rates.size <= room);
    }
  }));
});
