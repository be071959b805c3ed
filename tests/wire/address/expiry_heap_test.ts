/** The first of the heap is what expires first, whatever was added, moved and removed. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Expiring, ExpiryHeap } from "../../../lib/wire/address/expiry_heap.ts";

/** All entries in the order in which they are first. */
function drained(heap: ExpiryHeap<Expiring>): number[] {
  const order: number[] = [];
  for (let first; (first = heap.first) !== undefined;) {
    order.push(first.expiresAt);
    heap.delete(first);
  }
  return order;
}

Deno.test("first is what expires first, and is undefined in an empty heap", () => {
  const heap = new ExpiryHeap<Expiring>();
  for (const expiresAt of [30, 10, 20]) heap.add({ expiresAt, place: 0 });
  assertEquals([heap.size, heap.first?.expiresAt], [3, 10]);
  assertEquals(drained(heap), [10, 20, 30]);
  assertEquals([heap.size, heap.first], [0, undefined]);
});

Deno.test("add(), move() and delete() keep the order in whatever order they come", () => {
  const step = fc.record({
    what: fc.constantFrom("add", "add", "move", "delete"),
    which: fc.nat(100),
    when: fc.nat(50),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const heap = new ExpiryHeap<Expiring>();
    const all: Expiring[] = [];
    for (const { what, which, when } of steps) {
      const entry = all[which % Math.max(1, all.length)];
      if (what === "add" || entry === undefined) {
        all.push({ expiresAt: when, place: 0 });
        heap.add(all.at(-1)!);
      } else if (what === "move") heap.move(entry, when);
      else {
        heap.delete(entry);
        all.splice(all.indexOf(entry), 1);
      }
      assertEquals(heap.size, all.length);
      const soonest = Math.min(...all.map(({ expiresAt }) => expiresAt));
      assertEquals(heap.first?.expiresAt ?? Infinity, soonest);
    }
    const sorted = all.map(({ expiresAt }) => expiresAt).toSorted((a, b) => a - b);
    assertEquals(drained(heap), sorted);
  }));
});
