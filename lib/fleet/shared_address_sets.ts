/** Keeps the named address sets of a fleet in memory that its threads share. @module */

import type { AddressStore, AddressStores } from "../listener/address_set.ts";
import type { AddressRange } from "../wire/address/address_range.ts";
import type { SharedClock } from "./shared_clock.ts";
import { FULL, SharedTable, type WordRule } from "./shared_table.ts";

/**
 * Places for the ranges of all sets, eight for each that one set is promised, so that no bucket is full
 * before. Memory that was never written occupies none.
 */
const PLACES = 2 ** 19;

/** Names that sets of one fleet may have. */
const NAMES = 64;

/**
 * A word is when its range expires, in ms, the number of its set, and the ticket of its insertion, so that
 * no two uses of a place have the same word.
 */
const TICKET_BITS = 14n, SET_BITS = 6n, EXPIRY_BITS = 42n;
const TICKET = (1n << TICKET_BITS) - 1n;
const SET = (1n << SET_BITS) - 1n;
const REST_BITS = TICKET_BITS + SET_BITS;

/** When what never expires does. */
const NEVER = (1n << EXPIRY_BITS) - 1n;

/** Where in the words that say which lengths of prefix occur those of each family begin. */
const V4 = 0, V6 = 2, UNIX = 7, LENGTHS = 8;

/** Bytes behind the name in a key: a length of prefix and an address. */
const SUFFIX = 17;

/**
 * The sets are one table, whose keys are a name and a range: a look-up asks for each length of prefix
 * that occurs. What one thread has added or deleted when its call returns, the next look-up of every
 * thread sees; a worker that begins finds the sets as they are, and one that dies takes nothing along.
 */
export class SharedAddressSets implements AddressStores {
  readonly #table: SharedTable;
  readonly #names: BigInt64Array;
  readonly #lengths: Int32Array;
  readonly #clock: SharedClock;

  /** @param rows How many threads there are at most, the main thread included. */
  static allocate(rows: number, places: number = PLACES): SharedArrayBuffer {
    const size = SharedTable.size(rows, places);
    const buffer = new SharedArrayBuffer(size + 8 * NAMES + 4 * LENGTHS);
    SharedTable.lay(buffer, rows, places);
    return buffer;
  }

  constructor(buffer: SharedArrayBuffer, row: number, clock: SharedClock) {
    this.#table = new SharedTable(buffer, row);
    const size = SharedTable.size(this.#table.rows, this.#table.places);
    this.#names = new BigInt64Array(buffer, size, NAMES);
    this.#lengths = new Int32Array(buffer, size + 8 * NAMES, LENGTHS);
    this.#clock = clock;
  }

  addressStore(name: string): AddressStore {
    const digest = this.#table.digest(name);
    for (let set = 0; set < NAMES; set++) {
      const before = Atomics.compareExchange(this.#names, set, 0n, digest);
      if (before !== 0n && before !== digest) continue;
      return new SharedStore(this.#table, this.#lengths, this.#clock, digest, BigInt(set));
    }
    throw new RangeError(
      `Cannot make an address set of the name '${name}' in a fleet that has sets of ${NAMES} names: ` +
        "use one of these, or a set without a name in each worker",
    );
  }

  /** Ends what a dead worker left half done; only the main thread does. */
  bury(row: number): void {
    this.#table.bury(row);
  }
}

/** One set, as one thread has it. */
class SharedStore implements AddressStore {
  readonly #table: SharedTable;
  readonly #lengths: Int32Array;
  readonly #clock: SharedClock;
  readonly #set: bigint;
  readonly #rule = new ExpiryRule();
  /** The key of a range: the digest of the set's name, the length of its prefix, its first address. */
  readonly #key = new Uint8Array(8 + SUFFIX);

  constructor(
    table: SharedTable,
    lengths: Int32Array,
    clock: SharedClock,
    digest: bigint,
    set: bigint,
  ) {
    this.#table = table;
    this.#lengths = lengths;
    this.#clock = clock;
    this.#set = set;
    new DataView(this.#key.buffer).setBigInt64(0, digest);
  }

  /** Looks at every place: some ms. */
  get size(): number {
    const now = this.#now();
    let size = 0;
    for (let place = 0; place < this.#table.places; place++) {
      const word = this.#table.word(place);
      if (word > 0n && (word >> TICKET_BITS & SET) === this.#set && word >> REST_BITS > now) size++;
    }
    return size;
  }

  add({ first, bits }: AddressRange, expireIn: number): boolean {
    if (expireIn <= 0) return true;
    const at = BigInt(Math.ceil(Math.min(this.#clock.now + expireIn, Number(NEVER))));
    const expiry = expireIn === Infinity || at < NEVER ? at : NEVER - 1n;
    this.#rule.set(expiry, this.#set);
    this.#noteLength(first.length, bits);
    const place = this.#table.put(this.#keyOf(first, bits), this.#rule);
    this.#table.finish();
    return place !== FULL;
  }

  delete({ first, bits }: AddressRange): boolean {
    const key = this.#keyOf(first, bits);
    for (;;) {
      const place = this.#table.find(key);
      if (place < 0) return false;
      const word = this.#table.word(place);
      // Its place may just have gone to another range.
      if (this.#table.find(key) !== place) continue;
      if (this.#table.change(place, word, 0n)) return word >> REST_BITS > this.#now();
    }
  }

  has(address: Uint8Array): boolean {
    const from = start(address.length);
    for (let bits = 0; bits <= 8 * address.length; bits++) {
      const lengths = Atomics.load(this.#lengths, from + (bits >> 5));
      if (lengths === 0) bits |= 31;
      else if ((lengths >>> bits & 1) === 1 && this.#hasPrefix(address, bits)) return true;
    }
    return false;
  }

  #hasPrefix(address: Uint8Array, bits: number): boolean {
    const place = this.#table.find(this.#keyOf(address, bits));
    return place >= 0 && this.#table.word(place) >> REST_BITS > this.#now();
  }

  #noteLength(bytes: number, bits: number): void {
    Atomics.or(this.#lengths, start(bytes) + (bits >> 5), 1 << bits);
  }

  /** The same array each time. Only the first so many bits of the address count. */
  #keyOf(address: Uint8Array, bits: number): Uint8Array {
    const key = this.#key.subarray(0, 9 + address.length);
    key[8] = bits;
    key.set(address, 9);
    const last = 9 + (bits >> 3);
    if (last < key.length) {
      key[last]! &= 0xff00 >> (bits & 7);
      key.fill(0, last + 1);
    }
    return key;
  }

  #now(): bigint {
    return BigInt(Math.floor(this.#clock.now));
  }
}

/** Keeps the later of two times. */
class ExpiryRule implements WordRule {
  displaces = 0n;
  #expiry = 0n;
  #set = 0n;

  set(expiry: bigint, set: bigint): void {
    this.#expiry = expiry;
    this.#set = set;
    // What expires first goes, be it the new one; what never does, never.
    this.displaces = (expiry === NEVER ? expiry : expiry + 1n) << REST_BITS;
  }

  first(ticket: bigint): bigint {
    return this.#expiry << REST_BITS | this.#set << TICKET_BITS | ticket & TICKET;
  }

  next(word: bigint): bigint {
    const rest = word & (1n << REST_BITS) - 1n;
    return word >> REST_BITS >= this.#expiry ? word : this.#expiry << REST_BITS | rest;
  }
}

function start(bytes: number): number {
  return bytes === 4 ? V4 : bytes === 16 ? V6 : UNIX;
}
