/** Drops what is left of a frame that was skipped or cut, as it arrives. @module */

import type { ByteSearch } from "./byte_search.ts";
import type { Decoded, Decoder } from "./codec.ts";

/** What follows the delimiter. */
export interface AfterDrop<T> {
  /** The decoder for what follows. */
  readonly next: Decoder<T>;
  /** The frame that the dropped bytes complete; `undefined` if they complete none. */
  readonly frame: T | undefined;
  /** Whether the end of the stream counts as a delimiter. */
  readonly orEnd: boolean;
}

/** Drops everything through the next delimiter. */
export class DropThrough<T> implements Decoder<T> {
  readonly #search: ByteSearch;
  readonly #state: number;
  readonly #after: AfterDrop<T>;

  /** @param state The state of the search, which may be inside a delimiter. */
  constructor(search: ByteSearch, state: number, after: AfterDrop<T>) {
    this.#search = search;
    this.#state = state;
    this.#after = after;
  }

  decode(bytes: Uint8Array, _seen: number, end: boolean): Decoded<T> | null {
    const { at, length, state } = this.#search.find(bytes, 0, this.#state);
    if (length > 0 || (end && bytes.length === 0 && this.#after.orEnd)) {
      const { frame, next } = this.#after;
      return frame === undefined ? { taken: at, next } : { frame, taken: at, next };
    }
    if (bytes.length === 0) return null;
    return { taken: at, next: new DropThrough(this.#search, state, this.#after) };
  }
}

/** Drops a number of bytes; with the last of them the frame is complete. */
export class DropBytes<T> implements Decoder<T> {
  readonly #count: number;
  readonly #frame: T;
  readonly #next: Decoder<T>;

  constructor(count: number, frame: T, next: Decoder<T>) {
    this.#count = count;
    this.#frame = frame;
    this.#next = next;
  }

  decode(bytes: Uint8Array): Decoded<T> | null {
    const left = this.#count - bytes.length;
    if (left <= 0) return { frame: this.#frame, taken: this.#count, next: this.#next };
    if (bytes.length === 0) return null;
    return { taken: bytes.length, next: new DropBytes(left, this.#frame, this.#next) };
  }
}
