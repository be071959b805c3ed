/** The set of connections knows its members, and when it is empty. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { CoarseClock, TICK } from "../../lib/connection/coarse_clock.ts";
import type { ServedConnection } from "../../lib/server/served_connection.ts";
import { LiveConnections } from "../../lib/server/live_connections.ts";

function newLive(): LiveConnections {
  return new LiveConnections(new CoarseClock(false));
}

/** Distinguished by identity, never used. */
const someone = () => ({}) as ServedConnection;

/** Whether a promise has settled once every microtask has run. */
async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

Deno.test("all holds the connections that have entered and not left", () => {
  const live = newLive();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  live.enter(two);
  assertEquals([...live.all], [one, two]);
  live.leave(one);
  assertEquals([...live.all], [two]);
  live.leave(two);
  assertEquals([...live.all], []);
});

Deno.test("leave() returns whether the connection was still there", () => {
  const live = newLive();
  const one = someone();
  live.enter(one);
  assertEquals([live.leave(one), live.leave(one), live.leave(someone())], [true, false, false]);
});

Deno.test("empty() resolves right away when there is none", async () => {
  assertEquals(await hasSettled(newLive().empty()), true);
});

Deno.test("empty() resolves when the last one leaves, and not before", async () => {
  const live = newLive();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  live.enter(two);
  const empty = live.empty();
  live.leave(one);
  assertEquals(await hasSettled(empty), false);
  live.leave(two);
  assertEquals(await hasSettled(empty), true);
});

Deno.test("empty() waits also for connections that enter as the last one leaves", async () => {
  const live = newLive();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  const empty = live.empty();
  live.leave(one);
  live.enter(two);
  assertEquals(await hasSettled(empty), false);
  live.leave(two);
  assertEquals(await hasSettled(empty), true);
});

Deno.test("empty() resolves for every caller", async () => {
  const live = newLive();
  const one = someone();
  live.enter(one);
  const waiting = [live.empty(), live.empty()];
  live.leave(one);
  assertEquals(await Promise.all(waiting.map(hasSettled)), [true, true]);
});

Deno.test("the clock ticks for all connections while there is one, and for no others", () => {
  using time = new FakeTime();
  const live = newLive();
  const ticks: string[] = [];
  const ticking = (name: string) =>
    ({ tick: (now: number) => ticks.push(`${name} ${now}`) }) as unknown as ServedConnection;
  const [one, two] = [ticking("one"), ticking("two")];
  live.enter(one);
  live.enter(two);
  time.tick(TICK);
  live.leave(one);
  time.tick(TICK);
  live.leave(two);
  time.tick(10 * TICK);
  assertEquals(ticks, ["one 100", "two 100", "two 200"]);
});
