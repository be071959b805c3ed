/** Writes what servers have counted in the text format of Prometheus. @module */

import type { ServerControl } from "../server/server.ts";
import { type Attributes, DURATION, type Measured, METRICS } from "./metrics.ts";
import { serversByName } from "./observed.ts";

// Version 0.0.4 of the format is written here rather than by a client library: a library counts for
// itself, and would have to be called for each connection, while the server has counted already.
// Loading prom-client takes 120 ms, and its writing is asynchronous.

/** The end of a metric's name by its unit; a unit in braces is only a remark. */
const UNITS: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/**
 * Writes what servers have counted in the text format of Prometheus, version 0.0.4: connections
 * accepted, active, handshaking, refused by cause and ended by reason, how long they lasted, bytes,
 * failures of accepting and the time without a free slot, and the server's state. No label is ever an
 * address.
 *
 * Answer scrapes with it, and with the content type `text/plain; version=0.0.4`.
 *
 * @param servers A server or a fleet; or several by name, which is then the label `server`.
 * @returns The text, which ends with a line end.
 * @throws {TypeError} If a value is no server.
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
 * @example Two servers
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
 *
 * @category Watching
 */
export function metricsText(
  servers: ServerControl | Readonly<Record<string, ServerControl>>,
): string {
  const snapshots = [...serversByName("write metrics of", servers)].map(([name, server]) => {
    const labels: Attributes = name === "" ? {} : { server: name };
    return { server, labels, stats: server.stats() };
  });
  const families = METRICS.map(({ name, kind, unit, help, read }) => {
    const family = new Family(name, kind, unit, help);
    for (const { server, labels, stats } of snapshots) family.add(read(stats, server), labels);
    return family;
  });
  const durations = new Family(DURATION.name, "histogram", DURATION.unit, DURATION.help);
  for (const { stats: { durations: { bounds, counts, sum } }, labels } of snapshots) {
    durations.addHistogram(bounds.map((ms) => ms / 1000), counts, sum / 1000, labels);
  }
  return [...families, durations].join("");
}

/** One metric with the samples of every server: the format wants its help and type only once. */
class Family {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: "counter" | "gauge" | "histogram", unit: string, help: string) {
    const total = type === "counter" ? "_total" : "";
    this.#name = `${name.replaceAll(".", "_")}${UNITS[unit] ?? ""}${total}`;
    this.#lines = [`# HELP ${this.#name} ${help}`, `# TYPE ${this.#name} ${type}`];
  }

  add(measured: readonly Measured[], labels: Attributes): void {
    for (const [value, attributes] of measured) this.#line("", { ...labels, ...attributes }, value);
  }

  /** @param counts How many were in each bucket; they are written cumulatively. */
  addHistogram(
    bounds: readonly number[],
    counts: readonly number[],
    sum: number,
    labels: Attributes,
  ): void {
    let below = 0;
    for (const [i, count] of counts.entries()) {
      below += count;
      this.#line("_bucket", { ...labels, le: formatNumber(bounds[i] ?? Infinity) }, below);
    }
    this.#line("_sum", labels, sum);
    this.#line("_count", labels, below);
  }

  /** The lines; empty without a sample. */
  toString(): string {
    return this.#lines.length === 2 ? "" : `${this.#lines.join("\n")}\n`;
  }

  #line(suffix: string, labels: Attributes, value: number): void {
    const pairs = Object.entries(labels).map(([name, value]) =>
      // Only the last word: the others of an attribute's name repeat the metric's.
      `${name.replace(/^.*\./, "")}="${escapeLabel(value)}"`
    );
    const list = pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
    this.#lines.push(`${this.#name}${suffix}${list} ${formatNumber(value)}`);
  }
}

function formatNumber(value: number): string {
  return value === Infinity ? "+Inf" : String(value);
}

function escapeLabel(value: string | number): string {
  return String(value).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
