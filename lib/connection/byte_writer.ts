/** How do bytes leave whole and in order? @module */

import type { Lifeline } from "./lifeline.ts";
import { rejected } from "./lifeline.ts";

/** Bytes by which a write must advance within `writeTimeout`, or its rest if that is less. */
const LEAST_PROGRESS = 1024;

/** Bytes that wait to leave in one write. */
export interface Gathering {
  /** How many. */
  readonly length: number;
  /** Writes them. */
  flush(): unknown;
  /** Every write has ended. */
  written(): void;
}

/** Writes in a row that may take nothing before the socket counts as broken; kernels have none. */
const MOST_EMPTY_WRITES = 100;

/** A write that waits for its turn, or the FIN behind earlier writes, or a step between writes. */
interface Waiting {
  readonly bytes: Uint8Array | null | (() => Promise<void>);
  readonly resolve: (n: number) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Writes all of what it is given, one write after the other. A write that finds none before it is
 * one `then` on the socket's own promise; only what must wait is queued.
 */
export class ByteWriter {
  readonly #life: Lifeline;
  readonly #writeTimeout: number;
  readonly #maxUnsent: number;
  #current: Uint8Array = NOTHING;
  /** Bytes of the current write that left. */
  #sent = 0;
  /** What the caller of the current write holds, unless that came out of the queue. */
  #handed: Promise<unknown> | undefined;
  /** Bytes that left since the write deadline was set. */
  #progress = 0;
  /** Nobody's until somebody waits: most connections never have one. */
  #queue: Waiting[] = NOBODY;
  #queuedBytes = 0;
  /** The FIN, once it was asked for. */
  #fin: Promise<unknown> | undefined;

  constructor(life: Lifeline, writeTimeout: number, maxUnsent: number) {
    this.#life = life;
    this.#writeTimeout = writeTimeout;
    this.#maxUnsent = maxUnsent;
    life.onClose = this;
  }

  /** What frames gather in, once somebody has sent one: they leave before anything that follows. */
  gatherer: Gathering | undefined;

  /** Bytes accepted by `write()` that have not been handed to the kernel. */
  get unsentBytes(): number {
    if (this.#life.closed) return 0;
    return this.#current.length - this.#sent + this.#queuedBytes + (this.gatherer?.length ?? 0);
  }

  /** The FIN was sent, or stands in the queue. */
  get finished(): boolean {
    return this.#fin !== undefined;
  }

  /** Writes all of `p` behind what was gathered; resolves with its length. */
  write(p: Uint8Array): Promise<number> {
    // With nothing before them but frames that leave because of it, it is no more than one write.
    const isFirst = !this.#life.writing;
    if (this.gatherer !== undefined && this.gatherer.length > 0) this.gatherer.flush();
    return this.#write(p, isFirst);
  }

  /** A rejection, if nothing can be written any more. */
  refused(): Promise<never> | undefined {
    if (this.#life.closed) return rejected(this.#life.refusal());
    return this.finished ? rejected(new Deno.errors.BrokenPipe(AFTER_FIN)) : undefined;
  }

  /** Writes all of `p`, which is what was gathered: alone in line it may be as much as it is. */
  writeGathered(p: Uint8Array): Promise<number> {
    return this.#write(p, true);
  }

  #write(p: Uint8Array, mayWaitAlone: boolean): Promise<number> {
    const life = this.#life;
    if (life.closed || this.finished) return this.refused()!;
    if (p.length === 0) return Promise.resolve(0);
    if (life.writing) return this.#enqueue(p, mayWaitAlone && this.#queuedBytes === 0);
    life.writing = true;
    if (!life.reading) life.movedAt = life.clock.now;
    this.#begin(p);
    const handed = life.socket.write(p).then(this.#written, this.#lost);
    this.#handed = handed;
    return handed;
  }

  /** Sends FIN behind every write before it; resolves when it was sent. */
  finish(): Promise<unknown> {
    const life = this.#life;
    if (life.closed) return rejected(life.refusal());
    if (this.#fin !== undefined) return this.#fin;
    this.gatherer?.flush();
    this.#fin = this.#wait(null);
    if (!life.writing) {
      life.writing = true;
      this.#writeQueue();
    }
    return this.#fin;
  }

  /** Takes a step behind every earlier write and before every later one. */
  async between<T>(step: () => Promise<T>): Promise<T> {
    const refused = this.refused();
    if (refused !== undefined) return await refused;
    this.gatherer?.flush();
    let result: T;
    const taken = this.#wait(async () => {
      result = await step();
    });
    if (!this.#life.writing) {
      this.#life.writing = true;
      this.#writeQueue();
    }
    await taken;
    return result!;
  }

  /** Resolves when every write made so far has ended, whatever became of it. */
  async idle(): Promise<void> {
    if (!this.#life.writing) return;
    // The last in line settles last; with nobody in line it is the current one. Not until nothing is
    // written any more: of two who wait, each would be waiting behind the other for ever.
    if (this.#queue.length > 0) await this.#wait(NOTHING).catch(() => {});
    else await this.#handed?.catch(() => {});
  }

  #begin(p: Uint8Array): void {
    this.#current = p;
    this.#sent = 0;
    this.#progress = 0;
    this.#life.writeDeadline = this.#life.clock.deadline(this.#writeTimeout);
  }

  readonly #written = (n: number): number | Promise<number> => {
    this.#count(n);
    if (n < this.#current.length) return this.#writeRest();
    return this.#end();
  };

  readonly #lost = (error: unknown): never => this.#life.fail(this.#handed, error);

  #count(n: number): void {
    const life = this.#life;
    life.bytesWritten += n;
    life.movedAt = life.clock.now;
    this.#sent += n;
    this.#progress += n;
    if (this.#progress >= LEAST_PROGRESS) {
      this.#progress = 0;
      life.writeDeadline = life.clock.deadline(this.#writeTimeout);
    }
  }

  /** The kernel took a part: the peer reads more slowly than we write. */
  async #writeRest(): Promise<number> {
    try {
      await this.#writeOut();
    } catch (error) {
      return this.#lost(error);
    }
    return this.#end();
  }

  async #writeOut(): Promise<void> {
    const p = this.#current;
    for (let empty = 0; this.#sent < p.length;) {
      const n = await this.#life.socket.write(this.#sent === 0 ? p : p.subarray(this.#sent));
      empty = n === 0 ? empty + 1 : 0;
      // Without a limit, a socket that takes nothing at once would keep the whole process busy.
      if (empty > MOST_EMPTY_WRITES) {
        throw new Deno.errors.WriteZero("Cannot write: the socket takes no bytes");
      }
      this.#count(n);
    }
  }

  /** The current write is whole: the next in line begins. */
  #end(): number {
    const n = this.#current.length;
    this.#current = NOTHING;
    this.#sent = 0;
    this.#handed = undefined;
    this.#life.writeDeadline = 0;
    if (this.#queue.length > 0) this.#writeQueue();
    else {
      this.#life.writing = false;
      this.gatherer?.written();
    }
    return n;
  }

  #enqueue(p: Uint8Array, isFree: boolean): Promise<number> {
    if (this.#queuedBytes + p.length > this.#maxUnsent && !isFree) {
      const error = new Deno.errors.WouldBlock(
        `Cannot queue ${p.length} more bytes: ${this.#queuedBytes} already wait behind the write ` +
          `in progress and 'maxUnsent' is ${this.#maxUnsent}; await each write, or look at ` +
          `'unsentBytes' first`,
      );
      this.#life.end("write_overflow", error);
      return rejected(error);
    }
    this.#queuedBytes += p.length;
    return this.#wait(p);
  }

  #wait(bytes: Waiting["bytes"]): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    promise.catch(() => {});
    if (this.#queue === NOBODY) this.#queue = [];
    this.#queue.push({ bytes, resolve, reject });
    return promise;
  }

  /** Works off the queue; whatever is pushed meanwhile is worked off as well. */
  async #writeQueue(): Promise<void> {
    // Whoever made the write that has just ended hears of it before the next one begins.
    await null;
    const life = this.#life;
    try {
      // What is being sent stays first in line, where `closed()` finds it.
      for (let first; !life.closed && (first = this.#queue[0]) !== undefined; this.#queue.shift()) {
        const { bytes, resolve } = first;
        this.#begin(bytes instanceof Uint8Array ? bytes : NOTHING);
        if (bytes === null) await life.socket.closeWrite();
        else if (typeof bytes === "function") {
          life.writeDeadline = 0; // it has a deadline of its own
          await bytes();
        } else {
          this.#queuedBytes -= bytes.length;
          await this.#writeOut();
        }
        resolve(this.#current.length);
        this.#current = NOTHING;
        this.#sent = 0;
      }
      life.writeDeadline = 0;
      life.writing = false;
      this.gatherer?.written();
    } catch (error) {
      life.failed(error);
    }
  }

  /** The socket is closed: what still waits will never be sent. */
  closed(): void {
    this.#life.writing = false;
    this.#queuedBytes = 0;
    if (this.#queue.length === 0) return; // an error for nobody is 4 % of a short connection
    const error = this.#life.failed(
      new Deno.errors.Interrupted("The connection was closed before everything was sent"),
    );
    for (const { reject } of this.#queue.splice(0)) reject(error);
  }
}

const NOTHING = new Uint8Array(0);
const NOBODY: Waiting[] = [];
const AFTER_FIN = "Cannot write after closeWrite() or end()";
