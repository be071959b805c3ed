/**
 * The floor of a read and a write that know what came of them: the plain loop over a connection by hand,
 * where each is one `then` on the socket's promise that counts bytes, says that nothing is pending any
 * more and would see a part left over. Nothing is checked beyond that, timed or queued. Echo only.
 *
 * @module
 */

class Counted {
  readonly #conn: Deno.Conn;
  bytesRead = 0;
  bytesWritten = 0;
  #reading = false;
  #writing = false;
  #current: Uint8Array = EMPTY;

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  read(p: Uint8Array): Promise<number | null> {
    if (this.#reading) throw new Deno.errors.Busy();
    this.#reading = true;
    return this.#conn.read(p).then(this.#onRead);
  }

  readonly #onRead = (n: number | null): number | null => {
    this.#reading = false;
    this.bytesRead += n ?? 0;
    return n;
  };

  write(p: Uint8Array): Promise<number> {
    if (this.#writing) throw new Deno.errors.Busy();
    this.#writing = true;
    this.#current = p;
    return this.#conn.write(p).then(this.#onWritten);
  }

  readonly #onWritten = (n: number): number => {
    this.#writing = false;
    this.bytesWritten += n;
    if (n < this.#current.length) throw new Deno.errors.WriteZero();
    this.#current = EMPTY;
    return n;
  };
}

const EMPTY = new Uint8Array(0);

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) {
  conn.setNoDelay(true);
  echo(new Counted(conn)).catch(() => {}).finally(() => conn.close());
}

async function echo(conn: Counted): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    await conn.write(p.subarray(0, n));
  }
}
