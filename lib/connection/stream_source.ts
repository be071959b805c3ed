/** Feeds a byte stream from a connection, and gives up on a read without losing a byte of it. @module */

import type { Connection } from "./connection.ts";

/** Bytes per chunk; a waiting stream pins as much. */
const CHUNK = 16384;

/** What `readable` reads from. Its end and its cancelling leave the connection open. */
export class StreamSource implements UnderlyingByteSource {
  readonly type = "bytes";
  readonly autoAllocateChunkSize: number = CHUNK;
  readonly #conn: Connection;
  /** One for all reads of the stream; what arrives once it is aborted waits for the next read. */
  readonly #canceller = new AbortController();
  #reading: Promise<number | null> | undefined;

  constructor(conn: Connection) {
    this.#conn = conn;
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    const request = controller.byobRequest!;
    const view = request.view as Uint8Array<ArrayBuffer>;
    const { signal } = this.#canceller;
    let n;
    // A read of nothing is no answer to a request, though custom sockets may give one.
    do n = await (this.#reading = this.#conn.read(view, { signal })); while (n === 0);
    if (n === null) controller.close();
    // At the end a request must still be answered, after the close, or its reader never settles.
    request.respond(n ?? 0);
  }

  /** Resolves once no read of the stream is pending, so that another kind of read may begin. */
  async cancel(): Promise<void> {
    this.#canceller.abort();
    await this.#reading?.catch(() => {});
  }
}
