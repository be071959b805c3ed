/** A connection over a socket, its own or one that TLS wraps. @module */

import type { Codec } from "../wire/codec/codec.ts";
import { delimited } from "../wire/codec/delimited.ts";
import { lines } from "../wire/codec/lines.ts";
import type { ProxyHeader } from "../wire/proxy/proxy_header.ts";
import { bad, checkBoolean, checkKeys, checkNumber, checkTime, show } from "../check.ts";
import { formatAddress } from "../format_address.ts";
import { type AbortOptions, untilAborted } from "./abort.ts";
import { ByteReader, type NextChunk, type RecordOptions } from "./byte_reader.ts";
import { ByteWriter, HIGH_WATER } from "./byte_writer.ts";
import type { ReadOptions } from "./cancellation.ts";
import type { TlsInfo } from "../tls/handshake.ts";
import { TlsSocket } from "../tls/tls_socket.ts";
import type { CoarseClock } from "./coarse_clock.ts";
import type { ConnectionLimits } from "./limits.ts";
import { Lifeline } from "./lifeline.ts";
import { rejected } from "./lifeline.ts";
import { Rooms } from "./rooms.ts";
import { startTls, type StartTlsOptions } from "./enter_tls.ts";
import type { ChunkOptions, Connection, RequiredRecord } from "./connection.ts";
import { Deadline } from "./deadline.ts";
import type { EndReason } from "./end_reason.ts";
import { StreamSource } from "./stream_source.ts";

/** Milliseconds that a peer gets to answer our FIN with its own before the socket is closed. */
const LINGER = 500;

/**
 * Bytes read and thrown away meanwhile: unread input would make the kernel reset the peer and drop
 * what it had not sent yet. More than a kernel holds of one connection (Linux: 6 MiB), so that a
 * peer which had sent all before it reads gets its answer whole: with 64 KiB, one that had sent
 * 512 KiB got 125 KiB of 1 MiB. A peer that never stops costs us some ms.
 */
const LINGER_BYTES = 8_388_608;

/** Bytes that `unsentBelow()` waits for: as many as frames coalesce before `send()` waits. */
const DEFAULT_BELOW = HIGH_WATER;

/** Characters of a detail or a label that are kept. */
const LONGEST_TEXT = 200;

/** What a wrong limit is a part of. */
const CHANGE = "change a connection";

/** Bytes thrown away in one read. */
const SCRATCH = 65536;

const CHUNKS = "iterate over chunks";

/** The connection over a socket, a client's or the base of a server's. */
export class SocketConnection<A extends Deno.Addr = Deno.Addr> implements Connection<A> {
  readonly id: number;
  readonly localAddr: A;
  readonly peerAddr: A;
  readonly openedAt: number = Date.now();
  readonly #openedAt = performance.now();
  /** Shared with the server, which decides there why the connection is over. */
  readonly life: Lifeline;
  /** Shared with `framed()`, as is the next. */
  readonly reader: ByteReader;
  readonly writer: ByteWriter;
  /** What identifies the client: settled by the server before the handler runs, or by `startTls()`. */
  identity: { readonly proxy?: ProxyHeader; readonly tls?: TlsInfo } = UNKNOWN;
  /** The name of the listener that it came through; set by the server alone. */
  listener: string | undefined;
  #label: string | undefined;
  #finishing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #neverDrained: AbortSignal | undefined;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array<ArrayBufferLike>> | undefined;

  constructor(
    id: number,
    socket: Deno.Conn,
    localAddr: Deno.Addr,
    clock: CoarseClock,
    limits: ConnectionLimits,
    rooms: Rooms = new Rooms(),
  ) {
    this.id = id;
    this.localAddr = localAddr as A;
    this.peerAddr = socket.remoteAddr as A;
    this.life = new Lifeline(socket, clock, limits);
    this.reader = new ByteReader(this.life, rooms);
    this.writer = new ByteWriter(this.life, limits.maxUnsent, rooms);
    this.life.onClose = this;
  }

  /** The socket is closed; called only by the lifeline. */
  closed(): void {
    this.writer.closed();
    this.reader.closed();
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

  get endReason(): EndReason | undefined {
    return this.life.reason;
  }

  get idleTimeout(): number {
    return this.life.limits.idleTimeout;
  }

  set idleTimeout(ms: number) {
    const idleTimeout = checkTime(CHANGE, "idleTimeout", ms);
    this.life.limits = { ...this.life.limits, idleTimeout };
  }

  get receiveTimeout(): number {
    return this.life.limits.receiveTimeout;
  }

  set receiveTimeout(ms: number) {
    const receiveTimeout = checkTime(CHANGE, "receiveTimeout", ms);
    this.life.limits = { ...this.life.limits, receiveTimeout };
  }

  get listenerName(): string {
    return this.listener ?? formatAddress(this.localAddr);
  }

  get label(): string | undefined {
    return this.#label;
  }

  set label(label: string | undefined) {
    if (label !== undefined && typeof label !== "string") {
      throw new TypeError(bad(CHANGE, "label", label, "a text, or undefined for none"));
    }
    this.#label = label?.slice(0, LONGEST_TEXT);
  }

  /** Bytes of memory that its buffers occupy beyond an idle connection's. */
  get buffered(): number {
    const { socket } = this.life;
    const inTls = socket instanceof TlsSocket ? socket.occupied : 0;
    return this.reader.occupied + this.writer.occupied + inTls;
  }

  get unsentBytes(): number {
    return this.writer.unsentBytes;
  }

  get signal(): AbortSignal {
    return this.life.signal;
  }

  /** Only a server drains its connections. */
  get draining(): boolean {
    return false;
  }

  get drainSignal(): AbortSignal {
    return this.#neverDrained ??= new AbortController().signal;
  }

  read(p: Uint8Array, options?: ReadOptions): Promise<number | null> {
    return this.reader.read(p, options);
  }

  readExactly(n: number, options: RequiredRecord): Promise<Uint8Array<ArrayBuffer>>;
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null>;
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.reader.readExactly(n, options);
  }

  readUntil(delimiter: Delimiter, options: RequiredRecord): Promise<Uint8Array>;
  readUntil(delimiter: Delimiter, options?: RecordOptions): Promise<Uint8Array | null>;
  readUntil(delimiter: Delimiter, options?: RecordOptions): Promise<Uint8Array | null> {
    return this.reader.readFrame(
      "a record",
      options,
      ({ limit }) => limit === undefined ? until(delimiter) : delimited(delimiter, { limit }),
    );
  }

  readLine(options: RequiredRecord): Promise<string>;
  readLine(options?: RecordOptions): Promise<string | null>;
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

  skip(n: number, options?: ReadOptions): Promise<void> {
    return this.reader.skip(n, options);
  }

  write(p: Uint8Array, options?: AbortOptions): Promise<number> {
    if (!(p instanceof Uint8Array)) return rejected(notBytes(p));
    return options === undefined ? this.writer.write(p) : this.#writeUntilAborted(p, options);
  }

  /** Apart from `write`, where a closure would have every call allocate what the closure is to hold. */
  #writeUntilAborted(p: Uint8Array, options: AbortOptions): Promise<number> {
    const end = (reason: unknown) => this.life.end("dismissed", reason, "write aborted");
    return untilAborted("write", options, end, () => this.writer.write(p));
  }

  unsentBelow(n: number = DEFAULT_BELOW): Promise<void> {
    try {
      checkNumber("wait for room", "n", n, 1, Infinity, true);
    } catch (error) {
      return rejected(error);
    }
    return this.writer.below(n);
  }

  startTls(options: StartTlsOptions): Promise<void> {
    const { closed, socket } = this.life;
    if (!closed && (this.tls !== undefined || "handshake" in socket)) {
      return rejected(new TypeError("Cannot start TLS inside TLS"));
    }
    const started = startTls(this.life, this.reader, this.writer, options).then((tls) => {
      this.identity = { ...this.identity, tls };
    });
    started.catch(() => {});
    return started;
  }

  closeWrite(): Promise<void> {
    const sent = this.writer.finish().then(() => {});
    sent.catch(() => {}); // A promise of its own, which need not be awaited either.
    return sent;
  }

  close(detail?: string): void {
    if (detail !== undefined) this.#dismiss("close", detail);
    this.life.close(this.unsentBytes === 0);
  }

  end(detail?: string): Promise<void> {
    if (detail !== undefined) this.#dismiss("end", detail);
    return this.#ending ??= this.#end();
  }

  #dismiss(attempt: string, detail: unknown): void {
    if (typeof detail !== "string") {
      throw new TypeError(bad(`${attempt} a connection`, "detail", detail, "a text"));
    }
    if (this.life.closed) return; // something else was first
    this.life.setReason("dismissed", undefined, detail.slice(0, LONGEST_TEXT));
  }

  deadline(ms: number): Disposable {
    return new Deadline(this.life, checkTime("set a deadline", "ms", ms));
  }

  /**
   * The commonest end of all: the peer has closed and was answered, so that closing is all there is.
   * Whether it was so; called only by the server, which saves itself the promises of `end()`.
   */
  endAtOnce(): boolean {
    const life = this.life;
    if (life.closed) return true;
    if (this.#ending !== undefined || !life.peerFinished || life.writing) return false;
    // Inside TLS the peer waits for close_notify.
    if (this.unsentBytes > 0 || this.tls !== undefined) return false;
    life.setReason("completed");
    life.close();
    return true;
  }

  /** Sends what is queued, then FIN; settles when that has left or cannot. Never rejects. */
  finish(): Promise<void> {
    const { reason, socket } = this.life;
    // What a failed handler has sent must not look complete.
    if (reason === "handler_error" && socket instanceof TlsSocket) socket.cut();
    return this.#finishing ??= this.writer.finish().then(
      // Everything was sent: what the peer does from here on is no failure of this connection.
      () => this.life.setReason("completed"),
      () => {}, // The lifeline knows why, and has closed the socket.
    );
  }

  async #end(): Promise<void> {
    if (this.endAtOnce()) return;
    await this.finish();
    if (this.life.closed) return;
    await this.#linger();
    this.life.close();
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
      // Reset, forced, out of time, or still read by the handler: nothing is left to be lost.
    }
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
    return new Chunks(this.reader, false);
  }

  chunks(options: ChunkOptions = {}): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
    checkKeys(CHUNKS, options, ["reuse"]);
    const { reuse = false } = options;
    checkBoolean(CHUNKS, "reuse", reuse);
    return new Chunks(this.reader, reuse);
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= new ReadableStream(new StreamSource(this.reader));
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#writable ??= new WritableStream({
      // An `abort` callback would wait for the write in progress, which only closing can end.
      start: (controller) => controller.signal.addEventListener("abort", () => this.life.close()),
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

/** Made where it is called, so that its stack names the caller. */
function notBytes(p: unknown): TypeError {
  const given = typeof p === "string" ? `the text ${show(p.slice(0, 40))}` : show(p);
  return new TypeError(
    `Cannot write ${given}: use a Uint8Array, such as new TextEncoder().encode(text)`,
  );
}

/**
 * Hand-written: an async generator costs 5 % of an echo more and cannot survive a `break`.
 *
 * While a `for await` waits, V8 keeps the last result, and so the last chunk; the loop's own variable keeps
 * nothing. Emptying the result would free it, but take it away from who calls `next()` and keeps results.
 */
class Chunks implements AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
  readonly #reader: ByteReader;
  readonly #reuses: boolean;

  constructor(reader: ByteReader, reuses: boolean) {
    this.#reader = reader;
    this.#reuses = reuses;
  }

  next(): Promise<NextChunk> {
    return this.#reuses ? this.#reader.nextBorrowed(true) : this.#reader.next();
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

type Delimiter = Parameters<typeof delimited>[0];

function until(delimiter: Delimiter): Codec<Uint8Array> {
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

/** One for all connections: nothing looks at what is read into it. */
function scratch(): Uint8Array {
  return discarded ??= new Uint8Array(SCRATCH);
}
