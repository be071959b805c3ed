/** What does a handler hold? @module */

import type { Codec } from "../wire/codec/codec.ts";
import { delimited } from "../wire/codec/delimited.ts";
import { lines } from "../wire/codec/lines.ts";
import type { ProxyHeader } from "../wire/proxy/proxy_header.ts";
import { ByteReader, type RecordOptions } from "./byte_reader.ts";
import { ByteWriter } from "./byte_writer.ts";
import type { ReadOptions } from "./cancellation.ts";
import { type CoarseClock, TICK } from "./coarse_clock.ts";
import type { TlsInfo } from "./enter_tls.ts";
import type { ConnectionLimits } from "./limits.ts";
import { Gatherer } from "./gatherer.ts";
import { Lifeline } from "./lifeline.ts";
import { rejected } from "./rejected.ts";
import { startTls, type StartTlsOptions } from "./start_tls.ts";

/** Milliseconds that a peer gets to answer our FIN with its own before the socket is closed. */
const LINGER = 500;

/**
 * Bytes read and thrown away meanwhile: unread input would make the kernel reset the peer and drop
 * what it had not sent yet. More than a kernel holds of one connection (Linux: 6 MiB), so that a
 * peer which had sent all before it reads gets its answer whole: with 64 KiB, one that had sent
 * 512 KiB got 125 KiB of 1 MiB. A peer that never stops costs us some ms.
 */
const LINGER_BYTES = 8_388_608;

/**
 * Milliseconds without a byte after which a loop ends when the server is stopping: what was on its
 * way has arrived by then.
 */
const DRAIN_QUIET = 100;

/** The same for a connection on which nothing has come yet: it was opened to say something. */
const FIRST_BYTE_PATIENCE = 5000;

/** Bytes thrown away in one read. */
const SCRATCH = 65536;

/** Bytes per chunk of `readable`; a waiting stream pins as much. */
const STREAM_CHUNK = 16384;

/**
 * One connection, as a handler gets it: a `Deno.Conn` whose writes are whole and in order, whose
 * chunks are the reader's for ever, and which knows who is there and how much has passed.
 *
 * Reading by iteration is the plainest way and as fast as a loop by hand; `break` does not close.
 * One read at a time: a second one rejects with `Deno.errors.Busy`. After a failure every operation
 * rejects with the error that came first. The rejection of any promise given out here counts as
 * handled, so a write that nobody awaited costs this connection, never the process.
 *
 * @typeParam A The kind of address: `Deno.NetAddr` for TCP, `Deno.UnixAddr` for Unix sockets.
 *
 * @example Answer each chunk with itself
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 *
 * using client = await Deno.connect({ port: server.addr.port });
 * await client.write(new TextEncoder().encode("hello"));
 * const p = new Uint8Array(5);
 * assertEquals(await client.read(p), 5);
 * assertEquals(new TextDecoder().decode(p), "hello");
 * ```
 */
export interface Connection<A extends Deno.Addr = Deno.Addr>
  extends Deno.Conn<A>, AsyncIterable<Uint8Array<ArrayBuffer>>, AsyncDisposable {
  /** A number of its own among the connections of its server, counted from 1. */
  readonly id: number;
  /** The other end as the kernel sees it: the balancer, if there is one in front. */
  readonly peerAddr: A;
  /**
   * The client: what the PROXY header says if there was one that does, otherwise `peerAddr`. A header
   * can also name a Unix socket, whatever the server listens on.
   */
  readonly remoteAddr: A;
  /** What the PROXY header said, on an address where one is expected. */
  readonly proxy: ProxyHeader | undefined;
  /** What TLS has settled, once the connection is inside it. */
  readonly tls: TlsInfo | undefined;
  /** When it was accepted, in ms since 1970. */
  readonly openedAt: number;
  /** Bytes received so far, without a PROXY header and what TLS adds. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel so far, without what TLS adds. */
  readonly bytesWritten: number;
  /** Bytes given to `write()` that the kernel has not taken yet: lets a broadcast skip the slow. */
  readonly unsentBytes: number;

  /**
   * Aborts when this connection is over: closed, reset, timed out or forced. Its reason is the error
   * that ended it, or an `AbortError`. Made at first access; a reset shows when something is read or
   * written.
   */
  readonly signal: AbortSignal;
  /** The server has begun to stop: finish what is under way and return. */
  readonly draining: boolean;
  /** Aborts when `draining` becomes true. Made at first access. */
  readonly drainSignal: AbortSignal;

  /**
   * Reads into `p`; resolves with the number of bytes, or `null` at the end of the stream. Without
   * options, and with nothing left over from another kind of read, straight from the kernel.
   *
   * @throws {Deno.errors.Busy} If another read is pending.
   * @throws {DOMException} "TimeoutError" after `idleTimeout`, and then the connection is closed; or
   * after the read's own `timeout`, and then it lives on and no byte is lost.
   */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null>;
  /**
   * Reads `n` bytes, no more and no less; `null` if the stream ends before the first of them.
   *
   * @throws {FrameTooLargeError} If `n` is more than `limit`, 1 MiB unless given. Nothing is taken.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends in between; what came is in its `partial`
   * and can still be read.
   */
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Reads up to `delimiter`, which is taken and left out; `null` if the stream ends before another
   * byte.
   *
   * @throws {FrameTooLargeError} If more than `limit` bytes, 64 KiB unless given, come before it.
   * Nothing is taken, so the next such read fails as well; `read()` gets the bytes.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before it; as for `readExactly`.
   */
  readUntil(delimiter: string | Uint8Array, options?: RecordOptions): Promise<Uint8Array | null>;
  /**
   * Reads a line that ends with LF or CRLF, without that, as UTF-8; `null` if the stream ends before
   * another byte.
   *
   * @throws {FrameTooLargeError} If it is longer than `limit` bytes, 64 KiB unless given; as for
   * `readUntil`.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before the line does.
   */
  readLine(options?: RecordOptions): Promise<string | null>;
  /**
   * Waits until `n` bytes have arrived and leaves them to be read; there are fewer only if the stream
   * ends before. They are the memory that is read later: look at them, and do not write into them.
   *
   * @throws {FrameTooLargeError} If `n` is more than `limit`, 1 MiB unless given.
   */
  peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Writes all of `p` behind every earlier write; resolves with its length. `p` must not change
   * until then.
   *
   * @throws {Deno.errors.WouldBlock} If more than `maxUnsent` would wait; the connection is closed.
   * @throws {Deno.errors.BrokenPipe} After `closeWrite()` or `end()`, or when the peer is gone.
   * @throws {DOMException} "TimeoutError" after `writeTimeout`; the connection is then closed.
   */
  write(p: Uint8Array): Promise<number>;
  /**
   * Goes over to TLS as the server, behind every earlier write: what the peer sent before counts as
   * the beginning of its handshake, so that nothing said in clear can pass for something said inside.
   * Writes made meanwhile leave inside TLS. Certificates are read once for each object of `options`.
   *
   * @throws {TypeError} If an option is unknown or wrong, or the connection is inside TLS already.
   * @throws {RangeError} If an option is out of range.
   * @throws {Deno.errors.Busy} If a read is pending.
   * @throws {Deno.errors.InvalidData} If the peer speaks no TLS, or the two cannot agree. This and
   * every other failure of the handshake closes the connection.
   */
  startTls(options: StartTlsOptions): Promise<void>;
  /** Tells the peer, behind every earlier write, that nothing more will come; reading goes on. */
  closeWrite(): Promise<void>;
  /**
   * Closes at once: what still waits to be written is dropped, pending operations reject with
   * `Deno.errors.Interrupted`. Safe to call twice.
   */
  close(): void;
  /**
   * Closes politely: sends what waits, then FIN, then reads on for at most 500 ms or 8 MiB until
   * the peer has closed too, so that the last bytes arrive even if the peer is still sending. This
   * is what happens when a handler returns. Never rejects.
   */
  end(): Promise<void>;

  /** The chunks as they arrive, ending with the peer's stream; `break` leaves the rest unread. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined>;
  /**
   * The same bytes as a stream. Its end and its `cancel()` leave the connection open, unlike Deno's.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Writes as a stream. Closing it is `closeWrite()`; aborting it is `close()`. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /** `close()`. */
  [Symbol.dispose](): void;
  /** `end()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The connection over a socket. What only the server may do with it is said method by method. */
export class SocketConnection<A extends Deno.Addr = Deno.Addr> implements Connection<A> {
  readonly id: number;
  readonly localAddr: A;
  readonly peerAddr: A;
  readonly openedAt: number = Date.now();
  readonly #openedAt = performance.now();
  /** Shared with the server, which decides there why the connection is over. */
  readonly life: Lifeline;
  /** The slot that it holds, while its handler runs; the server's, as is the next. */
  slot: Disposable | undefined;
  /** Its handler did not settle in time, and is not listened to any more. */
  abandoned = false;
  /** It is in its PROXY header or TLS handshake, as the server says. */
  handshaking = false;
  /** Shared with `framed()`, as is what gathers its frames. */
  readonly reader: ByteReader;
  readonly #writer: ByteWriter;
  /** Who is there; settled by the server before the handler runs, or by `startTls()`. */
  identity: { readonly proxy?: ProxyHeader; readonly tls?: TlsInfo } = UNKNOWN;
  #gatherer: Gatherer | undefined;
  #ending: Promise<void> | undefined;
  /** On the clock: since when the server is stopping; `undefined` while it is not. */
  #drainedAt: number | undefined;
  #drainer: AbortController | undefined;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | undefined;

  constructor(
    id: number,
    socket: Deno.Conn,
    localAddr: Deno.Addr,
    clock: CoarseClock,
    limits: ConnectionLimits,
  ) {
    this.id = id;
    this.localAddr = localAddr as A;
    this.peerAddr = socket.remoteAddr as A;
    this.life = new Lifeline(socket, clock, limits.idleTimeout);
    this.reader = new ByteReader(this.life);
    this.#writer = new ByteWriter(this.life, limits.writeTimeout, limits.maxUnsent);
  }

  /** Ms since it was accepted; a step of the wall clock does not show in it. */
  get duration(): number {
    return performance.now() - this.#openedAt;
  }

  get remoteAddr(): A {
    return this.proxy?.source as A | undefined ?? this.peerAddr;
  }

  get proxy(): ProxyHeader | undefined {
    return this.identity.proxy;
  }

  get tls(): TlsInfo | undefined {
    return this.identity.tls;
  }

  get bytesRead(): number {
    return this.life.bytesRead;
  }

  get bytesWritten(): number {
    return this.life.bytesWritten;
  }

  get gatherer(): Gatherer {
    this.#gatherer ??= new Gatherer(this.#writer, this.life);
    this.#writer.gatherer = this.#gatherer;
    return this.#gatherer;
  }

  get unsentBytes(): number {
    return this.#writer.unsentBytes;
  }

  get signal(): AbortSignal {
    return this.life.signal;
  }

  get draining(): boolean {
    return this.#drainedAt !== undefined;
  }

  get drainSignal(): AbortSignal {
    this.#drainer ??= new AbortController();
    if (this.draining) this.#drainer.abort(drainReason());
    return this.#drainer.signal;
  }

  /** Tells the handler that the server is stopping; called by the server alone. */
  drain(): void {
    if (this.draining) return;
    this.#drainedAt = this.life.clock.now;
    this.#drainer?.abort(drainReason());
  }

  /** Called by the server at each tick of its clock. */
  tick(now: number): void {
    this.life.tick(now);
    if (this.#drainedAt === undefined) return;
    const { bytesRead, movedAt } = this.life;
    const quiet = bytesRead === 0
      ? this.#drainedAt + FIRST_BYTE_PATIENCE
      : Math.max(this.#drainedAt, movedAt) + DRAIN_QUIET;
    if (now >= quiet + TICK) this.reader.endLoop();
  }

  /** Forgets frames that were sent and have not left: called by the server alone. */
  dropGathered(): void {
    this.#gatherer?.drop();
  }

  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    return this.reader.read(p, options);
  }

  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.reader.readExactly(n, options);
  }

  readUntil(delimiter: string | Uint8Array, options?: RecordOptions): Promise<Uint8Array | null> {
    return this.reader.readFrame(
      "a record",
      options,
      ({ limit }) => limit === undefined ? until(delimiter) : delimited(delimiter, { limit }),
    );
  }

  readLine(options?: RecordOptions): Promise<string | null> {
    return this.reader.readFrame(
      "a line",
      options,
      ({ limit }) => limit === undefined ? line ??= lines() : lines({ limit }),
    );
  }

  peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.reader.peek(n, options);
  }

  write(p: Uint8Array): Promise<number> {
    return this.#writer.write(p);
  }

  startTls(options: StartTlsOptions): Promise<void> {
    const { closed, socket } = this.life;
    if (!closed && (this.tls !== undefined || "handshake" in socket)) {
      return rejected(new TypeError("Cannot start TLS inside TLS"));
    }
    const started = startTls(this.life, this.reader, this.#writer, options).then((tls) => {
      this.identity = { ...this.identity, tls };
    });
    started.catch(() => {});
    return started;
  }

  closeWrite(): Promise<void> {
    const sent = this.#writer.finish().then(() => {});
    sent.catch(() => {}); // A promise of its own, which nobody has to await either.
    return sent;
  }

  close(): void {
    this.life.close();
  }

  end(): Promise<void> {
    return this.#ending ??= this.#end();
  }

  /**
   * The commonest end of all: the peer has closed and was answered, so that closing is all there is.
   * Whether it was so; called by the server alone, which saves itself the promises of `end()`.
   */
  endAtOnce(): boolean {
    const life = this.life;
    if (life.closed) return true;
    if (this.#ending !== undefined || !life.peerFinished || life.writing) return false;
    // TLS has a word of its own for the end, which the peer waits for.
    if (this.unsentBytes > 0 || this.tls?.route === "flexible") return false;
    life.settle("completed");
    life.close();
    return true;
  }

  async #end(): Promise<void> {
    if (this.endAtOnce()) return;
    try {
      await this.#writer.finish();
    } catch {
      return; // The lifeline knows why, and has closed the socket.
    }
    // Everything was said: what the peer does from here on is no failure of this connection.
    const life = this.life;
    life.settle("completed");
    await this.#linger();
    life.close();
  }

  async #linger(): Promise<void> {
    const life = this.life;
    life.lingerDeadline = life.clock.deadline(LINGER);
    // A read that the handler left pending gets what comes first.
    await this.reader.idle();
    try {
      let left = LINGER_BYTES;
      while (!life.peerFinished && left > 0) left -= await this.reader.read(scratch()) ?? left;
    } catch {
      // Reset, forced, out of time, or still being read by somebody: nothing is left to be lost.
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
    return new Chunks(this.reader);
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= new ReadableStream({
      type: "bytes",
      autoAllocateChunkSize: STREAM_CHUNK,
      pull: async (controller) => {
        const request = controller.byobRequest!;
        let n;
        // A read of nothing is no answer to a request, though sockets of other makes may give one.
        do n = await this.read(request.view as Uint8Array<ArrayBuffer>); while (n === 0);
        if (n === null) controller.close();
        // At the end a request must still be answered, after the close, or its reader never settles.
        request.respond(n ?? 0);
      },
    });
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#writable ??= new WritableStream({
      // An `abort` callback would wait for the write in progress, which only closing can end.
      start: (controller) => controller.signal.addEventListener("abort", () => this.close()),
      write: async (chunk) => void await this.write(chunk),
      close: () => this.closeWrite(),
    });
  }

  ref(): void {
    this.life.socket.ref();
  }

  unref(): void {
    this.life.socket.unref();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }
}

/** Hand-written: an async generator costs 5 % of an echo more and cannot survive a `break`. */
class Chunks implements AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
  readonly #reader: ByteReader;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  next(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, undefined>> {
    return this.#reader.next();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Codecs keep nothing, so one serves all; making one costs as much as a read does. */
let line: Codec<string> | undefined;
const known = new Map<string, Codec<Uint8Array>>();

/** Delimiters that a program reads up to; more than these are made up at run time, and not kept. */
const MAX_KNOWN = 16;

function until(delimiter: string | Uint8Array): Codec<Uint8Array> {
  if (typeof delimiter !== "string") return delimited(delimiter);
  let codec = known.get(delimiter);
  if (codec === undefined) {
    codec = delimited(delimiter);
    if (known.size < MAX_KNOWN) known.set(delimiter, codec);
  }
  return codec;
}

const UNKNOWN = Object.freeze({});

let discarded: Uint8Array | undefined;

/** One for all: nobody looks at what is read into it. */
function scratch(): Uint8Array {
  return discarded ??= new Uint8Array(SCRATCH);
}

function drainReason(): DOMException {
  return new DOMException("The server is stopping", "AbortError");
}
