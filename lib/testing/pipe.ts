/** Carries bytes from one end of an in-memory connection to the other. @module */

import type { Faults } from "./faults.ts";
import { systemError } from "./system_error.ts";

/**
 * Operations after which the event loop gets a turn. All others settle without one, so two ends that
 * talk without pause would starve every timer and the rest of the test.
 */
const TURN_AFTER = 1024;

/** What one end knows of a reset. Its two directions share it: the kernel reports a reset only once. */
export interface Fate {
  reset: boolean;
  reported: boolean;
}

/** A pending read into `p`, which had `room` bytes when it was called. */
interface Read {
  readonly p: Uint8Array;
  readonly room: number;
  readonly resolve: (n: number | null) => void;
  readonly reject: (error: unknown) => void;
}

/** A pending write of `p`, or of the FIN where it is `null`. */
interface Write {
  readonly p: Uint8Array | null;
  readonly resolve: (n: number) => void;
  readonly reject: (error: unknown) => void;
}

/** One direction of a connection: its unread bytes, and the reads and writes pending at its ends. */
export class Pipe {
  readonly #faults: Required<Faults>;
  readonly #reader: Fate;
  readonly #writer: Fate;
  readonly #reset: () => void;
  /** The unread bytes of each write. */
  readonly #segments: Uint8Array[] = [];
  #held = 0;
  #taken = 0;
  #given = 0;
  #ended = false;
  /** The reader wants no more than what has arrived. */
  #enough = false;
  /** What happens to a write once the reader has closed; the kernel accepts one before it knows. */
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

  /** Takes all or part of `p`, and resolves with the number of bytes; `null` is the FIN. */
  write(p: Uint8Array | null): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#writes.push({ p, resolve, reject });
    this.move();
    return promise;
  }

  /** Ends the stream for the reader once it has read what has arrived, stalled or not. */
  endForReader(): void {
    this.#enough = true;
    this.move();
  }

  /** The reader closes: its unread bytes are lost, and the writer will get an error. */
  closeReader(): void {
    // With unread bytes the kernel sends a reset at once, otherwise when the next bytes arrive.
    const unread = this.#held > 0 || this.#writes.some(({ p }) => p !== null);
    this.#readerGone = unread ? "refuses" : "takes one";
    this.#segments.length = 0;
    this.#held = 0;
    for (const { reject } of this.#reads.splice(0)) reject(systemError("EINTR"));
    this.move();
  }

  /** The writer closes: pending writes are lost, what was taken arrives. */
  closeWriter(): void {
    this.#ended = true;
    for (const { reject } of this.#writes.splice(0)) reject(systemError("EINTR"));
    this.move();
  }

  /** Settles pending reads and writes as far as possible. */
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
      // As in Deno: the first read rejects, and later ones see the end of the stream.
      if (this.#reader.reported) next.resolve(null);
      else next.reject(this.#report(this.#reader));
    } else if (this.#enough || (this.#ended && free > 0)) next.resolve(null);
    else return false;
    this.#reads.shift();
    return true;
  }

  #give({ p, room }: Read, segment: Uint8Array, most: number): number {
    const n = Math.min(room, segment.length, most);
    // A buffer that was transferred in the meantime is its owner's loss, not the writer's.
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
      next.reject(this.#writer.reported ? systemError("EPIPE") : this.#report(this.#writer));
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
    if (p.length === 0) return 0; // transferred by its owner in the meantime
    // Copies, which `slice()` does not for every kind of Uint8Array: a Node Buffer's shares memory.
    const segment = new Uint8Array(p.subarray(0, most));
    this.#segments.push(segment);
    this.#held += segment.length;
    this.#taken += segment.length;
    return segment.length;
  }

  #report(fate: Fate): Error {
    fate.reported = true;
    return systemError("ECONNRESET");
  }
}
