/** Holds memory that is read into again and again, for chunks that are only borrowed. @module */

import { ReadSize } from "./read_size.ts";
import { Rooms } from "./rooms.ts";
import type { ChunkMemory } from "./slab.ts";

/** Bytes of the buffer that a connection waits on before the peer has sent anything. */
const FIRST = 512;

/** What tests find in a chunk that is no longer lent. */
const POISON = 0xdb;

type Room = Uint8Array<ArrayBuffer>;

/**
 * One room of one connection, as large as what is expected and kept as long as that fits: a message
 * costs no memory at all. No other connection ever gets it, so nothing crosses through what a handler
 * keeps of a chunk.
 */
export class ReusedRoom implements ChunkMemory {
  readonly #rooms: Rooms;
  readonly #size: ReadSize;
  #room: Room = NO_ROOM;
  /** Bytes of it that are counted. */
  #counted = 0;
  /** The chunk that is lent; the next of its length is the same object. */
  #chunk: Room = NO_ROOM;
  /** It is of memory of its own, which was read into behind a full room. */
  #isApart = false;
  readonly #poisons: boolean;

  /**
   * @param rooms What counts the memory of all connections.
   * @param size What the connection's reads bring.
   * @param poisons Whether a chunk is written over when the next one is asked for, for tests.
   */
  constructor(rooms: Rooms, size: ReadSize, poisons: boolean) {
    this.#rooms = rooms;
    this.#size = size;
    this.#poisons = poisons;
  }

  /** Bytes of its memory that count as occupied. */
  get occupied(): number {
    return Rooms.counted(this.#counted);
  }

  /** The chunk given out last is no longer lent. */
  takeBack(): void {
    if (this.#poisons) this.#chunk.fill(POISON);
    if (!this.#isApart) return;
    // It takes the place of the room that was too small.
    const { buffer } = this.#chunk;
    this.#replace(0);
    if (buffer.detached) return;
    this.#rooms.replace(0, buffer.byteLength);
    this.#counted = buffer.byteLength;
    this.#room = new Uint8Array(buffer);
  }

  chunkRoom(): Room {
    const { length } = this.#room;
    const { expected } = this.#size;
    const size = expected < FIRST ? FIRST : this.#rooms.waitSize(expected);
    // A large one stays as long as a large one is wanted at all: a stream comes in parts of any size.
    const most = size > Rooms.IDLE ? ReadSize.MOST : Math.min(2 * size, Rooms.IDLE);
    if (length < Math.min(expected, size) || length > most) this.#replace(size);
    return this.#room;
  }

  chunk(room: Room, n: number): Room {
    if (room.length === 0 && n > 0) throw transferredAway();
    this.#size.learn(n, n === room.length);
    const isOwn = room === this.#room;
    if (isOwn && !this.#isApart && this.#chunk.length === n) return this.#chunk;
    this.#isApart = !isOwn;
    return this.#chunk = n === room.length ? room : room.subarray(0, n);
  }

  larger(room: Room): Room | undefined {
    return room.length === 0 ? undefined : this.#rooms.larger(room, this.#size.expected, true);
  }

  /** Forgets the memory: nothing more will come, and nothing is lent. */
  free(): void {
    this.takeBack();
    this.#replace(0);
  }

  /** Forgets the memory, of which a chunk may be in use: the connection is closed. */
  close(): void {
    this.#rooms.replace(this.#counted, 0);
    this.#counted = 0;
    this.#room = this.#chunk = NO_ROOM;
    this.#isApart = false;
  }

  #replace(size: number): void {
    this.#rooms.replace(this.#counted, size);
    this.#counted = size;
    if (this.#room !== NO_ROOM) Rooms.free(this.#room.buffer);
    this.#room = size === 0 ? NO_ROOM : new Uint8Array(size);
    this.#chunk = NO_ROOM;
    this.#isApart = false;
  }
}

function transferredAway(): TypeError {
  return new TypeError("Cannot read on: the borrowed memory was transferred away; transfer copies");
}

const NO_ROOM = new Uint8Array(0);
