/** What does the page hear of the server every second? @module */

import { formatAddress } from "../format_address.ts";
import type { Server } from "../server/server.ts";
import { steadyStats } from "./steady_stats.ts";

/** Everything that is not about one connection, as JSON. */
export function snapshot(server: Server, actions: boolean): string {
  const { state, accepting, waitingFor, maxConnections, addrs } = server;
  return JSON.stringify({
    at: Date.now(),
    state,
    accepting,
    waitingFor,
    addrs: addrs.map((addr) => formatAddress(addr)),
    // JSON knows no Infinity.
    limit: maxConnections === Infinity ? null : maxConnections,
    actions,
    stats: steadyStats(server),
  });
}
