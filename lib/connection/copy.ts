/** Copies bytes from one connection to another. @module */

import { type AbortOptions, untilAborted } from "./abort.ts";
import { SocketConnection } from "./socket_connection.ts";

/** Bytes to wait on where a plain connection is read: all that it holds when it is idle. */
const WAITING_SIZE = 4096;

/** Bytes to read at once while it streams. */
const FLOWING_SIZE = 131072;

/**
 * Copies from one connection to another until the first has ended, and leaves both open: to hand the
 * end on, call `to.closeWrite()`. Reads no faster than the other side takes it.
 *
 * @param from Read to its end.
 * @param to Written to.
 * @param options A signal that ends both connections when it fires.
 * @returns How many bytes were copied.
 * @throws What reading or writing threw, or the signal's reason; bytes already read may not have been
 * written then.
 *
 * @example Echo, in one call
 * ```ts
 * import { copy, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve(
 *   { port: 0, hostname: "127.0.0.1" },
 *   (conn) => copy(conn, conn),
 * );
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * await client.write(new TextEncoder().encode("hello"));
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 *
 * @category Connections
 */
export function copy(from: Deno.Conn, to: Deno.Conn, options?: AbortOptions): Promise<number> {
  const end = (reason: unknown) => {
    for (const conn of [from, to]) endAborted(conn, reason);
  };
  return untilAborted("copy", options, end, () => copyAll(from, to));
}

async function copyAll(from: Deno.Conn, to: Deno.Conn): Promise<number> {
  let copied = 0;
  for await (const chunk of chunksOf(from)) {
    for (let sent = 0; sent < chunk.length;) {
      sent += await to.write(sent === 0 ? chunk : chunk.subarray(sent));
    }
    copied += chunk.length;
  }
  return copied;
}

/** The chunks, each of them until the next is asked for; they go on while a server stops. */
function chunksOf(conn: Deno.Conn): AsyncIterable<Uint8Array> {
  if (!(conn instanceof SocketConnection)) return plainChunks(conn);
  const { reader } = conn;
  return { [Symbol.asyncIterator]: () => ({ next: () => reader.nextBorrowed(false) }) };
}

async function* plainChunks(conn: Deno.Conn): AsyncGenerator<Uint8Array> {
  const waiting = new Uint8Array(WAITING_SIZE);
  let p = waiting;
  for (let n; (n = await conn.read(p)) !== null;) {
    yield p.subarray(0, n);
    // A full buffer means that more is there: read in fewer and larger steps until it runs dry.
    if (n < p.length) p = waiting;
    else if (p === waiting) p = new Uint8Array(FLOWING_SIZE);
  }
}

function endAborted(conn: Deno.Conn, reason: unknown): void {
  if (conn instanceof SocketConnection) return conn.life.end("dismissed", reason, "copy aborted");
  try {
    conn.close();
  } catch {
    // It was closed already.
  }
}
