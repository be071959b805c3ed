/** A socket whose every step the test decides. @module */

/** A raw `write()` that waits for the test. */
export class PendingWrite {
  /** The bytes to be written, as they were at the call. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly result: Promise<number>;
  readonly #take: (p: Uint8Array<ArrayBuffer>) => void;
  readonly #settle: PromiseWithResolvers<number>;

  constructor(p: Uint8Array, take: (p: Uint8Array<ArrayBuffer>) => void) {
    this.bytes = p.slice() as Uint8Array<ArrayBuffer>;
    this.#take = take;
    this.#settle = Promise.withResolvers();
    this.result = this.#settle.promise;
  }

  /** The kernel takes the first `n` bytes, or all of them. */
  take(n: number = this.bytes.length): void {
    this.#take(this.bytes.slice(0, n));
    this.#settle.resolve(n);
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }
}

/** A `Deno.Conn` without a network: reads give what arrives, writes complete as the test says. */
export class ScriptedSocket implements Deno.Conn<Deno.NetAddr> {
  readonly localAddr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 7 };
  readonly remoteAddr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.2", port: 40007 };
  closed = false;
  /** How often `close()` was called. */
  closes = 0;
  /** How many bytes were taken at each call of `closeWrite()`. */
  readonly finishedAt: number[] = [];
  /** Whether it keeps the process alive. */
  referenced = true;
  /** How much a `write()` takes at once; if undefined, the write waits in `writes`. */
  takes: ((p: Uint8Array) => number | undefined) | undefined = (p) => p.length;
  /** The raw writes that wait, oldest first; a connection makes one at a time. */
  readonly writes: PendingWrite[] = [];
  /** The most raw writes that waited at one time. */
  mostWrites = 0;
  /** How often `read()` was called. */
  reads = 0;
  /** The most raw reads that waited at one time. */
  mostReads = 0;
  /** Leaves pending operations pending at `close()`, as if their results were on the way. */
  settlesLate = false;
  readonly #taken: Uint8Array<ArrayBuffer>[] = [];
  readonly #arrived: (Uint8Array | null | { readonly error: unknown })[] = [];
  readonly #waiting: { p: Uint8Array; settle: PromiseWithResolvers<number | null> }[] = [];
  #ended = false;

  /** Everything that was taken so far. */
  get taken(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.takenBytes);
    let at = 0;
    for (const part of this.#taken) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  /** How much was taken so far. */
  get takenBytes(): number {
    return this.#taken.reduce((sum, { length }) => sum + length, 0);
  }

  /** Whether a read is pending. */
  get reading(): boolean {
    return this.#waiting.length > 0;
  }

  /** Bytes for one read, or more than one if its buffer is too small; empty ones make a read of 0 bytes. */
  arrive(p: Uint8Array): void {
    this.#arrived.push(p);
    this.#serve();
  }

  /** The peer's FIN. */
  finish(): void {
    this.#arrived.push(null);
    this.#serve();
  }

  /** Makes the next read fail. */
  failRead(error: unknown): void {
    this.#arrived.push({ error });
    this.#serve();
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.closed) return Promise.reject(badResource());
    const settle = Promise.withResolvers<number | null>();
    this.reads++;
    this.#waiting.push({ p, settle });
    this.mostReads = Math.max(this.mostReads, this.#waiting.length);
    this.#serve();
    return settle.promise;
  }

  write(p: Uint8Array): Promise<number> {
    if (this.closed) return Promise.reject(badResource());
    if (this.finishedAt.length > 0) {
      return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
    }
    const write = new PendingWrite(p, (taken) => this.#taken.push(taken));
    this.mostWrites = Math.max(this.mostWrites, this.writes.length + 1);
    const n = this.takes?.(p);
    if (n !== undefined) write.take(n);
    else {
      this.writes.push(write);
      const done = () => void this.writes.splice(this.writes.indexOf(write), 1);
      write.result.then(done, done);
    }
    return write.result;
  }

  // deno-lint-ignore require-await -- an error is a rejection, as for any async function
  async closeWrite(): Promise<void> {
    if (this.closed) throw badResource();
    this.finishedAt.push(this.takenBytes);
  }

  close(): void {
    this.closes++;
    if (this.closed) throw badResource();
    this.closed = true;
    if (this.settlesLate) return;
    for (const { settle } of this.#waiting.splice(0)) settle.reject(interrupted());
    for (const write of this.writes) write.fail(interrupted());
  }

  ref(): void {
    this.referenced = true;
  }

  unref(): void {
    this.referenced = false;
  }

  [Symbol.dispose](): void {
    if (!this.closed) this.close();
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    throw new TypeError("Cannot read as a stream: a connection never uses a socket's own streams");
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    throw new TypeError("Cannot write as a stream: a connection never uses a socket's own streams");
  }

  #serve(): void {
    while (this.#waiting.length > 0 && (this.#ended || this.#arrived.length > 0)) {
      const { p, settle } = this.#waiting.shift()!;
      const next = this.#ended ? null : this.#arrived.shift()!;
      if (next === null) {
        this.#ended = true;
        settle.resolve(null);
      } else if ("error" in next) settle.reject(next.error);
      else {
        const n = Math.min(p.length, next.length);
        p.set(next.subarray(0, n));
        if (n < next.length) this.#arrived.unshift(next.subarray(n));
        settle.resolve(n);
      }
    }
  }
}

/** Deno's error when a closed connection is used. */
function badResource(): Error {
  return new Deno.errors.BadResource("Bad resource ID");
}

/** Deno's error for an operation whose connection is closed under it. */
function interrupted(): Error {
  return Object.assign(new Deno.errors.Interrupted("operation canceled"), { code: "EINTR" });
}
