/** Holds encoded frames until they leave in one write. @module */

import { encodeAt, type PlacingEncoder } from "../wire/codec/encode_at.ts";
import type { Rooms } from "./rooms.ts";

/** Bytes of a room for frames. Most replies to one read fit; larger ones grow it. */
const ROOM_SIZE = 16384;

/** Bytes that an encoder is offered first: all that it may have written to must be wiped. */
const FIRST_OFFER = 1024;

/** Bytes up to which a room doubles when it grows; what is larger is made to measure. */
const MOST_DOUBLED = 65536;

/** Rooms that are kept for the next connection that sends a frame. */
const MAX_SPARE = 64;

/** Frames of one connection, encoded. It borrows a room while it holds something: an idle one has none. */
export class FrameBuffer {
  readonly #rooms: Rooms;
  #room: Room | undefined;
  #length = 0;
  /** The room whose bytes are being written. */
  #leaving: Room | undefined;

  /** @param rooms What counts the memory of the connection's server. */
  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that it occupies. */
  get occupied(): number {
    return (this.#room?.bytes.length ?? 0) + (this.#leaving?.bytes.length ?? 0);
  }

  /** What was given out is being written. */
  get isLeaving(): boolean {
    return this.#leaving !== undefined;
  }

  /** Adds a frame. An encoder that throws leaves no byte of it. */
  put<T>(encoder: PlacingEncoder<T>, frame: T): void {
    try {
      this.#length = this.#encode(this.#room ??= this.#take(ROOM_SIZE), encoder, frame);
    } catch (error) {
      if (this.#length === 0) this.clear();
      throw error;
    }
  }

  /** Gives out everything, to be written now; {@linkcode written} makes the room free again. */
  leave(): Uint8Array {
    const room = this.#room!;
    const bytes = room.bytes.subarray(0, this.#length);
    // With one on its way already, which is rare, this one is left to the garbage collector.
    if (this.#leaving !== undefined) this.#forget(room);
    else this.#leaving = room;
    this.#room = undefined;
    this.#length = 0;
    return bytes;
  }

  /**
   * Gives out everything, to stand in a queue. There a whole room for a few frames would be a thousand
   * times what the queue counts, so it is a copy unless the room is half full.
   */
  leaveLater(): Uint8Array {
    const room = this.#room!;
    const leaving = room.bytes.subarray(0, this.#length);
    if (2 * leaving.length > room.bytes.length) { // whose bytes are the queue's now
      this.#forget(room);
      this.#room = undefined;
    }
    const left = this.#room === undefined ? leaving : leaving.slice();
    this.clear();
    return left;
  }

  /** What was given out is written. */
  written(): void {
    if (this.#leaving === undefined) return;
    this.#keep(this.#leaving);
    this.#leaving = undefined;
  }

  /** Forgets every frame. */
  clear(): void {
    if (this.#room !== undefined) this.#keep(this.#room);
    this.#room = undefined;
    this.#length = 0;
  }

  /** Forgets everything; what is being written cannot be written to again. */
  close(): void {
    this.clear();
    if (this.#leaving !== undefined) this.#forget(this.#leaving);
    this.#leaving = undefined;
  }

  /** Encodes a frame behind the others; what they are long together. */
  #encode<T>(room: Room, encoder: PlacingEncoder<T>, frame: T): number {
    const at = this.#length;
    const placed = encoder[encodeAt]?.(frame, room.bytes, at) ?? null;
    if (placed !== null) return room.touch(at + placed);
    if (encoder.encodeInto !== undefined) {
      let offered = room.offer(at, FIRST_OFFER);
      let n = encoder.encodeInto(frame, offered);
      if (n === null && at + FIRST_OFFER < room.bytes.length) {
        offered = room.offer(at, room.bytes.length);
        n = encoder.encodeInto(frame, offered);
      }
      if (n !== null) {
        // A whole number from 0 to the length of what was offered.
        if (n >>> 0 !== n || n > offered.length) throw countsWrongly(n, offered);
        return at + n;
      }
    }
    const bytes = encoder.encode(frame);
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError("Cannot send a frame whose codec gives no bytes: use a Uint8Array");
    }
    const length = at + bytes.length;
    if (length > room.bytes.length) room = this.#grow(room, length);
    room.bytes.set(bytes, at);
    return room.touch(length);
  }

  #grow(room: Room, length: number): Room {
    const doubled = Math.min(2 * room.bytes.length, MOST_DOUBLED);
    const larger = this.#take(Math.max(length, doubled));
    larger.bytes.set(room.bytes.subarray(0, larger.touch(this.#length)));
    this.#keep(room);
    return this.#room = larger;
  }

  #take(size: number): Room {
    const room = (size === ROOM_SIZE ? spare.pop() : undefined) ?? new Room(size);
    this.#rooms.take(size);
    return room;
  }

  #keep(room: Room): void {
    this.#forget(room);
    room.keep();
  }

  #forget(room: Room): void {
    this.#rooms.give(room.bytes.length);
  }
}

/** Memory that frames are encoded into, and how far that may have been written to. */
class Room {
  readonly bytes: Uint8Array;
  #touched = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** At most `length` bytes from `at` on, to be written to. */
  offer(at: number, length: number): Uint8Array {
    return this.bytes.subarray(at, this.touch(at + length));
  }

  /** Notes that what is before `end` may have been written to; returns `end`. */
  touch(end: number): number {
    if (end > this.#touched) this.#touched = end;
    return end;
  }

  /**
   * Keeps it for the next connection, wiped: an encoder that counts wrongly would send what is left in it
   * to another peer. One that grew was for a large reply, and is not kept.
   */
  keep(): void {
    if (this.bytes.length !== ROOM_SIZE || spare.length >= MAX_SPARE) return;
    this.bytes.fill(0, 0, this.#touched);
    this.#touched = 0;
    spare.push(this);
  }
}

const spare: Room[] = [];

function countsWrongly(n: number, room: Uint8Array): RangeError {
  return new RangeError(
    `Cannot send a frame of ${n} bytes: 'encodeInto' is to return how many it has written into ` +
      `${room.length}, or null`,
  );
}
