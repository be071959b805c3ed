/** Knows whether a connection is still open, and what ended it. @module */

import { setSocketOptions } from "../set_socket_options.ts";
import { TlsSocket } from "../tls/tls_socket.ts";
import { type CoarseClock, TICK, type Ticking } from "./coarse_clock.ts";
import type { EndReason } from "./end_reason.ts";
import type { ConnectionLimits } from "./limits.ts";

/**
 * Errors that connections made or passed on, with why a read gave up where that is what an error says: a
 * handler which rethrows one is not blamed for it.
 */
const produced = new WeakMap<object, ReadGaveUp | undefined>();

/** Why a read gave up while its connection lives on. */
export type ReadGaveUp = "read_timeout" | "read_aborted";

/**
 * What reader, writer and connection share about one socket. The first terminal event closes the
 * socket and decides the end reason; whatever follows from it fails with that first error.
 *
 * `reading`, `writing`, `movedAt` and the byte counts are plain fields on purpose: they are set on
 * the path of every read and write, where a call would show.
 */
export class Lifeline implements Ticking {
  /** What bytes go through: the raw socket, or TLS around it from when that begins. */
  socket: Deno.Conn;
  readonly clock: CoarseClock;
  /** Those of all connections of a server in one object, until one of them is changed here. */
  limits: ConnectionLimits;

  /** A raw read is pending. */
  reading = false;
  /** A raw write is pending. */
  writing = false;
  /** On the clock: when a byte last moved, or when the first operation now pending began. */
  movedAt: number;
  /** On the clock: since when a pending read has got nothing. */
  receivedAt: number;
  /** On the clock: when the write in progress began or has advanced enough; -1 for none. */
  advancedAt = -1;
  /** On the clock: by when the frame that has begun must be complete; 0 for none. */
  frameDeadline = 0;
  /** On the clock: by when the peer must have closed after we did; 0 for none. */
  lingerDeadline = 0;
  bytesRead = 0;
  bytesWritten = 0;
  /** The peer's FIN was seen: it will send nothing more. */
  peerFinished = false;
  /** What the caller of the pending read holds. */
  handedRead: Promise<unknown> | undefined;
  /**
   * `TCP_NODELAY` is to be set: before the first write that Nagle's algorithm could hold back, which a
   * connection of one request never makes. The call is 2 % of such a connection, as is the next.
   */
  noDelayDue = false;
  /** `SO_KEEPALIVE` is to be set: at the next tick, as no kernel probes within its first second. */
  keepAliveDue = false;

  #closed = false;
  #reason: EndReason | undefined;
  #error: unknown;
  #detail: string | undefined;
  /** `bytesRead` at the last tick, if a read was pending. */
  #readAtTick = -1;
  #aborter: AbortController | undefined;
  #onClose: { closed(): void } | undefined;

  constructor(socket: Deno.Conn, clock: CoarseClock, limits: ConnectionLimits) {
    this.socket = socket;
    this.clock = clock;
    this.limits = limits;
    this.movedAt = clock.now;
    this.receivedAt = clock.now;
  }

  /** Whether `error`, or what caused it, came out of a connection rather than out of the handler. */
  static produced(error: unknown): boolean {
    return producedCause(error) !== undefined;
  }

  /** Why the read gave up that `error`, or what caused it, came from. */
  static gaveUp(error: unknown): ReadGaveUp | undefined {
    const cause = producedCause(error);
    return cause && produced.get(cause);
  }

  /** Makes `gaveUp()` and `produced()` true of an error that a read rejects with. */
  static markGivenUp(error: unknown, why: ReadGaveUp): void {
    if (error instanceof Error) produced.set(error, why);
  }

  /** The socket is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Why this connection is over, once something has ended it. */
  get reason(): EndReason | undefined {
    return this.#reason;
  }

  /** The error that ended it, where it was an error. */
  get error(): unknown {
    return this.#error;
  }

  /** The text that `end()` or `close()` gave for a `dismissed` connection. */
  get detail(): string | undefined {
    return this.#detail;
  }

  /** Aborts when the socket closes, with the error as its reason. */
  get signal(): AbortSignal {
    if (this.#aborter === undefined) {
      this.#aborter = new AbortController();
      if (this.#closed) this.#abort();
    }
    return this.#aborter.signal;
  }

  /** Calls `closed()` of `holder` when the socket is closed. One is enough, and costs no list. */
  set onClose(holder: { closed(): void }) {
    this.#onClose = holder;
  }

  /** Decides the reason, unless something before has; the socket stays as it is. */
  setReason(reason: EndReason, error?: unknown, detail?: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#error = error;
    this.#detail = detail;
  }

  /** Ends the connection for `reason`: pending operations reject with `error`. */
  end(reason: EndReason, error?: unknown, detail?: string): void {
    if (error instanceof Error && !produced.has(error)) produced.set(error, undefined);
    this.setReason(reason, error, detail);
    this.close();
  }

  /** Ends the connection because of a timeout; `what` was not in time. */
  timeOut(reason: EndReason, what: string): void {
    this.end(reason, new DOMException(`Connection timed out: ${what}`, "TimeoutError"));
  }

  /** The peer was not identified in time. */
  endHandshake(): void {
    this.timeOut("handshake_timeout", "it was not identified within 'handshakeTimeout'");
  }

  /**
   * Closes the socket at once and leaves the reason open; safe to call twice.
   *
   * @param isWhole Everything was sent, and TLS may send close_notify.
   */
  close(isWhole = false): void {
    if (this.#closed) return;
    this.#closed = true;
    this.clock.unwatch(this);
    try {
      if (isWhole && this.socket instanceof TlsSocket) this.socket.closePolitely();
      else this.socket.close();
    } catch {
      // The raw socket was closed elsewhere before: it is closed, which is all we want.
    }
    if (this.#aborter !== undefined) this.#abort();
    this.#onClose?.closed();
  }

  /** Takes the failure of a raw operation; returns the error that its caller is to get. */
  failed(error: unknown): unknown {
    if (isMisuse(error)) {
      // The handler's own mistake, to be reported to `onError`: not an error that a connection made.
      this.setReason("handler_error", error);
      this.close();
      return this.#error ?? error;
    }
    if (!this.#closed) this.end(reasonOf(error), error);
    else if (error instanceof Deno.errors.BadResource) {
      // A write of which the kernel had taken a part when `close()` came, and which then went on.
      error = new Deno.errors.Interrupted("The connection was closed before everything was sent");
    }
    if (error instanceof Error && !produced.has(error)) produced.set(error, undefined);
    return this.#error ?? error;
  }

  /**
   * Takes the failure of a raw operation whose caller holds `handed`. That is marked as handled here,
   * where it fails, and not where it is made: operations that succeed pay nothing for it, and an
   * un-awaited write that fails must not end the process.
   */
  fail(handed: Promise<unknown> | undefined, error: unknown): never {
    handed?.catch(() => {});
    throw this.failed(error);
  }

  /** Why no operation can begin: the first error, if there was one. */
  refusal(): unknown {
    return this.#error ?? new Deno.errors.BadResource("Cannot use a connection that is closed");
  }

  /** Sets the options that are due; only while no write is pending, as Deno sets none then. */
  setOptions(): void {
    this.setNoDelay();
    this.#setKeepAlive();
  }

  /** The same for `TCP_NODELAY` alone. */
  setNoDelay(): void {
    setSocketOptions(this.socket, { noDelay: this.noDelayDue, keepAlive: false });
    this.noDelayDue = false;
  }

  #setKeepAlive(): void {
    if (!this.keepAliveDue) return;
    setSocketOptions(this.socket, { noDelay: false, keepAlive: true });
    this.keepAliveDue = false;
  }

  tick(now: number): void {
    if (this.#closed) return;
    if (!this.writing) this.#setKeepAlive();
    // A byte that moved behind a slow handler, when the last tick was long ago, moved just now.
    if (this.movedAt === this.clock.before) this.movedAt = now - TICK;
    if (this.advancedAt === this.clock.before) this.advancedAt = now - TICK;
    // Looked at here, so that a read need not note when it was.
    if (!this.reading || this.bytesRead !== this.#readAtTick) this.receivedAt = now - TICK;
    this.#readAtTick = this.reading ? this.bytesRead : -1;
    if ((this.reading || this.writing) && now >= this.movedAt + this.limits.idleTimeout + TICK) {
      return this.timeOut("idle_timeout", "no byte moved within 'idleTimeout'");
    }
    if (this.reading && now >= this.receivedAt + this.limits.receiveTimeout + TICK) {
      return this.timeOut("receive_timeout", "no byte was received within 'receiveTimeout'");
    }
    if (this.frameDeadline !== 0 && this.reading && now >= this.frameDeadline) {
      return this.timeOut("frame_timeout", "a frame that has begun did not end in time");
    }
    if (this.advancedAt >= 0 && now >= this.advancedAt + this.limits.writeTimeout + TICK) {
      return this.timeOut("write_timeout", "the peer took too little within 'writeTimeout'");
    }
    // Everything was sent, and FIN: this peer just does not answer it.
    if (this.lingerDeadline !== 0 && now >= this.lingerDeadline) this.close();
  }

  #abort(): void {
    this.#aborter!.abort(this.#error ?? new DOMException("The connection is closed", "AbortError"));
  }
}

/** The first of an error and its causes that came out of a connection. */
function producedCause(error: unknown): Error | undefined {
  // Eight links are more than any program wraps; a loop of causes must not hang the server.
  for (let i = 0; i < 8 && error instanceof Error; i++, error = error.cause) {
    if (produced.has(error)) return error;
  }
  return undefined;
}

/** Whether a socket was given what is no `Uint8Array`; the kernel's TypeErrors have a `code`. */
function isMisuse(error: unknown): boolean {
  return error instanceof TypeError && !("code" in error);
}

/** By meaning, as systems have several errors for one event. */
function reasonOf(error: unknown): EndReason {
  const { ConnectionReset, ConnectionAborted, NotConnected, BrokenPipe, UnexpectedEof } =
    Deno.errors;
  if (error instanceof ConnectionReset) return "peer_reset";
  // Windows says aborted of a write after a reset, macOS not connected of a FIN.
  if (error instanceof ConnectionAborted || error instanceof NotConnected) return "peer_reset";
  if (error instanceof BrokenPipe || error instanceof UnexpectedEof) return "peer_closed_early";
  return isPrototypeError(error) ? "peer_closed_early" : "network_error";
}

/** EPROTOTYPE is what macOS says in place of EPIPE while it takes a connection down. */
function isPrototypeError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return "code" in error ? error.code === "EPROTOTYPE" : error.message.endsWith("(os error 41)");
}

/** A rejection that counts as handled: an un-awaited operation costs its connection, no more. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
