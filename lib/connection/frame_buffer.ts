/** Holds encoded frames until they leave in one write. @module */

/** Bytes of a room for frames. Most replies to one read fit; larger ones grow it. */
const ROOM_SIZE = 16384;

/** Bytes up to which a room doubles when it grows; what is larger is made to measure. */
const MOST_DOUBLED = 65536;

/** Rooms that are kept for the next connection that sends a frame. */
const MAX_SPARE = 64;

/** What can put a frame into a room. */
export interface Encoder<T> {
  /** The bytes of a frame. */
  encode(frame: T): Uint8Array;
  /** Writes them to the front of `room`; how many, or `null` if they do not fit. */
  encodeInto?(frame: T, room: Uint8Array): number | null;
}

/** Frames of one connection, encoded. It borrows a room while it holds something: an idle one has none. */
export class FrameBuffer {
  #room: Uint8Array = EMPTY;
  #length = 0;
  /** The room whose bytes are being written. */
  #leaving: Uint8Array = EMPTY;

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  /** Adds a frame. An encoder that throws leaves no byte of it. */
  put<T>(encoder: Encoder<T>, frame: T): void {
    if (this.#room === EMPTY) this.#room = spare.pop() ?? new Uint8Array(ROOM_SIZE);
    try {
      this.#length += this.#encode(encoder, frame);
    } catch (error) {
      if (this.#length === 0) this.clear();
      throw error;
    }
  }

  /** Gives out everything, to be written now; {@linkcode written} makes the room free again. */
  leave(): Uint8Array {
    const bytes = this.#room.subarray(0, this.#length);
    // With one on its way already, which is rare, this one is left to the garbage collector.
    if (this.#leaving === EMPTY) this.#leaving = this.#room;
    this.#room = EMPTY;
    this.#length = 0;
    return bytes;
  }

  /**
   * Gives out everything, to stand in a queue. There a whole room for a few frames would be a thousand
   * times what the queue counts, so it is a copy unless the room is half full.
   */
  leaveLater(): Uint8Array {
    const bytes = this.#room.subarray(0, this.#length);
    if (2 * bytes.length > this.#room.length) {
      this.#room = EMPTY;
      this.#length = 0;
      return bytes;
    }
    const copy = bytes.slice();
    this.clear();
    return copy;
  }

  /** What was given out is written. */
  written(): void {
    if (this.#leaving !== EMPTY) keep(this.#leaving);
    this.#leaving = EMPTY;
  }

  /** Forgets every frame. */
  clear(): void {
    keep(this.#room);
    this.#room = EMPTY;
    this.#length = 0;
  }

  #encode<T>(encoder: Encoder<T>, frame: T): number {
    const at = this.#length;
    if (encoder.encodeInto !== undefined) {
      const room = at === 0 ? this.#room : this.#room.subarray(at);
      const n = encoder.encodeInto(frame, room);
      if (n !== null) return checkEncoded(n, room);
    }
    const bytes = encoder.encode(frame);
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError("Cannot send a frame whose codec gives no bytes: use a Uint8Array");
    }
    if (at + bytes.length > this.#room.length) this.#grow(at + bytes.length);
    this.#room.set(bytes, at);
    return bytes.length;
  }

  #grow(length: number): void {
    const doubled = Math.min(2 * this.#room.length, MOST_DOUBLED);
    const larger = new Uint8Array(Math.max(length, doubled));
    larger.set(this.#room.subarray(0, this.#length));
    keep(this.#room);
    this.#room = larger;
  }
}

const EMPTY = new Uint8Array(0);
const spare: Uint8Array[] = [];

/**
 * Keeps a room for the next connection; one that grew was for a large reply, and is not kept. All of it
 * is wiped, for a quarter of a microsecond: an encoder may have left bytes anywhere in it, and another
 * one that counts wrongly would send them to another peer.
 */
function keep(room: Uint8Array): void {
  if (room.length === ROOM_SIZE && spare.length < MAX_SPARE) spare.push(room.fill(0));
}

function checkEncoded(n: number, room: Uint8Array): number {
  if (Number.isInteger(n) && n >= 0 && n <= room.length) return n;
  throw new RangeError(
    `Cannot send a frame of ${n} bytes: 'encodeInto' is to return how many it has written into ` +
      `${room.length}, or null`,
  );
}
