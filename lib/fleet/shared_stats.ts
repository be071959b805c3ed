/** Keeps what the workers of a fleet count in memory that the main thread reads. @module */

import { END_REASONS, type EndReason } from "../connection/end_reason.ts";
import {
  DURATION_BOUNDS,
  type RefusalCause,
  refusalCause,
  type ServerStats,
} from "../server/statistics.ts";

/** Cells of a row: what is written at each event, then what is written at each tick. */
const ACCEPTED = 0, ENDED = 1, TICKED = ENDED + END_REASONS.length;

/** Cells from `TICKED` on that say how much there is now, and nothing once the worker is dead. */
const HANDSHAKING = TICKED, BUFFERED = HANDSHAKING + 1, GAUGES_END = BUFFERED + 1;

/** Cells that are summed up, durations last. */
const ABORTED = GAUGES_END, RESOURCES = ABORTED + 1;
const BYTES_READ = RESOURCES + 1, BYTES_WRITTEN = BYTES_READ + 1;
const SATURATED_FOR = BYTES_WRITTEN + 1;
const LASTED = SATURATED_FOR + 1, DURATIONS = LASTED + 1;
const ROW = DURATIONS + DURATION_BOUNDS.length + 1;

/** Where the numbers of each reason are. */
const CELLS: ReadonlyMap<EndReason, number> = new Map(
  END_REASONS.map((reason, i) => [reason, ENDED + i]),
);

/**
 * A row of numbers for each worker, which alone writes it, and one for those that are dead.
 *
 * A number is an aligned double: no 64-bit processor writes half of one. How many connections were
 * accepted and how many have ended is written as it happens, so that a dead worker leaves the exact number
 * of those that died with it; everything else is at most a tick old.
 */
export class SharedStats {
  readonly #cells: Float64Array;
  readonly #dead: number;

  static allocate(rows: number): SharedArrayBuffer {
    return new SharedArrayBuffer(8 * ROW * (rows + 1));
  }

  constructor(buffer: SharedArrayBuffer) {
    this.#cells = new Float64Array(buffer);
    this.#dead = this.#cells.length / ROW - 1;
  }

  /** A connection was accepted. */
  entered(row: number): void {
    this.#cells[row * ROW + ACCEPTED]!++;
  }

  /** A connection is over. */
  ended(row: number, reason: EndReason): void {
    this.#cells[row * ROW + CELLS.get(reason)!]!++;
  }

  /** How many connections are not over. */
  active(row: number): number {
    const cells = this.#rowOf(row);
    return cells[ACCEPTED]! - endedIn(cells);
  }

  /** Writes what is not written at each event. */
  write(row: number, stats: ServerStats): void {
    const cells = this.#rowOf(row);
    cells[HANDSHAKING] = stats.handshaking;
    cells[BUFFERED] = stats.buffered;
    cells[ABORTED] = stats.acceptFailures.aborted;
    cells[RESOURCES] = stats.acceptFailures.resources;
    cells[BYTES_READ] = stats.bytesRead;
    cells[BYTES_WRITTEN] = stats.bytesWritten;
    cells[SATURATED_FOR] = stats.saturatedFor;
    cells[LASTED] = stats.durations.sum;
    cells.set(stats.durations.counts, DURATIONS);
  }

  /**
   * Adds what a dead worker has counted to what the dead have counted before.
   *
   * @returns How many connections died with it.
   */
  bury(row: number): number {
    const cells = this.#rowOf(row);
    const dead = this.#rowOf(this.#dead);
    const lost = cells[ACCEPTED]! - endedIn(cells);
    cells[CELLS.get("worker_lost")!]! += lost;
    cells.fill(0, HANDSHAKING, GAUGES_END);
    addTo(dead, cells);
    cells.fill(0);
    return lost;
  }

  /** What one worker has counted. The texts of `dismissed` are not numbers, and not here. */
  read(row: number): ServerStats {
    return statsOf(this.#rowOf(row));
  }

  /** What all have counted, those that are dead included. */
  sum(): ServerStats {
    const sum = new Float64Array(ROW);
    for (let row = 0; row <= this.#dead; row++) addTo(sum, this.#rowOf(row));
    return statsOf(sum);
  }

  #rowOf(row: number): Float64Array {
    return this.#cells.subarray(row * ROW, (row + 1) * ROW);
  }
}

function endedIn(cells: Float64Array): number {
  let ended = 0;
  for (let cell = ENDED; cell < TICKED; cell++) ended += cells[cell]!;
  return ended;
}

function addTo(sum: Float64Array, cells: Float64Array): void {
  // From the end: what has ended is read before what was accepted, never more than that.
  for (let cell = ROW - 1; cell >= 0; cell--) {
    // All wait for the same slots, each as long as it has seen.
    if (cell === SATURATED_FOR) sum[cell] = Math.max(sum[cell]!, cells[cell]!);
    else sum[cell]! += cells[cell]!;
  }
}

function statsOf(cells: Float64Array): ServerStats {
  const ended: Record<string, number> = {};
  const refused: Record<string, number> = {};
  let over = 0;
  for (const [reason, cell] of CELLS) {
    const count = cells[cell]!;
    ended[reason] = count;
    over += count;
    const cause = refusalCause(reason);
    if (cause !== undefined) refused[cause] = count;
  }
  const accepted = cells[ACCEPTED]!;
  return {
    accepted,
    active: accepted - over,
    handshaking: cells[HANDSHAKING]!,
    refused: refused as Record<RefusalCause, number>,
    ended: ended as Record<EndReason, number>,
    dismissed: {},
    acceptFailures: { aborted: cells[ABORTED]!, resources: cells[RESOURCES]! },
    bytesRead: cells[BYTES_READ]!,
    bytesWritten: cells[BYTES_WRITTEN]!,
    saturatedFor: cells[SATURATED_FOR]!,
    buffered: cells[BUFFERED]!,
    durations: {
      sum: cells[LASTED]!,
      bounds: DURATION_BOUNDS,
      counts: [...cells.subarray(DURATIONS)],
    },
  };
}
