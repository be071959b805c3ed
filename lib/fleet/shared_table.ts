/** Gives each key one place in shared memory, the same for every thread, without a lock. @module */

import { keyedHash } from "./keyed_hash.ts";

/** Places that a key may have. With a quarter of all places taken, one bucket in a million is full. */
const BUCKET = 16;

/** Cells of the header, before the rows. */
const PLACES = 0, ROWS = 1, SEED = 2, TICKETS = 3, HEADER = 4;

/** Cells of a row: the ticket of its latest claim, the place it works on plus one, and finished operations. */
const TICKET = 0, WORKS_ON = 1, FINISHED = 2, ROW = 4;

/** In place of a place: its bucket is full. */
export const FULL = -1;

/** In place of a place: the rule did not let the word change. */
export const REFUSED = -2;

const AGAIN = -3;

/** How the words of a table change. A word above 0 is in use, 0 is free, and one below 0 is a claim. */
export interface WordRule {
  /** The word of a key that is new, under the number of its insertion. */
  first(ticket: bigint): bigint;
  /** The word that follows, or `undefined` to leave it. */
  next(word: bigint): bigint | undefined;
  /** A key that is new takes a free place, or in a full bucket that with the least word, if it is below this. */
  readonly displaces: bigint;
}

/**
 * A hash table of words in shared memory: open addressing within buckets.
 *
 * Nothing waits for another thread. What has to be decided once for all threads is decided by one
 * compare-and-set:
 * - A key that is new *claims* a place (its word becomes minus the ticket, a number that is used once),
 *   writes the key there, and *commits* by making the bucket's head its ticket. That fails if another key
 *   was committed since the bucket was searched, which then is searched again: so two threads that insert
 *   one key at the same moment agree on one place.
 * - A claim whose ticket is the head is in the table, and whichever thread sees it first gives it its word.
 *   So every commit is complete before the next one.
 * - A place is free again when its word is 0. A thread that still holds an older word of it fails in its
 *   compare-and-set, if no word returns: words must differ from one use of a place to the next.
 */
export class SharedTable {
  readonly places: number;
  readonly rows: number;
  readonly #row: number;
  readonly #cells: BigInt64Array;
  readonly #heads: BigInt64Array;
  readonly #words: BigInt64Array;
  /** The word that a committed claim is to get. */
  readonly #firsts: BigInt64Array;
  readonly #keys: Int32Array;
  readonly #seed: Int32Array;
  readonly #hash = new Int32Array(2);

  /** Bytes of a table in which `places` is a power of two. */
  static size(rows: number, places: number): number {
    return 8 * (HEADER + rows * ROW + places / BUCKET + 3 * places);
  }

  /** A new table at the head of `buffer`. */
  static lay(buffer: SharedArrayBuffer, rows: number, places: number): void {
    const cells = new BigInt64Array(buffer, 0, HEADER);
    cells[PLACES] = BigInt(places);
    cells[ROWS] = BigInt(rows);
    cells.set(crypto.getRandomValues(new BigInt64Array(1)), SEED);
  }

  /** @param row The number of this thread, 0 to `rows` - 1. */
  constructor(buffer: SharedArrayBuffer, row: number) {
    const [places, rows] = new BigInt64Array(buffer, 0, HEADER);
    this.places = Number(places);
    this.rows = Number(rows);
    this.#row = HEADER + row * ROW;
    const heads = HEADER + this.rows * ROW;
    const words = heads + this.places / BUCKET;
    this.#cells = new BigInt64Array(buffer, 0, heads);
    this.#heads = new BigInt64Array(buffer, 8 * heads, this.places / BUCKET);
    this.#words = new BigInt64Array(buffer, 8 * words, this.places);
    this.#firsts = new BigInt64Array(buffer, 8 * (words + this.places), this.places);
    this.#keys = new Int32Array(buffer, 8 * (words + 2 * this.places), 2 * this.places);
    this.#seed = new Int32Array(buffer, 8 * SEED, 2);
  }

  /** Changes the word of a key, which gets a place if it has none. The place, `FULL` or `REFUSED`. */
  put(key: string | Uint8Array, rule: WordRule): number {
    this.#hashOf(key);
    for (;;) {
      const place = this.#put(rule);
      if (place !== AGAIN) return place;
    }
  }

  /** The place of a key, and -1 if it has none. */
  find(key: string | Uint8Array): number {
    this.#hashOf(key);
    const bucket = this.#bucket;
    const committed = -Atomics.load(this.#heads, bucket);
    for (let place = bucket * BUCKET; place < (bucket + 1) * BUCKET; place++) {
      if (this.#has(place, committed)) return place;
    }
    return -1;
  }

  word(place: number): bigint {
    return Atomics.load(this.#words, place);
  }

  /** Whether the word was `from`, and is `to` now. */
  change(place: number, from: bigint, to: bigint): boolean {
    return Atomics.compareExchange(this.#words, place, from, to) === from;
  }

  /** What tells a key from every other, for practical purposes; never 0. */
  digest(key: string): bigint {
    this.#hashOf(key);
    return BigInt(this.#hash[0]!) << 32n | BigInt(this.#hash[1]! >>> 0) || 1n;
  }

  /** Says which place this thread works on, until `finish()`, so that what it leaves half done can be found. */
  workOn(place: number): void {
    Atomics.store(this.#cells, this.#row + WORKS_ON, BigInt(place + 1));
  }

  finish(): void {
    Atomics.add(this.#cells, this.#row + FINISHED, 1n);
    Atomics.store(this.#cells, this.#row + WORKS_ON, 0n);
  }

  /**
   * Completes or withdraws what a thread that is dead was inserting.
   *
   * @returns The place that it was working on, -1 if none.
   */
  bury(row: number): number {
    const cell = HEADER + row * ROW;
    const place = Number(Atomics.exchange(this.#cells, cell + WORKS_ON, 0n)) - 1;
    if (place < 0) return -1;
    const ticket = Atomics.load(this.#cells, cell + TICKET);
    const head = Atomics.load(this.#heads, Math.floor(place / BUCKET));
    if (head === ticket) this.#complete(place, -ticket);
    else this.change(place, -ticket, 0n);
    return place;
  }

  /** What `read` returns, unless a thread worked on the place meanwhile. */
  undisturbed<T>(place: number, read: () => T): T | undefined {
    const before = this.#finishedBeside(place);
    const value = read();
    const after = this.#finishedBeside(place);
    if (before === undefined || after === undefined) return undefined;
    return before.every((count, row) => count === after[row]) ? value : undefined;
  }

  /** How many operations each row has finished; `undefined` if one of them works on the place. */
  #finishedBeside(place: number): bigint[] | undefined {
    const counts: bigint[] = [];
    for (let cell = HEADER; cell < HEADER + this.rows * ROW; cell += ROW) {
      if (Atomics.load(this.#cells, cell + WORKS_ON) === BigInt(place + 1)) return undefined;
      counts.push(Atomics.load(this.#cells, cell + FINISHED));
    }
    return counts;
  }

  #put(rule: WordRule): number {
    const bucket = this.#bucket;
    const head = Atomics.load(this.#heads, bucket);
    let spare = -1;
    let least = 0n;
    for (let place = bucket * BUCKET; place < (bucket + 1) * BUCKET; place++) {
      const word = this.#wordOf(place, -head);
      if (word < 0n) continue; // a claim, of which this thread or that one will have to search again
      if (word > 0n && this.#isAt(place)) return this.#step(place, word, rule);
      if (word > 0n && word >= rule.displaces || spare >= 0 && word >= least) continue;
      spare = place;
      least = word;
    }
    return spare < 0 ? FULL : this.#insert(bucket, head, spare, least, rule);
  }

  #step(place: number, word: bigint, rule: WordRule): number {
    this.workOn(place);
    const next = rule.next(word);
    // The place may have gone to another key since its word was read.
    if (next === undefined) return this.word(place) === word ? REFUSED : AGAIN;
    return this.change(place, word, next) ? place : AGAIN;
  }

  #insert(bucket: number, head: bigint, place: number, word: bigint, rule: WordRule): number {
    const ticket = Atomics.add(this.#cells, TICKETS, 1n) + 1n;
    Atomics.store(this.#cells, this.#row + TICKET, ticket);
    this.workOn(place);
    if (!this.change(place, word, -ticket)) return AGAIN;
    Atomics.store(this.#keys, 2 * place, this.#hash[0]!);
    Atomics.store(this.#keys, 2 * place + 1, this.#hash[1]!);
    Atomics.store(this.#firsts, place, rule.first(ticket));
    if (Atomics.compareExchange(this.#heads, bucket, head, ticket) !== head) {
      this.change(place, -ticket, 0n);
      return AGAIN;
    }
    this.#complete(place, -ticket);
    return place;
  }

  /** The word of a place; a claim that is the head of its bucket is completed before. */
  #wordOf(place: number, committed: bigint): bigint {
    const word = this.word(place);
    if (word >= 0n || word !== committed) return word;
    this.#complete(place, word);
    return this.word(place);
  }

  /** Gives a committed claim its word, unless another thread has. */
  #complete(place: number, claim: bigint): void {
    this.change(place, claim, Atomics.load(this.#firsts, place));
  }

  #has(place: number, committed: bigint): boolean {
    for (;;) {
      const word = this.#wordOf(place, committed);
      if (word <= 0n || !this.#isAt(place)) return false;
      // The place may have gone to another key while its key was read; or only its word has changed.
      if (this.word(place) === word) return true;
    }
  }

  #isAt(place: number): boolean {
    return Atomics.load(this.#keys, 2 * place) === this.#hash[0] &&
      Atomics.load(this.#keys, 2 * place + 1) === this.#hash[1];
  }

  get #bucket(): number {
    return this.#hash[0]! & this.places / BUCKET - 1;
  }

  #hashOf(key: string | Uint8Array): void {
    const k0 = this.#seed[0]!;
    const k1 = this.#seed[1]!;
    if (typeof key !== "string") return keyedHash(key, key.length, k0, k1, this.#hash);
    keyedHash(KEY, ENCODER.encodeInto(key, KEY).written, k0, k1, this.#hash);
  }
}

const ENCODER = new TextEncoder();

/** Of a text that is longer the rest does not count; addresses are shorter. */
const KEY = new Uint8Array(512);
