/** Checks and completes the options of `fleet()`. @module */

import { getHeapStatistics } from "node:v8";
import { bad, checkKeys, checkNumber, checkSignal, checkTime } from "../check.ts";

/** The heap that V8 gives this thread; a worker without a limit of its own would end the process. */
const OWN_HEAP = getHeapStatistics().heap_size_limit;

/** Bytes of heap without which no program would start. */
const LEAST_HEAP = 16 * 2 ** 20;

/** Workers beyond which every one would wait for the others' locks more than it works. */
const MOST_WORKERS = 1024;

/** Ms below which a worker that only collects garbage would count as hung. */
const LEAST_HANG = 500;

/**
 * How a worker of a fleet ended without having been asked to.
 *
 * @example Write down how many were lost
 * ```ts
 * import type { FleetOptions, WorkerEnd } from "@usher/server/fleet";
 * import { assertEquals } from "@std/assert";
 *
 * const log: string[] = [];
 * const options: FleetOptions = {
 *   onWorkerEnd: ({ worker, exitCode, lost }: WorkerEnd) =>
 *     log.push(`worker ${worker}: exit code ${exitCode}, ${lost} lost`),
 * };
 * const end = { worker: 1, exitCode: 3, error: undefined, lost: 12 };
 * options.onWorkerEnd?.(end);
 * assertEquals(log, ["worker 1: exit code 3, 12 lost"]);
 * ```
 *
 * @category Fleet
 */
export interface WorkerEnd {
  /** Which one: its place in `fleet.workers`. */
  readonly worker: number;
  /** What it ended with: 1 after an uncaught error, or what the program gave to `Deno.exit()`. */
  readonly exitCode: number;
  /** The uncaught error, or that the heap is full; `undefined` for one that has exited. */
  readonly error: Error | undefined;
  /** Connections that ended with it; `worker_lost` in `stats()`. They have no record. */
  readonly lost: number;
}

/**
 * How many workers a fleet has, and what becomes of one that fails.
 *
 * @example Two workers with 256 MiB of heap each
 * ```ts
 * import type { FleetOptions } from "@usher/server/fleet";
 * import { assertEquals } from "@std/assert";
 *
 * const options: FleetOptions = { workers: 2, maxHeap: 256 * 2 ** 20 };
 * assertEquals(options.workers, 2);
 * ```
 *
 * @category Fleet
 */
export interface FleetOptions {
  /** How many threads run the program. As many as the machine has cores, unless given. */
  workers?: number;
  /**
   * Bytes of heap that a worker may have; one that needs more ends, and the others go on. As much as V8
   * gives the main thread, unless given. What sockets buffer does not count: `maxBuffered` bounds it.
   */
  maxHeap?: number;
  /**
   * Ms in which a worker must have called `serve()`.
   *
   * @default {60_000}
   */
  startTimeout?: number;
  /**
   * Ms after which a worker that does nothing but compute counts as hung: it is reported and another one
   * takes its place. Deno cannot stop it: its connections hang with it, and `/livez` of `watch()` fails
   * until it comes back, whereupon it is drained, or the process ends. `Infinity` for never.
   *
   * @default {10_000}
   */
  hangTimeout?: number;
  /**
   * Receives what is wrong with the fleet: a worker that has ended, has hung or does not start again. What
   * handlers throw goes to `onError` of `serve()`. By default one line on stderr.
   */
  onError?: (error: unknown) => unknown;
  /** Receives the end of each worker that was not asked to end. */
  onWorkerEnd?: (end: WorkerEnd) => unknown;
  /** Stops the fleet at once when it aborts, as `shutdown({ timeout: 0 })` does. */
  signal?: AbortSignal;
}

/** The one home of the defaults. */
export const FLEET_DEFAULTS: { readonly startTimeout: number; readonly hangTimeout: number } =
  Object
    .freeze({ startTimeout: 60_000, hangTimeout: 10_000 });

/** Options with every default filled in. */
export interface CompleteFleetOptions {
  readonly workers: number;
  readonly maxHeap: number;
  readonly startTimeout: number;
  readonly hangTimeout: number;
  readonly onError: ((error: unknown) => unknown) | undefined;
  readonly onWorkerEnd: ((end: WorkerEnd) => unknown) | undefined;
  readonly signal: AbortSignal | undefined;
}

const KEYS = [
  "workers",
  "maxHeap",
  "startTimeout",
  "hangTimeout",
  "onError",
  "onWorkerEnd",
  "signal",
];

/** Checks and completes the options of `fleet()`. */
export function completeFleetOptions(options: FleetOptions): CompleteFleetOptions {
  const verb = "start a fleet";
  checkKeys(verb, options, KEYS);
  const { workers = navigator.hardwareConcurrency, maxHeap = OWN_HEAP } = options;
  const { startTimeout = FLEET_DEFAULTS.startTimeout, hangTimeout = FLEET_DEFAULTS.hangTimeout } =
    options;
  const { onError, onWorkerEnd, signal } = options;
  for (const [name, hook] of Object.entries({ onError, onWorkerEnd })) {
    if (hook !== undefined && typeof hook !== "function") {
      throw new TypeError(bad(verb, name, hook, "a function"));
    }
  }
  if (signal !== undefined) checkSignal(verb, signal);
  checkTime(verb, "hangTimeout", hangTimeout);
  if (hangTimeout < LEAST_HANG) {
    throw new RangeError(
      bad(verb, "hangTimeout", hangTimeout, `milliseconds from ${LEAST_HANG} up, or Infinity`),
    );
  }
  return Object.freeze({
    workers: checkNumber(verb, "workers", workers, 1, MOST_WORKERS),
    maxHeap: checkNumber(verb, "maxHeap", maxHeap, LEAST_HEAP, Infinity),
    startTimeout: checkTime(verb, "startTimeout", startTimeout),
    hangTimeout,
    onError,
    onWorkerEnd,
    signal,
  });
}
