/** What has arrived but is not yet consumed? @module */

import { FrameTooLargeError } from "../errors.ts";
import { checkNumber } from "../check.ts";
import { Cancellation, type ReadOptions } from "./cancellation.ts";
import type { Lifeline } from "./lifeline.ts";
import type { Decoder } from "../wire/codec/codec.ts";
import { rejected } from "./lifeline.ts";
import { Slab } from "./slab.ts";

/** Bytes that `readExactly` and `peek` wait for at most. */
const EXACT_LIMIT = 1_048_576;

/** Bytes of a record in any case: about what a string can be long. */
const LONGEST_RECORD = 2 ** 28;

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
 */
export interface RecordOptions extends ReadOptions {
  /**
   * Bytes of the record's content; more is a `FrameTooLargeError`, and nothing is taken. For
   * `readExactly` and `peek` it is 1 MiB unless given. Lines and what ends with a delimiter have at
   * most 256 MiB.
   *
   * @default {65_536}
   */
  limit?: number;
}

/** Somebody who has decoded more than he has given out. */
export interface Lookahead {
  /** Takes the bytes of what was given out, and no more. */
  stepBack(): void;
}

/** What ends an iteration over chunks. */
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** What comes of a chunk read. */
export type NextChunk = IteratorResult<Uint8Array<ArrayBuffer>, undefined>;

/**
 * Reads from a socket, in two ways.
 *
 * A plain `read(p)` is one `then` on the socket's own promise: every further microtask on that path
 * costs 1 to 5 % of an echo. A step of a loop is a promise more and no microtask, which costs nothing
 * that can be measured; that one can be settled while the socket's own goes on. Everything that may give up, or needs more than
 * one read, fills the slab: the raw read then belongs to nobody, goes on when its caller gives up,
 * and what it brings waits here for whoever reads next.
 */
export class ByteReader {
  readonly #life: Lifeline;
  readonly #slab = new Slab();
  /** What the pending read of a chunk, or into the slab, fills. */
  #room: Uint8Array<ArrayBuffer> | undefined;
  /** A raw read fills the slab, whether somebody waits for it or not. */
  #filling = false;
  /** Settle what a loop waits for: a chunk, or what {@linkcode #arrived} makes of a read. */
  #resolveStep: ((value: unknown) => void) | undefined;
  #rejectStep: ((error: unknown) => void) | undefined;
  #arrived: ((n: number | null) => unknown) | undefined;
  /** Who waits for a read into the slab, and whether that is a loop. */
  #waiter: PromiseWithResolvers<boolean> | undefined;
  #waiterLoops = false;
  /** Who has decoded ahead of what was given out, and must step back before anybody else reads. */
  lookahead: Lookahead | undefined;
  /** Made when first needed: most connections are read by iteration or by `read`, not by both. */
  #onRead: ((n: number | null) => number | null) | undefined;
  #onReadLost: ((error: unknown) => never) | undefined;

  constructor(life: Lifeline) {
    this.#life = life;
  }

  /** What has arrived and is not taken. */
  get buffered(): Uint8Array<ArrayBuffer> {
    return this.#slab.bytes;
  }

  /** Bytes that have arrived and are not taken. */
  get length(): number {
    return this.#slab.length;
  }

  /** Gives the first `n` bytes that have arrived to the caller, for ever. */
  take(n: number): Uint8Array<ArrayBuffer> {
    return this.#slab.take(n);
  }

  /** Resolves once no read is pending, whatever became of it. */
  async idle(): Promise<void> {
    while (this.#life.reading) await this.#life.handedRead?.catch(() => {});
  }

  /** Reads into `p`, as `Deno.Conn.read` does. */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    const life = this.#life;
    if (options !== undefined || this.#filling || this.#slab.length > 0) {
      return this.claim(() => this.#readBuffered(p, options));
    }
    if (p.length === 0) return Promise.resolve(0);
    if (life.reading || life.closed) return this.#refuse();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    const handed = life.socket.read(p).then(
      this.#onRead ??= (n) => this.#count(n),
      this.#onReadLost ??= (error) => this.#readLost(error),
    );
    life.handedRead = handed;
    return handed;
  }

  /** Reads the next chunk, as an iteration wants it. */
  next(): Promise<NextChunk> {
    const life = this.#life;
    if (this.#filling || this.#slab.length > 0) return this.claim(() => this.#nextBuffered());
    if (life.reading || life.closed) return this.#refuse();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    const room = this.#slab.chunkRoom();
    this.#room = room;
    const step = this.#beginStep<NextChunk>();
    life.socket.read(room).then(this.#onRoom, this.#onLost);
    return step;
  }

  /**
   * Ends a loop that waits, as if the stream were over; what the peer sends later waits for whoever
   * reads next. No loop waits while something is there for it.
   */
  endLoop(): void {
    const end = this.#resolveStep;
    if (end !== undefined) {
      this.#forgetStep();
      this.#filling = true;
      this.#life.reading = false;
      end(DONE);
    } else if (this.#waiterLoops) {
      this.#waiter?.resolve(false);
      this.#waiter = undefined;
    }
  }

  /** Reads `n` bytes, no more and no less; `null` at the end of the stream. */
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.claim(() => this.#readExactly(n, options));
  }

  /** Waits for `n` bytes and leaves them; fewer come only at the end of the stream. */
  peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.claim(() => this.#peek(n, options));
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

  /** Runs one reader at a time. Its rejection counts as handled. */
  claim<T>(read: () => Promise<T>): Promise<T> {
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    this.lookahead?.stepBack();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    const handed = this.#claimed(read);
    handed.catch(() => {});
    life.handedRead = handed;
    return handed;
  }

  /**
   * Only for who has claimed the reader: resolves when more has arrived, `false` at the end; for a
   * loop also when it is to end without one.
   */
  more(cancellation?: Cancellation, isLoop = false): Promise<boolean> {
    const life = this.#life;
    if (life.closed) return Promise.reject(life.refusal());
    if (life.peerFinished) return Promise.resolve(false);
    if (!this.#filling) this.#fill();
    const waiter = Promise.withResolvers<boolean>();
    this.#waiter = waiter;
    this.#waiterLoops = isLoop;
    if (cancellation !== undefined) {
      cancellation.onCancel = (error) => {
        this.#waiter = undefined;
        waiter.reject(error);
      };
    }
    return waiter.promise;
  }

  /** A raw read is pending that nobody waits for: it outlived the read that asked for it. */
  get filling(): boolean {
    return this.#filling;
  }

  /** No byte waits here, and none is being waited for. */
  get dry(): boolean {
    return !this.#filling && this.#slab.length === 0 && !this.#life.peerFinished;
  }

  /**
   * One read into the slab when it is dry, for a loop: `arrived` is to call {@linkcode filled} first,
   * and {@linkcode release} when it has what it wants. It does not throw.
   */
  fill<T>(arrived: (n: number | null) => T | Promise<T>): Promise<T> {
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    this.#filling = true;
    this.#room = this.#slab.room();
    this.#arrived = arrived;
    const step = this.#beginStep<T>();
    life.socket.read(this.#room).then(this.#onRoom, this.#onLost);
    return step;
  }

  /** Takes what a read into the slab has brought. */
  filled(n: number | null): void {
    const life = this.#life;
    this.#filling = false;
    if (n === null) life.peerFinished = true;
    else {
      life.bytesRead += n;
      life.movedAt = life.clock.now;
      this.#slab.arrived(this.#room!, n);
    }
  }

  /** The read that was claimed is over. */
  release(): void {
    this.#life.reading = false;
  }

  /** Has room made for `length` bytes in one piece. */
  reserve(length: number): void {
    this.#slab.reserve(length);
  }

  async #claimed<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read(); // what it throws at once is a rejection, too
    } finally {
      this.#life.reading = false;
    }
  }

  async #readBuffered(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    using cancellation = Cancellation.from(this.#life.clock, options);
    if (p.length === 0) return 0;
    if (this.#slab.length === 0 && !await this.more(cancellation)) return null;
    const n = Math.min(p.length, this.#slab.length);
    p.set(this.#slab.take(n));
    return n;
  }

  async #nextBuffered(): Promise<NextChunk> {
    if (this.#slab.length === 0 && !await this.more(undefined, true)) return DONE;
    return { done: false, value: this.#slab.take(this.#slab.length) };
  }

  async #readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    await this.#gather("read exactly", n, options);
    const { length } = this.#slab;
    if (length >= n) return this.#slab.take(n);
    if (length === 0) return null;
    throw unexpectedEof(`after ${length} of ${n} bytes`, this.#slab.bytes);
  }

  async #peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>> {
    await this.#gather("peek", n, options);
    const { bytes } = this.#slab;
    return bytes.length > n ? bytes.subarray(0, n) : bytes;
  }

  /** Waits until `n` bytes have arrived, or the stream has ended. */
  async #gather(verb: string, n: number, options: RecordOptions | undefined): Promise<void> {
    checkNumber(verb, "n", n, 0, Infinity, false);
    using cancellation = Cancellation.from(this.#life.clock, options, "limit");
    const { limit = EXACT_LIMIT } = options ?? {};
    checkNumber(verb, "limit", limit, 0, Infinity, true);
    // Before anything is waited for or reserved: the number is often what the peer has announced.
    if (n > limit) {
      const message = `Cannot ${verb} ${n} bytes: the option 'limit' is ${limit}`;
      throw new FrameTooLargeError(message, limit, n);
    }
    while (this.#slab.length < n) {
      this.#slab.reserve(n);
      if (!await this.more(cancellation)) return;
    }
  }

  async #readFrame<T>(
    what: string,
    options: RecordOptions | undefined,
    decoder: Decoder<T>,
  ): Promise<T | null> {
    using cancellation = Cancellation.from(this.#life.clock, options, "limit");
    for (let seen = 0, asked = decoder;;) {
      const { bytes } = this.#slab;
      // Never told of the end: these records end with what ends them, and with nothing else.
      const decoded = bytes.length > 0 ? asked.decode(bytes, seen, false) : null;
      if (decoded !== null && "taken" in decoded) {
        this.#slab.take(decoded.taken);
        return decoded.frame!;
      }
      seen = bytes.length;
      if (decoded?.next !== undefined) {
        // It remembers what it has seen, in its own way.
        asked = decoded.next;
        seen = 0;
      }
      if (!await this.more(cancellation)) {
        if (bytes.length === 0) return null;
        throw unexpectedEof(`inside ${what}, after ${bytes.length} bytes of it`, bytes);
      }
    }
  }

  #fill(): void {
    this.#filling = true;
    this.#room = this.#slab.room();
    this.#life.socket.read(this.#room).then(this.#onRoom, this.#onLost);
  }

  /** A raw read has brought something. */
  readonly #onRoom = (n: number | null): void => {
    const resolve = this.#resolveStep;
    if (resolve === undefined) {
      this.filled(n);
      this.#waiter?.resolve(n !== null);
      this.#waiter = undefined;
      return;
    }
    const arrived = this.#arrived;
    if (arrived === undefined) return this.#giveChunk(resolve, n);
    this.#forgetStep();
    resolve(arrived(n));
  };

  /** A raw read has failed. */
  readonly #onLost = (error: unknown): void => {
    this.#filling = false;
    const told = this.#life.failed(error);
    if (this.#rejectStep === undefined) this.#waiter?.reject(told);
    else {
      this.#life.reading = false;
      this.#life.handedRead?.catch(() => {});
      this.#rejectStep(told);
    }
    this.#waiter = undefined;
    this.#forgetStep();
  };

  #readLost(error: unknown): never {
    const life = this.#life;
    life.reading = false;
    return life.fail(life.handedRead, error);
  }

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

  #giveChunk(resolve: (value: unknown) => void, n: number | null): void {
    const room = this.#room!;
    const reject = this.#rejectStep!;
    this.#room = undefined;
    this.#forgetStep();
    if (this.#count(n) === null) {
      this.#slab.free();
      return resolve(DONE);
    }
    try {
      resolve({ done: false, value: this.#slab.chunk(room, n!) });
    } catch (error) {
      // The handler has transferred the memory away while it was being read into: there is a gap in
      // the stream now, and that is the handler's fault.
      this.#life.settle("handler_error", error);
      this.#life.close();
      this.#life.handedRead?.catch(() => {});
      reject(error);
    }
  }

  #beginStep<T>(): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#resolveStep = resolve as (value: unknown) => void;
    this.#rejectStep = reject;
    this.#life.handedRead = promise;
    return promise;
  }

  #forgetStep(): void {
    this.#resolveStep = this.#rejectStep = this.#arrived = undefined;
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
