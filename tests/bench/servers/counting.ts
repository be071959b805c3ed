/**
 * Counts what a server does, from outside: loaded before the server's own program, it wraps the
 * socket's reads and writes and whatever copies or makes a buffer, and answers each line on stdin with a
 * line of JSON, as ../counting.ts reads it. It costs time, so no time is measured in such a run.
 *
 * @module
 */

const count = { chunks: 0, reads: 0, writes: 0, copied: 0, allocated: 0 };
let chunksAreWrites = false;

/** The part of a handler's connection that is used. */
interface Written {
  write(p: Uint8Array): Promise<number>;
}

/** Servers that have handlers wrap them in this, if it is there: each write answers one chunk. */
Object.assign(globalThis, {
  countChunks<T extends Written>(handler: (conn: T) => Promise<void>): (conn: T) => Promise<void> {
    chunksAreWrites = true;
    return (conn) => {
      const write = conn.write;
      conn.write = (p) => {
        count.chunks++;
        return write.call(conn, p);
      };
      return handler(conn);
    };
  },
});

await wrapSockets();
wrapBuffers();
// Not before the server reports that it listens: its program starts once nothing is pending here.
const { write } = Deno.stdout;
Deno.stdout.write = (p) => {
  Deno.stdout.write = write;
  answer();
  return write.call(Deno.stdout, p);
};

async function wrapSockets(): Promise<void> {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  using conn = await Deno.connect({ port: listener.addr.port, hostname: "127.0.0.1" });
  using _accepted = await listener.accept();
  const sockets = owner(conn, "read");
  const { read, write } = sockets;
  sockets.read = async function (p) {
    const n = await read.call(this, p);
    if (n !== null && n > 0) count.reads++;
    return n;
  };
  sockets.write = function (p) {
    count.writes++;
    return write.call(this, p);
  };
}

/** The prototype that has a method. */
function owner(conn: Deno.Conn, name: "read"): Deno.Conn {
  let it = Object.getPrototypeOf(conn);
  while (!Object.hasOwn(it, name)) it = Object.getPrototypeOf(it);
  return it;
}

function wrapBuffers(): void {
  const arrays: Uint8Array = Object.getPrototypeOf(Uint8Array.prototype);
  const { set, slice, copyWithin } = arrays;
  arrays.set = function (from, at) {
    count.copied += bytesOf(from);
    return set.call(this, from, at);
  };
  arrays.slice = function (start, end) {
    const made = slice.call(this, start, end) as Uint8Array<ArrayBuffer>;
    count.copied += made.byteLength;
    count.allocated += made.byteLength;
    return made;
  };
  arrays.copyWithin = function (target, start, end) {
    count.copied += (end ?? this.length) - start;
    return copyWithin.call(this, target, start, end);
  };
  for (const name of ["Uint8Array", "ArrayBuffer"] as const) {
    Object.assign(globalThis, { [name]: new Proxy(globalThis[name], { construct }) });
  }
}

function construct(target: new (...values: unknown[]) => object, values: unknown[]): object {
  const [from] = values;
  if (typeof from === "number") {
    count.allocated += from;
  } else if (typeof from === "object" && from !== null && !(from instanceof ArrayBuffer)) {
    count.copied += bytesOf(from);
    count.allocated += bytesOf(from);
  }
  return Reflect.construct(target, values);
}

function bytesOf(from: object): number {
  if (ArrayBuffer.isView(from)) return from.byteLength;
  return "length" in from && typeof from.length === "number" ? from.length : 0;
}

async function answer(): Promise<void> {
  const p = new Uint8Array(64);
  while (await Deno.stdin.read(p) !== null) {
    const { gc } = globalThis as { gc?: () => void };
    gc?.();
    gc?.();
    const { heapUsed, external } = Deno.memoryUsage();
    const chunks = chunksAreWrites ? count.chunks : count.reads;
    const line = JSON.stringify({ ...count, chunks, heap: heapUsed, external }) + "\n";
    await Deno.stdout.write(new TextEncoder().encode(line));
  }
}
