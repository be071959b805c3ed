/** One end of an in-memory connection. @module */

import type { Pipe } from "./pipe.ts";
import { systemError } from "./system_error.ts";
import { SocketStreams } from "../listener/socket_streams.ts";

/** One end, on top of the pipes that lead to it and from it. */
export class MemorySocket<A extends Deno.Addr> implements Deno.Conn<A> {
  readonly localAddr: A;
  readonly remoteAddr: A;
  readonly reset: () => void;
  /** Chunks borrowed from a connection over it are written over when they are no longer lent. */
  readonly poisonsBorrowed: boolean = true;
  readonly #incoming: Pipe;
  readonly #outgoing: Pipe;
  #closed = false;
  #fin: Promise<unknown> | undefined;
  readonly #streams = new SocketStreams(this);

  constructor(localAddr: A, remoteAddr: A, incoming: Pipe, outgoing: Pipe, reset: () => void) {
    this.localAddr = localAddr;
    this.remoteAddr = remoteAddr;
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.reset = reset;
  }

  async read(p: Uint8Array): Promise<number | null> {
    checkBytes("read into", p);
    if (p.length === 0) return 0; // also when it is closed, as Deno does
    if (this.#closed) throw systemError("EBADF");
    return await this.#incoming.read(p);
  }

  async write(p: Uint8Array): Promise<number> {
    checkBytes("write", p);
    if (this.#closed) throw systemError("EBADF");
    if (this.#fin !== undefined) throw systemError("EPIPE");
    return p.length === 0 ? 0 : await this.#outgoing.write(p);
  }

  async closeWrite(): Promise<void> {
    if (this.#closed) throw systemError("EBADF");
    await (this.#fin ??= this.#outgoing.write(null));
  }

  /** Ends its stream once what has arrived is read, whatever the peer still sends. */
  endReads(): void {
    this.#incoming.endForReader();
  }

  close(): void {
    if (this.#closed) throw systemError("EBADF");
    this.#closed = true;
    this.#outgoing.closeWriter();
    this.#incoming.closeReader();
  }

  /** Nothing here keeps a process alive. */
  ref(): void {}

  unref(): void {}

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#streams.readable;
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    return this.#streams.writable;
  }
}

function checkBytes(verb: string, p: unknown): void {
  if (p instanceof Uint8Array) return;
  throw new TypeError(`Cannot ${verb} what is no Uint8Array: use one`);
}
