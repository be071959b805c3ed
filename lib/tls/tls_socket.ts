/** Speaks TLS over a socket that is already open, reading only on demand. @module */

import type { PeerCertificate, TLSSocketOptions } from "node:tls";
import { alertOf, withAlert } from "./alert.ts";
import { HelloRecords } from "./hello_records.ts";
import type { HandshakeOptions } from "./tls_contexts.ts";
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
  /** The server name that the client sent (SNI), or that we as the client meant. */
  readonly serverName?: string;
  /** The negotiated application protocol (ALPN). */
  readonly alpnProtocol?: string;
  /** `"TLSv1.2"` or `"TLSv1.3"`. */
  readonly version?: string;
  /** The cipher suite, by its name in OpenSSL. */
  readonly cipher?: string;
  /** The peer's certificate, if one was asked for and presented. */
  readonly peerCertificate?: PeerCertificate;
  /** Whether that certificate is valid, if one was asked for; a server's always is. */
  readonly authorized?: boolean;
  /** Why it is not. */
  readonly authorizationError?: string;
}

/** One side of TLS, which makes any number of handshakes. */
export interface TlsSide {
  readonly isServer: boolean;
  /** The options of a handshake that begins now. */
  socketOptions(): HandshakeOptions;
}

/**
 * Bytes of a ClientHello that are fed at once. Where the certificate depends on the server name, Deno
 * reads no more of them and stops until it is fed again.
 */
const HELLO_PIECE = 4096;

/** Bytes that a read has room for: few while idle, more the more each one brings. */
const ROOMS = [2048, 16_384, 65_536];

/**
 * Bytes that one write takes: three full records. A caller sees progress in these steps, as in the
 * 64 KiB of Deno's own TLS, and Deno's engine would keep what is above it for a later call.
 */
const MOST_AT_ONCE = 49_152;

/** TLS alerts by their number (RFC 8446, 6). */
const UNEXPECTED_MESSAGE = 10;
const HANDSHAKE_FAILURE = 40;

/**
 * A connection inside TLS, over any `Deno.Conn`; one read at a time. It reads from the socket only
 * while its owner reads from it, and holds no more than one such read brings: a peer that keeps
 * sending fills the kernel's buffers, not this process. The engine is made when the first byte has come
 * and begins a handshake, so that a mute peer and a port scanner cost as little as on a plain port.
 */
export class TlsSocket implements Deno.Conn, TlsEvents {
  readonly #raw: Deno.Conn;
  readonly #side: TlsSide;
  /** Of the engine. */
  #options: HandshakeOptions | undefined;
  readonly #begun: (() => void) | undefined;
  #engine: TlsEngine | undefined;
  /** What was read from the socket before and has not been fed. */
  #ahead: Uint8Array<ArrayBuffer>;
  #handshake: Promise<TlsInfo> | undefined;
  /** A certificate is being chosen, or was; nothing is read meanwhile. */
  #choosing: Promise<void> | undefined;
  #stopChoosing: (() => void) | undefined;
  #complete = false;
  /** The handshake is complete and the peer's certificate accepted. */
  #open = false;
  /** Something of ours has been sent: from then on alerts are encrypted. */
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
  /** The peer's close_notify has come. */
  #ended = false;
  /** Why nothing can be read any more: a truncated stream stays truncated. */
  #readFailure: unknown;

  /** Ciphertext being sent, and how many bytes of the caller's it holds. */
  #leaving = NOTHING;
  #taken = 0;
  /** What is being sent or waits for its turn, and the last of it: records must not interleave. */
  #inLine = 0;
  #last: Promise<unknown> | undefined;
  #finished = false;
  /** Our direction ends without close_notify. */
  #cut = false;
  #writeFailure: unknown;

  /**
   * @param raw The socket, which belongs to this one from now on.
   * @param ahead What was read from it already.
   * @param side What the handshake is made with, asked for when it begins.
   * @param begun Called when a client's first byte has come.
   */
  constructor(
    raw: Deno.Conn,
    ahead: Uint8Array<ArrayBuffer>,
    side: TlsSide,
    begun?: () => void,
  ) {
    this.#raw = raw;
    this.#ahead = ahead;
    this.#side = side;
    this.#begun = begun;
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
   * Makes the handshake; a read or write does so as well.
   *
   * @throws {Deno.errors.InvalidData} If the peer speaks no TLS, the two cannot agree, or the peer's
   * certificate is not accepted.
   */
  handshake(): Promise<TlsInfo> {
    if (this.#handshake === undefined) {
      this.#handshake = this.#closed ? Promise.reject(badResource()) : this.#shakeHands();
      this.#handshake.catch(() => {});
    }
    return this.#handshake;
  }

  /** Reads into `p`; `null` behind the peer's close_notify. */
  read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return Promise.resolve(0);
    if (this.#closed) return Promise.reject(badResource());
    if (!this.#open) return this.handshake().then(() => this.read(p));
    if (this.#into !== undefined) {
      return Promise.reject(new Deno.errors.Busy("Cannot read while another read is pending"));
    }
    return this.#cleartext.length > 0 ? Promise.resolve(this.#take(p)) : this.#receive(p);
  }

  /** Writes at most 48 KiB of `p`; resolves with how many bytes, once the kernel has them. */
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

  /**
   * From now on our direction ends without close_notify, so that what was sent before does not look
   * complete to the peer.
   */
  cut(): void {
    this.#cut = true;
  }

  /** Sends close_notify and FIN behind every earlier write; reading goes on. */
  async closeWrite(): Promise<void> {
    if (this.#closed) throw badResource();
    if (!this.#open) await this.handshake();
    if (this.#finished) return;
    this.#finished = true;
    try {
      if (this.#cut) await this.#last;
      else await this.#inTurn(() => this.#send(this.#engine!.end(), 0));
    } catch (error) {
      // Everything has been sent, and the peer has left without waiting for close_notify, as many do:
      // neither that nor the FIN that follows is an error.
      if (!isGone(error)) throw error;
    }
    await this.#raw.closeWrite();
  }

  /** Closes both directions at once; without `closeWrite()` before, the peer sees a truncated stream. */
  close(): void {
    this.#end();
    this.#raw.close();
  }

  /**
   * Closes both directions. The peer gets close_notify first, unless something is still being sent: then
   * it sees a truncated stream, as it is one.
   */
  closePolitely(): void {
    const isWhole = this.#open && !this.#finished && this.#inLine === 0 && !this.#cut &&
      this.#writeFailure === undefined;
    const ciphertext = isWhole && !this.#closed ? this.#engine!.end() : NOTHING;
    this.#end();
    if (ciphertext.length === 0) return this.#raw.close();
    // The kernel takes it within this turn, or it is full and the stream is not whole for the peer.
    const close = () => {
      try {
        this.#raw.close();
      } catch {
        // The owner of the raw socket was faster.
      }
    };
    this.#raw.write(ciphertext).then(close, close);
    setImmediate(() => setImmediate(close));
  }

  #end(): void {
    if (this.#closed) throw badResource();
    this.#closed = true;
    this.#engine?.destroy();
    this.#stopChoosing?.();
    this.#stopChoosing = undefined;
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  async #shakeHands(): Promise<TlsInfo> {
    try {
      if (this.#side.isServer) await this.#answerHello();
      else this.#sayHello();
      let verdict: Partial<TlsInfo> | undefined;
      for (;;) {
        // Before the peer gets the last message of a TLS 1.2 handshake, which it takes for consent.
        if (this.#complete) verdict = this.#options?.checkPeer?.(this.#engine!.socket);
        await this.#answer();
        if (this.#complete) break;
        await this.#feed(await this.#nextBytes());
      }
      this.#open = true;
      return { ...this.#info(), ...verdict };
    } catch (error) {
      const isPeers = error === this.#readFailure || error instanceof Deno.errors.InvalidData;
      if (isPeers && !this.#closed) await this.#alert(error);
      this.#readFailure ??= error;
      this.#writeFailure ??= error;
      throw error;
    }
  }

  /** Has the engine take the ClientHello, and begins anew where the session it resumes is no good. */
  async #answerHello(): Promise<void> {
    const first = await this.#nextBytes();
    this.#begun?.();
    if (!HelloRecords.begin(first)) throw noHandshake(first[0]!);
    const records = new HelloRecords();
    let joined = records.add(first);
    while (joined === null) joined = records.add(await this.#nextBytes());
    const { hello, rest } = joined;
    if (rest.length > 0) this.#ahead = rest; // an empty view would pin its memory
    for (let options: HandshakeOptions | undefined = this.#side.socketOptions();;) {
      this.#engine = this.#newEngine(options);
      for (let at = 0; at < hello.length; at += HELLO_PIECE) {
        await this.#feed(hello.subarray(at, at + HELLO_PIECE));
      }
      const { mayResume, afresh } = options as HandshakeOptions;
      if (mayResume?.(this.#engine!.socket) !== false) return;
      this.#engine!.destroy();
      options = afresh?.();
      if (options === undefined) throw staleSession();
    }
  }

  /** Begins a handshake as the client; it leaves with the first answer. */
  #sayHello(): void {
    const { length } = this.#ahead;
    if (length > 0) {
      // A server sends nothing between its consent and our ClientHello: these were injected on the way.
      throw new Deno.errors.InvalidData(
        `Cannot start TLS: ${length} bytes have come in clear, behind what the server consented with`,
      );
    }
    this.#engine = this.#newEngine(this.#side.socketOptions());
  }

  async #feed(ciphertext: Uint8Array): Promise<void> {
    this.#engine!.feed(ciphertext);
    await this.#choosing;
    if (this.#closed) throw interrupted();
    if (this.#readFailure !== undefined) throw this.#readFailure;
  }

  /** What is fed next; the socket is read only once everything before has been. */
  async #nextBytes(): Promise<Uint8Array<ArrayBuffer>> {
    const ahead = this.#ahead;
    if (ahead.length > 0) {
      this.#ahead = NOTHING;
      return ahead;
    }
    let n;
    for (let empty = 0; (n = await this.#raw.read(this.#room)) === 0; empty++) refuseEmpty(empty);
    if (this.#closed) throw interrupted();
    if (n === null) throw new Deno.errors.UnexpectedEof("The peer left during the TLS handshake");
    return this.#room.subarray(0, n);
  }

  #newEngine(options: HandshakeOptions): TlsEngine {
    const { SNICallback } = options;
    this.#options = options;
    return new TlsEngine({
      ...options,
      ...(SNICallback !== undefined && { SNICallback: this.#chooser(SNICallback) }),
    }, this);
  }

  async #answer(): Promise<void> {
    const ciphertext = this.#engine!.take();
    if (ciphertext.length === 0) return;
    this.#answered = true;
    await this.#inTurn(() => this.#send(ciphertext, 0));
  }

  /** Sends the reason to the peer, as far as TLS has an alert for it. */
  async #alert(error: unknown): Promise<void> {
    const alert = (): Uint8Array<ArrayBuffer> => {
      const own = this.#readFailure === error ? this.#engine?.take() ?? NOTHING : NOTHING;
      // The certificate is chosen, and the first bytes are looked at, outside the engine, which says
      // nothing of either.
      return own.length > 0 || this.#answered
        ? own
        : plainAlert(alertOf(error) ?? HANDSHAKE_FAILURE);
    };
    // A peer that does not take it finds out by the end of the connection.
    await this.#inTurn(() => this.#send(alert(), 0)).catch(() => {});
  }

  #info(): TlsInfo {
    const { socket } = this.#engine!;
    const { servername, alpnProtocol } = socket as unknown as Record<string, unknown>;
    const certificate = this.#options?.requestCert === true
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
        // Unchanged: a fault in choosing is not the peer's.
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
    // Deno calls it once for each time it is fed; more often, nothing may be lost.
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
    return this.#raw.read(this.#room).then(this.#received, this.#readFailed);
  }

  readonly #received = (n: number | null): number | Promise<number | null> => {
    const p = this.#into!;
    this.#decrypt(n);
    if (this.#cleartext.length === 0) return this.#readUntilCleartext(p);
    this.#into = undefined;
    return this.#take(p);
  };

  /** A loop, not one more `then`: a peer can send without end what brings no cleartext. */
  async #readUntilCleartext(p: Uint8Array): Promise<number | null> {
    try {
      for (let empty = 0; this.#cleartext.length === 0;) {
        if (this.#readFailure !== undefined) {
          // Not awaited: a peer that takes nothing must not keep the error from the reader.
          this.#alert(this.#readFailure);
          throw this.#readFailure;
        }
        if (this.#ended) return null;
        this.#reply();
        const n = await this.#raw.read(this.#room);
        if (n === 0) refuseEmpty(empty++);
        this.#decrypt(n);
      }
    } catch (error) {
      return this.#readFailed(error);
    } finally {
      this.#into = undefined;
    }
    return this.#take(p);
  }

  /**
   * Sends the engine's own answer to what brought no cleartext, such as the alert that there is no
   * renegotiation. While something else is being sent it can wait and goes with the next write.
   */
  #reply(): void {
    if (this.#inLine > 0 || this.#writeFailure !== undefined) return;
    const reply = this.#engine!.take();
    if (reply.length > 0) this.#inTurn(() => this.#send(reply, 0)).catch(() => {});
  }

  #decrypt(n: number | null): void {
    if (this.#closed) throw interrupted();
    if (n === null) {
      this.#readFailure = new Deno.errors.UnexpectedEof(
        "The peer closed the connection without close_notify: what it sent may be incomplete",
      );
      return;
    }
    // A new view for each read would cost 5 % of an echo.
    if (this.#arrived.length !== n) this.#arrived = this.#room.subarray(0, n);
    this.#engine!.feed(this.#arrived);
    if (n === this.#room.length) this.#resize(this.#size + 1);
    else if (this.#size > 0 && n <= ROOMS[this.#size - 1]! / 2) this.#resize(this.#size - 1);
  }

  #resize(size: number): void {
    if (size === ROOMS.length) return;
    this.#size = size;
    this.#room = new Uint8Array(ROOMS[size]!);
    this.#arrived = this.#room.subarray(0, 0);
  }

  readonly #readFailed = (error: unknown): never => {
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

  /** Begins `send` once everything before it has been sent. */
  #inTurn(send: () => Promise<number>): Promise<number> {
    const turn = (): Promise<number> => {
      if (this.#closed) return this.#unsent(interrupted());
      return this.#writeFailure === undefined ? send() : this.#unsent(this.#writeFailure);
    };
    const sent = this.#inLine++ === 0 ? turn() : this.#last!.then(turn, turn);
    this.#last = sent;
    return sent;
  }

  #write(p: Uint8Array): Promise<number> {
    if (this.#writeFailure !== undefined) return this.#unsent(this.#writeFailure);
    const piece = p.length > MOST_AT_ONCE ? p.subarray(0, MOST_AT_ONCE) : p;
    let ciphertext;
    try {
      ciphertext = this.#engine!.encrypt(piece);
    } catch (error) {
      this.#inLine--;
      return Promise.reject(error); // `p` is no Uint8Array: nothing has happened.
    }
    // Less than that would mean that the engine has kept a part, which nothing would ever ask for.
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
    // A part of a record may have been sent: nothing behind it would make sense to the peer.
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

/** A fatal alert in clear, for a handshake that the server has not answered yet. */
function plainAlert(description: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([21, 3, 3, 0, 2, 2, description]);
}

/** Reads in a row that may bring nothing; a socket that never brings anything must not block all others. */
const MOST_EMPTY_READS = 100;

function refuseEmpty(before: number): void {
  if (before < MOST_EMPTY_READS) return;
  throw new Deno.errors.InvalidData("Cannot read: the socket brings no bytes");
}

function noHandshake(first: number): Error {
  const error = new Deno.errors.InvalidData(
    `Cannot speak TLS with the peer: it began with byte ${first}, which begins no handshake`,
  );
  return withAlert(error, UNEXPECTED_MESSAGE);
}

/** OpenSSL and others drop a session when they get an alert, and make a full handshake next time. */
function staleSession(): Error {
  return new Deno.errors.InvalidData(
    "Cannot resume the session of the client: its certificate was not verified with 'tls.clientCa'",
  );
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
