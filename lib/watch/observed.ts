/** Tells a server from any other value, and reads its counters so that none of them shrinks. @module */

import { isObject } from "../check.ts";
import type { Server } from "../server/server.ts";
import type { ServerStats } from "../server/statistics.ts";

/** The highest counts of bytes that were read of each server. */
const highest = new WeakMap<Server, { bytesRead: number; bytesWritten: number }>();

/** Refuses a value that no `serve()` has returned. */
export function checkServer(attempt: string, value: unknown): void {
  if (!isServer(value)) {
    throw new TypeError(`Cannot ${attempt} what is no server: use what serve() returns`);
  }
}

/** Tells a server from an object of servers by name, one of which may be called "stats". */
export function isServer(value: unknown): value is Server {
  return isObject(value) && typeof value["stats"] === "function" && isObject(value["addr"]);
}

/**
 * `stats()`, in which bytes are taken back that turn out to be a PROXY header or the beginning of TLS.
 * To a reader of counters one that shrinks is a process that has restarted.
 */
export function steadyStats(server: Server): ServerStats {
  const stats = server.stats();
  const { bytesRead = 0, bytesWritten = 0 } = highest.get(server) ?? {};
  const steady = {
    bytesRead: Math.max(bytesRead, stats.bytesRead),
    bytesWritten: Math.max(bytesWritten, stats.bytesWritten),
  };
  highest.set(server, steady);
  return { ...stats, ...steady };
}
