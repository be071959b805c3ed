/** What has a server counted, in numbers that never shrink? @module */

import type { Server } from "../server/server.ts";
import type { ServerStats } from "../server/statistics.ts";

/** The most that was seen of each server. */
const seen = new WeakMap<Server, { bytesRead: number; bytesWritten: number }>();

/**
 * What `stats()` says. Bytes that turn out to be a PROXY header or the beginning of TLS are taken back
 * there, whereas a reader of counters takes one that shrinks for one that began anew.
 */
export function steadyStats(server: Server): ServerStats {
  const stats = server.stats();
  const { bytesRead = 0, bytesWritten = 0 } = seen.get(server) ?? {};
  const most = {
    bytesRead: Math.max(bytesRead, stats.bytesRead),
    bytesWritten: Math.max(bytesWritten, stats.bytesWritten),
  };
  seen.set(server, most);
  return { ...stats, ...most };
}
