/** Counts the connections of each peer over all workers, in shared memory. @module */

import type { PeerCounts } from "../server/limits.ts";
import { FULL, REFUSED, SharedTable, type WordRule } from "./shared_table.ts";

/** Low bits of a word that are the count; above them is the ticket, which tells one use of a place from the next. */
const COUNT_BITS = 24n;
const COUNT = (1n << COUNT_BITS) - 1n;

/** Tickets return after so many, longer than any thread holds an old word. */
const TICKETS = (1n << 63n - COUNT_BITS) - 1n;

/**
 * The counts of one thread's view: what each place has in all is its word, and beside it stands what each
 * row has there (its *column*), so that a dead worker's can be subtracted.
 *
 * A worker raises the word before its column and lowers the column before the word: one that dies in
 * between leaves a word that is one too high, at the one place that it was working on, and `tend()` puts
 * that right. The limit is never exceeded meanwhile.
 */
export class SharedPeers implements PeerCounts {
  readonly #table: SharedTable;
  readonly #columns: Int32Array;
  /** Which rows have a worker; behind them, how many were let in without being counted. */
  readonly #isOpen: Int32Array;
  readonly #row: number;
  readonly #rows: number;
  readonly #rule = new CountRule();
  /** Connections of this thread that are not counted, by peer. */
  readonly #uncounted = new Map<string, number>();
  /** Places where a dead worker may have left one too many; only the thread that buries has any. */
  #doubtful: number[] = [];

  static allocate(rows: number, places: number): SharedArrayBuffer {
    const size = SharedTable.size(rows, places);
    const buffer = new SharedArrayBuffer(size + 4 * (rows * places + rows + 1));
    SharedTable.lay(buffer, rows, places);
    return buffer;
  }

  constructor(buffer: SharedArrayBuffer, row: number) {
    this.#table = new SharedTable(buffer, row);
    const { rows, places } = this.#table;
    const size = SharedTable.size(rows, places);
    this.#columns = new Int32Array(buffer, size, rows * places);
    this.#isOpen = new Int32Array(buffer, size + 4 * rows * places, rows + 1);
    this.#row = row;
    this.#rows = rows;
  }

  /** A worker begins in a row. */
  begin(row: number): void {
    Atomics.store(this.#isOpen, row, 1);
  }

  enter(peer: string, limit: number): boolean {
    if (Atomics.load(this.#isOpen, this.#row) === 0) return true;
    this.#rule.limit = BigInt(Math.min(limit, Number(COUNT)));
    const place = this.#table.put(peer, this.#rule);
    if (place >= 0) Atomics.add(this.#columns, place * this.#rows + this.#row, 1);
    this.#table.finish();
    if (place === FULL) this.#letIn(peer);
    return place !== REFUSED;
  }

  leave(peer: string): void {
    const uncounted = this.#uncounted.get(peer) ?? 0;
    if (uncounted > 1) this.#uncounted.set(peer, uncounted - 1);
    else if (uncounted === 1) this.#uncounted.delete(peer);
    else this.#leave(this.#table.find(peer));
  }

  /** How many were let in without being counted, because there was no place for their peer. */
  get uncounted(): number {
    return Atomics.load(this.#isOpen, this.#rows);
  }

  /** How many a peer has. */
  count(peer: string): number {
    const place = this.#table.find(peer);
    return place < 0 ? 0 : Number(this.#table.word(place) & COUNT);
  }

  /** How many there are of all peers; for tests. */
  get total(): number {
    let total = 0;
    for (let place = 0; place < this.#table.places; place++) {
      const word = this.#table.word(place);
      if (word > 0n) total += Number(word & COUNT);
    }
    return total;
  }

  /** Subtracts what a dead worker had. */
  bury(row: number): void {
    Atomics.store(this.#isOpen, row, 0);
    const { places } = this.#table;
    for (let place = 0; place < places; place++) {
      const cell = place * this.#rows + row;
      // Most are 0, and memory that is only read stays unoccupied.
      if (Atomics.load(this.#columns, cell) === 0) continue;
      this.#subtract(place, Atomics.exchange(this.#columns, cell, 0));
    }
    const place = this.#table.bury(row);
    if (place >= 0) this.#doubtful.push(place);
    this.tend();
  }

  /** Subtracts what dead workers left in words and in no column, where no other thread is in between. */
  tend(): void {
    this.#doubtful = this.#doubtful.filter((place) => !this.#recount(place));
  }

  /** Whether it could be counted anew. */
  #recount(place: number): boolean {
    const surplus = this.#table.undisturbed(place, () => {
      const word = this.#table.word(place);
      return word > 0n ? Number(word & COUNT) - this.#inColumns(place) : 0;
    });
    if (surplus === undefined) return false;
    // What others enter and leave meanwhile changes word and columns alike.
    if (surplus > 0) this.#subtract(place, surplus);
    return true;
  }

  #inColumns(place: number): number {
    let sum = 0;
    for (let row = 0; row < this.#rows; row++) {
      sum += Atomics.load(this.#columns, place * this.#rows + row);
    }
    return sum;
  }

  #letIn(peer: string): void {
    Atomics.add(this.#isOpen, this.#rows, 1);
    this.#uncounted.set(peer, (this.#uncounted.get(peer) ?? 0) + 1);
  }

  /** In a row that was buried it does nothing. */
  #leave(place: number): void {
    if (place < 0) return;
    this.#table.workOn(place);
    if (this.#lower(place * this.#rows + this.#row)) this.#subtract(place, 1);
    this.#table.finish();
  }

  /** Takes one from a column that has one. */
  #lower(cell: number): boolean {
    for (;;) {
      const count = Atomics.load(this.#columns, cell);
      if (count === 0) return false;
      if (Atomics.compareExchange(this.#columns, cell, count, count - 1) === count) return true;
    }
  }

  #subtract(place: number, count: number): void {
    for (;;) {
      const word = this.#table.word(place);
      const isLast = (word & COUNT) === BigInt(count);
      if (this.#table.change(place, word, isLast ? 0n : word - BigInt(count))) return;
    }
  }
}

class CountRule implements WordRule {
  limit = 0n;
  readonly displaces = 0n;

  first(ticket: bigint): bigint {
    return (ticket & TICKETS) << COUNT_BITS | 1n;
  }

  next(word: bigint): bigint | undefined {
    return (word & COUNT) < this.limit ? word + 1n : undefined;
  }
}
