/** Drives a codec as the contract in `lib/wire/codec/codec.ts` promises it. @module */

import { assert } from "@std/assert";
import type { Codec, Decoder } from "../../../lib/wire/codec/codec.ts";
import { FrameTooLargeError } from "../../../lib/errors.ts";

/** The frames of a stream, and how it ended. */
export interface Driven<T> {
  /** The frames, in order. */
  frames: T[];
  /** Whether the stream ended between frames, inside one, or with an error. */
  end: "between" | "inside" | { error: string; limit?: number; size?: number | undefined };
  /** Bytes taken; an error leaves its frame untaken. */
  taken: number;
}

/** The cost of decoding a stream. */
export interface Cost {
  /** The most bytes that were kept while waiting for more. */
  kept: number;
  /** Calls of `decode` and `decodeAll`. */
  calls: number;
  /** Bytes that were looked at, where `count` is set. */
  examined: number;
}

export interface DriveOptions {
  /** Call `decodeAll` where there is one; true if left out. */
  batches?: boolean;
  /** Count the bytes that are looked at: slow. */
  count?: boolean;
}

/** Feeds a codec a stream in chunks. */
export function drive<T>(
  codec: Codec<T>,
  chunks: Iterable<Uint8Array>,
  options: DriveOptions = {},
): Driven<T> & Cost {
  const driver = new Driver(codec, options);
  try {
    for (const chunk of chunks) {
      driver.buffer.append(chunk);
      driver.ask(false);
    }
    driver.ask(true);
  } catch (error) {
    if (!(error instanceof Error) || error.name === "AssertionError") throw error;
    driver.end = error instanceof FrameTooLargeError
      ? { error: `${error}`, limit: error.limit, size: error.size }
      : { error: `${error}` };
  }
  const { frames, end, taken, kept, calls, tally } = driver;
  return { frames, end, taken, kept, calls, examined: tally.examined };
}

/** The part that must not depend on how a stream was cut. */
export function outcome<T>({ frames, end, taken }: Driven<T>): Driven<T> {
  return { frames, end, taken };
}

class Driver<T> {
  readonly buffer = new Buffer();
  readonly frames: T[] = [];
  readonly tally = { examined: 0 };
  end: Driven<T>["end"] = "between";
  taken = 0;
  kept = 0;
  calls = 0;
  readonly #codec: Codec<T>;
  readonly #options: DriveOptions;
  #decoder: Decoder<T>;
  #seen = 0;
  #need = 0;
  #drop = 0;

  constructor(codec: Codec<T>, options: DriveOptions) {
    this.#codec = this.#decoder = codec;
    this.#options = options;
  }

  /** Calls the codec until it needs more than has arrived. */
  ask(end: boolean): void {
    while (this.#step(end)) { /* Each step takes something. */ }
    this.kept = Math.max(this.kept, this.buffer.length);
  }

  #step(end: boolean): boolean {
    this.#take(0);
    const { length } = this.buffer;
    if (length === 0 && !end) return false;
    if (this.#drop > 0) return this.#stop("inside", end);
    if (length === 0 && this.#decoder === this.#codec) return this.#stop("between", end);
    if (length < this.#need && !end) return false;

    const bytes = this.#options.count ? counted(this.buffer.bytes, this.tally) : this.buffer.bytes;
    if (this.#seen === 0 && length > 0 && this.#options.batches !== false) {
      this.calls++;
      const batch = this.#decoder.decodeAll?.(bytes) ?? null;
      if (batch !== null) {
        assert(batch.frames.length > 0 && batch.taken > 0 && batch.taken <= length);
        assert((batch.seen ?? 0) <= length - batch.taken);
        this.frames.push(...batch.frames);
        this.#take(batch.taken);
        this.#need = 0;
        this.#seen = batch.seen ?? 0;
        return true;
      }
    }

    this.calls++;
    const answer = this.#decoder.decode(bytes, this.#seen, end);
    if (answer === null || "need" in answer) {
      if (end) return this.#stop("inside", end);
      assert(answer === null || answer.need > length, "a need that is met already");
      this.#seen = answer?.next === undefined ? length : 0;
      this.#need = answer?.need ?? 0;
      this.#decoder = answer?.next ?? this.#decoder;
      return false;
    }
    assert(answer.taken > 0 || answer.next !== undefined, "nothing happened");
    if (answer.frame !== undefined) this.frames.push(answer.frame);
    this.#take(answer.taken);
    this.#seen = this.#need = 0;
    this.#decoder = answer.next ?? this.#decoder;
    return true;
  }

  /** Takes `count` bytes, some of which may not have arrived yet. */
  #take(count: number): void {
    this.#drop += count;
    const now = Math.min(this.#drop, this.buffer.length);
    this.buffer.drop(now);
    this.taken += now;
    this.#drop -= now;
  }

  #stop(how: "between" | "inside", end: boolean): false {
    if (end) this.end = how;
    return false;
  }
}

/** Keeps what was not taken; memory is written once only, since frames may be views. */
class Buffer {
  #memory = new Uint8Array(16);
  #from = 0;
  #to = 0;

  get length(): number {
    return this.#to - this.#from;
  }

  get bytes(): Uint8Array {
    return this.#memory.subarray(this.#from, this.#to);
  }

  append(chunk: Uint8Array): void {
    if (this.#to + chunk.length > this.#memory.length) {
      const memory = new Uint8Array(2 * (this.length + chunk.length));
      memory.set(this.bytes);
      [this.#to, this.#from, this.#memory] = [this.length, 0, memory];
    }
    this.#memory.set(chunk, this.#to);
    this.#to += chunk.length;
  }

  drop(count: number): void {
    this.#from += count;
  }
}

/**
 * The bytes, counting how many of them are looked at.
 *
 * A subclass of `Uint8Array` does not see reads by index, so this is a proxy; searches count the
 * bytes that they pass. What `subarray` returns is not counted: a codec makes one only to return or
 * to decode it, each byte once, except for the part that `lines()` searches backwards, where
 * searches are counted, too.
 */
export function counted(bytes: Uint8Array, tally: { examined: number }): Uint8Array {
  const searching = {
    indexOf(byte: number, from = 0): number {
      const at = bytes.indexOf(byte, from);
      tally.examined += (at < 0 ? bytes.length : at + 1) - from;
      return at;
    },
    lastIndexOf(byte: number): number {
      const at = bytes.lastIndexOf(byte);
      tally.examined += bytes.length - Math.max(at, 0);
      return at;
    },
    subarray(from?: number, to?: number): Uint8Array {
      const part = bytes.subarray(from, to);
      part.lastIndexOf = (byte: number) =>
        counted(bytes.subarray(from, to), tally).lastIndexOf(byte);
      return part;
    },
  };
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === "string" && key in searching) return Reflect.get(searching, key);
      if (typeof key === "string" && /^\d+$/.test(key)) tally.examined++;
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Cuts bytes into chunks of these sizes; what is left is the last chunk. */
export function cut(bytes: Uint8Array, sizes: number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) break;
    chunks.push(bytes.subarray(at, at += size));
  }
  if (at < bytes.length) chunks.push(bytes.subarray(at));
  return chunks;
}

/** The same bytes one at a time. */
export function singly(bytes: Uint8Array): Uint8Array[] {
  return cut(bytes, new Array(bytes.length).fill(1));
}
