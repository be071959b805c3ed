import { assertEquals } from "@std/assert";
import { addUpStats } from "../../lib/fleet/add_up_stats.ts";
import { Statistics } from "../../lib/server/statistics.ts";

Deno.test("addUpStats() adds every count, each detail of dismissals, and each class of durations", () => {
  const empty = new Statistics().snapshot(new Set(), 0, 0);
  const [first = 0, ...rest] = empty.durations.counts;
  const one = {
    ...empty,
    accepted: 3,
    active: 1,
    dismissed: { kicked: 1, banned: 1 },
    saturatedFor: 5,
    buffered: 4,
    durations: { ...empty.durations, sum: 7, counts: [first + 2, ...rest] },
  };
  const two = { ...one, dismissed: { kicked: 2 }, saturatedFor: 9 };
  const sum = addUpStats([empty, one, two]);
  const { accepted, active, dismissed, saturatedFor, buffered, durations } = sum;
  assertEquals([accepted, active, dismissed], [6, 2, { kicked: 3, banned: 1 }]);
  assertEquals(buffered, 8);
  // Time is not added: it passes for all workers at once.
  assertEquals([saturatedFor, durations.sum, durations.counts[0]], [9, 14, 4]);
});
