/** How does a connection speak in frames? @module */

import type { Codec, Decoded, Decoder, Need } from "../wire/codec/codec.ts";
import type { ByteReader, Lookahead } from "./byte_reader.ts";
import { Cancellation, type ReadOptions } from "./cancellation.ts";
import { checkKeys, checkNumber } from "../check.ts";
import type { Connection } from "./connection.ts";
import type { SocketConnection } from "./socket_connection.ts";
import { DEFAULT_FRAME_TIMEOUT } from "./limits.ts";
import type { Gatherer } from "./gatherer.ts";
import type { Lifeline } from "./lifeline.ts";
import { rejected } from "./lifeline.ts";
import { unexpectedEof } from "./byte_reader.ts";
import { connection } from "./wrap.ts";

/**
 * How a connection speaks in frames.
 *
 * @example Give up on a peer that does not finish what it began
 * ```ts
 * import { framed, type FramedOptions, lines, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: FramedOptions = { frameTimeout: 5_000 };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const name of framed(conn, lines(), options)) {
 *     await conn.write(new TextEncoder().encode(`Hello, ${name}`));
 *     break;
 *   }
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * await client.write(new TextEncoder().encode("Ada\n"));
 * assertEquals(await new Response(client.readable).text(), "Hello, Ada");
 * ```
 */
export interface FramedOptions {
  /**
   * Ms within which a frame that has begun must be complete, counted while somebody waits for it;
   * otherwise the connection is closed.
   *
   * @default {30_000}
   */
  frameTimeout?: number;
}

/**
 * A connection that is read and written in frames.
 *
 * @typeParam T What a frame is.
 *
 * @example Questions and answers
 * ```ts
 * import { type Framed, framed, lines, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * async function ask(peer: Framed<string>, question: string): Promise<string | null> {
 *   await peer.send(question);
 *   return await peer.read({ timeout: 5_000 });
 * }
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const peer = framed(conn, lines());
 *   for await (const question of peer) await peer.send(`${question}? No idea.`);
 * });
 *
 * const peer = framed(await Deno.connect({ port: server.addr.port }), lines());
 * assertEquals(await ask(peer, "Why"), "Why? No idea.");
 * peer.conn.close();
 * ```
 */
export interface Framed<T> extends AsyncIterable<T> {
  /** The connection itself; closing it is how a wrapped client is closed. */
  readonly conn: Connection;
  /**
   * The next frame, or `null` at the end of the stream.
   *
   * @throws {Deno.errors.UnexpectedEof} If the stream ends inside a frame.
   */
  read(options?: ReadOptions): Promise<T | null>;
  /**
   * Sends a frame behind everything sent before; it is written down when this returns, so what it is
   * made of may change then. Frames gather while there is something to read and
   * leave together: before the next read, at 64 KiB, and at the latest when the event loop comes
   * round.
   *
   * @returns Resolves when the frame is accepted; above 64 KiB gathered, when all of it is written.
   * @throws What the codec throws for a frame that it cannot encode, and what ended the connection.
   */
  send(frame: T): Promise<void>;
  /** Resolves when everything sent so far was written. */
  flush(): Promise<void>;
  /** The frames, ending with the stream. After `break` what follows the last frame is still there. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined>;
  /**
   * The same, several frames at once: all that have arrived, or as many of them as the codec decodes in
   * one go (`lines()` does 8 KiB). Never an empty array.
   */
  batches(): AsyncIterableIterator<T[], undefined>;
}

/** No frame has come; `null` may be one. */
const NONE = Symbol("none");

/** No frame will come any more. */
const END = Symbol("end");

type Result<T> = IteratorResult<T, undefined>;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * Lets a connection speak in frames: lines, length-prefixed messages, or a codec of your own.
 *
 * Frames that have arrived are given out without waiting; a loop over them ends with the stream, or,
 * when the stream ends inside a frame, throws `Deno.errors.UnexpectedEof`. What the peer sends wrongly
 * throws what the codec throws, and stays in the connection. Between frames, and after `break`,
 * everything behind the last frame given out can be read from the connection itself.
 *
 * @typeParam T What a frame is.
 * @param conn Any connection; one that no server holds is wrapped as {@linkcode connection} does.
 * @param codec How frames become bytes and back.
 * @param options Its timeout.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Answer every line in capitals
 * ```ts
 * import { framed, lines, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const messages = framed(conn, lines());
 *   for await (const line of messages) await messages.send(line.toUpperCase());
 * });
 *
 * const answers = framed(await Deno.connect({ port: server.addr.port }), lines());
 * await answers.send("hello");
 * assertEquals(await answers.read(), "HELLO");
 * await answers.conn.end();
 * ```
 */
export function framed<T>(
  conn: Deno.Conn,
  codec: Codec<T>,
  options: FramedOptions = {},
): Framed<T> {
  const verb = "frame a connection";
  checkKeys(verb, options, ["frameTimeout"]);
  const { frameTimeout = DEFAULT_FRAME_TIMEOUT } = options;
  checkNumber(verb, "frameTimeout", frameTimeout, 1, Infinity, true);
  return new FramedConnection(connection(conn) as SocketConnection, codec, frameTimeout);
}

/** Frames that were decoded in one go, of which the first `given` were given out. */
interface Ahead<T> {
  readonly frames: T[];
  readonly taken: number;
  readonly seen: number;
  given: number;
}

class FramedConnection<T> implements Framed<T>, Lookahead {
  readonly conn: Connection;
  readonly #life: Lifeline;
  readonly #reader: ByteReader;
  readonly #gatherer: Gatherer;
  readonly #codec: Codec<T>;
  readonly #frameTimeout: number;
  #decoder: Decoder<T>;
  /** The decoder to ask about what has arrived, if it is another one: it remembers those bytes. */
  #asked: Decoder<T> | undefined;
  #batch: Ahead<T> | undefined;
  /** Decode all that is there in one go: pays unless somebody reads between the frames. */
  #inBatches = true;
  /** Bytes at the front of what has arrived that hold no end of a frame, and where that is. */
  #seen = 0;
  #seenAt = 0;
  /** Bytes to throw away as they come: the rest of a frame that was skipped or cut. */
  #drop = 0;
  /** Bytes that must have arrived before the decoder is worth asking. */
  #need = 1;
  /** Ms for which somebody has waited for the rest of the frame that has begun. */
  #waited = 0;
  /** What the codec has thrown, which is final. */
  #failure: { readonly error: unknown } | undefined;

  constructor(conn: SocketConnection, codec: Codec<T>, frameTimeout: number) {
    this.conn = conn;
    this.#life = conn.life;
    this.#reader = conn.reader;
    this.#gatherer = conn.gatherer;
    this.#codec = codec;
    this.#decoder = codec;
    this.#frameTimeout = frameTimeout;
  }

  send(frame: T): Promise<void> {
    return this.#gatherer.send(this.#codec, frame) as Promise<void>;
  }

  flush(): Promise<void> {
    return this.#gatherer.flush() as Promise<void>;
  }

  read(options?: ReadOptions): Promise<T | null> {
    const batch = this.#batch;
    if (batch !== undefined && batch.given < batch.frames.length) {
      try {
        Cancellation.from(this.#life.clock, options)?.[Symbol.dispose]();
      } catch (error) {
        return rejected(error);
      }
      return Promise.resolve(batch.frames[batch.given++]!);
    }
    return this.#reader.claim(async () => {
      const frame = await this.#decode(options);
      return frame === END ? null : frame;
    });
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined> {
    return new Frames(() => {
      const batch = this.#batch;
      // The commonest case first, and without a promise more than it takes.
      if (batch !== undefined && batch.given < batch.frames.length) {
        return Promise.resolve({ done: false, value: batch.frames[batch.given++]! });
      }
      const reader = this.#reader;
      if (batch !== undefined) this.stepBack();
      if (!reader.dry || this.#begun) return reader.claim(this.#nextFrame);
      // Everything that has arrived is answered: now the answers leave, together. Whether they have
      // left is looked at when something new has come.
      if (this.#gatherer.length > 0) this.#gatherer.flush();
      return reader.fill(this.#arrived);
    });
  }

  batches(): AsyncIterableIterator<T[], undefined> {
    return new Frames(() => {
      const left = this.#batch?.frames.slice(this.#batch.given) ?? [];
      if (left.length === 0) return this.#reader.claim(this.#nextBatch);
      this.#batch!.given = this.#batch!.frames.length;
      return Promise.resolve({ done: false, value: left });
    });
  }

  readonly #arrived = (n: number | null): Result<T> | Promise<Result<T>> => {
    const reader = this.#reader;
    reader.filled(n);
    // A peer that does not take our answers gets no further ones made.
    if (n !== null && !this.#life.writing) {
      try {
        const found = this.#decodeArrived();
        if (found !== NONE) {
          reader.release();
          return { done: false, value: found };
        }
      } catch {
        // What a codec throws is kept, and thrown again below, where it can be marked as handled.
      }
    }
    this.#life.handedRead?.catch(() => {});
    return this.#resume();
  };

  /** Goes on where {@linkcode #arrived} could not: a part of a frame, an end, or a slow peer. */
  async #resume(): Promise<Result<T>> {
    try {
      await this.#gatherer.flush();
      return await this.#nextFrame();
    } finally {
      this.#reader.release();
    }
  }

  readonly #nextFrame = async (): Promise<Result<T>> => {
    const frame = await this.#decode(undefined, true);
    return frame === END ? DONE : { done: false, value: frame };
  };

  readonly #nextBatch = async (): Promise<IteratorResult<T[], undefined>> => {
    const frame = await this.#decode(undefined, true);
    if (frame === END) return DONE;
    const batch = this.#batch;
    if (batch === undefined) return { done: false, value: [frame, ...this.#complete()] };
    batch.given = batch.frames.length;
    return { done: false, value: batch.frames };
  };

  /** Every further frame that is there, one by one. */
  #complete(): T[] {
    const frames: T[] = [];
    try {
      for (let frame; (frame = this.#decodeArrived()) !== NONE;) {
        if (this.#batch !== undefined) {
          this.#batch.given = this.#batch.frames.length;
          return [...frames, ...this.#batch.frames];
        }
        frames.push(frame);
      }
    } catch {
      // It is kept, and thrown when the frames before it were given out.
    }
    return frames;
  }

  /** Somebody else is about to read: what follows the last frame given out is his. */
  stepBack(): void {
    const batch = this.#batch!;
    this.#batch = undefined;
    this.#reader.lookahead = undefined;
    if (batch.given === batch.frames.length) {
      this.#reader.take(batch.taken);
      this.#seen = batch.seen;
      this.#seenAt = this.#position;
      return;
    }
    // Decoding is pure: the same bytes give the same frames again, one by one this time. A protocol
    // that does this once will do it again, and then decoding ahead is work for nothing.
    this.#inBatches = false;
    for (let i = 0; i < batch.given; i++) {
      const decoded = this.#decoder.decode(this.#reader.buffered, 0, false) as Decoded<T>;
      this.#reader.take(decoded.taken);
    }
  }

  /** Decodes the next frame out of what has arrived, and waits for more while there is none. */
  async #decode(options?: ReadOptions, isLoop = false): Promise<T | typeof END> {
    const life = this.#life;
    const reader = this.#reader;
    using cancellation = Cancellation.from(life.clock, options);
    for (;;) {
      const found = this.#decodeArrived();
      if (found !== NONE) return found;
      if (life.peerFinished) return this.#end();
      // Everything that has arrived is answered: now the answers leave, together.
      if (this.#gatherer.length > 0) await unlessCancelled(this.#gatherer.flush(), cancellation);
      const since = life.clock.now;
      if (this.#begun) life.frameDeadline = life.clock.deadline(this.#frameTimeout - this.#waited);
      try {
        const came = await reader.more(cancellation, isLoop && !this.#begun);
        if (!came && !life.peerFinished) return END; // the server is stopping
      } finally {
        if (life.frameDeadline !== 0) this.#waited += life.clock.now - since;
        life.frameDeadline = 0;
      }
    }
  }

  /** The first frame in what has arrived; all that are complete are decoded with it where possible. */
  #decodeArrived(): T | typeof NONE {
    if (this.#failure !== undefined) throw this.#failure.error;
    const { peerFinished } = this.#life;
    for (;;) {
      if (this.#seenAt !== this.#position) {
        // Somebody has read from the connection itself: this is the middle of nothing.
        this.#drop = Math.max(0, this.#drop - (this.#position - this.#seenAt));
        this.#seen = 0;
        this.#need = 1;
        this.#asked = undefined;
        this.#waited = 0;
      }
      this.#dropArrived();
      const bytes = this.#reader.buffered;
      if (bytes.length === 0 || (bytes.length < this.#need && !peerFinished)) return NONE;
      if (this.#inBatches && this.#seen === 0 && this.#asked === undefined) {
        const all = this.#decoder.decodeAll?.(bytes) ?? null;
        if (all !== null) {
          const { frames, taken, seen = 0 } = all;
          if (!(taken > 0) || frames.length === 0) throw tookNothing();
          this.#batch = { frames, taken, seen, given: 1 };
          this.#reader.lookahead = this;
          return this.#found(frames[0]!);
        }
      }
      const decoded = this.#ask(bytes, peerFinished);
      if (decoded === null || "need" in decoded) return NONE;
      if ("frame" in decoded) return this.#found(decoded.frame!);
    }
  }

  /** Bytes of the stream before the first that has arrived and is not taken. */
  get #position(): number {
    return this.#life.bytesRead - this.#reader.length;
  }

  #found(frame: T): T {
    this.#waited = 0;
    return frame;
  }

  /** Asks the decoder for one frame and does what it says. */
  #ask(bytes: Uint8Array, end: boolean): Decoded<T> | Need<T> | null {
    const decoder = this.#asked ?? this.#decoder;
    let decoded;
    try {
      decoded = decoder.decode(bytes, this.#seen, end);
    } catch (error) {
      // Asked again it might take half a frame for a whole one.
      this.#failure = { error };
      throw error;
    }
    if (decoded === null || "need" in decoded) {
      this.#seen = bytes.length;
      this.#seenAt = this.#position;
      this.#need = decoded === null ? bytes.length + 1 : decoded.need;
      if (decoded === null) return null;
      this.#reader.reserve(decoded.need);
      if (decoded.next !== undefined) {
        this.#asked = decoded.next;
        this.#seen = 0;
      }
      return decoded;
    }
    if (!(decoded.taken > 0) && decoded.next === undefined) throw tookNothing();
    this.#decoder = decoded.next ?? decoder;
    this.#asked = undefined;
    this.#seen = 0;
    this.#need = 1;
    this.#drop = Math.max(0, decoded.taken - bytes.length);
    this.#reader.take(decoded.taken - this.#drop);
    this.#seenAt = this.#position;
    if (this.#drop === 0 && this.#decoder === this.#codec) this.#waited = 0;
    return decoded;
  }

  #dropArrived(): void {
    if (this.#drop === 0) return;
    const n = Math.min(this.#drop, this.#reader.length);
    this.#reader.take(n);
    this.#seenAt = this.#position;
    this.#drop -= n;
    if (this.#drop === 0 && this.#decoder === this.#codec) this.#waited = 0;
  }

  /** The stream has ended, and what is left is no frame; but the decoder may have kept one. */
  #end(): T | typeof END {
    const { buffered } = this.#reader;
    if (this.#drop > 0) throw unexpectedEof(`${this.#drop} bytes before a frame's end`, buffered);
    if (buffered.length === 0) {
      if (this.#decoder === this.#codec) return END;
      const decoded = this.#ask(buffered, true);
      if (decoded !== null && "frame" in decoded) return decoded.frame!;
      if (this.#decoder === this.#codec) return END;
    }
    throw unexpectedEof(`inside a frame, after ${buffered.length} bytes of it`, buffered);
  }

  /** A part of a frame has come, though it may be dropped already. */
  get #begun(): boolean {
    return this.#reader.length > 0 || this.#drop > 0 || this.#decoder !== this.#codec;
  }
}

/** Waits for `promise`, unless the read gives up before. */
function unlessCancelled(
  promise: Promise<unknown>,
  cancellation: Cancellation | undefined,
): Promise<unknown> {
  if (cancellation === undefined) return promise;
  return new Promise((resolve, reject) => {
    cancellation.onCancel = reject;
    promise.then(resolve, reject);
  });
}

function tookNothing(): TypeError {
  return new TypeError("Cannot decode: the codec took nothing, so it would be asked for ever");
}

/** Hand-written, because a generator could not be given back what it decoded ahead. */
class Frames<F> implements AsyncIterableIterator<F, undefined> {
  readonly next: () => Promise<IteratorResult<F, undefined>>;

  constructor(next: () => Promise<IteratorResult<F, undefined>>) {
    this.next = next;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
