/** Keeps what expires in an order that has the soonest first. @module */

/** Something that expires, in one heap at most. */
export interface Expiring {
  /** When, on the clock of its owner; the heap alone changes it. */
  expiresAt: number;
  /** Where it is in the heap; the heap's alone. */
  place: number;
}

/** A binary heap; a change takes logarithmic time, and looking at the first one constant time. */
export class ExpiryHeap<T extends Expiring> {
  readonly #all: T[] = [];

  get size(): number {
    return this.#all.length;
  }

  /** The one that expires first. */
  get first(): T | undefined {
    return this.#all[0];
  }

  add(entry: T): void {
    this.#all.push(entry);
    this.#rise(entry, this.#all.length - 1);
  }

  /** Changes when an entry of the heap expires. */
  move(entry: T, expiresAt: number): void {
    const isSooner = expiresAt < entry.expiresAt;
    entry.expiresAt = expiresAt;
    if (isSooner) this.#rise(entry, entry.place);
    else this.#sink(entry, entry.place);
  }

  /** Removes an entry of the heap. */
  delete(entry: T): void {
    const last = this.#all.pop()!;
    if (last === entry) return;
    if (last.expiresAt < entry.expiresAt) this.#rise(last, entry.place);
    else this.#sink(last, entry.place);
  }

  /** Puts an entry at a place, or above those over it that expire later. */
  #rise(entry: T, place: number): void {
    while (place > 0) {
      const above = this.#all[(place - 1) >> 1]!;
      if (above.expiresAt <= entry.expiresAt) break;
      const free = above.place;
      this.#put(above, place);
      place = free;
    }
    this.#put(entry, place);
  }

  /** Puts an entry at a place, or below those under it that expire sooner. */
  #sink(entry: T, place: number): void {
    for (;;) {
      const below = this.#soonerOf(2 * place + 1);
      if (below === undefined || below.expiresAt >= entry.expiresAt) break;
      const free = below.place;
      this.#put(below, place);
      place = free;
    }
    this.#put(entry, place);
  }

  #soonerOf(place: number): T | undefined {
    const [left, right] = [this.#all[place], this.#all[place + 1]];
    return right !== undefined && right.expiresAt < left!.expiresAt ? right : left;
  }

  #put(entry: T, place: number): void {
    this.#all[place] = entry;
    entry.place = place;
  }
}
