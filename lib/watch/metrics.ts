/** Lists the metrics of a server, for Prometheus and OpenTelemetry alike. @module */

import type { ServerStats } from "../server/statistics.ts";
import type { Observed, ObservedWorker } from "./observed.ts";

/** The attributes of a value. None of them is ever the address of a client. */
export type Attributes = Readonly<Record<string, string | number>>;

/** One value; several of one metric differ in their attributes. */
export type Measured = readonly [value: number, attributes?: Attributes];

/**
 * A metric by its name in OpenTelemetry. The name for Prometheus follows from it and the unit, by the
 * rules on which both projects agree.
 */
export interface Metric {
  readonly name: string;
  /** A counter only grows. */
  readonly kind: "counter" | "gauge";
  /** In UCUM, where a text in braces is only a remark. */
  readonly unit: string;
  readonly help: string;
  read(stats: ServerStats, server: Observed): readonly Measured[];
}

/** The only histogram: seconds from accept to the end. */
export const DURATION = {
  name: "usher.connection.duration",
  unit: "s",
  help: "Duration of the connections that have ended",
} as const;

/** Everything else. */
export const METRICS: readonly Metric[] = [
  {
    name: "usher.connections.accepted",
    kind: "counter",
    unit: "{connection}",
    help: "Connections taken from the listeners",
    read: ({ accepted }) => [[accepted]],
  },
  {
    name: "usher.connections.active",
    kind: "gauge",
    unit: "{connection}",
    help: "Connections that have not ended",
    read: ({ active }) => [[active]],
  },
  {
    name: "usher.connections.handshaking",
    kind: "gauge",
    unit: "{connection}",
    help: "Active connections in their PROXY header or TLS handshake",
    read: ({ handshaking }) => [[handshaking]],
  },
  {
    name: "usher.connections.limit",
    kind: "gauge",
    unit: "{connection}",
    help: "Connections that may be active at once; absent without a limit",
    read: (_, { maxConnections }) => maxConnections === Infinity ? [] : [[maxConnections]],
  },
  {
    name: "usher.connections.refused",
    kind: "counter",
    unit: "{connection}",
    help: "Connections refused, by cause",
    read: ({ refused }) => byWord("usher.refusal.cause", refused),
  },
  {
    name: "usher.connections.ended",
    kind: "counter",
    unit: "{connection}",
    help: "Connections that have ended, by reason, the refused ones included",
    read: ({ ended }) => byWord("usher.end.reason", ended),
  },
  {
    name: "usher.connections.dismissed",
    kind: "counter",
    unit: "{connection}",
    help: "Connections that the program dismissed, by the detail that it gave",
    // The program's own words, of which stats() keeps 32 apart.
    read: ({ dismissed }) =>
      Object.entries(dismissed).map(([detail, count]) => [count, { "usher.end.detail": detail }]),
  },
  {
    name: "usher.network.io",
    kind: "counter",
    unit: "By",
    help: "Bytes received from and handed to the network",
    read: ({ bytesRead, bytesWritten }) =>
      byWord("network.io.direction", { receive: bytesRead, transmit: bytesWritten }),
  },
  {
    name: "usher.memory.buffered",
    kind: "gauge",
    unit: "By",
    help: "Memory that buffers occupy beyond those of idle connections",
    read: ({ buffered }) => [[buffered]],
  },
  {
    name: "usher.accept.failures",
    kind: "counter",
    unit: "{failure}",
    help:
      "Failures of accepting: the client was gone (aborted), or resources were short (resources)",
    read: ({ acceptFailures }) => byWord("usher.accept.failure.kind", acceptFailures),
  },
  {
    name: "usher.accept.saturated_time",
    kind: "counter",
    unit: "s",
    help: "Time for which every slot was taken",
    read: ({ saturatedFor }) => [[saturatedFor / 1000]],
  },
  {
    name: "usher.server.accepting",
    kind: "gauge",
    unit: "{server}",
    help: "Whether a client that connects now is accepted at once: 1 or 0",
    read: (_, { accepting }) => [[Number(accepting)]],
  },
  {
    name: "usher.server.waiting",
    kind: "gauge",
    unit: "{server}",
    help: "What accepting waits for: 1 for that cause, 0 for the others",
    read: (_, { waitingFor }) =>
      oneOf("usher.server.waiting.cause", ["slot", "rate", "resources", "resume"], waitingFor),
  },
  {
    name: "usher.server.state",
    kind: "gauge",
    unit: "{server}",
    help: "Whether the server runs, drains or has stopped: 1 for that state, 0 for the others",
    read: (_, { state }) => oneOf("usher.server.state", ["running", "draining", "stopped"], state),
  },
  {
    name: "usher.worker.connections",
    kind: "gauge",
    unit: "{connection}",
    help: "Connections of each worker of a fleet that have not ended",
    read: (_, server) => byWorker(server, ({ connections }) => connections),
  },
  {
    name: "usher.worker.restarts",
    kind: "counter",
    unit: "{restart}",
    help: "How often each worker of a fleet was started again after a failure",
    read: (_, server) => byWorker(server, ({ restarts }) => restarts),
  },
  {
    name: "usher.worker.serving",
    kind: "gauge",
    unit: "{worker}",
    help: "Whether each worker of a fleet serves: 1 or 0",
    read: (_, server) => byWorker(server, ({ state }) => Number(state === "serving")),
  },
];

/** A figure of each worker of a fleet, by the worker's number; none of a server that is no fleet. */
function byWorker(
  { workers = [] }: Observed,
  read: (worker: ObservedWorker) => number,
): Measured[] {
  return workers.map((worker, i) => [read(worker), { "usher.worker": i }]);
}

/** Counts by a word, which is written in snake case as attribute values are. */
function byWord(attribute: string, counts: Readonly<Record<string, number>>): Measured[] {
  return Object.entries(counts).map(([word, count]) => [
    count,
    { [attribute]: word.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) },
  ]);
}

function oneOf(attribute: string, words: readonly string[], present: string | null): Measured[] {
  return words.map((word) => [Number(word === present), { [attribute]: word }]);
}
