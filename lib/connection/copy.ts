/** Copies bytes from one connection to another. @module */

/** Bytes to wait on: all that an idle direction pins. */
const WAITING_SIZE = 4096;

/** Bytes to read at once while a stream flows. */
const FLOWING_SIZE = 131072;

/**
 * Copies from one connection to another until the first has ended, and leaves both open: to hand the
 * end on, call `to.closeWrite()`. Reads no faster than the other side takes it.
 *
 * @param from Read to its end.
 * @param to Written to.
 * @returns How many bytes were copied.
 * @throws What reading or writing threw; bytes already read may not have been written then.
 *
 * @example Echo, in one call
 * ```ts
 * import { copy, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, (conn) => copy(conn, conn));
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * await client.write(new TextEncoder().encode("hello"));
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 */
export async function copy(from: Deno.Conn, to: Deno.Conn): Promise<number> {
  const waiting = new Uint8Array(WAITING_SIZE);
  let copied = 0;
  let p = waiting;
  for (let n; (n = await from.read(p)) !== null;) {
    for (let sent = 0; sent < n;) sent += await to.write(p.subarray(sent, n));
    copied += n;
    // A full buffer means that more is there: read in fewer and larger steps until it runs dry.
    if (n < p.length) p = waiting;
    else if (p === waiting) p = new Uint8Array(FLOWING_SIZE);
  }
  return copied;
}
