/** Finds the ranges that hold an address, while ranges come, go and expire. @module */

import type { AddressRange } from "./address_range.ts";
import { type Expiring, ExpiryHeap } from "./expiry_heap.ts";

/** The bits that addresses of a range have in common, as the key of a `Map`. */
type Key = number | string;

/** The ranges of one family whose addresses have so many bits in common. */
interface Prefixes {
  readonly family: Prefixes[];
  readonly bits: number;
  readonly ranges: Map<Key, Range>;
}

/** A range of the table. */
interface Range extends Expiring {
  readonly prefixes: Prefixes;
  readonly key: Key;
}

/** Expired ranges that a call removes, so that none waits for thousands that expire together. */
const REMOVED_AT_ONCE = 4;

/**
 * A hash table for each length of prefix that occurs, as in the kernel's `ipset`: a look-up costs as
 * many steps as there are lengths, however many ranges. Times are on the caller's clock.
 */
export class AddressTable {
  readonly #room: number;
  readonly #v4: Prefixes[] = [];
  readonly #v6: Prefixes[] = [];
  readonly #unix: Prefixes[] = [];
  readonly #expiring = new ExpiryHeap<Range>();
  #size = 0;

  /** @param room How many ranges there may be. */
  constructor(room: number) {
    this.#room = room;
  }

  /** How many ranges there are. */
  size(now: number): number {
    this.#expire(now, Infinity);
    return this.#size;
  }

  /**
   * Adds a range until a time, or keeps one that is there until then if it would expire before. Where
   * there is no room, the range that expires first goes, be it the new one.
   *
   * @returns Whether the range is there now.
   */
  add(range: AddressRange, expiresAt: number, now: number): boolean {
    this.#expire(now);
    const present = this.#find(range);
    if (present !== undefined) {
      if (expiresAt > present.expiresAt) this.#keep(present, expiresAt);
      return true;
    }
    if (this.#size >= this.#room) {
      const { first } = this.#expiring;
      if (first === undefined || first.expiresAt > expiresAt) return false;
      this.#remove(first);
    }
    this.#insert(range, expiresAt);
    return true;
  }

  /** Removes exactly this range. Whether it was there. */
  delete(range: AddressRange, now: number): boolean {
    const present = this.#find(range);
    if (present === undefined) return false;
    this.#remove(present);
    return present.expiresAt > now;
  }

  /** Whether an address of 4 or 16 bytes is in one of the ranges; without bytes, of a Unix socket. */
  has(address: Uint8Array, now: number): boolean {
    this.#expire(now);
    for (const { bits, ranges } of this.#familyOf(address)) {
      const range = ranges.get(keyOf(address, bits));
      if (range !== undefined && range.expiresAt > now) return true;
    }
    return false;
  }

  #familyOf({ length }: Uint8Array): Prefixes[] {
    return length === 4 ? this.#v4 : length === 16 ? this.#v6 : this.#unix;
  }

  #find({ first, bits }: AddressRange): Range | undefined {
    const prefixes = this.#familyOf(first).find((prefixes) => prefixes.bits === bits);
    return prefixes?.ranges.get(keyOf(first, bits));
  }

  #insert({ first, bits }: AddressRange, expiresAt: number): void {
    const family = this.#familyOf(first);
    let prefixes = family.find((prefixes) => prefixes.bits === bits);
    if (prefixes === undefined) {
      prefixes = { family, bits, ranges: new Map() };
      family.push(prefixes);
    }
    const range = { prefixes, key: keyOf(first, bits), expiresAt, place: 0 };
    prefixes.ranges.set(range.key, range);
    this.#size++;
    if (expiresAt !== Infinity) this.#expiring.add(range);
  }

  #keep(range: Range, expiresAt: number): void {
    if (expiresAt !== Infinity) return this.#expiring.move(range, expiresAt);
    this.#expiring.delete(range);
    range.expiresAt = Infinity;
  }

  #remove(range: Range): void {
    const { key, expiresAt, prefixes: { family, bits, ranges } } = range;
    if (expiresAt !== Infinity) this.#expiring.delete(range);
    this.#size--;
    ranges.delete(key);
    if (ranges.size > 0) return;
    family.splice(family.findIndex((prefixes) => prefixes.bits === bits), 1);
  }

  #expire(now: number, most = REMOVED_AT_ONCE): void {
    for (let i = 0; i < most; i++) {
      const { first } = this.#expiring;
      if (first === undefined || first.expiresAt > now) return;
      this.#remove(first);
    }
  }
}

/** The first so many bits of an address. */
function keyOf(address: Uint8Array, bits: number): Key {
  if (address.length !== 16) return bits === 0 ? 0 : numberAt(address, 0) >>> 32 - bits;
  let key = "";
  for (let at = 0; at < bits; at += 16) {
    const group = address[at >> 3]! << 8 | address[(at >> 3) + 1]!;
    key += String.fromCharCode(group >> Math.max(0, at + 16 - bits));
  }
  return key;
}

function numberAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
}
