/** Carries bytes from one end of a connection inside one program to the other. @module */

import type { Faults } from "./faults.ts";
import { systemError } from "./system_error.ts";

/**
 * Operations after which the event loop gets a turn. All others settle without one, and two ends that
 * talk without end would keep it from every timer and from the rest of the test.
 */
const TURN_AFTER = 1024;

/** What one end knows of a reset. Its two directions share it: the kernel tells of one only once. */
export interface Fate {
  reset: boolean;
  told: boolean;
}

/** Bytes to be read into `p`, which had room for so many when that was asked. */
interface Read {
  readonly p: Uint8Array;
  readonly room: number;
  readonly resolve: (n: number | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Bytes to be written, or (without) the FIN behind them. */
interface Write {
  readonly p: Uint8Array | null;
  readonly resolve: (n: number) => void;
  readonly reject: (error: unknown) => void;
}

/** One direction of a connection: what is said and not yet read, and who waits at its two ends. */
export class Pipe {
  readonly #faults: Required<Faults>;
  readonly #reader: Fate;
  readonly #writer: Fate;
  readonly #reset: () => void;
  /** What each write has brought and nobody has read. */
  readonly #segments: Uint8Array[] = [];
  #held = 0;
  #taken = 0;
  #given = 0;
  #ended = false;
  /** The reader wants no more than what is here. */
  #enough = false;
  /** What becomes of a write once the reader has closed; the kernel takes one before it knows. */
  #readerGone: "takes one" | "refuses" | undefined;
  readonly #reads: Read[] = [];
  readonly #writes: Write[] = [];
  #served = 0;
  #resting = false;

  /** @param reset Resets the whole connection. */
  constructor(faults: Required<Faults>, reader: Fate, writer: Fate, reset: () => void) {
    this.#faults = faults;
    this.#reader = reader;
    this.#writer = writer;
    this.#reset = reset;
  }

  read(p: Uint8Array): Promise<number | null> {
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    this.#reads.push({ p, room: p.length, resolve, reject });
    this.move();
    return promise;
  }

  /** Takes a part of `p` or all, and resolves with how much; `null` is the FIN. */
  write(p: Uint8Array | null): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#writes.push({ p, resolve, reject });
    this.move();
    return promise;
  }

  /** For the reader the stream is over once it has read what is here, a stall or not. */
  endForReader(): void {
    this.#enough = true;
    this.move();
  }

  /** The reader closes: what it has not read is lost, and the writer will hear of it. */
  closeReader(): void {
    // With bytes that were not read the kernel tells at once, otherwise when the next ones come.
    const unread = this.#held > 0 || this.#writes.some(({ p }) => p !== null);
    this.#readerGone = unread ? "refuses" : "takes one";
    this.#segments.length = 0;
    this.#held = 0;
    for (const { reject } of this.#reads.splice(0)) reject(systemError("EINTR"));
    this.move();
  }

  /** The writer closes: what it was still writing is lost, what was taken arrives. */
  closeWriter(): void {
    this.#ended = true;
    for (const { reject } of this.#writes.splice(0)) reject(systemError("EINTR"));
    this.move();
  }

  /** Serves whoever waits, as far as it goes. */
  move(): void {
    if (this.#resting) return;
    do {
      if (this.#taken >= this.#faults.resetAfter) this.#reset();
      if (++this.#served % TURN_AFTER === 0) return this.#rest();
    } while (this.#readNext() || this.#writeNext());
  }

  #rest(): void {
    this.#resting = true;
    setImmediate(() => {
      this.#resting = false;
      this.move();
    });
  }

  #readNext(): boolean {
    const [next] = this.#reads;
    if (next === undefined) return false;
    const [segment] = this.#segments;
    const { bytesPerRead, stallAfter } = this.#faults;
    const free = Math.min(bytesPerRead, stallAfter - this.#given);
    if (segment !== undefined && free > 0) next.resolve(this.#give(next, segment, free));
    else if (this.#reader.reset) {
      // As Deno says it: once, and from then on the stream is just over.
      if (this.#reader.told) next.resolve(null);
      else next.reject(this.#tell(this.#reader));
    } else if (this.#enough || (this.#ended && free > 0)) next.resolve(null);
    else return false;
    this.#reads.shift();
    return true;
  }

  #give({ p, room }: Read, segment: Uint8Array, most: number): number {
    const n = Math.min(room, segment.length, most);
    // Memory that its owner has transferred away meanwhile is the owner's loss, not the writer's.
    if (p.length > 0) p.set(segment.subarray(0, n));
    if (n < segment.length) this.#segments[0] = segment.subarray(n);
    else this.#segments.shift();
    this.#held -= n;
    this.#given += n;
    return n;
  }

  #writeNext(): boolean {
    const [next] = this.#writes;
    if (next === undefined) return false;
    const { capacity, bytesPerWrite, resetAfter } = this.#faults;
    const room = Math.min(capacity - this.#held, bytesPerWrite, resetAfter - this.#taken);
    if (next.p === null) {
      this.#ended = true;
      next.resolve(0);
    } else if (this.#writer.reset) {
      next.reject(this.#writer.told ? systemError("EPIPE") : this.#tell(this.#writer));
    } else if (this.#readerGone === "refuses") next.reject(systemError("EPIPE"));
    else if (this.#readerGone === "takes one") {
      this.#readerGone = "refuses";
      next.resolve(next.p.length);
    } else if (room > 0) next.resolve(this.#take(next.p, room));
    else return false;
    this.#writes.shift();
    return true;
  }

  #take(p: Uint8Array, most: number): number {
    if (p.length === 0) return 0; // its owner has transferred it away meanwhile
    // A copy, which `slice` is not for every kind of Uint8Array: Node's share their memory.
    const segment = new Uint8Array(p.subarray(0, most));
    this.#segments.push(segment);
    this.#held += segment.length;
    this.#taken += segment.length;
    return segment.length;
  }

  #tell(fate: Fate): Error {
    fate.told = true;
    return systemError("ECONNRESET");
  }
}
