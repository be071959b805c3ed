/** There is one number of slots for all workers, and none is lost with a worker. @module */

import { assert, assertEquals } from "@std/assert";
import { SharedSlots } from "../../lib/fleet/shared_slots.ts";
import type { Job } from "../support/contender.ts";
import { contend } from "../support/contention.ts";
import { netTest } from "../support/needs.ts";
import { turns } from "../support/wait.ts";

/** Views of two workers and of the main thread. */
function fleet(limit: number): [SharedSlots, SharedSlots, SharedSlots] {
  const memory = SharedSlots.allocate(3);
  const [a, b, main] = [0, 1, 2].map((row) => new SharedSlots(memory, row));
  main!.limit = limit;
  main!.begin(0);
  main!.begin(1);
  return [a!, b!, main!];
}

/** Whether the watch has ended, as a property. */
function watched(slots: SharedSlots): { over: boolean } {
  const seen = { over: false };
  slots.watch(() => seen.over = true);
  return seen;
}

Deno.test("take() takes no more than there are for all workers", () => {
  const [a, b] = fleet(3);
  assertEquals([a.take(), b.take(), a.take()], [true, true, true]);
  assertEquals([a.free, a.take(), b.free, b.take()], [false, false, false, false]);
  b.giveBack();
  assert(a.free);
  assert(a.take());
});

Deno.test("limit is one for all, and Infinity is none", () => {
  const [a, b, main] = fleet(Infinity);
  assertEquals(b.limit, Infinity);
  for (let i = 0; i < 100; i++) assert(a.take());
  b.limit = 5;
  assertEquals([a.limit, main.limit, a.take()], [5, 5, false]);
  assertEquals(main.taken, 100);
});

Deno.test("offer() sets the limit, but leaves what was set since for a program that asks for the same", () => {
  const [a, b, main] = fleet(1);
  a.offer(10);
  assertEquals(main.limit, 10);
  main.limit = 20;
  b.offer(10);
  assertEquals(main.limit, 20);
  b.offer(30);
  assertEquals(main.limit, 30);
});

Deno.test("watch() wakes when another worker gives back, and only then", async () => {
  const [a, b] = fleet(1);
  a.take();
  const seen = watched(b);
  await turns();
  assertEquals(seen.over, false);
  a.giveBack();
  await turns();
  assertEquals(seen.over, true);
});

Deno.test("watch() wakes soon when a slot is free already", async () => {
  const [a] = fleet(1);
  const seen = watched(a);
  assertEquals(seen.over, false);
  await turns();
  assertEquals(seen.over, true);
});

Deno.test("watch() wakes when the limit is raised elsewhere", async () => {
  const [a, b, main] = fleet(1);
  a.take();
  const seen = watched(b);
  main.limit = 2;
  await turns();
  assertEquals(seen.over, true);
});

Deno.test("giveBack() wakes one worker, first the one that has a connection in line", async () => {
  const [a, b, main] = fleet(1);
  main.begin(2); // the third view is a worker here
  main.take();
  const toAccept = watched(a);
  assertEquals(b.take(), false);
  const inLine = { over: false };
  b.watch(() => inLine.over = b.take());
  main.giveBack();
  await turns();
  assertEquals([toAccept.over, inLine.over], [false, true]);
  b.giveBack();
  await turns();
  assertEquals(toAccept.over, true);
});

Deno.test("a slot that a connection waits for elsewhere is not free to accept with", async () => {
  const [a, b, main] = fleet(1);
  a.take();
  assertEquals(b.take(), false);
  b.watch(() => b.take());
  a.giveBack();
  // Free, and b is not awake yet: its connection was there before any that could be accepted now.
  assertEquals([main.taken, a.free, b.free], [0, false, true]);
  await turns();
  assertEquals(main.taken, 1);
  b.giveBack();
  assertEquals(a.free, true);
});

Deno.test("a connection that has left the line keeps no slot from others", async () => {
  const [a, b] = fleet(1);
  a.take();
  assertEquals(b.take(), false);
  b.watch(() => {});
  a.giveBack();
  await turns();
  assertEquals(a.free, true);
});

Deno.test("a slot that the woken worker leaves wakes the next one", async () => {
  const [a, b, main] = fleet(1);
  main.begin(2);
  main.take();
  const [first, second] = [watched(a), watched(b)];
  main.giveBack();
  await turns();
  assertEquals([first.over, second.over], [true, true]);
});

Deno.test("bury() gives back what a dead worker held, once, and wakes who waits", async () => {
  const [a, b, main] = fleet(3);
  a.take();
  a.take();
  b.take();
  const seen = watched(b);
  main.bury(0);
  assertEquals(main.taken, 1);
  main.bury(0);
  assertEquals(main.taken, 1);
  await turns();
  assertEquals(seen.over, true);
});

Deno.test("a worker that was buried and goes on gives nothing back and takes nothing", () => {
  const [a, b, main] = fleet(3);
  a.take();
  b.take();
  main.bury(0);
  a.giveBack();
  assertEquals(a.take(), false);
  assertEquals(main.taken, 1);
});

Deno.test("passOver() keeps what a worker that hangs holds, and no slot for it", async () => {
  const [a, b, main] = fleet(2);
  a.take();
  b.take();
  assertEquals(a.take(), false);
  const inLine = watched(a);
  b.giveBack();
  assertEquals(b.free, false, "kept for the connection in line");
  main.passOver(0);
  assertEquals([b.free, main.taken], [true, 1]);
  await turns();
  assertEquals(inLine.over, true, "and if it goes on, it looks again");
});

Deno.test("saturatedFor grows at each look while every slot is taken", () => {
  const [a, , main] = fleet(1);
  main.tend();
  assertEquals(main.saturatedFor, 0);
  a.take();
  main.tend();
  const first = main.saturatedFor;
  assert(first > 0);
  a.giveBack();
  main.tend();
  assertEquals(main.saturatedFor, first);
});

/** Runs a job, and asserts what holds at the end of all. */
async function contest(threads: number, limit: number, job: Partial<Job>) {
  const memory = SharedSlots.allocate(threads + 1);
  const main = new SharedSlots(memory, threads);
  main.limit = limit;
  const tally = new SharedArrayBuffer(4);
  const base = {
    name: "slots",
    operations: 20_000,
    keys: 1,
    limit,
    memory,
    tally,
    seed: 1,
  } as const;
  const found = await contend(threads, { ...base, ...job }, main);
  assertEquals(main.taken, 0);
  assertEquals(found.map(({ over }) => over), found.map(() => 0), "over the limit");
  return found;
}

netTest("threads never hold more slots than there are, and miss no give-back", async () => {
  for (const [threads, limit] of [[2, 1], [2, 3], [4, 3]] as const) {
    const found = await contest(threads, limit, {});
    assertEquals(
      found.map(({ late }) => late),
      found.map(() => 0),
      "waits that no give-back ended",
    );
    assertEquals(Math.max(...found.map(({ most }) => most)), limit);
  }
});

netTest("threads that pause in the middle of operations miss no give-back", async () => {
  const found = await contest(3, 2, { operations: 10_000, pauses: true });
  assertEquals(found.map(({ late }) => late), [0, 0, 0], "waits that no give-back ended");
});

netTest("threads that die in the middle of operations leave every slot free", async () => {
  const found = await contest(3, 3, { operations: 10_000, pauses: true, deathEvery: 200 });
  for (const { deaths } of found) assert(deaths > 100, `${deaths} deaths`);
});
