/** Starts the threads of a fleet and gives each its row and its address. @module */

import type { SignalStop } from "../server/fleet_seat.ts";
import { LIBRARY } from "../server/fleet_seat.ts";
import type { Reporter } from "../server/reporter.ts";
import { type ServerStats, Statistics } from "../server/statistics.ts";
import { addUpStats } from "./add_up_stats.ts";
import { Board } from "./board.ts";
import { Door } from "./door.ts";
import type { CompleteFleetOptions, WorkerEnd } from "./fleet_options.ts";
import type { Listening } from "./messages.ts";
import { Thread } from "./thread.ts";

/**
 * Rows beyond one for each worker: one for the successor during `restart()`, and some for workers that
 * have hung, which keep theirs.
 */
const SPARE_ROWS = 4;

/** What all threads of a fleet have in common. */
export class Threads {
  readonly board: Board;
  /** What the first worker has said of its server. */
  listening: Listening | undefined;
  paused = false;
  /** Nothing is started any more. */
  stopping = false;
  /** The last failure, unless a worker has served for a while since. */
  failure: unknown;
  readonly #program: URL;
  readonly #options: CompleteFleetOptions;
  readonly #reporter: Reporter;
  readonly #onSignals: (stop: SignalStop | undefined) => void;
  #rows: (Thread | undefined)[];
  /** Of threads that have ended. */
  #past: ServerStats = new Statistics().snapshot(new Set(), 0, 0);
  #door: Door | undefined;

  constructor(
    program: URL,
    options: CompleteFleetOptions,
    reporter: Reporter,
    onSignals: (stop: SignalStop | undefined) => void,
  ) {
    this.#program = program;
    this.#options = options;
    this.#reporter = reporter;
    this.#onSignals = onSignals;
    this.board = Board.ofRows(options.workers + SPARE_ROWS);
    this.#rows = new Array(this.board.rows).fill(undefined);
  }

  /** Those that have not ended, by row. */
  get all(): readonly Thread[] {
    return this.#rows.filter((thread) => thread !== undefined);
  }

  /** What those count that have not ended, and what all others have counted. */
  get stats(): readonly ServerStats[] {
    return [this.#past, ...this.all.flatMap(({ stats }) => stats ?? [])];
  }

  /** @throws {Deno.errors.Busy} If too many have hung. */
  spawn(): Thread {
    const row = this.#rows.indexOf(undefined);
    if (row === -1) {
      throw new Deno.errors.Busy(
        `Cannot start another worker beside ${SPARE_ROWS} that have hung: Deno cannot end them, so ` +
          "start the process again",
      );
    }
    const { workers, maxHeap, startTimeout } = this.#options;
    const { board } = this;
    board.setStage(row, "starting");
    const thread = new Thread({
      program: this.#program,
      seating: {
        worker: import.meta.resolve("./worker.ts"),
        library: LIBRARY,
        row,
        workers,
        board: board.buffer,
        addresses: this.#door?.addresses,
      },
      maxHeap,
      startTimeout,
      onSignals: this.#onSignals,
    });
    this.#rows[row] = thread;
    return thread;
  }

  /**
   * Lets a thread accept.
   *
   * @throws {Deno.errors.AddrInUse} If another fleet has its address.
   * @throws {TypeError} If it listens somewhere else than the others.
   */
  admit(thread: Thread, listening: Listening): void {
    this.#door ??= new Door(listening.addresses);
    if (!this.#door.isOf(listening.addresses)) {
      throw new TypeError(
        "Cannot serve at other addresses than the other workers of the fleet: start another fleet",
      );
    }
    this.listening ??= listening;
    this.board.setStage(thread.row, "serving");
    if (!this.paused) thread.send({ type: "resume" });
  }

  /** Frees the row of a thread that has ended, and counts the connections that ended with it. */
  bury(thread: Thread): void {
    const lost = this.board.active(thread.row);
    thread.lost = lost;
    this.#rows[thread.row] = undefined;
    this.board.clear(thread.row);
    if (thread.stats === undefined) return;
    const { ended } = thread.stats;
    const left = { ...thread.stats, active: 0, handshaking: 0 };
    this.#past = addUpStats([
      this.#past,
      { ...left, ended: { ...ended, worker_lost: ended.worker_lost + lost } },
    ]);
  }

  /** The kernel's queue ends with the last worker that listens. */
  closeDoor(): void {
    this.#door?.[Symbol.dispose]();
  }

  /** A worker has ended without having been asked to. */
  lost(end: WorkerEnd): void {
    const { worker, exitCode, error, lost } = end;
    const { onWorkerEnd } = this.#options;
    if (onWorkerEnd !== undefined) {
      this.#reporter.call("onWorkerEnd", () => onWorkerEnd(end));
    }
    const cause = error === undefined
      ? `with exit code ${exitCode}`
      : `by an error: ${error.message}`;
    this.failed(
      new Deno.errors.Interrupted(
        `Worker ${worker} of the fleet has ended ${cause}; ${lost} connections were lost`,
        { cause: error },
      ),
    );
  }

  /** Reports what keeps a worker from its work. */
  failed(error: unknown): void {
    this.failure = error;
    this.#reporter.report(error);
  }
}
