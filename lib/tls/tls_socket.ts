/** Speaks TLS over a socket that is already open, reading only on demand. @module */

import type { PeerCertificate, TLSSocketOptions } from "node:tls";
import type { ClientVerdict } from "./client_certificates.ts";
import { alertOf, type HandshakeOptions } from "./tls_contexts.ts";
import { TlsEngine, type TlsEvents } from "./tls_engine.ts";

/**
 * What a TLS handshake has negotiated. Deno's own TLS (`Deno.listenTls`, `Deno.connectTls`) reports
 * the ALPN protocol alone.
 *
 * @example The client's name, by its certificate
 * ```ts
 * import type { TlsInfo } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function nameOf({ authorized, peerCertificate }: TlsInfo): string {
 *   return authorized ? String(peerCertificate?.subject.CN) : "a stranger";
 * }
 *
 * assertEquals(nameOf({ version: "TLSv1.3", authorized: false }), "a stranger");
 * ```
 */
export interface TlsInfo {
  /** The server name that the client sent (SNI). */
  readonly serverName?: string;
  /** The negotiated application protocol (ALPN). */
  readonly alpnProtocol?: string;
  /** `"TLSv1.2"` or `"TLSv1.3"`. */
  readonly version?: string;
  /** The cipher suite, by its name in OpenSSL. */
  readonly cipher?: string;
  /** The client's certificate, if one was asked for and presented. */
  readonly peerCertificate?: PeerCertificate;
  /** Whether that certificate is valid, if one was asked for. */
  readonly authorized?: boolean;
  /** Why it is not. */
  readonly authorizationError?: string;
}

/**
 * Bytes of a handshake that are handed over at once. Deno looks at no more of a ClientHello, and
 * stops there until more arrives, when a certificate is to be chosen by its name.
 */
const HANDSHAKE_PIECE = 4096;

/** Bytes that a read has room for: few while idle, more the more each one brings. */
const ROOMS = [2048, 16_384, 65_536];

/**
 * Bytes that one write takes: three full records. Whoever counts progress sees it by this, as with
 * the 64 KiB of Deno's own; and Deno's engine would keep what is above it for a later call.
 */
const MOST_AT_ONCE = 49_152;

/** Alerts as TLS numbers them (RFC 8446, section 6). */
const HANDSHAKE_FAILURE = 40;

/**
 * A connection inside TLS, over any `Deno.Conn`; one read at a time. It reads from the socket only
 * while somebody reads from it, and holds no more than one such read brings: a peer that sends and
 * sends fills the kernel's buffers, and not this process.
 */
export class TlsSocket implements Deno.Conn, TlsEvents {
  readonly #raw: Deno.Conn;
  readonly #options: HandshakeOptions;
  readonly #engine: TlsEngine;
  /** What was read from the socket before us and has not been looked at. */
  #ahead: Uint8Array;
  #handshake: Promise<TlsInfo> | undefined;
  /** A certificate is being chosen, or was; nothing is read meanwhile. */
  #choosing: Promise<void> | undefined;
  #stopChoosing: (() => void) | undefined;
  #complete = false;
  /** The handshake is complete and the client may come in. */
  #open = false;
  /** Something of ours has left: from then on alerts are encrypted. */
  #answered = false;
  #closed = false;

  /** Where ciphertext arrives, and which of the sizes that is. */
  #room = new Uint8Array(ROOMS[0]!);
  #size = 0;
  #arrived = this.#room.subarray(0, 0);
  /** Decrypted and not yet read. */
  #cleartext: Uint8Array = NOTHING;
  /** What the pending read fills. */
  #into: Uint8Array | undefined;
  /** The peer has said that it sends no more. */
  #ended = false;
  /** Why nothing can be read any more: a truncated stream stays truncated. */
  #readFailure: unknown;

  /** Ciphertext that is leaving, and of how many bytes of the caller. */
  #leaving = NOTHING;
  #taken = 0;
  /** What leaves or waits for its turn, and the last of it: a record must not get into another. */
  #inLine = 0;
  #last: Promise<unknown> | undefined;
  #finished = false;
  #writeFailure: unknown;

  /**
   * @param raw The socket, which is this one's from now on.
   * @param ahead What was read from it already.
   * @param options Of one handshake.
   */
  constructor(raw: Deno.Conn, ahead: Uint8Array, options: HandshakeOptions) {
    this.#raw = raw;
    this.#ahead = ahead;
    this.#options = options;
    const { SNICallback } = options;
    this.#engine = new TlsEngine({
      ...options,
      ...(SNICallback !== undefined && { SNICallback: this.#chooser(SNICallback) }),
    }, this);
  }

  get localAddr(): Deno.Addr {
    return this.#raw.localAddr;
  }

  get remoteAddr(): Deno.Addr {
    return this.#raw.remoteAddr;
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    throw unsupported("readable", "read()");
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    throw unsupported("writable", "write()");
  }

  ref(): void {
    this.#raw.ref();
  }

  unref(): void {
    this.#raw.unref();
  }

  /**
   * Lets the client in; a read or write does it as well.
   *
   * @throws {Deno.errors.InvalidData} If the two cannot agree, or the client is not let in.
   */
  handshake(): Promise<TlsInfo> {
    if (this.#handshake === undefined) {
      this.#handshake = this.#closed ? Promise.reject(badResource()) : this.#shakeHands();
      this.#handshake.catch(() => {});
    }
    return this.#handshake;
  }

  /** Reads into `p`; `null` when the peer has said that it sends no more. */
  read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return Promise.resolve(0);
    if (this.#closed) return Promise.reject(badResource());
    if (!this.#open) return this.handshake().then(() => this.read(p));
    if (this.#into !== undefined) {
      return Promise.reject(new Deno.errors.Busy("Cannot read while another read is pending"));
    }
    return this.#cleartext.length > 0 ? Promise.resolve(this.#take(p)) : this.#receive(p);
  }

  /** Writes at most 48 KiB of `p`; resolves with how much once the kernel has it. */
  write(p: Uint8Array): Promise<number> {
    if (this.#closed) return Promise.reject(badResource());
    if (p.length === 0) return Promise.resolve(0);
    if (!this.#open) return this.handshake().then(() => this.write(p));
    if (this.#finished) return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
    if (this.#inLine > 0) return this.#inTurn(() => this.#write(p));
    this.#inLine = 1;
    const written = this.#write(p);
    this.#last = written;
    return written;
  }

  /** Says that nothing more comes, behind every write before it; reading goes on. */
  async closeWrite(): Promise<void> {
    if (this.#closed) throw badResource();
    if (!this.#open) await this.handshake();
    if (this.#finished) return;
    this.#finished = true;
    try {
      await this.#inTurn(() => this.#send(this.#engine.end(), 0));
    } catch (error) {
      // Whatever was to be said was said, and the peer has left without waiting for the last word:
      // many do. A FIN to somebody who has gone is no error either.
      if (!isGone(error)) throw error;
    }
    await this.#raw.closeWrite();
  }

  /** Closes both, at once: a peer that was not told by `closeWrite()` sees a truncated stream. */
  close(): void {
    if (this.#closed) throw badResource();
    this.#closed = true;
    this.#engine.destroy();
    this.#stopChoosing?.();
    this.#stopChoosing = undefined;
    this.#raw.close();
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  async #shakeHands(): Promise<TlsInfo> {
    try {
      let verdict: ClientVerdict | undefined;
      while (!this.#complete) {
        this.#engine.feed(await this.#nextPiece());
        await this.#choosing;
        if (this.#closed) throw interrupted();
        if (this.#readFailure !== undefined) {
          await this.#alert(this.#readFailure);
          throw this.#readFailure;
        }
        // Who is not let in does not get the last word that a client of TLS 1.2 waits for.
        if (this.#complete) verdict = this.#options.checkClient?.(this.#engine.socket);
        await this.#answer();
      }
      this.#open = true;
      return { ...this.#info(), ...verdict };
    } catch (error) {
      this.#readFailure ??= error;
      this.#writeFailure ??= error;
      throw error;
    }
  }

  /** What is fed next; the socket is read only when everything before has been. */
  async #nextPiece(): Promise<Uint8Array> {
    if (this.#ahead.length === 0) {
      const n = await this.#raw.read(this.#room);
      if (n === null) throw new Deno.errors.UnexpectedEof("The peer left during the TLS handshake");
      return this.#room.subarray(0, n);
    }
    const piece = this.#ahead.subarray(0, HANDSHAKE_PIECE);
    this.#ahead = this.#ahead.subarray(piece.length);
    return piece;
  }

  async #answer(): Promise<void> {
    const ciphertext = this.#engine.take();
    if (ciphertext.length === 0) return;
    this.#answered = true;
    await this.#inTurn(() => this.#send(ciphertext, 0));
  }

  /** Tells the peer why, as far as TLS has a word for it. */
  async #alert(error: unknown): Promise<void> {
    const alert = (): Uint8Array<ArrayBuffer> => {
      const said = this.#engine.take();
      // Choosing by name comes before the engine proper, and nobody in there says anything.
      return said.length > 0 || this.#answered
        ? said
        : plainAlert(alertOf(error) ?? HANDSHAKE_FAILURE);
    };
    // Who does not take it finds out by the end of the connection.
    await this.#inTurn(() => this.#send(alert(), 0)).catch(() => {});
  }

  #info(): TlsInfo {
    const { socket } = this.#engine;
    const { servername, alpnProtocol } = socket as unknown as Record<string, unknown>;
    const certificate = this.#options.requestCert === true
      ? socket.getPeerCertificate()
      : undefined;
    return {
      ...(typeof servername === "string" && { serverName: servername }),
      ...(typeof alpnProtocol === "string" && { alpnProtocol }),
      version: socket.getProtocol() ?? "unknown",
      cipher: socket.getCipher().name,
      ...(certificate?.raw !== undefined && { peerCertificate: certificate }),
    };
  }

  #chooser(choose: NonNullable<TLSSocketOptions["SNICallback"]>): typeof choose {
    return (name, answer) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#choosing = promise;
      this.#stopChoosing = resolve;
      const chosen: typeof answer = (error, context) => {
        if (this.#stopChoosing !== resolve) return;
        this.#stopChoosing = undefined;
        // As it is: a fault in choosing is not the peer's.
        if (error) this.#readFailure ??= error;
        else answer(null, context);
        resolve();
      };
      try {
        choose(name, chosen);
      } catch (error) {
        chosen(error as Error);
      }
    };
  }

  handshakeComplete(): void {
    this.#complete = true;
  }

  decrypted(cleartext: ArrayBuffer | undefined): void {
    if (cleartext === undefined) this.#ended = true;
    else if (this.#cleartext.length === 0) this.#cleartext = new Uint8Array(cleartext);
    // Deno tells once for each time that it is fed; told more often, nothing may be lost.
    else this.#cleartext = joined(this.#cleartext, new Uint8Array(cleartext));
  }

  failed(error: Error): void {
    this.#readFailure ??= new Deno.errors.InvalidData(
      `Cannot speak TLS with the peer: ${error.message}`,
      { cause: error },
    );
  }

  #receive(p: Uint8Array): Promise<number | null> {
    if (this.#readFailure !== undefined) return Promise.reject(this.#readFailure);
    if (this.#ended) return Promise.resolve(null);
    this.#into = p;
    return this.#raw.read(this.#room).then(this.#received, this.#lost);
  }

  readonly #received = (n: number | null): number | Promise<number | null> => {
    const p = this.#into!;
    this.#digest(n);
    if (this.#cleartext.length === 0) return this.#goOn(p);
    this.#into = undefined;
    return this.#take(p);
  };

  /** A loop, and not one more `then`: a peer can send for ever what brings no cleartext. */
  async #goOn(p: Uint8Array): Promise<number | null> {
    try {
      while (this.#cleartext.length === 0) {
        if (this.#readFailure !== undefined) {
          // Not awaited: a peer that takes nothing would keep the reader from hearing of it.
          this.#alert(this.#readFailure);
          throw this.#readFailure;
        }
        if (this.#ended) return null;
        this.#reply();
        this.#digest(await this.#raw.read(this.#room));
      }
    } catch (error) {
      return this.#lost(error);
    } finally {
      this.#into = undefined;
    }
    return this.#take(p);
  }

  /**
   * Sends what TLS itself has to say to what brought no cleartext, such as that there is no
   * renegotiation. While something else is leaving it can wait: it goes with the next write.
   */
  #reply(): void {
    if (this.#inLine > 0 || this.#writeFailure !== undefined) return;
    const reply = this.#engine.take();
    if (reply.length > 0) this.#inTurn(() => this.#send(reply, 0)).catch(() => {});
  }

  #digest(n: number | null): void {
    if (this.#closed) throw interrupted();
    if (n === null) {
      this.#readFailure = new Deno.errors.UnexpectedEof(
        "The peer closed the connection without saying so inside TLS (close_notify): " +
          "what it sent may be incomplete",
      );
      return;
    }
    // A new view for each read would cost 5 % of an echo.
    if (this.#arrived.length !== n) this.#arrived = this.#room.subarray(0, n);
    this.#engine.feed(this.#arrived);
    if (n === this.#room.length) this.#resize(this.#size + 1);
    else if (this.#size > 0 && n <= ROOMS[this.#size - 1]! / 2) this.#resize(this.#size - 1);
  }

  #resize(size: number): void {
    if (size === ROOMS.length) return;
    this.#size = size;
    this.#room = new Uint8Array(ROOMS[size]!);
    this.#arrived = this.#room.subarray(0, 0);
  }

  readonly #lost = (error: unknown): never => {
    this.#into = undefined;
    throw this.#readFailure ??= error;
  };

  #take(p: Uint8Array): number {
    const cleartext = this.#cleartext;
    if (cleartext.length <= p.length) {
      p.set(cleartext);
      this.#cleartext = NOTHING;
      return cleartext.length;
    }
    p.set(cleartext.subarray(0, p.length));
    this.#cleartext = cleartext.subarray(p.length);
    return p.length;
  }

  /** Has `leave` begun when everything before it has left. */
  #inTurn(leave: () => Promise<number>): Promise<number> {
    const turn = (): Promise<number> => {
      if (this.#closed) return this.#unsent(interrupted());
      return this.#writeFailure === undefined ? leave() : this.#unsent(this.#writeFailure);
    };
    const left = this.#inLine++ === 0 ? turn() : this.#last!.then(turn, turn);
    this.#last = left;
    return left;
  }

  #write(p: Uint8Array): Promise<number> {
    if (this.#writeFailure !== undefined) return this.#unsent(this.#writeFailure);
    const piece = p.length > MOST_AT_ONCE ? p.subarray(0, MOST_AT_ONCE) : p;
    let ciphertext;
    try {
      ciphertext = this.#engine.encrypt(piece);
    } catch (error) {
      this.#inLine--;
      return Promise.reject(error); // `p` is no Uint8Array: nothing has happened.
    }
    // Were it less than it should be, the engine would have kept a part for which nobody asks.
    if (ciphertext.length <= piece.length) return this.#unsent(incomplete());
    return this.#send(ciphertext, piece.length);
  }

  #send(ciphertext: Uint8Array<ArrayBuffer>, taken: number): Promise<number> {
    this.#leaving = ciphertext;
    this.#taken = taken;
    return this.#raw.write(ciphertext).then(this.#sent, this.#failed);
  }

  readonly #sent = (n: number): number | Promise<number> => {
    if (n < this.#leaving.length) {
      this.#leaving = this.#leaving.subarray(n);
      return this.#raw.write(this.#leaving).then(this.#sent, this.#failed);
    }
    this.#inLine--;
    this.#leaving = NOTHING;
    return this.#taken;
  };

  readonly #failed = (error: unknown): never => {
    this.#inLine--;
    this.#leaving = NOTHING;
    // A part of a record may have left: nothing that follows would make sense to the peer.
    throw this.#writeFailure ??= error;
  };

  #unsent(error: unknown): Promise<never> {
    return Promise.reject(error).catch(this.#failed);
  }
}

const NOTHING = new Uint8Array(0);

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
}

/** A fatal alert outside of encryption: what there is before the server has answered anything. */
function plainAlert(description: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([21, 3, 3, 0, 2, 2, description]);
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset;
}

function badResource(): Error {
  return new Deno.errors.BadResource("Cannot use a connection that is closed");
}

function interrupted(): Error {
  return new Deno.errors.Interrupted("The connection was closed during the operation");
}

function incomplete(): Error {
  return new Deno.errors.NotSupported(
    "Cannot write inside TLS: 'node:tls' of this Deno has not encrypted everything at once",
  );
}

function unsupported(what: string, instead: string): Error {
  return new Deno.errors.NotSupported(`Cannot use '${what}' of a TLS socket: use ${instead}`);
}
