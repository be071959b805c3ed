/** How does `node:tls` turn bytes into TLS and back, and nothing happen unless it is asked? @module */

import type { TLSSocket } from "node:tls";
import type { HandshakeOptions } from "./tls_contexts.ts";

/**
 * What Deno's `TLSSocket` has inside. The public way to use a `TLSSocket` over something that is no
 * socket leads through three streams of Node: an echo of 64 bytes then costs 2.3 times as much CPU,
 * and the alert that says why a handshake failed never leaves.
 */
interface Handle {
  /** Takes ciphertext, and calls back before it returns. */
  readBuffer(ciphertext: Uint8Array): void;
  /** Gives the ciphertext that is to be sent. */
  drainEncOut(): Uint8Array<ArrayBuffer>;
  /** Encrypts at most 48 KiB. There is one around it that makes a promise for each call. */
  writeBuffer(request: object, cleartext: Uint8Array): number;
  /** Encrypts the end of the stream. */
  shutdown(request: object): number;
  start(): number;
  readStart(): number;
  onread: (cleartext: ArrayBuffer | undefined) => void;
  onerror: (error: Error) => void;
}

const NEEDED = ["readBuffer", "drainEncOut", "writeBuffer", "shutdown", "start", "readStart"];

/** Who is told what comes of the bytes that an engine is fed with. */
export interface TlsListener {
  /** Cleartext has arrived; `undefined` is the end of the stream, said by the peer. */
  decrypted(cleartext: ArrayBuffer | undefined): void;
  /** The handshake is complete. */
  secured(): void;
  /** The peer broke the rules, or wants no more; nothing comes after it. */
  broken(error: Error): void;
}

let runs: boolean | undefined;

/** Whether this Deno has what {@linkcode TlsEngine} needs. */
export function runsTlsEngine(): boolean {
  try {
    runs ??= (new TlsEngine({ isServer: true }, IGNORANT).destroy(), true);
  } catch {
    runs = false;
  }
  return runs;
}

const IGNORANT: TlsListener = { decrypted() {}, secured() {}, broken() {} };

/** One end of a TLS connection that reads and writes nothing by itself. */
export class TlsEngine {
  readonly socket: TLSSocket;
  readonly #handle: Handle;
  readonly #encrypt: Handle["writeBuffer"];

  constructor(options: HandshakeOptions, listener: TlsListener) {
    const { TLSSocket } = process.getBuiltinModule("node:tls");
    const { Duplex } = process.getBuiltinModule("node:stream");
    // Never used: what would go through it is handed over and taken below.
    const unused = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    const socket = new TLSSocket(unused, options);
    const handle = (socket as unknown as { _handle: Handle })._handle;
    this.socket = socket;
    this.#handle = handle;
    const lacking = NEEDED.filter((name) =>
      typeof (handle as unknown as Record<string, unknown> | null)?.[name] !== "function"
    );
    if (lacking.length > 0) {
      socket.on("error", () => {}).destroy();
      throw new Deno.errors.NotSupported(
        `Cannot run TLS on an open socket: 'node:tls' of this Deno has no ${lacking.join(", ")}`,
      );
    }
    this.#encrypt = (Object.getPrototypeOf(handle) as Handle).writeBuffer;
    socket.on("error", (error) => listener.broken(error));
    socket.once("secure", () => listener.secured());
    handle.onread = (cleartext) => listener.decrypted(cleartext);
    handle.onerror = (error) => listener.broken(error);
    handle.start();
    handle.readStart();
  }

  /** Takes ciphertext of the peer; what comes of it is told before this returns. */
  feed(ciphertext: Uint8Array): void {
    this.#handle.readBuffer(ciphertext);
  }

  /** Gives the ciphertext that is to be sent, in order; empty if there is none. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#handle.drainEncOut();
  }

  /** Encrypts at most 48 KiB; gives that, behind anything that was not taken. */
  encrypt(cleartext: Uint8Array): Uint8Array<ArrayBuffer> {
    this.#encrypt.call(this.#handle, {}, cleartext);
    return this.#handle.drainEncOut();
  }

  /** Gives the message that ends our direction, behind anything that was not taken. */
  end(): Uint8Array<ArrayBuffer> {
    this.#handle.shutdown({});
    return this.#handle.drainEncOut();
  }

  /** Frees what is outside of JavaScript; nothing else may be called from then on. */
  destroy(): void {
    this.socket.destroy();
  }
}
