/** What workers have counted stays, whether they live or not. @module */

import { assertEquals } from "@std/assert";
import { SharedStats } from "../../lib/fleet/shared_stats.ts";
import { type ServerStats, Statistics } from "../../lib/server/statistics.ts";

/** Views of two workers and of the main thread. */
function fleet(): [SharedStats, SharedStats, SharedStats] {
  const buffer = SharedStats.allocate(2);
  return [new SharedStats(buffer), new SharedStats(buffer), new SharedStats(buffer)];
}

const empty: ServerStats = new Statistics().snapshot(new Set(), 0, 0);

/** Every number of a snapshot that no event changes, each another one. */
function ticked(by: number): ServerStats {
  return {
    ...empty,
    handshaking: by,
    acceptFailures: { aborted: 2 * by, resources: 3 * by },
    bytesRead: 4 * by,
    bytesWritten: 5 * by,
    saturatedFor: 6 * by,
    durations: {
      ...empty.durations,
      sum: 7 * by,
      counts: empty.durations.counts.map((_, i) => i * by),
    },
  };
}

const over = ({ ended }: ServerStats) => Object.values(ended).reduce((sum, n) => sum + n);

Deno.test("a fleet that has done nothing says what a server says that has done nothing", () => {
  const [a, , main] = fleet();
  assertEquals(a.read(0), empty);
  assertEquals(main.sum(), empty);
});

Deno.test("entered() and ended() are seen at once, and active is the difference", () => {
  const [a, b, main] = fleet();
  a.entered(0);
  a.entered(0);
  a.ended(0, "refused_rate");
  b.entered(1);
  assertEquals([main.active(0), main.active(1)], [1, 1]);
  const { accepted, active, ended, refused } = main.sum();
  assertEquals([accepted, active, ended.refused_rate, refused.rate], [3, 2, 1, 1]);
});

Deno.test("write() carries everything else over", () => {
  const [a, b, main] = fleet();
  a.write(0, ticked(1));
  b.write(1, ticked(10));
  assertEquals(main.read(1), ticked(10));
  const { saturatedFor, ...sum } = main.sum();
  assertEquals({ ...sum, saturatedFor: 66 }, ticked(11));
  assertEquals(saturatedFor, 60, "all wait for the same slots");
});

Deno.test("bury() counts the connections that died as worker_lost, and keeps what was counted", () => {
  const [a, b, main] = fleet();
  for (let i = 0; i < 5; i++) a.entered(0);
  a.ended(0, "completed");
  a.ended(0, "peer_reset");
  a.write(0, ticked(1));
  b.entered(1);
  assertEquals(main.bury(0), 3);
  assertEquals(main.read(0), empty);
  const sum = main.sum();
  assertEquals([sum.accepted, sum.active, over(sum)], [6, 1, 5]);
  assertEquals([sum.ended.worker_lost, sum.ended.completed], [3, 1]);
  assertEquals([sum.handshaking, sum.bytesRead], [0, 4]);
  assertEquals(main.bury(0), 0);
  assertEquals(main.sum(), sum);
});
