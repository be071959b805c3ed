/** What waits keeps its order, and is held in few rooms and promises. @module */

import {
  assert,
  assertEquals,
  assertLess,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import { Rooms } from "../../lib/connection/rooms.ts";
import { OVERHEAD, WriteQueue } from "../../lib/connection/write_queue.ts";
import { bytes, text } from "../support/bytes.ts";
import { pattern } from "../support/pattern.ts";

/** Takes everything out, as the writer does. */
function drain(queue: WriteQueue): string[] {
  const taken: string[] = [];
  for (let turn; (turn = queue.take()) !== undefined; turn.resolve()) {
    taken.push(turn.step === undefined ? text(turn.bytes) : "step");
  }
  return taken;
}

Deno.test("WriteQueue.add() joins small writes, and neither large ones nor what a step divides", () => {
  const queue = new WriteQueue(new Rooms());
  const large = "x".repeat(3000);
  for (const p of ["a", "b"]) queue.add(bytes`${p}`);
  queue.add(bytes`${large}`);
  for (const p of ["c", "d"]) queue.add(bytes`${p}`);
  queue.addStep(() => Promise.resolve());
  queue.add(bytes`e`);
  assertEquals(drain(queue), ["ab", large, "cd", "step", "e"]);
  assert(queue.isEmpty);
  assertEquals([queue.length, queue.size], [0, 0]);
});

Deno.test("WriteQueue.add() gives writes of one length in one room the same promise", async () => {
  const queue = new WriteQueue(new Rooms());
  const [a, b, cc, d] = ["a", "b", "cc", "d"].map((p) => queue.add(bytes`${p}`));
  assertStrictEquals(a, b);
  assertStrictEquals(a, d);
  assertNotStrictEquals<unknown>(a, cc);
  drain(queue);
  assertEquals(await Promise.all([a, b, cc, d]), [1, 1, 2, 1]);
});

Deno.test("WriteQueue.add() does not put into a room what was taken out already", () => {
  const queue = new WriteQueue(new Rooms());
  queue.add(bytes`a`);
  const turn = queue.take()!;
  queue.add(bytes`b`);
  assertEquals(text(turn.bytes), "a");
  assertEquals(drain(queue), ["b"]);
});

Deno.test("a million writes of a byte take as many rooms and promises as their bytes fill", () => {
  const queue = new WriteQueue(new Rooms());
  const promises = new Set<Promise<number>>();
  const p = pattern(0, 1);
  for (let i = 0; i < 1_000_000; i++) promises.add(queue.add(p));
  assertEquals(promises.size, Math.ceil(1_000_000 / 16_384));
  assertEquals(queue.length, 1_000_000);
  assertEquals(queue.size, 1_000_000 + promises.size * OVERHEAD);
  assertLess(queue.size, 1_048_576); // which is less than 'maxUnsent' allows
  assertEquals(drain(queue).length, promises.size);
});

Deno.test("WriteQueue.reject() rejects every write and step, and nothing is left", async () => {
  const queue = new WriteQueue(new Rooms());
  const error = new Error("lost");
  const promises = [queue.add(bytes`a`), queue.add(bytes`bc`)];
  const all = [...promises, queue.addStep(() => Promise.resolve()), queue.add(bytes`d`)];
  queue.reject(error);
  for (const promise of all) assertStrictEquals(await promise.catch((thrown) => thrown), error);
  assert(queue.isEmpty);
});
