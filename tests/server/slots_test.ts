/** Every connection has one slot, and none has two. @module */

import { assert, assertEquals } from "@std/assert";
import type { Semaphore } from "../../lib/server/limits.ts";
import { privateLimits } from "../../lib/server/private_limits.ts";
import { Slots } from "../../lib/server/slots.ts";
import { turn, until } from "../support/wait.ts";

function slotsOf(maxConnections: number): Slots {
  return new Slots(privateLimits({ maxConnections }).slots);
}

/** Takes as many slots as there are; returns how many. */
function takeAll(slots: Slots): number {
  let count = 0;
  while (slots.take()) count++;
  return count;
}

/** Waits in line under a name, and records it when the wait is over. */
function queueUp(slots: Slots, name: string, log: string[]): Promise<boolean> {
  const turn = slots.wait();
  turn.then((taken) => log.push(taken ? name : `${name} was dismissed`));
  return turn;
}

Deno.test("take() takes as many slots as there are, and none after that", () => {
  const slots = slotsOf(3);
  assertEquals(takeAll(slots), 3);
  assertEquals([slots.free, slots.saturated], [false, true]);
});

Deno.test("take() takes a slot that was given back", () => {
  const slots = slotsOf(1);
  takeAll(slots);
  slots.giveBack();
  assertEquals([slots.free, slots.saturated], [true, false]);
  assertEquals(takeAll(slots), 1);
});

Deno.test("take() never runs out where the limit is Infinity", () => {
  const slots = slotsOf(Infinity);
  for (let i = 0; i < 1000; i++) assert(slots.take());
  assertEquals([slots.free, slots.saturated], [true, false]);
});

Deno.test("wait() takes a slot at once when one is free", async () => {
  const slots = slotsOf(1);
  assertEquals(await slots.wait(), true);
  assertEquals(slots.saturated, true);
});

Deno.test("wait() takes the slots that come free in the order of the line", async () => {
  const slots = slotsOf(2);
  takeAll(slots);
  const log: string[] = [];
  const line = ["first", "second", "third"].map((name) => queueUp(slots, name, log));
  await turn();
  assertEquals(log, []);
  slots.giveBack();
  slots.giveBack();
  await turn();
  assertEquals(log, ["first", "second"]);
  assert(await line[0]);
  slots.giveBack();
  await line[2];
  assertEquals(log, ["first", "second", "third"]);
});

Deno.test("take() takes nothing past the line", () => {
  const slots = slotsOf(1);
  takeAll(slots);
  slots.wait();
  slots.pause();
  slots.giveBack();
  // A slot is free, and the line must wait for the end of the pause.
  assertEquals([slots.saturated, slots.free, slots.take()], [false, false, false]);
});

Deno.test("a raised limit gives the line as many slots as are new", async () => {
  const slots = slotsOf(1);
  takeAll(slots);
  const log: string[] = [];
  for (const name of ["first", "second", "third"]) queueUp(slots, name, log);
  slots.limit = 3;
  await turn();
  assertEquals([slots.limit, log], [3, ["first", "second"]]);
});

Deno.test("a lowered limit takes no slot away and gives none until enough have come back", async () => {
  const slots = slotsOf(3);
  takeAll(slots);
  slots.limit = 1;
  const log: string[] = [];
  queueUp(slots, "first", log);
  for (let i = 0; i < 2; i++) slots.giveBack();
  await turn();
  assertEquals([slots.saturated, log], [true, []]);
  slots.giveBack();
  await turn();
  assertEquals(log, ["first"]);
});

Deno.test("pause() gives no slot, and resume() gives them to the line first", async () => {
  const slots = slotsOf(2);
  slots.pause();
  assertEquals([slots.paused, slots.free, slots.take()], [true, false, false]);
  const log: string[] = [];
  for (const name of ["first", "second", "third"]) queueUp(slots, name, log);
  await turn();
  assertEquals(log, []);
  slots.resume();
  assertEquals([slots.paused, slots.saturated], [false, true]);
  await turn();
  assertEquals(log, ["first", "second"]);
});

Deno.test("dismiss() ends the waiting of the whole line, and of nothing that comes later", async () => {
  const slots = slotsOf(1);
  takeAll(slots);
  const log: string[] = [];
  queueUp(slots, "first", log);
  queueUp(slots, "second", log);
  slots.dismiss();
  await turn();
  assertEquals(log, ["first was dismissed", "second was dismissed"]);
  queueUp(slots, "third", log);
  slots.giveBack();
  await turn();
  assertEquals(log.slice(2), ["third"]);
});

for (
  const [what, change] of [
    ["a slot is given back", (slots: Slots) => slots.giveBack()],
    ["the limit changes", (slots: Slots) => void (slots.limit = 5)],
    ["it is paused", (slots: Slots) => slots.pause()],
    ["it is resumed", (slots: Slots) => slots.resume()],
    ["the line is dismissed", (slots: Slots) => slots.dismiss()],
  ] as const
) {
  Deno.test(`changed() resolves when ${what}, for every caller`, async () => {
    const slots = slotsOf(1);
    takeAll(slots);
    const both = Promise.all([slots.changed(), slots.changed()]);
    change(slots);
    await both;
  });
}

Deno.test("changed() waits for the next change, not for one that is over", async () => {
  const slots = slotsOf(1);
  slots.pause();
  let changed = false;
  const next = slots.changed().then(() => changed = true);
  await turn();
  assertEquals(changed, false);
  slots.resume();
  await next;
});

Deno.test("saturatedFor grows while every slot is taken, and only then", async () => {
  const slots = slotsOf(1);
  assertEquals(slots.saturatedFor, 0);
  takeAll(slots);
  await until(() => slots.saturatedFor > 0);
  slots.giveBack();
  const first = slots.saturatedFor;
  await turn();
  assertEquals(slots.saturatedFor, first);
  takeAll(slots);
  await until(() => slots.saturatedFor > first);
});

Deno.test("saturatedFor counts the time for which a lowered limit leaves no slot", async () => {
  const slots = slotsOf(2);
  slots.take();
  slots.limit = 1;
  await until(() => slots.saturatedFor > 0);
  slots.limit = 2;
  const { saturatedFor } = slots;
  await turn();
  assertEquals(slots.saturatedFor, saturatedFor);
});

/** A semaphore that another thread takes from and gives back to, too. */
class SharedSemaphore implements Semaphore {
  limit = Infinity;
  left = 0;
  /** Wakes what watches it, if something does. */
  #wake: (() => void) | undefined;

  get free(): boolean {
    return this.left > 0;
  }

  get watched(): boolean {
    return this.#wake !== undefined;
  }

  take(): boolean {
    if (!this.free) return false;
    this.left--;
    return true;
  }

  giveBack(): void {
    this.left++;
  }

  watch(wake: () => void): void {
    this.#wake ??= wake;
  }

  /** What the other thread does. */
  change(left: number): void {
    this.left = left;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

Deno.test("wait() takes what another thread gives back, and goes on watching for the rest of the line", async () => {
  const semaphore = new SharedSemaphore();
  const slots = new Slots(semaphore);
  assertEquals(semaphore.watched, false);
  const log: string[] = [];
  queueUp(slots, "first", log);
  queueUp(slots, "second", log);
  semaphore.change(0); // a third thread was faster
  await turn();
  assertEquals([log, semaphore.watched], [[], true]);
  semaphore.change(1);
  await turn();
  assertEquals([log, semaphore.watched], [["first"], true]);
  semaphore.change(2);
  await turn();
  assertEquals([log, semaphore.left, semaphore.watched], [["first", "second"], 1, false]);
});

Deno.test("changed() resolves when another thread gives a slot back", async () => {
  const semaphore = new SharedSemaphore();
  const slots = new Slots(semaphore);
  const change = slots.changed();
  semaphore.change(1);
  await change;
  assertEquals(slots.free, true);
});

Deno.test("nothing is watched during a pause, and the line is when that is over", async () => {
  const semaphore = new SharedSemaphore();
  const slots = new Slots(semaphore);
  slots.pause();
  const log: string[] = [];
  queueUp(slots, "first", log);
  slots.changed();
  assertEquals(semaphore.watched, false);
  slots.resume();
  semaphore.change(1);
  await turn();
  assertEquals(log, ["first"]);
});
