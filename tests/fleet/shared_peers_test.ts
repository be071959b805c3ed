/** The connections of a peer are counted once over all workers, those of dead ones no longer. @module */

import { assert, assertEquals } from "@std/assert";
import { SharedPeers } from "../../lib/fleet/shared_peers.ts";
import { SharedTable } from "../../lib/fleet/shared_table.ts";
import type { Job } from "../support/contender.ts";
import { contend } from "../support/contention.ts";
import { netTest } from "../support/needs.ts";

/** Views of two workers and of the main thread. */
function fleet(places = 256): SharedPeers[] {
  const memory = SharedPeers.allocate(3, places);
  const views = [0, 1, 2].map((row) => new SharedPeers(memory, row));
  views[2]!.begin(0);
  views[2]!.begin(1);
  return views;
}

Deno.test("enter() counts the connections of all workers against one limit", () => {
  const [a, b] = fleet() as [SharedPeers, SharedPeers];
  assertEquals([a.enter("p", 3), b.enter("p", 3), a.enter("p", 3)], [true, true, true]);
  assertEquals([a.enter("p", 3), b.enter("p", 3)], [false, false]);
  assert(b.enter("q", 3));
  a.leave("p");
  assert(b.enter("p", 3));
  assertEquals(a.enter("p", 3), false);
});

Deno.test("enter() follows a limit that changes", () => {
  const [a] = fleet() as [SharedPeers];
  assert(a.enter("p", 1));
  assertEquals(a.enter("p", 1), false);
  assert(a.enter("p", 2));
  assert(a.enter("p", Infinity));
  assertEquals(a.count("p"), 3);
});

Deno.test("enter() lets in and counts what finds no place", () => {
  const [a] = fleet(16) as [SharedPeers];
  for (let i = 0; i < 16; i++) assert(a.enter(`${i}`, 1));
  assert(a.enter("seventeenth", 1));
  assert(a.enter("seventeenth", 1));
  assertEquals([a.uncounted, a.total], [2, 16]);
  a.leave("0");
  assert(a.enter("seventeenth", 1));
  assertEquals(a.enter("seventeenth", 1), false);
  // Whichever of the three leaves: those that are not counted leave first.
  for (const left of [1, 1, 0]) {
    a.leave("seventeenth");
    assertEquals(a.count("seventeenth"), left);
  }
});

Deno.test("bury() gives back what a dead worker had, and nothing of the others", () => {
  const [a, b, main] = fleet() as [SharedPeers, SharedPeers, SharedPeers];
  for (const view of [a, b, a]) view.enter("p", 9);
  a.enter("q", 9);
  main.bury(0);
  assertEquals([main.count("p"), main.count("q"), main.total], [1, 0, 1]);
  main.bury(0);
  assertEquals(main.total, 1);
});

Deno.test("a worker that was buried and goes on changes nothing", () => {
  const [a, b, main] = fleet() as [SharedPeers, SharedPeers, SharedPeers];
  a.enter("p", 9);
  b.enter("p", 9);
  main.bury(0);
  a.leave("p");
  assert(a.enter("p", 1));
  a.leave("p");
  assertEquals(main.count("p"), 1);
});

const PLACES = 1024;

/** Runs a job, and asserts what holds at the end of all. */
async function contest(threads: number, job: Omit<Job, "memory" | "tally" | "seed">) {
  const memory = SharedPeers.allocate(threads + 1, PLACES);
  const tally = new SharedArrayBuffer(4 * job.keys);
  const main = new SharedPeers(memory, threads);
  const found = await contend(threads, { ...job, memory, tally, seed: 1 }, main);
  const table = new SharedTable(memory, threads);
  const words = Array.from({ length: PLACES }, (_, place) => table.word(place));
  assertEquals(words.filter((word) => word !== 0n), [], "places that are not free");
  assertEquals(found.map(({ over }) => over), found.map(() => 0), "over the limit");
  assertEquals(main.uncounted, 0);
  return found;
}

netTest(
  "two threads that enter and leave at random never exceed the limit, and leave 0",
  async () => {
    const found = await contest(2, { name: "peers", operations: 100_000, keys: 64, limit: 3 });
    for (const { entered, refused } of found) assert(entered > 1000 && refused > 100);
  },
);

netTest("three threads that pause in the middle of operations never exceed the limit", async () => {
  await contest(3, { name: "peers", operations: 15_000, keys: 40, limit: 3, pauses: true });
});

netTest("threads that insert one new peer at the same moment agree on its place", async () => {
  const found = await contest(2, { name: "newcomers", operations: 10_000, keys: 500, limit: 2 });
  assertEquals(found.map(({ split, refused }) => split + refused), [0, 0]);
});

netTest("threads that die in the middle of operations leave nothing behind", async () => {
  const job = { name: "peers", operations: 15_000, keys: 40, limit: 3 } as const;
  const found = await contest(3, { ...job, pauses: true, deathEvery: 200 });
  for (const { deaths } of found) assert(deaths > 100, `${deaths} deaths`);
});
