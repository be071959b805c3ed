/** Turns bytes into TLS and back through `node:tls`, only when asked. @module */

import type { TLSSocket, TLSSocketOptions } from "node:tls";
import { joined } from "./joined.ts";

/**
 * What Deno's `TLSSocket` has inside. The public way to use a `TLSSocket` over something other than a
 * socket leads through three Node streams: a 64-byte echo then takes 2.3 times as much CPU, and the
 * alert that says why a handshake failed is never sent.
 */
interface Handle {
  /** What cleartext is put into; the callback then gets `undefined`, as at the end of the stream. */
  useUserBuffer(room: Uint8Array): void;
  /** Bytes of cleartext so far, those included that the callback has not been called for. */
  getBytesRead(): number;
  /** Takes ciphertext, and calls back before it returns. */
  readBuffer(ciphertext: Uint8Array): void;
  /** Gives the ciphertext that is to be sent. */
  drainEncOut(): Uint8Array<ArrayBuffer>;
  /** Encrypts at most 48 KiB. The instance has a wrapper of it that makes a promise for each call. */
  writeBuffer(request: object, cleartext: Uint8Array): number;
  /** Encrypts the end of the stream. */
  shutdown(request: object): number;
  start(): number;
  readStart(): number;
  onread: () => void;
  onerror: (error: Error) => void;
}

const NEEDED = [
  "useUserBuffer",
  "getBytesRead",
  "readBuffer",
  "drainEncOut",
  "writeBuffer",
  "shutdown",
  "start",
  "readStart",
];

/**
 * Where the cleartext of every engine is put, to be taken out before the next one is fed: an ArrayBuffer
 * for each read would be 7 % of an echo. It has room for what 64 KiB of ciphertext and a part of a record
 * before them can hold.
 */
const ROOM = new Uint8Array(81_920);

/** The part of it that was given out last: most messages are as long as the one before. */
let part = ROOM.subarray(0, 0);

/** What a write is made with; each could have one of its own, which would be called when it is done. */
const REQUEST = { oncomplete: undefined };

const NOTHING = new Uint8Array(0);

/** What an engine reports about the bytes it is fed. */
export interface TlsEvents {
  /** The peer's close_notify has come. */
  ended(): void;
  /** The handshake is complete. */
  handshakeComplete(): void;
  /** The peer broke the protocol or sent a fatal alert; nothing comes after it. */
  failed(error: Error): void;
}

/**
 * Throws where `node:tls` of this Deno lacks what {@linkcode TlsEngine} uses.
 *
 * @param attempt What is attempted, for the message.
 * @throws {Deno.errors.NotSupported} If something is missing.
 */
export function requireTlsEngine(attempt: string): void {
  const socket = newSocket({ isServer: true });
  const handle = handleOf(socket) as unknown as Record<string, unknown> | null | undefined;
  const missing = NEEDED.filter((name) => typeof handle?.[name] !== "function");
  socket.on("error", () => {}).destroy();
  if (missing.length === 0) return;
  throw new Deno.errors.NotSupported(
    `Cannot ${attempt}: TLS needs parts of 'node:tls' that Deno ${Deno.version.deno} lacks ` +
      `(${missing.join(", ")}); use Deno 2.9.5 or a later 2.9`,
  );
}

/** One end of a TLS connection; it reads and writes nothing by itself. */
export class TlsEngine {
  readonly socket: TLSSocket;
  /** What is reported to. */
  events: TlsEvents;
  readonly #handle: Handle;
  readonly #encrypt: Handle["writeBuffer"];
  /** Bytes of cleartext that were called back for. */
  #read = 0;
  #cleartext = NOTHING;

  constructor(options: TLSSocketOptions, events: TlsEvents) {
    const socket = newSocket(options);
    const handle = handleOf(socket);
    this.socket = socket;
    this.events = events;
    this.#handle = handle;
    this.#encrypt = (Object.getPrototypeOf(handle) as Handle).writeBuffer;
    socket.on("error", (error) => this.events.failed(error));
    socket.once("secure", () => this.events.handshakeComplete());
    handle.onread = () => this.#decrypted();
    handle.onerror = (error) => this.events.failed(error);
    handle.useUserBuffer(ROOM);
    handle.start();
    handle.readStart();
  }

  /**
   * Takes ciphertext of the peer; what else comes of it is reported before this returns.
   *
   * @returns The cleartext of it, which is overwritten when any engine is fed.
   */
  feed(ciphertext: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#handle.readBuffer(ciphertext);
    const cleartext = this.#cleartext;
    this.#cleartext = NOTHING;
    return cleartext;
  }

  /** Gives the ciphertext that is to be sent, in order; empty if there is none. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#handle.drainEncOut();
  }

  /** Encrypts at most 48 KiB; gives that, behind anything that was not taken. */
  encrypt(cleartext: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#encrypt.call(this.#handle, REQUEST, cleartext);
    return this.#handle.drainEncOut();
  }

  /** Gives the close_notify alert, behind anything that was not taken. */
  end(): Uint8Array<ArrayBuffer> {
    this.#handle.shutdown(REQUEST);
    return this.#handle.drainEncOut();
  }

  /** Frees what is outside JavaScript; no other method may be called after it. */
  destroy(): void {
    this.socket.destroy();
  }

  /** Cleartext is in the room, as much as it holds of what is left, or the stream is over. */
  #decrypted(): void {
    const left = this.#handle.getBytesRead() - this.#read;
    if (left === 0) return this.events.ended();
    const n = Math.min(left, ROOM.length);
    this.#read += n;
    if (part.length !== n) part = ROOM.subarray(0, n);
    const isAll = n === left && this.#cleartext.length === 0;
    this.#cleartext = isAll ? part : joined(this.#cleartext, part);
  }
}

function newSocket(options: TLSSocketOptions): TLSSocket {
  const { TLSSocket } = process.getBuiltinModule("node:tls");
  const { Duplex } = process.getBuiltinModule("node:stream");
  // Never used: what would go through it is fed and taken instead.
  const unused = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
  return new TLSSocket(unused, options);
}

function handleOf(socket: TLSSocket): Handle {
  return (socket as unknown as { _handle: Handle })._handle;
}
