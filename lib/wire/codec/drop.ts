/** How is the rest of a frame dropped, up to and with its delimiter? @module */

import type { ByteSearch } from "./byte_search.ts";
import type { Decoded, Decoder } from "./codec.ts";

/** What to do behind the delimiter. */
export interface Afterwards<T> {
  /** The decoder for what follows. */
  readonly next: Decoder<T>;
  /** What the dropped bytes belong to, or `undefined` if to nothing. */
  readonly frame: T | undefined;
  /** Whether the end of the stream does as a delimiter. */
  readonly orEnd: boolean;
}

/** Drops everything through the next delimiter, as it comes. */
export class DropThrough<T> implements Decoder<T> {
  readonly #search: ByteSearch;
  readonly #state: number;
  readonly #after: Afterwards<T>;

  /** @param state Of the search, which may be inside a delimiter. */
  constructor(search: ByteSearch, state: number, after: Afterwards<T>) {
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
