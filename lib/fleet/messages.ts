/** Lists the messages between a fleet's main thread and its workers. @module */

import type { ShutdownReport } from "../server/drain.ts";
import type { SignalStop } from "../server/fleet_seat.ts";
import type { ServerStats } from "../server/statistics.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import type { LimitsMemory } from "./shared_limits.ts";
import type { SentError } from "./sent_error.ts";

/** What a worker finds in its `workerData`, under `usherFleet`. */
export interface Seating {
  /** The module that takes the seat. */
  readonly worker: string;
  /** Which copy of this library the fleet is of. */
  readonly library: string;
  /** The row of this worker. */
  readonly row: number;
  /** How many workers share what is divided. */
  readonly workers: number;
  readonly memory: FleetMemory;
  /** The addresses of the fleet, once a worker has named them. */
  readonly addresses: readonly SharedAddress[] | undefined;
}

/** What the threads of a fleet have in common. */
export interface FleetMemory {
  readonly board: SharedArrayBuffer;
  readonly clock: SharedArrayBuffer;
  readonly stats: SharedArrayBuffer;
  readonly addressSets: SharedArrayBuffer;
  /** Made by the first worker, whose program says how large it is. */
  readonly limits: LimitsMemory | undefined;
}

/** An address that every worker listens on. */
export interface SharedAddress {
  readonly hostname: string;
  /** What the program asked for. */
  readonly asked: number;
  /** What it is bound to: the same, or what port 0 became. */
  readonly port: number;
  readonly tcpBacklog: number;
}

/** What a worker says of its server when it listens. */
export interface Listening {
  readonly addresses: readonly SharedAddress[];
  readonly addrs: readonly Deno.NetAddr[];
  readonly limits: LimitsMemory;
  readonly shutdownTimeout: number;
}

/** How a worker stops. Without `sweep` the kernel's queue is left to the other workers. */
export interface Stop {
  readonly lameDuck: number;
  /** The option of the program if not given. */
  readonly timeout: number | undefined;
  readonly spread: number;
  readonly sweep: boolean;
}

/** A message to a worker. */
export type ToWorker =
  | { readonly type: "pause" | "resume" }
  | ({ readonly type: "stop" } & Stop)
  /** No thread listens any more. */
  | { readonly type: "all closed" }
  | { readonly type: "ask"; readonly id: number; readonly question: Question };

/** What is answered. */
export type Question =
  | {
    readonly type: "reloadTls";
    readonly options: TlsListenOptions;
    readonly addr: Deno.Addr | undefined;
  }
  | { readonly type: "list"; readonly query: string }
  | { readonly type: "close"; readonly id: number; readonly detail: string };

/** A message from a worker. */
export type FromWorker =
  | ({ readonly type: "listening" } & Listening)
  | { readonly type: "failed" | "fatal"; readonly error: SentError }
  | { readonly type: "dismissed"; readonly dismissed: ServerStats["dismissed"] }
  | { readonly type: "signals"; readonly stop: SignalStop }
  | { readonly type: "signals disposed" }
  /** Its listeners are closed. */
  | { readonly type: "closed" }
  | { readonly type: "answer"; readonly id: number; readonly answer: unknown }
  | { readonly type: "refusal"; readonly id: number; readonly error: SentError }
  | {
    readonly type: "stopped";
    readonly report: ShutdownReport | undefined;
    readonly error: SentError | undefined;
  };
