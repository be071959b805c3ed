/**
 * The floor of reading chunks that are their receiver's indefinitely: the plain loop, with fresh memory
 * as large as the last message, iterated over by hand. Nothing is checked, timed, counted or given back.
 * See plain.ts for the arguments; echo and discard only. Whatever stands below its loop is never declared.
 *
 * @module
 */

/** Bytes that small messages share, least room for one, room beyond a larger one, and most of all. */
const SMALL = 1024, LEAST = 256, SLACK = 256, MOST = 262_144;

class Chunks implements AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined> {
  readonly #conn: Deno.Conn;
  #memory = new ArrayBuffer(SMALL);
  #used = 0;
  #expected = LEAST;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  next(): Promise<IteratorResult<Uint8Array<ArrayBuffer>, undefined>> {
    if (this.#memory.byteLength - this.#used < this.#expected) {
      const size = this.#expected <= LEAST ? SMALL : Math.min(this.#expected + SLACK, MOST);
      this.#memory = new ArrayBuffer(size);
      this.#used = 0;
    }
    return this.#conn.read(new Uint8Array(this.#memory, this.#used)).then(this.#took);
  }

  readonly #took = (n: number | null): IteratorResult<Uint8Array<ArrayBuffer>, undefined> => {
    if (n === null) return { done: true, value: undefined };
    const value = new Uint8Array(this.#memory, this.#used, n);
    this.#used += n;
    const isFull = this.#used === this.#memory.byteLength;
    this.#expected = Math.max(isFull ? Math.min(2 * n, MOST) : n, LEAST);
    return { done: false, value };
  };

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const serve = Deno.args[0] === "discard" ? discard : echo;
const bytes = Number(Deno.args[1] ?? 4194304);

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) {
  // As usher does: a message that came in two parts is echoed in two, and the second would wait 40 ms.
  conn.setNoDelay(true);
  serve(conn).catch(() => {}).finally(() => conn.close());
}

async function echo(conn: Deno.Conn): Promise<void> {
  for await (const chunk of new Chunks(conn)) {
    for (let sent = 0; sent < chunk.length;) {
      sent += await conn.write(sent === 0 ? chunk : chunk.subarray(sent));
    }
  }
}

async function discard(conn: Deno.Conn): Promise<void> {
  const answer = new Uint8Array(1);
  let taken = 0;
  for await (const chunk of new Chunks(conn)) {
    for (taken += chunk.length; taken >= bytes; taken -= bytes) await conn.write(answer);
  }
}
