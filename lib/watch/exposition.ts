/** How are numbers written for Prometheus? @module */

import type { Attributes, Measured } from "./metrics.ts";

// Written here, in the text format 0.0.4, because a client library would have to be told of each
// connection as it comes and goes: its counters count for themselves, where these exist already.
// Loading prom-client takes 120 ms, too, and writing with it is asynchronous.

/** What the unit is called at the end of a name; a remark in braces is not called anything. */
const UNITS: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/** A metric as it is written: its samples come from one server or from several. */
export class Family {
  readonly #name: string;
  readonly #lines: string[];

  constructor(name: string, type: "counter" | "gauge" | "histogram", unit: string, help: string) {
    const total = type === "counter" ? "_total" : "";
    this.#name = `${name.replaceAll(".", "_")}${UNITS[unit] ?? ""}${total}`;
    this.#lines = [`# HELP ${this.#name} ${help}`, `# TYPE ${this.#name} ${type}`];
  }

  add(measured: readonly Measured[], about: Attributes): void {
    for (const [value, attributes] of measured) this.#line("", { ...about, ...attributes }, value);
  }

  /** @param counts How many were in each class alone; they are written as sums from below. */
  addHistogram(
    bounds: readonly number[],
    counts: readonly number[],
    sum: number,
    about: Attributes,
  ): void {
    let below = 0;
    for (const [i, count] of counts.entries()) {
      below += count;
      this.#line("_bucket", { ...about, le: written(bounds[i] ?? Infinity) }, below);
    }
    this.#line("_sum", about, sum);
    this.#line("_count", about, below);
  }

  /** The lines; nothing if there is no sample. */
  toString(): string {
    return this.#lines.length === 2 ? "" : `${this.#lines.join("\n")}\n`;
  }

  #line(suffix: string, attributes: Attributes, value: number): void {
    const labels = Object.entries(attributes).map(([name, value]) =>
      // The last word alone: the rest of an attribute's name says what the metric's says.
      `${name.replace(/^.*\./, "")}="${escaped(value)}"`
    );
    const list = labels.length === 0 ? "" : `{${labels.join(",")}}`;
    this.#lines.push(`${this.#name}${suffix}${list} ${written(value)}`);
  }
}

function written(value: number): string {
  return value === Infinity ? "+Inf" : String(value);
}

function escaped(label: string | number): string {
  return String(label).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
