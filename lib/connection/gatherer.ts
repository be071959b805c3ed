/** What waits to leave together? @module */

import type { ByteWriter, Gathering } from "./byte_writer.ts";
import type { Lifeline } from "./lifeline.ts";
import { rejected } from "./lifeline.ts";

/** Bytes that are gathered before they leave in any case; what a slow peer can make us hold. */
export const HIGH_WATER = 65536;

/** Bytes of a buffer to gather in. Most replies to one read fit; larger ones grow it. */
const BUFFER_SIZE = 16384;

/** Buffers that are kept for whoever gathers next. */
const MAX_SPARE = 64;

/** Microtasks from an awaited `send()` to the next read of a loop, and some to spare. */
const MOMENT = 5;

/** What can put a frame into a buffer. */
export interface Encoder<T> {
  /** The bytes of a frame. */
  encode(frame: T): Uint8Array;
  /** Writes them to the front of `room`; how many, or `null` if they do not fit. */
  encodeInto?(frame: T, room: Uint8Array): number | null;
}

/**
 * Gathers the replies to what has arrived, so that they leave in one write: before the next read,
 * above 64 KiB, when somebody writes past it, and at the latest when the event loop comes round, for
 * a handler that waits for something else. At a depth of 16 requests that is 9 times the replies.
 *
 * Buffers are borrowed while there is something in them: an idle connection holds none.
 */
export class Gatherer implements Gathering {
  readonly #writer: ByteWriter;
  readonly #life: Lifeline;
  #buffer: Uint8Array = NONE;
  #length = 0;
  /** What is being written. */
  #leaving: Uint8Array = NONE;
  /** Stands in the list of those who flush when the event loop comes round. */
  #listed = false;
  /** It has come round, and a write was in progress: what is gathered leaves when that has ended. */
  #overdue = false;

  constructor(writer: ByteWriter, life: Lifeline) {
    this.#writer = writer;
    this.#life = life;
  }

  /** Bytes that wait here. */
  get length(): number {
    return this.#length;
  }

  /** Adds a frame; resolves at once, or above the high-water mark when everything was written. */
  send<T>(encoder: Encoder<T>, frame: T): Promise<unknown> {
    const refused = this.#writer.refused();
    if (refused !== undefined) return refused;
    try {
      this.#put(encoder, frame);
    } catch (error) {
      if (this.#length === 0) this.drop();
      return rejected(error);
    }
    if (this.#length >= HIGH_WATER) return this.flush();
    if (!this.#listed) {
      this.#listed = true;
      if (waiting.push(this) === 1) waitAMoment(0);
    }
    return SENT;
  }

  /** Writes what was gathered; resolves when it, and everything before it, was written. */
  flush(): Promise<unknown> {
    const length = this.#length;
    const { closed, writing } = this.#life;
    if (length === 0) return writing || closed ? this.#allWritten() : SENT;
    const buffer = this.#buffer;
    this.#buffer = NONE;
    this.#length = 0;
    this.#overdue = false;
    if (writing && 2 * length <= buffer.length) {
      // It will stand in a queue, where a buffer for each short frame would be a thousand times what
      // the queue counts.
      const gathered = buffer.slice(0, length);
      giveSpare(buffer);
      return this.#writer.writeGathered(gathered);
    }
    // With one on its way already, which is rare, this one is left to the garbage collector.
    if (this.#leaving === NONE) this.#leaving = buffer;
    return this.#writer.writeGathered(buffer.subarray(0, length));
  }

  /** Every write has ended: the buffer that was on its way is free. */
  written(): void {
    if (this.#leaving !== NONE) giveSpare(this.#leaving);
    this.#leaving = NONE;
    if (this.#overdue && !this.#life.closed) this.flush();
  }

  /** Forgets what was gathered. */
  drop(): void {
    giveSpare(this.#buffer);
    this.#buffer = NONE;
    this.#length = 0;
  }

  /** Whether something still waits here; if not, it is off the list. */
  get waits(): boolean {
    this.#listed = this.#length > 0 && !this.#life.closed;
    return this.#listed;
  }

  /** The event loop has come round. */
  turned(): void {
    if (this.waits) {
      if (this.#life.writing) this.#overdue = true;
      else this.flush();
    }
    this.#listed = false;
  }

  /** Resolves when everything sent so far was written, unless it never will be. */
  #allWritten(): Promise<void> {
    const written = this.#writer.idle().then(() => {
      if (this.#life.closed && this.#life.reason !== "completed") throw this.#life.refusal();
    });
    written.catch(() => {});
    return written;
  }

  #put<T>(encoder: Encoder<T>, frame: T): void {
    if (this.#buffer === NONE) this.#buffer = spare.pop() ?? new Uint8Array(BUFFER_SIZE);
    if (encoder.encodeInto !== undefined) {
      const room = this.#length === 0 ? this.#buffer : this.#buffer.subarray(this.#length);
      const n = encoder.encodeInto(frame, room);
      if (n !== null) {
        this.#length += n;
        return;
      }
    }
    const bytes = encoder.encode(frame);
    const length = this.#length + bytes.length;
    if (length > this.#buffer.length) this.#grow(length);
    this.#buffer.set(bytes, this.#length);
    this.#length = length;
  }

  #grow(length: number): void {
    const larger = new Uint8Array(Math.max(length, Math.min(2 * this.#buffer.length, HIGH_WATER)));
    larger.set(this.#buffer.subarray(0, this.#length));
    giveSpare(this.#buffer);
    this.#buffer = larger;
  }
}

const NONE = new Uint8Array(0);
const SENT: Promise<void> = Promise.resolve();

const spare: Uint8Array[] = [];
let waiting: Gatherer[] = [];

/** Larger ones were for one large reply, and are not kept. */
function giveSpare(buffer: Uint8Array): void {
  if (buffer.length === BUFFER_SIZE && spare.length < MAX_SPARE) spare.push(buffer);
}

/**
 * A handler that goes on to its next read flushes by itself, a few microtasks later. Only if it has
 * not by then is the event loop asked to come round, once for all connections: asked each time, it
 * would poll the kernel twice as often, which was a quarter of a small request.
 */
function waitAMoment(waited: number): void {
  if (waited < MOMENT) return queueMicrotask(() => waitAMoment(waited + 1));
  waiting = waiting.filter((gatherer) => gatherer.waits);
  if (waiting.length > 0) setImmediate(flushAll);
}

function flushAll(): void {
  const list = waiting;
  waiting = [];
  for (const gatherer of list) gatherer.turned();
}
