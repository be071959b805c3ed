/** Does everybody who comes in have one slot, and nobody two? @module */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { Admission, type Slot } from "../../lib/server/slots.ts";
import { turn, until } from "../support/wait.ts";

/** Takes as many slots as it gets. */
function takeAll(admission: Admission): Slot[] {
  const slots: Slot[] = [];
  for (let slot; (slot = admission.take()) !== null;) slots.push(slot);
  return slots;
}

/** Stands in line under a name, and writes it down when its turn has come. */
function queueUp(admission: Admission, name: string, log: string[]): Promise<Slot | null> {
  const turn = admission.wait();
  turn.then((slot) => log.push(slot === null ? `${name} was sent away` : name));
  return turn;
}

Deno.test("take() gives as many slots as there are, and null after that", () => {
  const admission = new Admission(3);
  assertEquals(takeAll(admission).length, 3);
  assertEquals([admission.open, admission.full], [false, true]);
});

Deno.test("take() gives out a slot that was given back", () => {
  const admission = new Admission(1);
  admission.take()![Symbol.dispose]();
  assertEquals([admission.open, admission.full], [true, false]);
  assertEquals(takeAll(admission).length, 1);
});

Deno.test("a slot is given back once, however often it is disposed", () => {
  const admission = new Admission(2);
  const [slot] = takeAll(admission);
  slot![Symbol.dispose]();
  slot![Symbol.dispose]();
  assertEquals(takeAll(admission).length, 1);
});

Deno.test("take() never runs out where the limit is Infinity", () => {
  const admission = new Admission(Infinity);
  for (let i = 0; i < 1000; i++) assert(admission.take() !== null);
  assertEquals([admission.open, admission.full], [true, false]);
});

Deno.test("wait() gives a slot at once when one is free", async () => {
  const admission = new Admission(1);
  assertNotEquals(await admission.wait(), null);
  assertEquals(admission.full, true);
});

Deno.test("wait() gives the slots that come free in the order of the line", async () => {
  const admission = new Admission(2);
  const slots = takeAll(admission);
  const log: string[] = [];
  const line = ["first", "second", "third"].map((name) => queueUp(admission, name, log));
  await turn();
  assertEquals(log, []);
  slots[1]![Symbol.dispose]();
  slots[0]![Symbol.dispose]();
  await turn();
  assertEquals(log, ["first", "second"]);
  (await line[0])![Symbol.dispose]();
  await line[2];
  assertEquals(log, ["first", "second", "third"]);
});

Deno.test("take() gives nothing to those who pass the line", () => {
  const admission = new Admission(1);
  const [slot] = takeAll(admission);
  admission.wait();
  admission.pause();
  slot![Symbol.dispose]();
  // A slot is free, and somebody stands in line who may not come in yet.
  assertEquals([admission.full, admission.open, admission.take()], [false, false, null]);
});

Deno.test("a raised limit lets as many in as there are new slots", async () => {
  const admission = new Admission(1);
  takeAll(admission);
  const log: string[] = [];
  for (const name of ["first", "second", "third"]) queueUp(admission, name, log);
  admission.limit = 3;
  await turn();
  assertEquals([admission.limit, log], [3, ["first", "second"]]);
});

Deno.test("a lowered limit takes nothing away and lets nobody in until enough have left", async () => {
  const admission = new Admission(3);
  const slots = takeAll(admission);
  admission.limit = 1;
  const log: string[] = [];
  queueUp(admission, "first", log);
  for (const slot of slots.slice(1)) slot[Symbol.dispose]();
  await turn();
  assertEquals([admission.full, log], [true, []]);
  slots[0]![Symbol.dispose]();
  await turn();
  assertEquals(log, ["first"]);
});

Deno.test("pause() lets nobody in, and resume() those first who stood in line", async () => {
  const admission = new Admission(2);
  admission.pause();
  assertEquals([admission.paused, admission.open, admission.take()], [true, false, null]);
  const log: string[] = [];
  for (const name of ["first", "second", "third"]) queueUp(admission, name, log);
  await turn();
  assertEquals(log, []);
  admission.resume();
  assertEquals([admission.paused, admission.full], [false, true]);
  await turn();
  assertEquals(log, ["first", "second"]);
});

Deno.test("sendAway() ends the waiting of everybody in line, and of nobody after that", async () => {
  const admission = new Admission(1);
  const [slot] = takeAll(admission);
  const log: string[] = [];
  queueUp(admission, "first", log);
  queueUp(admission, "second", log);
  admission.sendAway();
  await turn();
  assertEquals(log, ["first was sent away", "second was sent away"]);
  queueUp(admission, "third", log);
  slot![Symbol.dispose]();
  await turn();
  assertEquals(log.slice(2), ["third"]);
});

for (
  const [what, change] of [
    ["a slot is given back", (_: Admission, slot: Slot) => slot[Symbol.dispose]()],
    ["the limit changes", (admission: Admission) => void (admission.limit = 5)],
    ["it is paused", (admission: Admission) => admission.pause()],
    ["it is resumed", (admission: Admission) => admission.resume()],
    ["the line is sent away", (admission: Admission) => admission.sendAway()],
  ] as const
) {
  Deno.test(`changed() resolves when ${what}, for everybody who asked`, async () => {
    const admission = new Admission(1);
    const [slot] = takeAll(admission);
    const both = Promise.all([admission.changed(), admission.changed()]);
    change(admission, slot!);
    await both;
  });
}

Deno.test("changed() waits for the next change, not for one that is over", async () => {
  const admission = new Admission(1);
  admission.pause();
  let changed = false;
  const next = admission.changed().then(() => changed = true);
  await turn();
  assertEquals(changed, false);
  admission.resume();
  await next;
});

Deno.test("fullFor grows while every slot is taken, and only then", async () => {
  const admission = new Admission(1);
  assertEquals(admission.fullFor, 0);
  const [slot] = takeAll(admission);
  await until(() => admission.fullFor > 0);
  slot![Symbol.dispose]();
  const first = admission.fullFor;
  await turn();
  assertEquals(admission.fullFor, first);
  takeAll(admission);
  await until(() => admission.fullFor > first);
});

Deno.test("fullFor counts the time for which a lowered limit leaves no slot", async () => {
  const admission = new Admission(2);
  admission.take();
  admission.limit = 1;
  await until(() => admission.fullFor > 0);
  admission.limit = 2;
  const { fullFor } = admission;
  await turn();
  assertEquals(admission.fullFor, fullFor);
});
