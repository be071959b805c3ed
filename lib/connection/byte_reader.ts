/** Hands what arrives on a socket to one reader at a time. @module */

import { FrameTooLargeError } from "../errors.ts";
import { checkBoolean, checkNumber, checkTime } from "../check.ts";
import { Cancellation, type ReadOptions } from "./cancellation.ts";
import type { Decoder } from "../wire/codec/codec.ts";
import { type Lifeline, rejected } from "./lifeline.ts";
import { Rooms } from "./rooms.ts";
import { ReadSize } from "./read_size.ts";
import { ReusedRoom } from "./reused_room.ts";
import { type ChunkMemory, Slab } from "./slab.ts";
import { type Arrived, type ReadAhead, Unframer } from "./unframer.ts";

/** Options of a record beside those of every read. */
const RECORD_KEYS = ["limit", "frameTimeout", "required"];

/** Bytes of a record unless the caller says otherwise: all that a peer can make a read hold. */
const RECORD_LIMIT = 65_536;

/** Bytes of a line, or of what a delimiter ends, in any case: about what a string can be long. */
const LONGEST_RECORD = 2 ** 28;

/**
 * Reads in a row that may bring nothing before the socket counts as broken. Kernels have none; a
 * custom socket that brings nothing at once, again and again, would keep the whole process busy.
 */
const MOST_EMPTY_READS = 100;

/**
 * How long to wait for a record, and how large it may be.
 *
 * @example A length, and then as many bytes
 * ```ts
 * import { connection, type RecordOptions, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: RecordOptions = { limit: 256, timeout: 5_000 };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const length = await conn.readExactly(1);
 *   const name = await conn.readExactly(length![0]!, options);
 *   await conn.write(name!);
 * });
 *
 * await using client = connection(await Deno.connect({ port: server.addr.port }));
 * await client.write(new Uint8Array([3, 65, 100, 97]));
 * assertEquals(new TextDecoder().decode((await client.readExactly(3))!), "Ada");
 * ```
 *
 * @category Connections
 */
export interface RecordOptions extends ReadOptions {
  /**
   * Bytes of the record's content; more is a `FrameTooLargeError`, and nothing is taken. Lines and
   * what ends with a delimiter have at most 256 MiB.
   *
   * @default {65_536}
   */
  limit?: number;
  /**
   * Ms within which a record that has begun must be complete, counted while a read waits for it;
   * otherwise the connection is closed (`frame_timeout`). The option of that name of `serve()` or
   * `connection()` unless given; `Infinity` for no such limit.
   */
  frameTimeout?: number;
  /**
   * Whether a stream that ends before the record begins is an error, too: `Deno.errors.UnexpectedEof`
   * in place of `null`, and of fewer bytes from `peek()`.
   *
   * @default {false}
   */
  required?: boolean;
}

/** Ms that reads have waited for the rest of a record, or a frame, that has begun. */
interface Begun {
  waited: number;
}

/** What ends an iteration over chunks. */
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What comes of a chunk read. */
export type NextChunk = IteratorResult<Uint8Array<ArrayBuffer>, undefined>;

/** A loop that makes its results out of bytes in the reader's memory. */
export interface ArrivalLoop<T> {
  /**
   * More has arrived, or the stream has ended.
   *
   * @returns The loop's result; `undefined` if it has to wait for something else first. What it
   * throws counts as that.
   */
  arrived(): T | undefined;
  /** Waits for a result, as the one reader that may. */
  resume(): Promise<T>;
}

/**
 * The raw read into the reader's memory that is pending, if one is, and what its end resumes:
 *
 * | `by` | what waits | when bytes have come |
 * |---|---|---|
 * | `none` | no raw read is pending | |
 * | `orphan` | nothing: what asked for it gave up | they stay for the next read |
 * | `chunk` | an iteration over chunks | they are the chunk that its `step` gets, unless the room is full |
 * | `rest` | the same, for what may follow a full room | the chunk is what filled the room, and they |
 * | `frames` | an iteration over frames, for the first byte | its `loop` makes the result of its `step` |
 * | `more` | a read that needs more than one arrival | its `step` is resolved, and it looks again |
 *
 * One object for each reader, reused by every read: an object for each read would be 2 % of an echo.
 */
interface PendingRead {
  by: "none" | "orphan" | "chunk" | "rest" | "frames" | "more";
  /** What waits is an iteration between two of its results: it ends when the server stops. */
  isBetween: boolean;
  /** What the kernel fills, from `filled` on. */
  room: Uint8Array<ArrayBuffer>;
  filled: number;
  /** The room was granted before anything has come for it: one of few. */
  isLarge: boolean;
  /** Bytes of the room that no memory counts. */
  counted: number;
  memory: ChunkMemory;
  /** Resolves the step; while an iteration waits, that is what `handedRead` of the lifeline is. */
  resolve: Resolve | undefined;
  loop: ArrivalLoop<unknown> | undefined;
}

/**
 * Reads from a socket, in two ways.
 *
 * A plain `read(p)` is one `then` on the socket's own promise: every further microtask on that path
 * costs 1 to 5 % of an echo. Everything else fills the reader's own memory, as its
 * {@linkcode PendingRead} says. Such a raw read goes on when its caller gives up, and what it brings
 * waits here for the next read.
 */
export class ByteReader implements Arrived {
  readonly #life: Lifeline;
  /** What counts the memory of all connections of the server. */
  readonly rooms: Rooms;
  readonly #size = new ReadSize();
  readonly #slab: Slab;
  /** Made when chunks are first borrowed. */
  #reused: ReusedRoom | undefined;
  readonly #pending: PendingRead;
  /** What has decoded ahead of its consumer, and must rewind before anything else reads. */
  readAhead: ReadAhead | undefined;
  /** Reads in a row that brought nothing, and how many bytes had come before them. */
  #emptyReads = 0;
  #emptyAt = 0;
  #endsLoops = false;
  /** The record of which a part has arrived, and where in the stream it begins. */
  #record: Begun & { readonly at: number } | undefined;
  /** Made when first needed: most connections are read by iteration or by `read`, not by both. */
  #onRead: ((n: number | null) => number | null) | undefined;
  #onReadFailed: ((error: unknown) => never) | undefined;

  /**
   * @param life What is known of the socket.
   * @param rooms What counts the memory of all connections of the server.
   */
  constructor(life: Lifeline, rooms: Rooms) {
    this.#life = life;
    this.rooms = rooms;
    this.#slab = new Slab(rooms, this.#size);
    this.#pending = {
      by: "none",
      isBetween: false,
      room: NO_ROOM,
      filled: 0,
      isLarge: false,
      counted: 0,
      memory: this.#slab,
      resolve: undefined,
      loop: undefined,
    };
  }

  /** What has arrived and is not taken. */
  get buffered(): Uint8Array<ArrayBuffer> {
    return this.#slab.bytes;
  }

  /** Bytes that have arrived and are not taken. */
  get length(): number {
    return this.#slab.length;
  }

  /** Bytes of memory that count as occupied by this reader. */
  get occupied(): number {
    return this.#slab.occupied + (this.#reused?.occupied ?? 0) +
      Rooms.counted(this.#pending.counted);
  }

  /** Where in the stream the first of them stands. */
  get position(): number {
    return this.#life.bytesRead - this.#slab.length;
  }

  /** Gives the first `n` bytes that have arrived to the caller, indefinitely. */
  take(n: number): Uint8Array<ArrayBuffer> {
    return this.#slab.take(n);
  }

  /** Takes the first `n` bytes that have arrived, and keeps them for nothing. */
  drop(n: number): void {
    this.#slab.drop(n);
  }

  /** Takes back what was read last and reached nothing: the next read gets it. */
  putBack(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#life.closed && bytes.length > 0) this.#slab.arrived(bytes, bytes.length);
  }

  /** Has room made for `length` bytes in one piece. */
  reserve(length: number): void {
    this.#slab.reserve(length);
  }

  /** Resolves once no read is pending, whatever became of it. */
  async idle(): Promise<void> {
    while (this.#life.reading) await this.#life.handedRead?.catch(() => {});
  }

  /** Reads into `p`, as `Deno.Conn.read` does. */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    const life = this.#life;
    if (options !== undefined || !this.#isEmpty) return this.#readClaimed(p, options);
    if (p.length === 0) return Promise.resolve(0);
    if (life.reading || life.closed) return this.#refuse();
    this.#begin();
    const handed = life.socket.read(p).then(
      this.#onRead ??= (n) => this.#isStuck(n) ? this.#readFailed(stuck()) : this.#count(n),
      this.#onReadFailed ??= (error) => this.#readFailed(error),
    );
    life.handedRead = handed;
    return handed;
  }

  /** Reads the next chunk for an iteration: one that is its receiver's. */
  next(): Promise<NextChunk> {
    return this.#nextChunk(this.#slab, true);
  }

  /**
   * The same, but the chunk is only lent until the next one is asked for.
   *
   * @param isLoop Whether it ends when the server stops.
   */
  nextBorrowed(isLoop: boolean): Promise<NextChunk> {
    this.#reused ??= new ReusedRoom(
      this.rooms,
      this.#size,
      "poisonsBorrowed" in this.#life.socket,
    );
    this.#reused.takeBack();
    return this.#nextChunk(this.#reused, isLoop);
  }

  /**
   * Reads for a loop that makes results out of what arrives, once everything that has arrived is
   * taken.
   */
  nextOf<T>(loop: ArrivalLoop<T>): Promise<T> {
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    this.#begin();
    this.#pending.loop = loop;
    const step = this.#beginStep<T>("frames", true);
    this.#readIntoSlab();
    return step;
  }

  /**
   * Ends an iteration that waits between chunks or frames, as if the stream were over; what the peer
   * sends later waits for the next read. None waits while something is there for it.
   */
  endLoop(): void {
    if (this.#pending.isBetween) this.giveUp();
  }

  /** Ends every iteration at the next boundary between chunks or frames, whatever has arrived. */
  endLoops(): void {
    this.#endsLoops = true;
    this.readAhead?.rewind(); // a loop gives out what was decoded ahead without asking
    this.endLoop();
  }

  /** Iterations end instead of going on. */
  get endsLoops(): boolean {
    return this.#endsLoops && !this.#life.closed;
  }

  /** Ends what waits for the first bytes of something, as if the stream were over. */
  giveUp(): void {
    const { by, resolve } = this.#pending;
    if (by === "more") resolve!(false);
    else if (by === "chunk" || by === "frames") {
      this.#life.reading = false;
      resolve!(DONE);
    } else return;
    this.#orphan();
  }

  /** The connection is closed: its memory can go back to the pool. */
  closed(): void {
    // Thousands of them at once are not left to the garbage collector, while others need the memory.
    const { by } = this.#pending;
    const isUseless = by !== "chunk" && by !== "rest";
    this.#slab.close(isUseless && this.#life.reason === "memory_limit");
    this.#reused?.close();
  }

  /** Reads `n` bytes, no more and no less; `null` at the end of the stream. */
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.claim(() => this.#readExactly(n, options));
  }

  /** Waits for `n` bytes and leaves them; fewer come only at the end of the stream. */
  peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.claim(() => this.#peek(n, options));
  }

  /** Reads `n` bytes and keeps none of them. */
  skip(n: number, options?: ReadOptions): Promise<void> {
    return this.claim(async () => {
      checkNumber("skip", "n", n, 0, Infinity, false);
      using cancellation = Cancellation.from(this.#life.clock, options);
      for (let left = n; left > 0;) {
        if (this.#slab.length === 0 && !await this.more(cancellation)) {
          throw unexpectedEof(`after ${n - left} of ${n} bytes to skip`, this.#slab.bytes);
        }
        const taken = Math.min(left, this.#slab.length);
        this.#slab.drop(taken);
        left -= taken;
      }
    });
  }

  /** Reads one frame of what `decoderOf` makes of the limit; `null` at the end of the stream. */
  readFrame<T>(
    what: string,
    options: RecordOptions | undefined,
    decoderOf: (options: { limit?: number }) => Decoder<T>,
  ): Promise<T | null> {
    return this.claim(() => {
      const { limit } = options ?? {};
      if (limit === undefined) return this.#readFrame(what, options, decoderOf({}));
      checkNumber("read", "limit", limit, 1, Infinity, true);
      const decoder = decoderOf({ limit: Math.min(limit, LONGEST_RECORD) });
      return this.#readFrame(what, options, decoder);
    });
  }

  /** Runs `read` as the one reader that may be active. Its rejection counts as handled. */
  claim<T>(read: () => Promise<T>): Promise<T> {
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    this.readAhead?.rewind();
    this.#begin();
    const handed = this.#claimed(read);
    handed.catch(() => {});
    life.handedRead = handed;
    return handed;
  }

  /**
   * Only under a claim: resolves when more has arrived, with `false` at the end of the stream; between
   * two results of a loop also when that is to end without one.
   */
  more(cancellation?: Cancellation, isBetween = false): Promise<boolean> {
    const life = this.#life;
    const pending = this.#pending;
    if (life.closed) return Promise.reject(life.refusal());
    if (life.peerFinished) return Promise.resolve(false);
    const { promise, resolve, reject } = Promise.withResolvers<boolean>();
    const isOrphan = pending.by === "orphan";
    pending.by = "more";
    pending.isBetween = isBetween;
    pending.resolve = resolve as Resolve;
    if (!isOrphan) this.#readIntoSlab();
    if (cancellation !== undefined) {
      cancellation.onCancel = (error) => {
        if (pending.resolve === resolve) this.#orphan();
        reject(error);
      };
    }
    return promise;
  }

  /**
   * Only under a claim: waits for more of what has begun, as long as it may take in all. When the time is
   * over the connection ends.
   */
  async moreOf(
    begun: Begun,
    frameTimeout: number,
    cancellation: Cancellation | undefined,
  ): Promise<boolean> {
    const life = this.#life;
    const since = life.clock.now;
    life.frameDeadline = life.clock.deadline(frameTimeout - begun.waited);
    try {
      return await this.more(cancellation);
    } finally {
      life.frameDeadline = 0;
      begun.waited += life.clock.now - since;
    }
  }

  /** A raw read is pending that outlived the read which asked for it. */
  get filling(): boolean {
    return this.#pending.by === "orphan";
  }

  /** Nothing waits here, nothing is on its way here, and something may still come. */
  get dry(): boolean {
    return this.#isEmpty && !this.#life.peerFinished;
  }

  get #isEmpty(): boolean {
    return this.#pending.by !== "orphan" && this.#slab.length === 0;
  }

  /** A read begins. */
  #begin(): void {
    const life = this.#life;
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
  }

  async #claimed<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read(); // what it throws at once is a rejection, too
    } finally {
      this.#life.reading = false;
    }
  }

  /** Apart from `read`, where a closure would have every call allocate what the closure is to hold. */
  #readClaimed(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    return this.claim(() => this.#readBuffered(p, options));
  }

  async #readBuffered(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    using cancellation = Cancellation.from(this.#life.clock, options);
    if (p.length === 0) return 0;
    if (this.#slab.length === 0 && !await this.more(cancellation)) return null;
    const n = Math.min(p.length, this.#slab.length);
    p.set(this.#slab.bytes.subarray(0, n));
    this.#slab.drop(n);
    return n;
  }

  #nextChunk(memory: ChunkMemory, isBetween: boolean): Promise<NextChunk> {
    const life = this.#life;
    const pending = this.#pending;
    const isOrphan = pending.by === "orphan";
    if (isBetween && this.endsLoops) return Promise.resolve(DONE);
    if (
      this.#slab.length > 0 || life.reading || life.closed || isOrphan && pending.memory !== memory
    ) {
      return this.#nextClaimed(isBetween);
    }
    this.#begin();
    const step = this.#beginStep<NextChunk>("chunk", isBetween);
    if (!isOrphan) {
      pending.memory = memory;
      this.#readRaw(memory.chunkRoom());
    }
    return step;
  }

  #nextClaimed(isBetween: boolean): Promise<NextChunk> {
    return this.claim(() => this.#nextBuffered(isBetween));
  }

  async #nextBuffered(isBetween: boolean): Promise<NextChunk> {
    if (this.#slab.length === 0 && !await this.more(undefined, isBetween)) return DONE;
    return { done: false, value: this.#slab.take(this.#slab.length) };
  }

  async #readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    await this.#gather("read exactly", n, options);
    const { length } = this.#slab;
    if (length >= n) return this.#slab.take(n);
    if (length === 0 && options?.required !== true) return null;
    throw unexpectedEof(`after ${length} of ${n} bytes`, this.#slab.bytes);
  }

  async #peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>> {
    await this.#gather("peek", n, options);
    const bytes = this.#slab.show();
    if (bytes.length < n && options?.required === true) {
      throw unexpectedEof(`after ${bytes.length} of ${n} bytes`, bytes);
    }
    return bytes.length > n ? bytes.subarray(0, n) : bytes;
  }

  /** Waits until `n` bytes have arrived, or the stream has ended. */
  async #gather(verb: string, n: number, options: RecordOptions | undefined): Promise<void> {
    checkNumber(verb, "n", n, 0, Infinity, false);
    using cancellation = Cancellation.from(this.#life.clock, options, ...RECORD_KEYS);
    const { limit = RECORD_LIMIT } = options ?? {};
    checkNumber(verb, "limit", limit, 0, Infinity, true);
    // Before anything is waited for or reserved: the number is often what the peer has announced.
    if (n > limit) {
      const message = `Cannot ${verb} ${n} bytes: the option 'limit' is ${limit}`;
      throw new FrameTooLargeError(message, limit, n);
    }
    const frameTimeout = this.#frameTimeoutOf(options);
    while (this.#slab.length < n) {
      this.#slab.reserve(n);
      if (!await this.#moreOfRecord(frameTimeout, cancellation)) return;
    }
  }

  async #readFrame<T>(
    what: string,
    options: RecordOptions | undefined,
    decoder: Decoder<T>,
  ): Promise<T | null> {
    using cancellation = Cancellation.from(this.#life.clock, options, ...RECORD_KEYS);
    const frameTimeout = this.#frameTimeoutOf(options);
    const unframer = new Unframer(this, decoder, false);
    for (;;) {
      // The end is kept from it: a record ends with what ends it, and with nothing else.
      const record = unframer.next(false);
      if (record !== Unframer.NO_FRAME) return record;
      if (await this.#moreOfRecord(frameTimeout, cancellation)) continue;
      const { length } = this.#slab;
      if (length === 0) {
        if (options?.required !== true) return null;
        throw unexpectedEof(`before ${what}`, this.#slab.bytes);
      }
      throw unexpectedEof(`inside ${what}, after ${length} bytes of it`, this.#slab.bytes);
    }
  }

  #frameTimeoutOf(options: RecordOptions | undefined): number {
    const { frameTimeout = this.#life.limits.frameTimeout, required = false } = options ?? {};
    checkBoolean("read", "required", required);
    return checkTime("read", "frameTimeout", frameTimeout);
  }

  /** Waits for the first bytes of a record, or for more of one. */
  #moreOfRecord(frameTimeout: number, cancellation: Cancellation | undefined): Promise<boolean> {
    if (this.#slab.length === 0) return this.more(cancellation);
    const at = this.position;
    if (this.#record?.at !== at) this.#record = { at, waited: 0 };
    return this.moreOf(this.#record, frameTimeout, cancellation);
  }

  /** What an iteration waits for. */
  #beginStep<T>(by: "chunk" | "frames", isBetween: boolean): Promise<T> {
    const pending = this.#pending;
    const step = new Promise<T>(keepResolve);
    pending.by = by;
    pending.isBetween = isBetween;
    pending.resolve = resolveOfLast;
    resolveOfLast = undefined;
    this.#life.handedRead = step;
    return step;
  }

  /** Begins a raw read whose bytes wait here. */
  #readIntoSlab(): void {
    this.#pending.memory = this.#slab;
    this.#readRaw(this.#slab.room());
  }

  /** Begins a raw read into `room`, behind what fills the front of it. */
  #readRaw(room: Uint8Array<ArrayBuffer>, filled = 0): void {
    const pending = this.#pending;
    pending.room = room;
    pending.filled = filled;
    // Room for a record that has begun is at most as much as has come of it.
    if (room.length > Rooms.IDLE && this.#slab.length === 0) {
      pending.isLarge = true;
      this.rooms.largeWaits++;
    }
    const rest = filled === 0 ? room : room.subarray(filled);
    this.#life.socket.read(rest).then(this.#onRaw, this.#onRawFailed);
  }

  /** What asked for the raw read has given up; the raw read goes on. */
  #orphan(): void {
    const pending = this.#pending;
    pending.by = "orphan";
    pending.isBetween = false;
    pending.resolve = pending.loop = undefined;
  }

  /** The raw read is over. */
  #settle(): void {
    const pending = this.#pending;
    pending.by = "none";
    pending.isBetween = false;
    pending.room = NO_ROOM;
    pending.resolve = pending.loop = undefined;
    if (pending.isLarge) {
      pending.isLarge = false;
      this.rooms.largeWaits--;
    }
    if (pending.counted > 0) {
      this.rooms.replace(pending.counted, 0);
      pending.counted = 0;
    }
  }

  readonly #onRaw = (n: number | null): void => {
    if (this.#isStuck(n)) return this.#onRawFailed(stuck());
    const { by, room, filled, memory, resolve, loop } = this.#pending;
    this.#settle();
    if (by === "chunk" || by === "rest") return this.#giveChunk(resolve!, memory, room, filled, n);
    this.#keep(filled === 0 ? room : room.subarray(filled), n);
    if (by === "frames") this.#giveResult(resolve!, loop!);
    else resolve?.(n !== null);
  };

  readonly #onRawFailed = (error: unknown): void => {
    const { by, room, filled, memory, resolve } = this.#pending;
    this.#settle();
    const cause = this.#life.failed(error);
    if (by === "none" || by === "orphan") return;
    if (by !== "more") this.#life.reading = false;
    // What came before the failure is given out before it.
    if (by === "rest") resolve!({ done: false, value: memory.chunk(room, filled) });
    else this.#rejectStep(resolve!, cause);
  };

  /** The socket has brought nothing once too often. */
  #isStuck(n: number | null): boolean {
    if (n !== 0) return false;
    const { bytesRead } = this.#life;
    this.#emptyReads = this.#emptyAt === bytesRead ? this.#emptyReads + 1 : 1;
    this.#emptyAt = bytesRead;
    return this.#emptyReads > MOST_EMPTY_READS;
  }

  #readFailed(error: unknown): never {
    const life = this.#life;
    life.reading = false;
    return life.fail(life.handedRead, error);
  }

  /** A read that gives away what came is over. */
  #count(n: number | null): number | null {
    const life = this.#life;
    life.reading = false;
    if (n === null) {
      life.peerFinished = true;
      return null;
    }
    life.bytesRead += n;
    life.movedAt = life.clock.now;
    return n;
  }

  /** What came stays here. */
  #keep(room: Uint8Array<ArrayBuffer>, n: number | null): void {
    const life = this.#life;
    if (n === null) life.peerFinished = true;
    else if (!life.closed) {
      life.bytesRead += n;
      life.movedAt = life.clock.now;
      this.#slab.arrived(room, n);
    }
  }

  /** `n` bytes have come behind those that fill the front of the room. */
  #giveChunk(
    resolve: Resolve,
    memory: ChunkMemory,
    room: Uint8Array<ArrayBuffer>,
    filled: number,
    n: number | null,
  ): void {
    this.#count(n);
    if (n === null && filled === 0) {
      this.#slab.free();
      this.#reused?.free();
      return resolve(DONE);
    }
    const length = filled + (n ?? 0);
    if (length === room.length && n !== null && this.#readRest(resolve, memory, room, filled > 0)) {
      return;
    }
    try {
      const value = memory.chunk(room, length);
      // A room that was looked in, and of which too little was filled to give it away.
      if (filled > 0 && value.buffer !== room.buffer) Rooms.free(room.buffer);
      resolve({ done: false, value });
    } catch (error) {
      // The handler has transferred the memory away while it was being read into: there is a gap in
      // the stream now, and that is the handler's fault.
      this.#life.setReason("handler_error", error);
      this.#life.close();
      this.#rejectStep(resolve, error);
    }
  }

  /**
   * The room is full: whether more has arrived shows within a turn of the event loop, in which a read
   * of what is there settles. So a message that arrived as one becomes one chunk.
   *
   * @param isLookedIn Whether this room is one in which the rest was looked for.
   * @returns Whether there is a larger room to look in.
   */
  #readRest(
    resolve: Resolve,
    memory: ChunkMemory,
    room: Uint8Array<ArrayBuffer>,
    isLookedIn: boolean,
  ): boolean {
    const larger = memory.larger(room);
    if (larger === undefined) return false;
    const pending = this.#pending;
    this.#life.reading = true;
    pending.by = "rest";
    pending.resolve = resolve;
    pending.counted = larger.length;
    this.rooms.replace(0, larger.length);
    this.#readRaw(larger, room.length);
    setImmediate(() => {
      if (pending.by !== "rest" || pending.room !== larger) {
        // Nothing was given away of a room that was itself looked in, and all of it is in the larger one.
        if (isLookedIn) Rooms.free(room.buffer);
        return;
      }
      this.#orphan();
      pending.room = larger.subarray(room.length);
      pending.filled = 0;
      this.#life.reading = false;
      resolve({ done: false, value: memory.chunk(room, room.length) });
    });
    return true;
  }

  #giveResult(resolve: Resolve, loop: ArrivalLoop<unknown>): void {
    let result;
    try {
      result = loop.arrived();
    } catch {
      // It is thrown again by `resume()`, where it can be marked as handled.
    }
    if (result !== undefined) {
      this.#life.reading = false;
      resolve(result);
    } else {
      this.#life.handedRead!.catch(() => {});
      resolve(this.#claimed(() => loop.resume()));
    }
  }

  /** Its rejection counts as handled. */
  #rejectStep(resolve: Resolve, error: unknown): void {
    this.#life.handedRead!.catch(() => {});
    resolve(Promise.reject(error));
  }

  #refuse(): Promise<never> {
    return rejected(
      this.#life.closed
        ? this.#life.refusal()
        : new Deno.errors.Busy("Cannot read while another read is pending: await that one first"),
    );
  }
}

/** `partial` is what came of it; it is still there to be read. */
export function unexpectedEof(where: string, partial: Uint8Array): Deno.errors.UnexpectedEof {
  return Object.assign(new Deno.errors.UnexpectedEof(`The stream ended ${where}`), { partial });
}

function stuck(): Deno.errors.InvalidData {
  return new Deno.errors.InvalidData(
    `Cannot read: the socket gave no bytes ${MOST_EMPTY_READS + 1} times in a row`,
  );
}

type Resolve = (result: unknown) => void;

/**
 * Has `new Promise(keepResolve)` leave its function in `resolveOfLast`: `Promise.withResolvers()` allocates
 * 135 bytes more for each chunk. V8 does away with the second function, which nothing calls, only where the
 * executor is a constant.
 */
let resolveOfLast: Resolve | undefined;
const keepResolve = <T>(resolve: (result: T) => void): void => {
  resolveOfLast = resolve as Resolve;
};

const NO_ROOM = new Uint8Array(0);
