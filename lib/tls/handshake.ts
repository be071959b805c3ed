/** Makes one TLS handshake over a socket that is already open. @module */

import type { PeerCertificate, TLSSocketOptions } from "node:tls";
import { alertOf, withAlert } from "./alert.ts";
import { HelloRecords } from "./hello_records.ts";
import { joined } from "./joined.ts";
import type { HandshakeOptions } from "./tls_contexts.ts";
import { TlsEngine, type TlsEvents } from "./tls_engine.ts";

/**
 * What a TLS handshake has negotiated. Deno's own TLS (`Deno.listenTls`, `Deno.connectTls`) reports
 * only the ALPN protocol.
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
 *
 * @category TLS
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

/** What a complete handshake leaves behind. */
export interface Established {
  readonly engine: TlsEngine;
  readonly info: TlsInfo;
  /** What the peer has sent inside TLS already. */
  readonly cleartext: Uint8Array;
  /** Its close_notify has come, too. */
  readonly ended: boolean;
}

/** Bytes that a read has room for. */
const ROOM = 2048;

/**
 * Bytes of a ClientHello that are fed at once. Where the certificate depends on the server name, Deno
 * reads no more of them and stops until it is fed again.
 */
const HELLO_PIECE = 4096;

/** TLS alerts by their number (RFC 8446, 6). */
const UNEXPECTED_MESSAGE = 10;
const HANDSHAKE_FAILURE = 40;

/** Reads in a row that may bring nothing; a socket that never brings anything must not block all others. */
const MOST_EMPTY_READS = 100;

/**
 * One handshake, as either side. The engine of a server is made when the first byte has come and begins
 * a handshake, so that a mute peer and a port scanner cost as little as on a plain port.
 */
export class Handshake implements TlsEvents {
  readonly #raw: Deno.Conn;
  readonly #side: TlsSide;
  readonly #begun: (() => void) | undefined;
  /** What was read from the socket and has not been fed. */
  #ahead: Uint8Array<ArrayBuffer>;
  #room: Uint8Array<ArrayBuffer> | undefined;
  #engine: TlsEngine | undefined;
  /** A certificate is being chosen, or was; nothing is read meanwhile. */
  #choosing: Promise<void> | undefined;
  #stopChoosing: (() => void) | undefined;
  #complete = false;
  /** Something of ours has been sent: from then on alerts are encrypted. */
  #answered = false;
  #closed = false;
  #cleartext: Uint8Array = NOTHING;
  #ended = false;
  /** What the peer has done wrong, or choosing a certificate. */
  #failure: unknown;

  /**
   * @param raw The socket.
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

  /**
   * Resolves once both sides are done and the peer's certificate is accepted.
   *
   * @throws {Deno.errors.InvalidData} If the peer speaks no TLS, the two cannot agree, or its certificate
   * is not accepted; it gets an alert, as far as TLS has one.
   */
  async make(): Promise<Established> {
    try {
      const options = this.#side.isServer ? await this.#answerHello() : this.#sayHello();
      const engine = this.#engine!;
      for (; !this.#complete; await this.#feed(await this.#nextBytes())) await this.#answer();
      // Before the peer gets the last message of a TLS 1.2 handshake, which it takes for consent.
      const verdict = options.checkPeer?.(engine.socket);
      await this.#answer();
      const info = { ...infoOf(engine, options.requestCert === true), ...verdict };
      return { engine, info, cleartext: this.#cleartext, ended: this.#ended };
    } catch (error) {
      const isPeers = error === this.#failure || error instanceof Deno.errors.InvalidData;
      if (isPeers && !this.#closed) await this.#alert(error);
      throw error;
    }
  }

  /** Gives up: the socket is being closed. */
  close(): void {
    this.#closed = true;
    this.#engine?.destroy();
    this.#stopChoosing?.();
    this.#stopChoosing = undefined;
  }

  handshakeComplete(): void {
    this.#complete = true;
  }

  ended(): void {
    this.#ended = true;
  }

  failed(error: Error): void {
    this.#failure ??= new Deno.errors.InvalidData(
      `Cannot speak TLS with the peer: ${error.message}`,
      { cause: error },
    );
  }

  /** Begins as the client; the ClientHello is the first answer. */
  #sayHello(): HandshakeOptions {
    const { length } = this.#ahead;
    if (length > 0) {
      // A server sends nothing between its consent and our ClientHello: these were injected on the way.
      throw new Deno.errors.InvalidData(
        `Cannot start TLS: ${length} bytes have come in clear, behind what the server consented with`,
      );
    }
    const options = this.#side.socketOptions();
    this.#engine = this.#newEngine(options);
    return options;
  }

  /** Has the engine take the ClientHello, and begins anew where the session it resumes is no good. */
  async #answerHello(): Promise<HandshakeOptions> {
    const first = await this.#nextBytes();
    this.#begun?.();
    if (!HelloRecords.begin(first)) throw noHandshake(first[0]!);
    const records = new HelloRecords();
    let joined = records.add(first);
    while (joined === null) joined = records.add(await this.#nextBytes());
    const { hello, rest } = joined;
    this.#ahead = rest;
    let options: HandshakeOptions | undefined = this.#side.socketOptions();
    for (;;) {
      const engine = this.#newEngine(options);
      this.#engine = engine;
      for (let at = 0; at < hello.length; at += HELLO_PIECE) {
        await this.#feed(hello.subarray(at, at + HELLO_PIECE));
      }
      const { mayResume, afresh } = options as HandshakeOptions;
      if (mayResume?.(engine.socket) !== false) return options;
      engine.events = IGNORED;
      engine.destroy();
      options = afresh?.();
      if (options === undefined) throw staleSession();
    }
  }

  #newEngine(options: HandshakeOptions): TlsEngine {
    const { SNICallback } = options;
    return new TlsEngine({
      ...options,
      ...(SNICallback !== undefined && { SNICallback: this.#chooser(SNICallback) }),
    }, this);
  }

  async #feed(ciphertext: Uint8Array): Promise<void> {
    const cleartext = this.#engine!.feed(ciphertext);
    if (cleartext.length > 0) this.#cleartext = joined(this.#cleartext, cleartext);
    await this.#choosing;
    if (this.#closed) throw interrupted();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What is fed next; the socket is read only once everything before has been. */
  async #nextBytes(): Promise<Uint8Array<ArrayBuffer>> {
    const ahead = this.#ahead;
    if (ahead.length > 0) {
      this.#ahead = NOTHING;
      return ahead;
    }
    const room = this.#room ??= new Uint8Array(ROOM);
    let n;
    for (let empty = 0; (n = await this.#raw.read(room)) === 0; empty++) {
      if (empty >= MOST_EMPTY_READS) {
        throw new Deno.errors.InvalidData("Cannot speak TLS: the socket brings no bytes");
      }
    }
    if (this.#closed) throw interrupted();
    if (n === null) throw new Deno.errors.UnexpectedEof("The peer left during the TLS handshake");
    return room.subarray(0, n);
  }

  async #answer(): Promise<void> {
    const ciphertext = this.#engine!.take();
    if (ciphertext.length === 0) return;
    this.#answered = true;
    await this.#send(ciphertext);
    if (this.#closed) throw interrupted();
  }

  /** Sends the reason to the peer, as far as TLS has an alert for it. */
  async #alert(error: unknown): Promise<void> {
    const own = error === this.#failure ? this.#engine?.take() ?? NOTHING : NOTHING;
    // A certificate is chosen, and the first byte looked at, outside the engine, which says nothing then.
    const alert = own.length > 0 || this.#answered
      ? own
      : plainAlert(alertOf(error) ?? HANDSHAKE_FAILURE);
    // A peer that does not take it finds out by the end of the connection.
    await this.#send(alert).catch(() => {});
  }

  async #send(ciphertext: Uint8Array): Promise<void> {
    for (let sent = 0; sent < ciphertext.length;) {
      sent += await this.#raw.write(ciphertext.subarray(sent));
    }
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
        if (error) this.#failure ??= error;
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
}

function infoOf({ socket }: TlsEngine, asked: boolean): TlsInfo {
  const { servername, alpnProtocol } = socket as unknown as Record<string, unknown>;
  const certificate = asked ? socket.getPeerCertificate() : undefined;
  return {
    ...(typeof servername === "string" && { serverName: servername }),
    ...(typeof alpnProtocol === "string" && { alpnProtocol }),
    version: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().name,
    ...(certificate?.raw !== undefined && { peerCertificate: certificate }),
  };
}

const NOTHING = new Uint8Array(0);
const IGNORED: TlsEvents = { ended() {}, handshakeComplete() {}, failed() {} };

/** A fatal alert in clear, for a handshake that the server has not answered yet. */
function plainAlert(description: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array([21, 3, 3, 0, 2, 2, description]);
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

function interrupted(): Error {
  return new Deno.errors.Interrupted("The connection was closed during the operation");
}
