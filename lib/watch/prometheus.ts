/** What does Prometheus read? @module */

import { isObject } from "../check.ts";
import type { Server } from "../server/server.ts";
import { checkServer, isServer } from "./observed.ts";
import { Family } from "./exposition.ts";
import { type Attributes, DURATION, METRICS } from "./metrics.ts";
import { steadyStats } from "./steady_stats.ts";

/**
 * Writes what servers have counted in the text format of Prometheus, version 0.0.4: connections
 * accepted, active, handshaking, refused by cause and ended by reason, how long they lasted, bytes,
 * failures and standstills of accepting, and the server's state. No label is ever an address.
 *
 * Answer scrapes with it, and with the content type `text/plain; version=0.0.4`.
 *
 * @param servers A server; or several by name, which is then the label `server`.
 * @returns The text, with a line end at its end.
 * @throws {TypeError} If something is no server.
 *
 * @example One server
 * ```ts
 * import { serve } from "@usher/server";
 * import { metricsText } from "@usher/server/watch";
 * import { assertStringIncludes } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * assertStringIncludes(metricsText(server), "\nusher_connections_active 0\n");
 * ```
 *
 * @example Two, told apart
 * ```ts
 * import { serve } from "@usher/server";
 * import { metricsText } from "@usher/server/watch";
 * import { assertStringIncludes } from "@std/assert";
 *
 * await using imap = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using smtp = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * const text = metricsText({ imap, smtp });
 * assertStringIncludes(text, '\nusher_connections_active{server="smtp"} 0\n');
 * ```
 */
export function metricsText(servers: Server | Readonly<Record<string, Server>>): string {
  const verb = "write metrics of";
  if (!isObject(servers)) checkServer(verb, servers);
  const entries: [Server, Attributes][] = isServer(servers)
    ? [[servers, {}]]
    : Object.entries(servers).map(([name, server]) => [server, { server: name }]);
  const read = entries.map(([server, about]) => {
    checkServer(verb, server);
    return { server, about, stats: steadyStats(server) };
  });
  const families = METRICS.map(({ name, kind, unit, help, read: measure }) => {
    const family = new Family(name, kind, unit, help);
    for (const { server, about, stats } of read) family.add(measure(stats, server), about);
    return family;
  });
  const durations = new Family(DURATION.name, "histogram", DURATION.unit, DURATION.help);
  for (const { stats: { durations: { bounds, counts, sum } }, about } of read) {
    durations.addHistogram(bounds.map((ms) => ms / 1000), counts, sum / 1000, about);
  }
  return [...families, durations].join("");
}
