/** Holds what waits behind the write in progress. @module */

import type { Rooms } from "./rooms.ts";
import { type SharedFrames, SharedRange } from "./shared_frames.ts";

/** Bytes up to which a write is copied into a room that it shares with its neighbours. */
const MOST_SHARED = 2048;

/** Bytes of the first room that a small write needs, and up to which it doubles as more come. */
const LEAST_ROOM = 512;
const MOST_ROOM = 16384;

/** Bytes that a promise, and what settles it, occupy beside the bytes written (measured: 450). */
export const OVERHEAD = 512;

/** The writes of one length in one turn, which are written at the same time: one promise serves all. */
interface Waiter extends PromiseWithResolvers<number> {
  readonly length: number;
}

/** What the writer does in one go: it writes bytes, or takes a step such as sending FIN. */
export class Turn {
  readonly step: (() => Promise<unknown>) | undefined;
  readonly #waiter: Waiter;
  /** Those of other lengths, in a room with more than one. */
  #others: Map<number, Waiter> | undefined;
  #room: Uint8Array;
  #length: number;
  readonly #isShared: boolean;
  /** What is to be written instead of the room, where other connections write the same. */
  readonly #range: SharedRange | undefined;
  /** The turn behind it. */
  next: Turn | undefined;
  /** Bytes that it is counted with. */
  counted = 0;

  constructor(work: Uint8Array | SharedRange | (() => Promise<unknown>)) {
    const bytes = work instanceof Uint8Array ? work : EMPTY;
    this.step = typeof work === "function" ? work : undefined;
    this.#range = work instanceof SharedRange ? work : undefined;
    this.#isShared = work === bytes && bytes.length <= MOST_SHARED;
    this.#waiter = waiter(bytes.length);
    this.#room = bytes;
    this.#length = bytes.length;
    if (this.#isShared) this.#reserve(LEAST_ROOM);
  }

  /** Bytes to be written. */
  get length(): number {
    return this.#range?.length ?? this.#length;
  }

  /** What is to be written. */
  get bytes(): Uint8Array {
    return this.#range?.bytes ?? this.#room.subarray(0, this.#length);
  }

  /** What the first write of it resolves. */
  get promise(): Promise<number> {
    return this.#waiter.promise;
  }

  /** Bytes that it is long and that it takes to hold it, about. */
  get size(): number {
    return this.length + OVERHEAD * (1 + (this.#others?.size ?? 0));
  }

  /** Bytes that it occupies itself, about: frames that others send, too, are counted once for all. */
  get occupied(): number {
    return this.#range === undefined ? this.size : OVERHEAD;
  }

  /** Copies `p` behind what it holds; `undefined` if it does not belong here, or does not fit. */
  share(p: Uint8Array): Promise<number> | undefined {
    const length = this.#length + p.length;
    if (!this.#isShared || p.length > MOST_SHARED || length > MOST_ROOM) return undefined;
    if (length > this.#room.length) this.#reserve(Math.max(length, 2 * this.#room.length));
    this.#room.set(p, this.#length);
    this.#length = length;
    return this.#waiterFor(p.length).promise;
  }

  /** Takes in frames that follow directly on its range; whether they do. */
  extend(frames: SharedFrames, from: number, to: number): boolean {
    return this.#range !== undefined && this.#range.extend(frames, from, to);
  }

  resolve(): void {
    this.#range?.release();
    this.#waiter.resolve(this.#waiter.length);
    this.#others?.forEach((waiter) => waiter.resolve(waiter.length));
  }

  reject(error: unknown): void {
    this.#range?.release();
    this.#waiter.reject(error);
    this.#others?.forEach((waiter) => waiter.reject(error));
  }

  #waiterFor(length: number): Waiter {
    if (this.#waiter.length === length) return this.#waiter;
    const others = this.#others ??= new Map();
    let other = others.get(length);
    if (other === undefined) others.set(length, other = waiter(length));
    return other;
  }

  #reserve(length: number): void {
    const room = new Uint8Array(Math.min(MOST_ROOM, Math.max(length, this.#length)));
    room.set(this.bytes);
    this.#room = room;
  }
}

/**
 * A line of turns. Small writes that come one after the other are copied into rooms: 1 MiB written
 * byte by byte takes 64 writes and 64 promises, where a promise for each took 447 MB.
 */
export class WriteQueue {
  readonly #rooms: Rooms;
  #first: Turn | undefined;
  #last: Turn | undefined;
  /** Bytes of all writes that wait. */
  length = 0;
  /** The same with what it takes to hold them. */
  size = 0;
  /** Bytes that all turns occupy which were not released, the one in progress included. */
  occupied = 0;

  /** @param rooms What counts the memory of the connection's server. */
  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  /** What settles when everything that waits has been written. */
  get promise(): Promise<unknown> | undefined {
    return this.#last?.promise;
  }

  /** Puts a write behind all others; resolves with its length. */
  add(p: Uint8Array): Promise<number> {
    this.length += p.length;
    const last = this.#last;
    if (last !== undefined) {
      const before = last.size;
      const shared = last.share(p);
      if (shared !== undefined) {
        this.size += last.size - before;
        this.#count(last);
        return shared;
      }
    }
    return this.#push(new Turn(p));
  }

  /** Puts frames that many connections send behind all others. */
  share(frames: SharedFrames, from: number, to: number): void {
    const length = to - from;
    this.length += length;
    if (this.#last?.extend(frames, from, to)) this.size += length;
    else this.#push(new Turn(new SharedRange(frames, from, to, this.#rooms)));
  }

  /** Puts a step behind all writes. */
  addStep(step: () => Promise<unknown>): Promise<unknown> {
    return this.#push(new Turn(step));
  }

  /** Takes the first turn out, which is counted until it is released. */
  take(): Turn | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.next;
    if (this.#first === undefined) this.#last = undefined;
    this.length -= first.length;
    this.size -= first.size;
    return first;
  }

  /** Rejects everything that waits, and forgets it. */
  reject(error: unknown): void {
    for (let turn; (turn = this.take()) !== undefined;) {
      turn.reject(error);
      this.release(turn);
    }
  }

  /** A turn is over; safe to call twice. */
  release(turn: Turn): void {
    this.#rooms.give(turn.counted);
    this.occupied -= turn.counted;
    turn.counted = 0;
  }

  #count(turn: Turn): void {
    const more = turn.occupied - turn.counted;
    turn.counted += more;
    this.occupied += more;
    this.#rooms.take(more);
  }

  #push(turn: Turn): Promise<number> {
    if (this.#last === undefined) this.#first = turn;
    else this.#last.next = turn;
    this.#last = turn;
    this.size += turn.size;
    this.#count(turn);
    return turn.promise;
  }
}

const EMPTY = new Uint8Array(0);

/** Its rejection counts as handled: an un-awaited write costs its connection, no more. */
function waiter(length: number): Waiter {
  const waiter = { length, ...Promise.withResolvers<number>() };
  waiter.promise.catch(() => {});
  return waiter;
}
