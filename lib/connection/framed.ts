/** Reads and writes a connection in frames. @module */

import type { Codec } from "../wire/codec/codec.ts";
import { type ArrivalLoop, type ByteReader, unexpectedEof } from "./byte_reader.ts";
import { Cancellation, type ReadOptions } from "./cancellation.ts";
import { bad, checkKeys, checkTime, isObject, show } from "../check.ts";
import { type AbortOptions, untilAborted } from "./abort.ts";
import type { ByteWriter } from "./byte_writer.ts";
import type { Connection } from "./connection.ts";
import type { SocketConnection } from "./socket_connection.ts";
import { type Lifeline, rejected } from "./lifeline.ts";
import { Unframer } from "./unframer.ts";
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
 *
 * @category Frames
 */
export interface FramedOptions {
  /**
   * Ms within which a frame that has begun must be complete, counted while a read waits for it;
   * otherwise the connection is closed (`frame_timeout`). The option of that name of `serve()` or
   * `connection()` unless given; `Infinity` for no such limit.
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
 * async function ask(
 *   peer: Framed<string>,
 *   question: string,
 * ): Promise<string | null> {
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
 *
 * @category Frames
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
  /**
   * Sends bytes as they are, among the frames: what a protocol says that is no frame, such as a body
   * behind its header. They are copied, and leave as frames do.
   *
   * @returns Resolves as {@linkcode send} does.
   *
   * @example A header line and its body leave together
   * ```ts
   * import { framed, lines, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
   *   const reply = framed(conn, lines());
   *   const body = new TextEncoder().encode("hello");
   *   await reply.send(`length ${body.length}`);
   *   await reply.write(body);
   * });
   *
   * const client = await Deno.connect({ port: server.addr.port });
   * assertEquals(await new Response(client.readable).text(), "length 5\nhello");
   * ```
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Resolves when everything sent so far was written. A `signal` that fires before ends the connection,
   * as a part may have left.
   */
  flush(options?: AbortOptions): Promise<void>;
  /** The frames, ending with the stream. After `break` what follows the last frame is still there. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined>;
}

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
 *
 * @category Frames
 */
export function framed<T>(
  conn: Deno.Conn,
  codec: Codec<T>,
  options: FramedOptions = {},
): Framed<T> {
  const verb = "frame a connection";
  checkKeys(verb, options, ["frameTimeout"]);
  const { frameTimeout } = options;
  if (frameTimeout !== undefined) checkTime(verb, "frameTimeout", frameTimeout);
  if (
    !isObject(codec) || typeof codec.decode !== "function" || typeof codec.encode !== "function"
  ) {
    throw new TypeError(
      `Cannot ${verb} with ${
        show(codec)
      } as its codec: use lines(), lengthPrefixed(), or an object ` +
        "with 'decode' and 'encode'",
    );
  }
  const wrapped = connection(conn) as SocketConnection;
  return new FramedConnection(wrapped, codec, frameTimeout ?? wrapped.life.limits.frameTimeout);
}

class FramedConnection<T> implements Framed<T>, ArrivalLoop<Result<T>> {
  readonly conn: Connection;
  readonly #life: Lifeline;
  readonly #reader: ByteReader;
  readonly #writer: ByteWriter;
  readonly #codec: Codec<T>;
  readonly #unframer: Unframer<T>;
  readonly #frameTimeout: number;
  /** Ms that reads have waited for the rest of the frame that began at the boundary counted last. */
  waited = 0;
  #boundary = 0;

  constructor(conn: SocketConnection, codec: Codec<T>, frameTimeout: number) {
    this.conn = conn;
    this.#life = conn.life;
    this.#reader = conn.reader;
    this.#writer = conn.writer;
    this.#codec = codec;
    this.#unframer = new Unframer(conn.reader, codec, true);
    this.#frameTimeout = frameTimeout;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array)) {
      return rejected(new TypeError(bad("write among frames", "bytes", bytes, "a Uint8Array")));
    }
    return this.#writer.coalesce(bytes) as Promise<void>;
  }

  send(frame: T): Promise<void> {
    return this.#writer.send(this.#codec, frame) as Promise<void>;
  }

  flush(options?: AbortOptions): Promise<void> {
    if (options === undefined) return this.#writer.flush() as Promise<void>;
    const end = (reason: unknown) => this.#life.end("dismissed", reason, "flush aborted");
    return untilAborted("flush", options, end, () => this.#writer.flush() as Promise<void>);
  }

  read(options?: ReadOptions): Promise<T | null> {
    if (this.#unframer.hasAhead) {
      try {
        Cancellation.from(this.#life.clock, options)?.[Symbol.dispose]();
      } catch (error) {
        return rejected(error);
      }
      return Promise.resolve(this.#unframer.nextAhead() as T);
    }
    return this.#reader.claim(async () => {
      const frame = await this.#read(options, false);
      return frame === END ? null : frame;
    });
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T, undefined> {
    return new Frames(this);
  }

  /** The next frame of an iteration. */
  next(): Promise<Result<T>> {
    // The commonest case first, and without a promise more than it takes.
    const frame = this.#unframer.nextAhead();
    if (frame !== Unframer.NO_FRAME) return Promise.resolve({ done: false, value: frame });
    const reader = this.#reader;
    this.#unframer.rewind();
    if (reader.endsLoops) return Promise.resolve(DONE);
    if (!reader.dry || this.#unframer.begun) return reader.claim(() => this.#next());
    // Everything that has arrived is answered: now the answers leave, together. Whether they have
    // left is looked at when something new has come.
    if (this.#writer.coalesced > 0) this.#writer.flush();
    return reader.nextOf(this);
  }

  arrived(): Result<T> | undefined {
    const life = this.#life;
    // A peer that does not take our answers gets no further ones made.
    if (life.peerFinished || life.writing) return undefined;
    const frame = this.#unframer.next(false);
    return frame === Unframer.NO_FRAME ? undefined : { done: false, value: frame };
  }

  async resume(): Promise<Result<T>> {
    await this.#writer.flush();
    return await this.#next();
  }

  async #next(): Promise<Result<T>> {
    const frame = await this.#read(undefined, true);
    return frame === END ? DONE : { done: false, value: frame };
  }

  /** Takes the next frame out of what has arrived, and waits for more while there is none. */
  async #read(options: ReadOptions | undefined, isLoop: boolean): Promise<T | typeof END> {
    const life = this.#life;
    const reader = this.#reader;
    const unframer = this.#unframer;
    using cancellation = Cancellation.from(life.clock, options);
    for (;;) {
      const frame = unframer.next(life.peerFinished);
      if (frame !== Unframer.NO_FRAME) return frame;
      if (life.peerFinished) {
        if (unframer.inside === undefined) return END;
        throw unexpectedEof(unframer.inside, reader.buffered);
      }
      // Everything that has arrived is answered: now the answers leave, together.
      if (this.#writer.coalesced > 0) await unlessCancelled(this.#writer.flush(), cancellation);
      if (unframer.begun) {
        await this.#wait(cancellation);
      } else if (!await reader.more(cancellation, isLoop) && !life.peerFinished) {
        return END; // the server is stopping
      }
    }
  }

  /** Waits for more of the frame that has begun. */
  #wait(cancellation: Cancellation | undefined): Promise<boolean> {
    const { boundaries } = this.#unframer;
    if (boundaries !== this.#boundary) this.waited = 0;
    this.#boundary = boundaries;
    return this.#reader.moreOf(this, this.#frameTimeout, cancellation);
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

/** Hand-written, because a generator could not be given back what was decoded ahead. */
class Frames<T> implements AsyncIterableIterator<T, undefined> {
  readonly next: () => Promise<Result<T>>;

  constructor(framed: FramedConnection<T>) {
    this.next = () => framed.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
