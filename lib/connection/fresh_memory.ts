/** Makes the memory that connections are read into. @module */

import { YoungCollector } from "./young_collector.ts";

/** Bytes of new memory from one collection to the next. With 8 MiB the echo of 4 KiB took 5 % more, with 24 no less. */
const EVERY = 16 * 2 ** 20;

/**
 * Least bytes of memory that counts. With less, more is allocated in V8's heap than beside it, so that V8 collects
 * often enough by itself.
 */
const LEAST = 4096;

/**
 * New memory, of which V8 is to free in time what is not used any more. All servers of a thread count
 * together, as V8 does.
 *
 * The CPU of an echo of messages of 4, 16 and 64 KiB was 1.4, 1.8 and 2.1 of the plain loop's without that,
 * and is 1.2, 1.4 and 1.5.
 */
export class FreshMemory {
  static readonly #collector = new YoungCollector();
  /** Bytes since the last collection. */
  static #made = 0;

  /** So many bytes, all zero. */
  static of(size: number): ArrayBuffer {
    if (size >= LEAST) {
      this.#made += size;
      if (this.#made >= EVERY) {
        this.#made = 0;
        this.#collector.collect();
      }
    }
    return new ArrayBuffer(size);
  }

  /** A copy of the first `length` bytes in memory of their own. */
  static copyOf(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
    if (length < LEAST) return bytes.slice(0, length);
    const copy = new Uint8Array(this.of(length));
    copy.set(bytes.subarray(0, length));
    return copy;
  }
}
