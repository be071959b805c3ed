/** Holds the memory that a connection is read into, and gives parts of it away. @module */

import { FreshMemory } from "./fresh_memory.ts";
import type { ReadSize } from "./read_size.ts";
import { Rooms } from "./rooms.ts";

/** Bytes of the buffer that a connection waits on before the peer has sent anything: enough for most requests. */
const FIRST = 512;

/**
 * Bytes of memory that small messages share, and that one of them which is kept keeps at most. At 64
 * bytes a quarter of it saves nothing measurable over 4 KiB.
 */
const SMALL = 1024;

/** Least room for a read behind a part of a record. */
const LEAST_ROOM = 256;

/** Room beyond several messages in one memory; with four, each stays within the bound of a kept one. */
const SHARED_SLACK = 200;

/** Least bytes that are reserved for a record that was announced. */
const LEAST_RESERVED = 4096;

/** Memory that chunks are read into. */
export interface ChunkMemory {
  /** Room for the next read. */
  chunkRoom(): Room;
  /** The chunk that the first `n` bytes of a room make. */
  chunk(room: Room, n: number): Room;
  /** A larger room that begins with what fills `room`, if that may be waited on. */
  larger(room: Room): Room | undefined;
}

type Room = Uint8Array<ArrayBuffer>;

/**
 * The memory behind a reader: filled from front to back and never rewritten once a part of it was
 * given away, so each part is its receiver's indefinitely. It is one of these:
 *
 * | state | bytes | what a read brings |
 * |---|---|---|
 * | silent | 512 | nothing has come yet |
 * | small messages | 1,024 | parts of it are given away: no copy, and one allocation for 4 to 13 messages |
 * | up to 4 KiB | 4 messages and some room | the same |
 * | up to 16 KiB | as many messages as 16 KiB hold, and some room | the same: at 16 KiB one for each |
 * | larger | one message and some room, if {@linkcode Rooms} has a wait left | given away when 7/8 full; otherwise copied out, and kept for the next |
 * | larger, none left | 512, and 16 KiB behind them once they are full | the same; 4,096 for what is decoded, as nothing looks behind that |
 * | part of a record | at most twice what has come of it | waits to be taken |
 *
 * What is allocated is about what arrives, as its price is that of clearing it and of collecting it: a
 * room of twice the message costs twice as much, and a copy within warm memory a tenth of that.
 *
 * What is small beside its memory is copied out, see {@linkcode owned}. The memory belongs to one
 * connection, so a receiver that transfers it away harms no other. What was given out before goes with
 * it, and so does what had arrived and was not taken, and what a read in progress brings: then this and
 * every later read of the connection is refused, as a stream with a gap in it is worse than none.
 */
export class Slab implements ChunkMemory {
  readonly #rooms: Rooms;
  readonly #size: ReadSize;
  #memory = NO_MEMORY;
  /** What lies between them has arrived and is not taken. */
  #start = 0;
  #end = 0;
  /** A part of the memory was given away. */
  #isGiven = false;
  /** Where the record that room was reserved for will end. */
  #due = 0;
  /** Bytes that the memory had when it was made: what is counted, also of memory transferred away. */
  #counted = 0;

  /**
   * @param rooms What counts the memory of all connections.
   * @param size What the connection's reads bring.
   */
  constructor(rooms: Rooms, size: ReadSize) {
    this.#rooms = rooms;
    this.#size = size;
  }

  /**
   * A part of some memory that may be kept: the part itself, or a copy where it is small beside the
   * memory. So a part keeps at most 4 times its size and 200 bytes, or 1 KiB.
   */
  static owned(part: Room): Room {
    return isSmallBeside(part.length, part.buffer.byteLength)
      ? FreshMemory.copyOf(part, part.length)
      : part;
  }

  /**
   * The same for several parts: those that are copied share memory, 1 KiB for as many as that holds. A
   * buffer for each was 280 ns for a part of 64 bytes, a share is 110.
   */
  static ownedAll(parts: readonly Room[]): Room[] {
    let left = parts.reduce((sum, { length }) => sum + length, 0);
    let memory = NO_MEMORY;
    let at = 0;
    return parts.map((part) => {
      const { length } = part;
      left -= length;
      if (!isSmallBeside(length, part.buffer.byteLength)) return part;
      if (at + length > memory.byteLength) {
        memory = new ArrayBuffer(Math.max(length, Math.min(length + left, SMALL)));
        at = 0;
      }
      const copy = new Uint8Array(memory, at, length);
      copy.set(part);
      at += length;
      return copy;
    });
  }

  /** Bytes of its memory that count as occupied. */
  get occupied(): number {
    return Rooms.counted(this.#counted);
  }

  /** Bytes that have arrived and are not taken. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** What has arrived and is not taken; it stays as it is indefinitely. */
  get bytes(): Room {
    this.#checkMemory();
    return new Uint8Array(this.#memory, this.#start, this.#end - this.#start);
  }

  /** Room for the next read whose bytes are given away whole; only while nothing waits here. */
  chunkRoom(): Room {
    const { byteLength } = this.#memory;
    const { expected } = this.#size;
    const left = byteLength - this.#end;
    const isTooLarge = byteLength > Rooms.IDLE
      ? this.#rooms.waitSize(expected) <= Rooms.IDLE
      : byteLength > 8 * expected + SMALL;
    if (left < expected || isTooLarge) {
      const size = this.#nextSize();
      if (isTooLarge || size > left) this.#replace(size);
    }
    return new Uint8Array(this.#memory, this.#end);
  }

  chunk(room: Room, n: number): Room {
    this.#isGiven = true;
    const full = n === room.length;
    if (room.length === 0 && n > 0) this.#lose(n);
    this.#size.learn(n, full);
    const { byteLength } = room.buffer;
    if (byteLength > Rooms.IDLE ? 8 * n < 7 * room.length : isSmallBeside(n, byteLength)) {
      // What is left of the room is read into again, as nothing of it was given away.
      return FreshMemory.copyOf(room, n);
    }
    if (room.buffer === this.#memory) {
      this.#start = this.#end += n;
      if (byteLength > Rooms.IDLE) this.#replace(0);
    }
    return full ? room : new Uint8Array(room.buffer, room.byteOffset, n);
  }

  larger(room: Room): Room | undefined {
    return room.length === 0 ? undefined : this.#rooms.larger(room, this.#size.expected, false);
  }

  /** Room behind what has arrived. */
  room(): Room {
    const { byteLength } = this.#memory;
    const { length } = this;
    const left = byteLength - this.#end;
    // What is reserved for a record is used to its end.
    const isReserved = this.#end < this.#due && this.#due <= byteLength;
    if (
      isReserved ? left < LEAST_ROOM : left < Math.max(this.#size.expected - length, LEAST_ROOM)
    ) {
      const size = this.#nextSize();
      const least = this.#size.expected > size ? LEAST_RESERVED : LEAST_ROOM;
      // Twice what is there: a long record must not be copied each time a little more of it comes.
      const larger = Math.max(size, 2 * length, length + least);
      if (length > 0 || larger > left) this.#move(larger);
    }
    return new Uint8Array(this.#memory, this.#end);
  }

  /** `n` bytes were read into `room` and wait to be taken. */
  arrived(room: Room, n: number): void {
    this.#size.learn(n, n === room.length);
    // No room is empty: this one was transferred away, with what was read into it.
    if (room.length === 0 && n > 0) this.#memory = room.buffer;
    // It is no room of this memory, or the memory was replaced since: by `reserve`, for a later read
    // than the one that asked for this room and gave up.
    if (room.buffer !== this.#memory && !this.#isLost) this.#copy(room.subarray(0, n));
    else this.#end += n;
  }

  /** Room for `length` bytes in one piece will be needed: makes some, as far as there is reason to. */
  reserve(length: number): void {
    this.#due = this.#start + length;
    const { byteLength } = this.#memory;
    const capacity = byteLength - this.#start;
    // Twice what is there and no more: a peer that announces a megabyte has not sent it yet.
    const twice = 2 * this.length;
    const size = Math.min(length, Math.max(twice, LEAST_RESERVED));
    if (capacity >= size) return;
    if (byteLength - this.#end < LEAST_ROOM) {
      // A reader that asks for a little more asks again and again.
      const isLittle = length < this.length + LEAST_ROOM;
      this.#move((isLittle ? Math.max(size, twice) : size) + LEAST_ROOM);
    } else if (2 * size >= 3 * capacity) {
      // What is there is copied to make much more room, not each time a little has come.
      this.#move(size + LEAST_ROOM);
    }
  }

  /** What has arrived and is not taken, for a caller that may keep it. */
  show(): Room {
    this.#isGiven = true;
    return this.bytes;
  }

  /** Gives the first `n` bytes away. */
  take(n: number): Room {
    this.#checkMemory();
    const taken = new Uint8Array(this.#memory, this.#start, n);
    this.drop(n);
    return Slab.owned(taken);
  }

  /** Takes the first `n` bytes, which nothing keeps. */
  drop(n: number): void {
    this.#isGiven = true; // a frame may be a part of them
    this.#start += n;
    // What a large record needed is not kept for the next one, which may never come.
    if (this.#start === this.#end && this.#memory.byteLength > Rooms.IDLE) this.#replace(0);
  }

  /** Forgets the memory: nothing more will come. */
  free(): void {
    if (this.length === 0) this.#replace(0);
  }

  /**
   * Forgets the memory, and what has arrived with it: the connection is closed.
   *
   * @param isUseless Nothing that is still being read is wanted.
   */
  close(isUseless = false): void {
    const memory = this.#memory;
    const isFree = isUseless && !this.#isGiven && memory !== NO_MEMORY;
    this.#replace(0);
    if (isFree) Rooms.free(memory);
  }

  /** Bytes of memory for the reads that come next, any of which may be kept. */
  #nextSize(): number {
    const { expected } = this.#size;
    if (this.#memory === NO_MEMORY && expected <= FIRST) return FIRST;
    if (expected <= LEAST_ROOM) return SMALL;
    const messages = Math.min(Math.floor(16_384 / expected), 4);
    return messages > 1 ? messages * expected + SHARED_SLACK : this.#rooms.waitSize(expected);
  }

  /** The memory was transferred away, and bytes with it. */
  get #isLost(): boolean {
    return this.#memory.byteLength === 0 && this.length > 0;
  }

  #checkMemory(): void {
    if (this.#memory.byteLength > 0) return;
    if (this.length > 0) throw transferredAway();
    this.#replace(0);
  }

  /** `n` bytes were read into memory that was transferred away meanwhile. */
  #lose(n: number): never {
    this.#replace(0);
    this.#end = n;
    throw transferredAway();
  }

  /** Other memory, with nothing in it. */
  #replace(size: number): void {
    this.#rooms.replace(this.#counted, size);
    this.#counted = size;
    this.#memory = size === 0 ? NO_MEMORY : FreshMemory.of(size);
    this.#start = this.#end = this.#due = 0;
    this.#isGiven = false;
  }

  #move(size: number): void {
    const { length } = this;
    const bytes = length > 0 ? this.bytes : undefined;
    const due = this.#due - this.#start;
    this.#replace(size);
    if (bytes !== undefined) new Uint8Array(this.#memory).set(bytes);
    this.#due = due;
    this.#end = length;
  }

  #copy(bytes: Room): void {
    if (this.#memory.byteLength - this.#end < bytes.length) {
      this.#move(2 * (this.length + bytes.length));
    }
    new Uint8Array(this.#memory).set(bytes, this.#end);
    this.#end += bytes.length;
  }
}

/** Whether `n` bytes are too few to keep memory of this size. */
function isSmallBeside(n: number, byteLength: number): boolean {
  return byteLength > SMALL && byteLength > 4 * n + SHARED_SLACK;
}

function transferredAway(): TypeError {
  return new TypeError(
    "Cannot read on: what had arrived was transferred away together with what was read before " +
      "it; transfer copies",
  );
}

const NO_MEMORY = new ArrayBuffer(0);
