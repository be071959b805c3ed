/** The figures of one measurement. @module */

import type { Count } from "./counting.ts";
import type { LoadReport } from "./load_process.ts";
import type { Snapshot } from "./measure.ts";

export type FigureName =
  | "rate"
  | "cpu"
  | "p50"
  | "p99"
  | "p999"
  | "least"
  | "most"
  | "even"
  | "idle"
  | "idle_after_burst"
  | "ms"
  | "chunks"
  | "copied"
  | "allocated"
  | "pinned"
  | "kept";

export interface Figure {
  readonly name: FigureName;
  /** The column's head, with the unit. */
  readonly title: string;
  /** `undefined`: unknown on this machine. */
  of(measurement: Measurement): number | undefined;
}

/** Whether more of a figure is better. */
export function isBetterHigh(name: FigureName): boolean {
  return name === "rate" || name === "least" || name === "even";
}

/** The raw results of one run of the load against one server. */
export interface Measurement {
  readonly report: LoadReport;
  /** The server's processor time while the load was measured, in µs; `undefined` where unknown. */
  readonly cpu: number | undefined;
  /** The server at rest, in the phases of the load. */
  readonly snapshots: ReadonlyMap<string, Snapshot>;
  readonly connections: number;
  /** The server's own counts, in the phases of the load; only if requested. */
  readonly counts?: ReadonlyMap<string, Count>;
}

/** For exchanges of messages; `unit` is the head's word for one of them. */
export function exchanges(unit = "req"): Figure[] {
  return [
    { name: "rate", title: `${unit}/s`, of: ({ report }) => report.requests / report.seconds },
    { name: "cpu", title: `CPU µs/${unit}`, of: (m) => perUnit(m.cpu, m.report.requests) },
    { name: "p50", title: "p50 µs", of: ({ report }) => report.p50 },
    { name: "p99", title: "p99 µs", of: ({ report }) => report.p99 },
    { name: "p999", title: "p99.9 µs", of: ({ report }) => report.p999 },
  ];
}

/** How evenly busy connections are served. */
export function fairness(): Figure[] {
  return [
    { name: "least", title: "least/conn", of: ({ report }) => report.least },
    { name: "most", title: "most/conn", of: ({ report }) => report.most },
    { name: "even", title: "least/most", of: ({ report }) => evenness(report) },
  ];
}

/** For messages of `bytes`, so large that only throughput counts. */
export function streams(bytes: number): Figure[] {
  const megabytes = ({ report }: Measurement) => report.requests * bytes / 1e6;
  return [
    { name: "rate", title: "MB/s", of: (m) => megabytes(m) / m.report.seconds },
    { name: "cpu", title: "CPU µs/MB", of: (m) => perUnit(m.cpu, megabytes(m)) },
  ];
}

/** For single events. */
export function once(title: string): Figure[] {
  return [{ name: "ms", title: `ms ${title}`, of: ({ report }) => report.seconds * 1000 }];
}

/** The server's work per message, and its memory per idle connection. */
export function counted(): Figure[] {
  return [
    { name: "chunks", title: "chunks/msg", of: (m) => perMessage(m, "chunks") },
    { name: "copied", title: "copied B/msg", of: (m) => perMessage(m, "copied") },
    { name: "allocated", title: "alloc. B/msg", of: (m) => perMessage(m, "allocated") },
    { name: "pinned", title: "KB/conn pinned", of: pinned },
  ];
}

/** The memory of each item that a handler keeps. */
export function keeping(): Figure[] {
  return [{
    name: "kept",
    title: "B/item kept",
    of: (m) => perUnit(held(m, "end", "start"), m.report.requests),
  }];
}

/** For silent connections. */
export function idling(): Figure[] {
  return [
    { name: "idle", title: "KB/conn idle", of: (m) => memory(m, "small") },
    { name: "idle_after_burst", title: "KB/conn after burst", of: (m) => memory(m, "burst") },
  ];
}

/** 1 when every connection was served alike. */
function evenness({ least, most }: LoadReport): number | undefined {
  return least === undefined || most === undefined ? undefined : perUnit(least, most);
}

function perMessage(
  { counts, report }: Measurement,
  name: "chunks" | "copied" | "allocated",
): number | undefined {
  return perUnit(
    difference(counts?.get("done")?.[name], counts?.get("warm")?.[name]),
    report.requests,
  );
}

/**
 * Memory of buffers only, after a collection, seconds after the last byte: resident memory would show
 * what is not collected yet.
 */
function pinned({ counts, connections }: Measurement): number | undefined {
  const grown = difference(counts?.get("idle")?.external, counts?.get("start")?.external);
  return perUnit(grown, connections * 1000);
}

/** The growth of JavaScript objects and the memory behind them. */
function held({ counts }: Measurement, to: string, from: string): number | undefined {
  const of = (count: Count | undefined) => count && count.heap + count.external;
  return difference(of(counts?.get(to)), of(counts?.get(from)));
}

/** In KB (1000 bytes) for each connection. */
function memory({ snapshots, connections }: Measurement, phase: string): number | undefined {
  const grown = difference(snapshots.get(phase)?.memory, snapshots.get("warm")?.memory);
  return perUnit(grown, connections * 1000);
}

function difference(after: number | undefined, before: number | undefined): number | undefined {
  return after === undefined || before === undefined ? undefined : after - before;
}

function perUnit(value: number | undefined, units: number): number | undefined {
  return value === undefined || units === 0 ? undefined : value / units;
}
