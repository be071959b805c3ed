/** The verdict about memory distinguishes a leak from warm-up. @module */

import { assertEquals } from "@std/assert";
import { judgeMemory, type Sample } from "./memory.ts";

const MINUTE = 60_000;
const MIB = 2 ** 20;

/** Ten minutes with a sample for each. */
function samples(value: (minute: number) => number): Sample[] {
  return Array.from({ length: 11 }, (_, i) => ({ at: i * MINUTE, value: value(i) * MIB }));
}

function met(memory: (minute: number) => number, rss: (minute: number) => number): unknown[] {
  return judgeMemory(samples(memory), samples(rss), 10 * MINUTE).map(({ met }) => met);
}

Deno.test("judgeMemory() accepts memory that is allocated at first and kept", () => {
  assertEquals(met((minute) => minute < 2 ? 5 : 10, (minute) => minute < 2 ? 50 : 100), [
    true,
    true,
  ]);
});

Deno.test("judgeMemory() misses neither a slow leak nor one that shows only in RSS", () => {
  assertEquals(met((minute) => 10 + 0.3 * minute, () => 100), [false, true]);
  assertEquals(met(() => 10, (minute) => 80 + 10 * minute), [true, false]);
});

Deno.test("judgeMemory() lets a small process grow by 2 MiB, and a large one by a twentieth", () => {
  assertEquals(met((minute) => minute === 2 ? 10 : 11.9, () => 100)[0], true);
  assertEquals(met((minute) => minute === 2 ? 100 : 104.9, () => 100)[0], true);
  assertEquals(met((minute) => minute === 2 ? 100 : 105.1, () => 100)[0], false);
});

Deno.test("judgeMemory() gives no verdict after a short run", () => {
  const verdict = judgeMemory(samples(() => 10), samples(() => 100), 4 * MINUTE);
  assertEquals(verdict.map(({ met }) => met), [undefined, undefined]);
});
