/** Shows the threads of a fleet how far each worker is, in memory that they share. @module */

/**
 * How far the worker of a row is. `late`: it has not said for a moment that it lives, and others should
 * not wait for it.
 */
const STAGES = ["none", "starting", "serving", "late", "draining"] as const;

/** One of the stages of a worker. */
export type Stage = typeof STAGES[number];

/** What accepting may wait for, as a number in shared memory. */
const WAITS = [null, "slot", "rate", "resources", "resume"] as const;

/** What accepting waits for, or nothing. */
export type Wait = typeof WAITS[number];

/** The numbers of a row. */
const STAGE = 0;
const BEAT = 1;
const WAIT = 2;
const ACTIVE = 3;
const ROW = 4;

/** Bytes of the id before the rows: the last one that was given to a connection. */
const HEADER = 8;

/**
 * A row for each worker, which writes its own. Whether it lives is a count that it moves on, so that no
 * clock of one thread is compared with another's.
 */
export class Board {
  readonly buffer: SharedArrayBuffer;
  readonly #lastId: BigInt64Array;
  readonly #rows: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer;
    this.#lastId = new BigInt64Array(buffer, 0, 1);
    this.#rows = new Int32Array(buffer, HEADER);
  }

  static ofRows(rows: number): Board {
    return new Board(new SharedArrayBuffer(HEADER + rows * ROW * 4));
  }

  /** How many rows there are. */
  get rows(): number {
    return this.#rows.length / ROW;
  }

  /** An id that no other connection of the fleet has. */
  nextId(): number {
    return Number(Atomics.add(this.#lastId, 0, 1n)) + 1;
  }

  stage(row: number): Stage {
    return STAGES[Atomics.load(this.#rows, row * ROW + STAGE)]!;
  }

  setStage(row: number, stage: Stage): void {
    Atomics.store(this.#rows, row * ROW + STAGE, STAGES.indexOf(stage));
  }

  /** A count that grows while the worker lives. */
  beat(row: number): number {
    return Atomics.load(this.#rows, row * ROW + BEAT);
  }

  /** The worker lives, and its accepting waits for this. */
  live(row: number, wait: Wait): void {
    Atomics.add(this.#rows, row * ROW + BEAT, 1);
    Atomics.store(this.#rows, row * ROW + WAIT, WAITS.indexOf(wait));
  }

  wait(row: number): Wait {
    return WAITS[Atomics.load(this.#rows, row * ROW + WAIT)]!;
  }

  active(row: number): number {
    return Atomics.load(this.#rows, row * ROW + ACTIVE);
  }

  /** One connection more or less. */
  add(row: number, change: 1 | -1): void {
    Atomics.add(this.#rows, row * ROW + ACTIVE, change);
  }

  /** The row may be another worker's. */
  clear(row: number): void {
    for (let i = row * ROW; i < (row + 1) * ROW; i++) Atomics.store(this.#rows, i, 0);
  }

  /** The fewest connections of a worker that serves; `Infinity` where none does. */
  get least(): number {
    let least = Infinity;
    for (let row = 0; row < this.rows; row++) {
      if (this.stage(row) === "serving") least = Math.min(least, this.active(row));
    }
    return least;
  }
}
