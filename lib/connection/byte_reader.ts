/** What has arrived but is not yet consumed? @module */

import type { Lifeline } from "./lifeline.ts";

/** Bytes to wait on: what an idle connection pins, and most messages fit. */
const WAITING_SIZE = 1024;

/** Bytes of memory behind waiting reads: many small chunks share one allocation. */
const SLAB_SIZE = 4096;

/** Bytes to read into once a read came back full: a stream is flowing, fewer calls carry it. */
const STREAMING_SIZE = 65536;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * Reads chunks out of slabs that are never rewritten, so each chunk is its receiver's for ever and
 * none is copied. The slab moves on with each chunk; only what is still unread of it is pinned by a
 * connection that waits.
 *
 * Both kinds of read are one `then` on the socket's own promise: every further microtask or promise
 * here costs 1 to 5 % of an echo.
 */
export class ByteReader {
  readonly #life: Lifeline;
  readonly #socket: Deno.Conn;
  #slab: ArrayBuffer = EMPTY;
  /** Where in the slab the next chunk begins. */
  #at = 0;
  /** What the pending read fills. */
  #room = NO_ROOM;
  #size = WAITING_SIZE;
  #handed: Promise<unknown> | undefined;

  constructor(life: Lifeline) {
    this.#life = life;
    this.#socket = life.socket;
  }

  /** Resolves once no read is pending, whatever became of it. */
  async idle(): Promise<void> {
    while (this.#life.reading) await this.#handed?.catch(() => {});
  }

  /** Reads straight into `p`, as `Deno.Conn.read` does. */
  read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return Promise.resolve(0);
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    const handed = this.#socket.read(p).then(this.#counted, this.#failed);
    this.#handed = handed;
    return handed;
  }

  /** Reads the next chunk, as an iteration wants it. */
  next(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, undefined>> {
    const life = this.#life;
    if (life.reading || life.closed) return this.#refuse();
    life.reading = true;
    if (!life.writing) life.movedAt = life.clock.now;
    if (this.#slab.byteLength - this.#at < this.#size) {
      this.#slab = new ArrayBuffer(this.#size === WAITING_SIZE ? SLAB_SIZE : this.#size);
      this.#at = 0;
    }
    this.#room = new Uint8Array(this.#slab, this.#at);
    const handed = this.#socket.read(this.#room).then(this.#chunk, this.#failed);
    this.#handed = handed;
    return handed;
  }

  readonly #counted = (n: number | null): number | null => {
    const life = this.#life;
    life.reading = false;
    if (n === null) {
      life.peerFinished = true;
      return null;
    }
    life.bytesRead += n;
    life.movedAt = life.clock.now;
    return n;
  };

  readonly #chunk = (n: number | null): IteratorResult<Uint8Array<ArrayBuffer>, undefined> => {
    if (this.#counted(n) === null) {
      this.#slab = EMPTY;
      return DONE;
    }
    const start = this.#at;
    const full = n === this.#room.length;
    this.#at += n!;
    this.#size = full ? STREAMING_SIZE : WAITING_SIZE;
    return { done: false, value: full ? this.#room : new Uint8Array(this.#slab, start, n!) };
  };

  readonly #failed = (error: unknown): never => {
    this.#life.reading = false;
    // Marked as handled here, where it fails, and not where it is made: that costs nobody who reads.
    this.#handed?.catch(() => {});
    throw this.#life.failed(error);
  };

  #refuse(): Promise<never> {
    const refused = Promise.reject(
      this.#life.closed
        ? this.#life.refusal()
        : new Deno.errors.Busy("Cannot read while another read is pending: await that one first"),
    );
    refused.catch(() => {});
    return refused;
  }
}

const EMPTY = new ArrayBuffer(0);
const NO_ROOM = new Uint8Array(EMPTY);
