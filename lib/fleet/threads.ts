/** Starts the threads of a fleet and gives each its row and its address. @module */

import type { SignalStop } from "../server/fleet_seat.ts";
import { LIBRARY } from "../server/fleet_seat.ts";
import type { Reporter } from "../server/reporter.ts";
import type { ServerStats } from "../server/statistics.ts";
import { Board } from "./board.ts";
import { addDismissals } from "./dismissals.ts";
import { Door } from "./door.ts";
import type { CompleteFleetOptions, WorkerEnd } from "./fleet_options.ts";
import type { FleetMemory, Listening } from "./messages.ts";
import { SharedAddressSets } from "./shared_address_sets.ts";
import { SharedClock } from "./shared_clock.ts";
import { type LimitsMemory, SharedLimits } from "./shared_limits.ts";
import { SharedStats } from "./shared_stats.ts";
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
  readonly #rows: (Thread | undefined)[];
  readonly #clock: SharedClock;
  readonly #addressSets: SharedAddressSets;
  #memory: FleetMemory;
  #limits: SharedLimits | undefined;
  readonly #stats: SharedStats;
  /** By threads that have ended. */
  #dismissed: ServerStats["dismissed"] = {};
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
    const { rows } = this.board;
    this.#rows = new Array(rows).fill(undefined);
    // This thread has the last row of all, in what has one for it.
    this.#memory = {
      board: this.board.buffer,
      clock: SharedClock.allocate(),
      stats: SharedStats.allocate(rows),
      addressSets: SharedAddressSets.allocate(rows + 1),
      limits: undefined,
    };
    this.#stats = new SharedStats(this.#memory.stats);
    this.#clock = new SharedClock(this.#memory.clock);
    this.#clock.publish();
    this.#addressSets = new SharedAddressSets(this.#memory.addressSets, rows, this.#clock);
  }

  /** Those that have not ended, by row. */
  get all(): readonly Thread[] {
    return this.#rows.filter((thread) => thread !== undefined);
  }

  /** What all have counted, those that have ended included. */
  get stats(): ServerStats {
    const dismissed = addDismissals([this.#dismissed, ...this.all.map((each) => each.dismissed)]);
    const saturatedFor = this.#limits?.slots.saturatedFor ?? 0;
    return { ...this.#stats.sum(), dismissed, saturatedFor };
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
    this.board.setStage(row, "starting");
    this.#limits?.begin(row);
    const thread = new Thread({
      program: this.#program,
      seating: {
        worker: import.meta.resolve("./worker.ts"),
        library: LIBRARY,
        row,
        workers,
        memory: this.#memory,
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
    if (this.#limits === undefined) this.#share(listening.limits);
    thread.isAdmitted = true;
    this.board.setStage(thread.row, "serving");
    if (!this.paused) thread.send({ type: "resume" });
  }

  /** The limit of all together. */
  get maxConnections(): number {
    return this.#limits!.slots.limit;
  }

  set maxConnections(limit: number) {
    this.#limits!.slots.limit = limit;
  }

  /** A thread hangs: its connections keep their slots, but nothing waits for it any more. */
  passOver({ row }: Thread): void {
    this.board.setStage(row, "late");
    this.#limits?.slots.passOver(row);
  }

  /** Keeps what is shared in order; to be called again and again. */
  tick(): void {
    this.#clock.publish();
    this.#limits?.tend();
  }

  /** Frees the row of a thread that has ended, and counts the connections that ended with it. */
  bury(thread: Thread): void {
    thread.lost = this.#stats.bury(thread.row);
    this.#dismissed = addDismissals([this.#dismissed, thread.dismissed]);
    this.#rows[thread.row] = undefined;
    this.board.clear(thread.row);
    this.#limits?.bury(thread.row);
    this.#addressSets.bury(thread.row);
  }

  #share(limits: LimitsMemory): void {
    const { rows } = this.board;
    this.#memory = { ...this.#memory, limits };
    this.#limits = new SharedLimits(limits, rows, this.#options.workers, this.#clock);
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
