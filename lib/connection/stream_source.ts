/** Feeds a byte stream from a connection, and gives up on a read without losing a byte of it. @module */

import type { ByteReader } from "./byte_reader.ts";
import type { ReadOptions } from "./cancellation.ts";

/**
 * What `readable` reads from: it waits on as little as an iteration does. Its end and its cancelling
 * leave the connection open.
 */
export class StreamSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly #reader: ByteReader;
  #pulling: Promise<void> | undefined;
  #isCancelled = false;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest;
    const pulling = request === null
      ? this.#giveChunk(controller)
      : this.#fill(controller, request);
    return this.#pulling = pulling.finally(() => this.#pulling = undefined);
  }

  /** Resolves once no read of the stream is pending, so that another kind of read may begin. */
  async cancel(): Promise<void> {
    this.#isCancelled = true;
    if (this.#pulling === undefined) return;
    this.#reader.giveUp();
    await this.#pulling.catch(() => {});
  }

  async #giveChunk(controller: ReadableByteStreamController): Promise<void> {
    // A chunk of nothing is none, though custom sockets may bring one.
    for (;;) {
      const { done, value } = await this.#reader.nextBorrowed(false);
      if (this.#isCancelled) return this.#reader.putBack(value ?? NOTHING);
      if (done) return controller.close();
      // A copy, since a stream transfers what it is given.
      if (value.length > 0) return controller.enqueue(value.slice());
    }
  }

  /** For a reader that brings its own memory. */
  async #fill(
    controller: ReadableByteStreamController,
    request: ReadableStreamBYOBRequest,
  ): Promise<void> {
    const view = request.view as Uint8Array<ArrayBuffer>;
    let n;
    // Not straight into that memory, since what the kernel fills cannot be taken back.
    do n = await this.#reader.read(view, NO_OPTIONS); while (n === 0);
    if (this.#isCancelled) return this.#reader.putBack(view.subarray(0, n ?? 0));
    if (n === null) controller.close();
    // At the end a request must still be answered, after the close, or its reader never settles.
    request.respond(n ?? 0);
  }
}

/** Makes a read one that can be given up. */
const NO_OPTIONS: ReadOptions = Object.freeze({});

const NOTHING = new Uint8Array(0);
