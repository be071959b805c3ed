/** Holds the memory that a connection is read into. @module */

/** Bytes of a slab for a connection that has said little: what an idle one pins. */
const FIRST_SLAB = 512;

/** Bytes of a slab for a connection that goes on in small messages: fewer, larger allocations. */
const SMALL_SLAB = 4096;

/** Bytes of a slab once a read came back full: the messages are larger than was thought. */
const MEDIUM_SLAB = 16384;

/** Least room for a read into a small slab; less is left over, and more messages come in one piece. */
const LEAST_ROOM = 256;

/** Bytes of the largest slab that is kept when all of it was taken. */
const MOST_KEPT = MEDIUM_SLAB + LEAST_ROOM;

/**
 * Bytes to read at once once a medium slab was filled as well: a stream is flowing. 256 KiB carry it with
 * 15 to 20 % less CPU than 64 KiB.
 */
const STREAM_ROOM = 262144;

/** Stream buffers that are kept for whoever needs one next. */
const MAX_SPARE = 4;

/**
 * The memory behind a reader: a slab that is filled from front to back and never rewritten, so each
 * part that is given away is its receiver's for ever and none is copied. How large a slab is follows
 * what arrives. A stream is read into buffers that all connections share and nobody holds while he
 * waits.
 *
 * A slab belongs to one connection, so a receiver who transfers memory away harms no other. What was
 * given out before goes with it, and so does what had arrived and was not taken, and what a read in
 * progress brings: then this and every later read of the connection is refused, as a stream with a
 * gap in it is worse than none.
 */
export class Slab {
  #memory = NO_MEMORY;
  /** What lies between them has arrived and is not taken. */
  #start = 0;
  #end = 0;
  /** Least room for the next read. */
  #want = LEAST_ROOM;
  /** Where the record that room was reserved for will end. */
  #due = 0;
  #size = FIRST_SLAB;
  /** The next read is part of a stream. */
  #streaming = false;

  /** Bytes that have arrived and are not taken. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** What has arrived and is not taken; it stays as it is for ever. */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#checkMemory();
    return new Uint8Array(this.#memory, this.#start, this.#end - this.#start);
  }

  /** Room for the next read whose bytes are given away whole; only when nothing is waiting here. */
  chunkRoom(): Uint8Array<ArrayBuffer> {
    return this.#streaming ? spare.pop() ?? new Uint8Array(STREAM_ROOM) : this.room();
  }

  /** The chunk that `n` bytes read into `room` from {@linkcode chunkRoom} make. */
  chunk(room: Uint8Array<ArrayBuffer>, n: number): Uint8Array<ArrayBuffer> {
    return this.#streaming ? this.#cut(room, n) : this.#carve(room, n);
  }

  /** Room behind what has arrived. */
  room(): Uint8Array<ArrayBuffer> {
    const { byteLength } = this.#memory;
    // What is reserved for a record is used to its end.
    const isReserved = this.#end < this.#due && this.#due <= byteLength;
    if (byteLength - this.#end < (isReserved ? LEAST_ROOM : this.#want)) {
      // Twice what is there: a long record must not be copied each time a little more of it comes.
      this.#move(Math.max(this.#size, 2 * this.length, this.length + this.#want));
      if (this.#size === FIRST_SLAB) this.#size = SMALL_SLAB;
    }
    return new Uint8Array(this.#memory, this.#end);
  }

  /** `n` bytes were read into `room` and wait to be taken. */
  arrived(room: Uint8Array<ArrayBuffer>, n: number): void {
    // No room is empty: this one was transferred away, with what was read into it.
    if (room.length === 0 && n > 0) this.#memory = room.buffer;
    // The memory may have been replaced since: by `reserve`, for a later read than the one that
    // asked for this room and gave up.
    if (room.buffer !== this.#memory && !this.#isLost) this.#copy(room.subarray(0, n));
    else this.#end += n;
    this.#learn(n, n === room.length);
  }

  /** Room for `length` bytes in one piece will be needed: makes some, as far as there is reason to. */
  reserve(length: number): void {
    this.#due = this.#start + length;
    const { byteLength } = this.#memory;
    const capacity = byteLength - this.#start;
    // Twice what is there and no more: who announces a megabyte has not sent it yet.
    const twice = 2 * this.length;
    const size = Math.min(length, Math.max(twice, SMALL_SLAB));
    if (capacity >= size) return;
    if (byteLength - this.#end < this.#want) {
      // Who asks for a little more asks again and again.
      const isLittle = length < this.length + this.#want;
      this.#move((isLittle ? Math.max(size, twice) : size) + LEAST_ROOM);
    } else if (2 * size >= 3 * capacity) {
      // What is there is copied to make much more room, not each time a little has come.
      this.#move(size + LEAST_ROOM);
    }
  }

  /** Gives the first `n` bytes away. */
  take(n: number): Uint8Array<ArrayBuffer> {
    this.#checkMemory();
    const taken = new Uint8Array(this.#memory, this.#start, n);
    this.#start += n;
    // What a large record needed is not kept for the next one, which may never come.
    if (this.#start === this.#end && this.#memory.byteLength > MOST_KEPT) this.free();
    return taken;
  }

  /** Forgets the memory: nothing more will come. */
  free(): void {
    if (this.length > 0) return;
    this.#memory = NO_MEMORY;
    this.#start = this.#end = this.#due = 0;
  }

  /** The memory was transferred away, and bytes with it. */
  get #isLost(): boolean {
    return this.#memory.byteLength === 0 && this.length > 0;
  }

  #checkMemory(): void {
    if (this.#memory.byteLength > 0) return;
    if (this.length > 0) {
      throw new TypeError(
        "Cannot read on: what had arrived was transferred away together with what was read before " +
          "it; transfer copies",
      );
    }
    this.free();
  }

  #move(size: number): void {
    const memory = new ArrayBuffer(size);
    const { length } = this;
    if (length > 0) new Uint8Array(memory).set(this.bytes);
    this.#memory = memory;
    this.#due -= this.#start;
    this.#start = 0;
    this.#end = length;
  }

  #copy(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#memory.byteLength - this.#end < bytes.length) {
      this.#move(2 * (this.length + bytes.length));
    }
    new Uint8Array(this.#memory).set(bytes, this.#end);
    this.#end += bytes.length;
  }

  #learn(n: number, full: boolean): void {
    if (full) {
      this.#streaming = this.#size === MEDIUM_SLAB;
      this.#size = MEDIUM_SLAB;
    } else if (this.#size === MEDIUM_SLAB) {
      this.#streaming = false;
      // Twice the last message, so that the next one does not fill the room and look like a stream.
      this.#want = Math.min(Math.max(2 * n, LEAST_ROOM), MEDIUM_SLAB);
      if (n <= FIRST_SLAB) this.#size = SMALL_SLAB;
    }
  }

  /** The chunk is a part of the slab. */
  #carve(room: Uint8Array<ArrayBuffer>, n: number): Uint8Array<ArrayBuffer> {
    const full = n === room.length;
    this.#end += n;
    if (room.length === 0 && n > 0) this.#checkMemory();
    this.#start = this.#end;
    if (full || this.#size === MEDIUM_SLAB) this.#learn(n, full);
    return full ? room : new Uint8Array(this.#memory, room.byteOffset, n);
  }

  /** The chunk is what came into a shared buffer: the buffer itself if most of it was filled. */
  #cut(room: Uint8Array<ArrayBuffer>, n: number): Uint8Array<ArrayBuffer> {
    if (n === room.length) return room;
    // The stream ran dry, for now or for ever: waiting is done on little.
    this.#streaming = false;
    this.#size = FIRST_SLAB;
    this.#want = LEAST_ROOM;
    this.free();
    if (n >= STREAM_ROOM / 2) return room.subarray(0, n);
    const chunk = room.slice(0, n);
    if (spare.length < MAX_SPARE) spare.push(room);
    return chunk;
  }
}

const NO_MEMORY = new ArrayBuffer(0);
const spare: Uint8Array<ArrayBuffer>[] = [];
