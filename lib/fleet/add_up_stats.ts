/** Adds up what the workers of a fleet have counted. @module */

import type { ServerStats } from "../server/statistics.ts";

/** The sum of several. */
export function addUpStats(all: readonly ServerStats[]): ServerStats {
  return all.reduce(add);
}

function add(one: ServerStats, other: ServerStats): ServerStats {
  return {
    accepted: one.accepted + other.accepted,
    active: one.active + other.active,
    handshaking: one.handshaking + other.handshaking,
    refused: addEach(one.refused, other.refused),
    ended: addEach(one.ended, other.ended),
    dismissed: addEach(one.dismissed, other.dismissed),
    acceptFailures: addEach(one.acceptFailures, other.acceptFailures),
    bytesRead: one.bytesRead + other.bytesRead,
    bytesWritten: one.bytesWritten + other.bytesWritten,
    saturatedFor: Math.max(one.saturatedFor, other.saturatedFor),
    buffered: one.buffered + other.buffered,
    durations: {
      sum: one.durations.sum + other.durations.sum,
      bounds: one.durations.bounds,
      counts: one.durations.counts.map((count, i) => count + other.durations.counts[i]!),
    },
  };
}

function addEach<T extends Readonly<Record<string, number>>>(one: T, other: T): T {
  const sum: Record<string, number> = { ...one };
  for (const [key, count] of Object.entries(other)) sum[key] = (sum[key] ?? 0) + count;
  return sum as T;
}
