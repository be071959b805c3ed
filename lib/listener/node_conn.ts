/** Gives a socket of `node:net` the shape of a `Deno.Conn`. @module */

import type { Socket } from "node:net";
import { SocketStreams } from "./socket_streams.ts";

/** Bytes that one write takes at most, so that a long one is seen to advance. */
const MOST_PER_WRITE = 65_536;

/** The classes that Deno has for what Node only gives a code. */
const CLASSES: Readonly<Record<string, new (message: string) => Error>> = {
  ECONNRESET: Deno.errors.ConnectionReset,
  ECONNABORTED: Deno.errors.ConnectionAborted,
  EPIPE: Deno.errors.BrokenPipe,
  ENOTCONN: Deno.errors.NotConnected,
  ETIMEDOUT: Deno.errors.TimedOut,
};

interface PendingRead {
  readonly p: Uint8Array;
  readonly resolve: (n: number | null) => void;
  readonly reject: (error: unknown) => void;
}

/** One accepted socket. It reads from the kernel only while a read waits, bar what Node buffers. */
export class NodeConn<A extends Deno.Addr> implements Deno.Conn<A> {
  readonly localAddr: A;
  readonly remoteAddr: A;
  readonly #socket: Socket;
  #closed = false;
  #ended = false;
  /** What has arrived behind the room of the last read. */
  #rest: Uint8Array | undefined;
  #read: PendingRead | undefined;
  /** Rejects the writes that wait. */
  readonly #writes = new Set<(error: unknown) => void>();
  /** What the connection failed with; Deno gives it to one operation, and that one only. */
  #failure: { readonly error: unknown } | undefined;
  #failed = false;
  readonly #streams = new SocketStreams(this);

  constructor(socket: Socket, localAddr: A, remoteAddr: A) {
    this.localAddr = localAddr;
    this.remoteAddr = remoteAddr;
    this.#socket = socket;
    socket.on("data", this.#arrived);
    socket.on("end", this.#finished);
    socket.on("error", this.#broke);
    socket.pause();
  }

  read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return Promise.resolve(0);
    if (this.#closed) return Promise.reject(badResource());
    if (this.#read !== undefined) {
      return Promise.reject(new Deno.errors.Busy("Cannot read while another read is pending"));
    }
    if (this.#rest !== undefined) return Promise.resolve(this.#give(p, this.#rest));
    if (this.#failed) return this.#fail(null);
    if (this.#ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this.#read = { p, resolve, reject };
      this.#socket.resume();
    });
  }

  write(p: Uint8Array): Promise<number> {
    if (this.#closed) return Promise.reject(badResource());
    if (this.#failed || this.#socket.writableEnded) {
      return this.#fail(nodeError("EPIPE", "Broken pipe"));
    }
    if (p.length === 0) return Promise.resolve(0);
    const part = p.length > MOST_PER_WRITE ? p.subarray(0, MOST_PER_WRITE) : p;
    return new Promise((resolve, reject) => {
      this.#writes.add(reject);
      this.#socket.write(part, (error) => {
        this.#writes.delete(reject);
        if (error) this.#fail(denoError(error)).catch(reject);
        else resolve(part.length);
      });
    });
  }

  closeWrite(): Promise<void> {
    if (this.#closed) return Promise.reject(badResource());
    if (this.#failed) return Promise.resolve();
    return new Promise((resolve) => this.#socket.end(() => resolve()));
  }

  close(): void {
    if (this.#closed) throw badResource();
    this.#closed = true;
    this.#rest = undefined;
    // Before Node rejects them in its own words.
    const interrupted = nodeError("EINTR", "operation canceled", Deno.errors.Interrupted);
    this.#read?.reject(interrupted);
    this.#read = undefined;
    for (const reject of this.#writes) reject(interrupted);
    this.#writes.clear();
    this.#socket.destroy();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  setNoDelay(on = true): void {
    this.#socket.setNoDelay(on);
  }

  setKeepAlive(on = true): void {
    this.#socket.setKeepAlive(on);
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#streams.readable;
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#streams.writable;
  }

  readonly #arrived = (chunk: Uint8Array): void => {
    this.#socket.pause();
    const read = this.#read;
    this.#read = undefined;
    if (read === undefined) this.#rest = chunk;
    else read.resolve(this.#give(read.p, chunk));
  };

  #give(p: Uint8Array, bytes: Uint8Array): number {
    const n = Math.min(p.length, bytes.length);
    p.set(bytes.subarray(0, n));
    this.#rest = n < bytes.length ? bytes.subarray(n) : undefined;
    return n;
  }

  readonly #finished = (): void => {
    this.#ended = true;
    this.#read?.resolve(null);
    this.#read = undefined;
  };

  readonly #broke = (error: Error): void => {
    if (this.#failed) return;
    this.#failed = true;
    this.#failure = { error: denoError(error) };
    const read = this.#read;
    this.#read = undefined;
    if (read !== undefined) this.#fail(null).then(read.resolve, read.reject);
  };

  /** Rejects with the failure, the first time; afterwards gives `later`, or rejects with it. */
  #fail(later: null): Promise<null>;
  #fail(later: unknown): Promise<never>;
  #fail(later: unknown): Promise<null> {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) return Promise.reject(failure.error);
    return later === null ? Promise.resolve(null) : Promise.reject(later);
  }
}

function denoError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") {
    return error;
  }
  return nodeError(error.code, error.message);
}

function nodeError(code: string, message: string, ErrorClass = CLASSES[code] ?? Error): Error {
  return Object.assign(new ErrorClass(message), { code });
}

function badResource(): Error {
  return new Deno.errors.BadResource("Bad resource ID");
}
