/** Counts the slots of all workers, in shared memory. @module */

import type { Semaphore } from "../server/limits.ts";

/** Cells before the rows. */
const LIMIT = 0, GIVEN = 1, TAKEN = 2, HEADER = 16;

/** Cells of a row, which fills a cache line of its own. */
const OPEN = 0, HELD = 1, BUSY = 2, FINISHED = 3, WAITING = 4, IN_LINE = 5, ROW = 16;

/** Stands for no limit. */
const MOST = 2 ** 31 - 1;

/**
 * The slots of a fleet: how many are taken, and in each row how many that worker holds.
 *
 * A worker raises the sum before its row, and lowers its row before the sum: one that dies in between
 * leaves a sum that is one too high, never one that is too low, and `tend()` puts it right.
 *
 * A worker that waits says so before it looks a last time; who gives a slot back lowers the sum before it
 * looks who waits. So none is missed, and each slot given back wakes one worker: first one that has a
 * connection in line, then the one with fewest. Slots that such connections wait for are not free
 * to accept others with.
 */
export class SharedSlots implements Semaphore {
  readonly #cells: Int32Array;
  readonly #rows: number;
  readonly #row: number;
  /** A connection found no slot, and may wait in line. */
  #missed = false;
  #isWatching = false;
  /** Dead workers may have left one too many; only the thread that buries knows. */
  #isDoubtful = false;
  #saturatedFor = 0;
  #tendedAt = performance.now();

  static allocate(rows: number): SharedArrayBuffer {
    return new SharedArrayBuffer(4 * (HEADER + rows * ROW));
  }

  /** @param row The number of this thread; the main thread has the last one, and takes no slot. */
  constructor(buffer: SharedArrayBuffer, row: number) {
    this.#cells = new Int32Array(buffer);
    this.#rows = (this.#cells.length - HEADER) / ROW;
    this.#row = HEADER + row * ROW;
  }

  /** A worker begins in a row. */
  begin(row: number): void {
    Atomics.store(this.#cells, HEADER + row * ROW + OPEN, 1);
  }

  /**
   * The limit that a worker's program asks for. One that asks for the same as the one before leaves what
   * has been set since.
   */
  offer(limit: number): void {
    const given = Math.min(limit, MOST);
    if (Atomics.exchange(this.#cells, GIVEN, given) !== given) this.limit = limit;
  }

  get limit(): number {
    const limit = Atomics.load(this.#cells, LIMIT);
    return limit === MOST ? Infinity : limit;
  }

  set limit(limit: number) {
    Atomics.store(this.#cells, LIMIT, Math.min(limit, MOST));
    this.#wakeAll();
  }

  /** How many are taken. */
  get taken(): number {
    return Atomics.load(this.#cells, TAKEN);
  }

  /** Ms for which every slot was taken, as the thread that tends has seen it, look by look. */
  get saturatedFor(): number {
    return this.#saturatedFor;
  }

  /** A slot is free, and no connection of another worker waits in line for it. */
  get free(): boolean {
    const left = Atomics.load(this.#cells, LIMIT) - this.taken;
    return left > this.#rows || left > 0 && left > this.#inLineElsewhere();
  }

  take(): boolean {
    if (Atomics.load(this.#cells, this.#row + OPEN) === 0) return false;
    Atomics.store(this.#cells, this.#row + BUSY, 1);
    const isTaken = this.#raise();
    if (isTaken) Atomics.add(this.#cells, this.#row + HELD, 1);
    this.#finish();
    if (isTaken) this.#leaveLine();
    else this.#missed = true;
    return isTaken;
  }

  giveBack(): void {
    Atomics.store(this.#cells, this.#row + BUSY, 1);
    const isHeld = this.#lower(this.#row + HELD);
    if (isHeld) Atomics.sub(this.#cells, TAKEN, 1);
    this.#finish();
    if (isHeld) this.#wakeOne();
  }

  watch(wake: () => void): void {
    if (this.#missed) Atomics.store(this.#cells, this.#row + IN_LINE, 1);
    if (this.#isWatching) return;
    this.#isWatching = true;
    const cell = this.#row + WAITING;
    Atomics.store(this.#cells, cell, 1);
    // Two that wait in line must not wait for each other.
    if (this.#missed ? this.#isLeft : this.free) Atomics.store(this.#cells, cell, 0);
    const { async, value } = Atomics.waitAsync(this.#cells, cell, 1);
    if (async) value.then(() => this.#woken(wake));
    else queueMicrotask(() => this.#woken(wake));
  }

  /** Gives back what a dead worker held. What it still does, should it be a thread that hung, has no effect. */
  bury(row: number): void {
    const cell = HEADER + row * ROW;
    Atomics.store(this.#cells, cell + OPEN, 0);
    Atomics.store(this.#cells, cell + WAITING, 0);
    Atomics.store(this.#cells, cell + IN_LINE, 0);
    Atomics.sub(this.#cells, TAKEN, Atomics.exchange(this.#cells, cell + HELD, 0));
    if (Atomics.exchange(this.#cells, cell + BUSY, 0) !== 0) this.#isDoubtful = true;
    this.tend();
  }

  /**
   * A worker hangs: what it holds stays taken, but no slot is kept for it. If it goes on one day, it looks
   * again.
   */
  passOver(row: number): void {
    const cell = HEADER + row * ROW;
    Atomics.store(this.#cells, cell + IN_LINE, 0);
    Atomics.store(this.#cells, cell + WAITING, 0);
    Atomics.notify(this.#cells, cell + WAITING);
    this.tend();
  }

  /**
   * Puts right what dead workers left half done, and wakes those that wait while a slot is free: a worker
   * that was woken may be dead or hang.
   */
  tend(): void {
    const now = performance.now();
    if (!this.#isLeft) this.#saturatedFor += now - this.#tendedAt;
    this.#tendedAt = now;
    if (this.#isDoubtful) this.#isDoubtful = !this.#recount();
    if (this.#isLeft) this.#wakeAll();
  }

  get #isLeft(): boolean {
    return this.taken < Atomics.load(this.#cells, LIMIT);
  }

  #raise(): boolean {
    for (;;) {
      const taken = this.taken;
      if (taken >= Atomics.load(this.#cells, LIMIT)) return false;
      if (Atomics.compareExchange(this.#cells, TAKEN, taken, taken + 1) === taken) return true;
    }
  }

  /** Takes one from what a row holds; it may have been buried. */
  #lower(cell: number): boolean {
    for (;;) {
      const held = Atomics.load(this.#cells, cell);
      if (held === 0) return false;
      if (Atomics.compareExchange(this.#cells, cell, held, held - 1) === held) return true;
    }
  }

  #finish(): void {
    Atomics.add(this.#cells, this.#row + FINISHED, 1);
    Atomics.store(this.#cells, this.#row + BUSY, 0);
  }

  #woken(wake: () => void): void {
    this.#isWatching = false;
    wake();
    if (!this.#isWatching) this.#leaveLine();
    // Nothing here may have wanted it any more.
    setImmediate(() => {
      if (this.free) this.#wakeOne();
    });
  }

  #leaveLine(): void {
    if (!this.#missed) return;
    this.#missed = false;
    Atomics.store(this.#cells, this.#row + IN_LINE, 0);
  }

  #wakeOne(): void {
    for (;;) {
      const cell = this.#next();
      if (cell === undefined || this.#wake(cell)) return;
    }
  }

  #wakeAll(): void {
    for (let cell = HEADER; cell < this.#cells.length; cell += ROW) {
      Atomics.store(this.#cells, cell + WAITING, 0);
      // Also where it is 0 already: the worker that made it 0 may have died before it said so.
      Atomics.notify(this.#cells, cell + WAITING);
    }
  }

  /** Whether a worker that waits was woken, and by this call. */
  #wake(cell: number): boolean {
    if (Atomics.exchange(this.#cells, cell + WAITING, 0) === 0) return false;
    Atomics.notify(this.#cells, cell + WAITING);
    return true;
  }

  /** The worker to wake next. */
  #next(): number | undefined {
    let next: number | undefined;
    let most = -1;
    let least = 0;
    for (let cell = HEADER; cell < this.#cells.length; cell += ROW) {
      if (Atomics.load(this.#cells, cell + WAITING) === 0) continue;
      const want = Atomics.load(this.#cells, cell + IN_LINE);
      const held = Atomics.load(this.#cells, cell + HELD);
      if (want < most || want === most && held >= least) continue;
      next = cell;
      most = want;
      least = held;
    }
    return next;
  }

  #inLineElsewhere(): number {
    let count = 0;
    for (let cell = HEADER; cell < this.#cells.length; cell += ROW) {
      if (cell === this.#row) continue;
      count += Atomics.load(this.#cells, cell + IN_LINE);
    }
    return count;
  }

  /** Subtracts from the sum what is in no row, unless a worker is in between. Whether it could. */
  #recount(): boolean {
    const before = this.#finished();
    const taken = this.taken;
    let held = 0;
    for (let cell = HEADER; cell < this.#cells.length; cell += ROW) {
      held += Atomics.load(this.#cells, cell + HELD);
    }
    const after = this.#finished();
    if (before === undefined || after === undefined) return false;
    if (before.some((count, row) => count !== after[row])) return false;
    Atomics.sub(this.#cells, TAKEN, taken - held);
    return true;
  }

  /** How many operations each row has finished; `undefined` while one of them is in between. */
  #finished(): number[] | undefined {
    const counts: number[] = [];
    for (let cell = HEADER; cell < this.#cells.length; cell += ROW) {
      if (Atomics.load(this.#cells, cell + BUSY) !== 0) return undefined;
      counts.push(Atomics.load(this.#cells, cell + FINISHED));
    }
    return counts;
  }
}
