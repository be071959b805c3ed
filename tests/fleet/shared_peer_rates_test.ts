/** Each peer has one rate over all workers, and the number of peers is bounded. @module */

import { assert, assertEquals } from "@std/assert";
import type { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { SharedPeerRates } from "../../lib/fleet/shared_peer_rates.ts";

/** Two workers with one clock, which is set by hand. */
function fleet(interval: number, burst: number, places = 64) {
  const clock = { now: 1000 };
  const buffer = SharedPeerRates.allocate(3, places);
  const rate = { interval, burst };
  const [a, b, main] = [0, 1, 2].map((row) =>
    new SharedPeerRates(buffer, row, rate, clock as SharedClock)
  );
  return { a: a!, b: b!, main: main!, clock };
}

Deno.test("take() gives each peer its burst, from all workers together", () => {
  const { a, b } = fleet(100, 2);
  assertEquals([a.take("p"), b.take("p"), a.take("p"), b.take("p")], [true, true, false, false]);
  assertEquals(b.take("q"), true);
});

Deno.test("take() takes nothing where it refuses", () => {
  const { a, b, clock } = fleet(100, 1);
  a.take("p");
  for (let i = 0; i < 5; i++) assertEquals(b.take("p"), false);
  clock.now += 100;
  assertEquals([b.take("p"), a.take("p")], [true, false]);
});

Deno.test("take() forgets the peers that are due first, when there are too many", () => {
  const { a, clock } = fleet(1000, 1, 16);
  for (let i = 0; i < 17; i++, clock.now++) assert(a.take(`${i}`));
  // The first has gone, so that it seems to be new; the others are remembered.
  const refused = Array.from({ length: 17 }, (_, i) => 16 - i).filter((i) => !a.take(`${i}`));
  assertEquals(refused.length, 16);
  assert(a.take("0") === false, "and is remembered again");
});

Deno.test("bury() of a worker leaves the rates as they are", () => {
  const { a, b, main } = fleet(100, 1);
  a.take("p");
  main.bury(0);
  assertEquals(b.take("p"), false);
});
