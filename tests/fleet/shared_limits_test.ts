/** A worker gets the limits that its program asks for, and shares them. @module */

import { assert, assertEquals } from "@std/assert";
import { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { SharedLimits } from "../../lib/fleet/shared_limits.ts";
import type { LimitSettings } from "../../lib/server/limits.ts";

/** Two workers and the main thread. */
function fleet(settings: LimitSettings): [SharedLimits, SharedLimits, SharedLimits] {
  const clock = new SharedClock(SharedClock.allocate());
  clock.publish();
  const memory = SharedLimits.allocate(3, settings.maxConnections);
  const main = new SharedLimits(memory, 2, 2, clock);
  main.begin(0);
  main.begin(1);
  return [
    new SharedLimits(memory, 0, 2, clock, settings),
    new SharedLimits(memory, 1, 2, clock, settings),
    main,
  ];
}

Deno.test("limits have the rates that the program asks for, and no others", () => {
  const [plain] = fleet({ maxConnections: 10 });
  assertEquals([plain.rate, plain.peerRates, plain.threads], [undefined, undefined, 2]);
  const [a, b] = fleet({
    maxConnections: 10,
    maxRate: { interval: 1000, burst: 1 },
    maxRatePerPeer: { interval: 1000, burst: 1 },
  });
  a.rate!.take();
  assert(b.rate!.wait() > 0);
  assertEquals([a.peerRates!.take("p"), b.peerRates!.take("p")], [true, false]);
});

Deno.test("maxConnections can be set by any thread while it runs", () => {
  const [a, b, main] = fleet({ maxConnections: 10 });
  assertEquals(main.slots.limit, 10);
  main.slots.limit = 1;
  assertEquals([a.slots.take(), b.slots.take()], [true, false]);
});

Deno.test("allocate() has room for four peers to each connection, 16,384 at least", () => {
  const size = (max: number) => SharedLimits.allocate(3, max).peerRates.byteLength;
  assertEquals(size(1), size(4096));
  assert(size(4097) > 1.9 * size(4096));
  assertEquals(size(Infinity), size(2 ** 20));
});

Deno.test("bury() gives back slots and places of peers", () => {
  const [a, b, main] = fleet({ maxConnections: 2 });
  for (const { slots, peers } of [a, b]) assert(slots.take() && peers.enter("p", 2));
  main.bury(0);
  assertEquals([main.slots.taken, main.peers.count("p")], [1, 1]);
  main.begin(0);
  assert(a.slots.take() && a.peers.enter("p", 2));
  assertEquals([b.slots.take(), b.peers.enter("p", 2)], [false, false]);
});

Deno.test("begin() lets the next worker in a row begin with nothing", () => {
  const [a, , main] = fleet({ maxConnections: 2 });
  a.slots.take();
  a.peers.enter("p", 9);
  main.bury(0);
  main.begin(0);
  a.slots.giveBack(); // of the one before, should it still run
  assertEquals([main.slots.taken, main.peers.total], [0, 0]);
});
