/** Counts the memory that the buffers of a server's connections occupy. @module */

import { FreshMemory } from "./fresh_memory.ts";
import { ReadSize } from "./read_size.ts";

/**
 * Reads that may wait on a large room at a time, in one server: 4 MiB at 64 KiB each, 16 MiB at most. A read cannot
 * be cancelled, so a peer that falls silent keeps the room it is awaited on. All reads beyond these wait
 * on little, and on more behind it once that is full.
 */
const MOST_LARGE_WAITS = 64;

/**
 * Reads beyond those that may wait on 64 KiB behind what is full, for chunks that are only lent: 4 MiB more.
 * Most find what has arrived already, so these few are enough for any number of streams: 512 echoes of 64 KiB
 * at once run at 0.6 of the plain loop's rate. Chunks that are their receiver's get 16 KiB, at a third of
 * that rate, since a loop that waits for the next one keeps the last.
 */
const MOST_LARGE_LOOKS = 64;

/** Room beyond what is expected, so that just that much does not look as if more were there. */
const SLACK = 256;

/**
 * Bytes to wait on where no large room may be waited on: the rest is read behind them. With 4 KiB and nothing
 * behind them, the echoes above ran at a fifth, and an idle connection held those 4 KiB.
 */
const FOREPART = 512;

/** Bytes of a room for a message of 64 KiB, so that its end shows. */
const LARGE = 65_536 + SLACK;

/** What each of the server's rooms is. */
type Room = Uint8Array<ArrayBuffer>;

/** What is called when buffers occupy more than they may. */
export interface Overflow {
  /** Must not end a connection before it returns: it is called in the midst of its work. */
  exceeded(): void;
}

/** The memory that buffers of the connections of one server occupy, as two numbers. */
export class Rooms {
  /**
   * Bytes of memory beyond what connections wait on when they are idle: to be read into, queued and
   * coalesced to be sent, and inside TLS.
   */
  occupied = 0;
  #most = Infinity;
  #overflow: Overflow | undefined;
  /** Reads that wait on more than that. */
  largeWaits = 0;

  /** Most bytes that a connection holds when it is idle: a message of 16 KiB fits, and shows its end. */
  static readonly IDLE = 16_640;

  /**
   * Frees memory that nothing else holds, at once: a collection may come seconds later, and the next
   * room would be made of cold memory (4.4 us for 64 KiB, 1 us where the last one was freed so).
   */
  static free(memory: ArrayBuffer): void {
    if (!memory.detached) memory.transfer(0);
  }

  /**
   * Bytes that a memory to be read into counts with: none if an idle connection may have it, else twice
   * its size. That is what is resident of it (measured: 2.2): what it has grown out of is there until it is
   * collected, and the allocator keeps some.
   */
  static counted(size: number): number {
    return size > Rooms.IDLE ? 2 * size : 0;
  }

  /** How many bytes may be occupied. */
  get most(): number {
    return this.#most;
  }

  /** Has `overflow` called whenever more than `most` bytes are occupied. */
  bound(most: number, overflow: Overflow): void {
    this.#most = most;
    this.#overflow = overflow;
  }

  /** Whether one more read may wait on a large room. */
  get mayWait(): boolean {
    return this.largeWaits < MOST_LARGE_WAITS;
  }

  /** Bytes to wait on for a read that is expected to bring so many. */
  waitSize(expected: number): number {
    const size = Math.min(expected + SLACK, ReadSize.MOST);
    return size <= Rooms.IDLE || this.mayWait ? size : FOREPART;
  }

  /**
   * A larger room that begins with what fills `room`, for what may have arrived behind it, as large as may
   * be waited on; none if that is no larger. A first message of a new size gets one after the other, each
   * a read and a copy; up to 256 KiB it is one chunk all the same.
   *
   * @param isLent Whether its receiver has the chunk only until the next one.
   */
  larger(room: Room, expected: number, isLent: boolean): Room | undefined {
    const most = this.#mostBehind(isLent);
    const size = expected > 2 * room.length
      ? Math.min(expected + SLACK, most)
      : STEPS.find((step) => step > room.length + SLACK);
    if (size === undefined || size > most || size <= room.length) return undefined;
    const larger = new Uint8Array(FreshMemory.of(size));
    larger.set(room);
    return larger;
  }

  #mostBehind(isLent: boolean): number {
    if (this.mayWait) return ReadSize.MOST;
    return isLent && this.largeWaits < MOST_LARGE_WAITS + MOST_LARGE_LOOKS ? LARGE : Rooms.IDLE;
  }

  /** Memory to be read into of `before` bytes is replaced by one of `after`; 0 is none. */
  replace(before: number, after: number): void {
    this.take(Rooms.counted(after) - Rooms.counted(before));
  }

  /** So many bytes more are occupied. */
  take(bytes: number): void {
    this.occupied += bytes;
    if (bytes > 0 && this.occupied > this.#most) this.#overflow!.exceeded();
  }

  /** So many bytes are free again. */
  give(bytes: number): void {
    this.occupied -= bytes;
  }
}

/** From a room that was filled to the next larger one. */
const STEPS = [Rooms.IDLE, LARGE, ReadSize.MOST];
