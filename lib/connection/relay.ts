/** Copies both ways between two connections. @module */

import { copy } from "./copy.ts";
import { SocketConnection } from "./socket_connection.ts";

/**
 * What went through.
 *
 * @example Count what went through
 * ```ts
 * import { relay, type Relayed, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * await using backend = serve({ port: 0, hostname }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * const went: Relayed[] = [];
 * const front = serve({ port: 0, hostname }, async (conn) => {
 *   using upstream = await Deno.connect({ port: backend.addr.port });
 *   went.push(await relay(conn, upstream));
 * });
 *
 * const client = await Deno.connect({ port: front.addr.port });
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "hello");
 * await front.shutdown();
 * assertEquals(went, [{ aToB: 0, bToA: 5 }]);
 * ```
 */
export interface Relayed {
  /** Bytes from the first connection to the second. */
  readonly aToB: number;
  /** Bytes from the second connection to the first. */
  readonly bToA: number;
}

/**
 * Copies both ways between two connections until both have ended. The end of one direction is
 * handed on as a half-close while the other goes on; the first failure ends both and closes both at
 * once. The other peer then sees an end, not a reset, because Deno has no way to send one: a protocol
 * that must tell a whole stream from a broken one has to say so itself.
 *
 * @param a One end.
 * @param b The other end.
 * @returns How many bytes went each way, once both directions have ended. Neither is closed then.
 * @throws What reading or writing threw first.
 *
 * @example A forwarder
 * ```ts
 * import { connection, relay, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * await using backend = serve({ port: 0, hostname }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * await using front = serve({ port: 0, hostname }, async (conn) => {
 *   await using upstream = connection(await Deno.connect({ port: backend.addr.port }));
 *   await relay(conn, upstream);
 * });
 *
 * const client = await Deno.connect({ port: front.addr.port });
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 */
export async function relay(a: Deno.Conn, b: Deno.Conn): Promise<Relayed> {
  let failure: { readonly error: unknown } | undefined;
  const oneWay = async (from: Deno.Conn, to: Deno.Conn): Promise<number> => {
    try {
      const copied = await copy(from, to);
      await to.closeWrite();
      return copied;
    } catch (error) {
      // The other direction fails because of this one, so only the first failure is the cause.
      failure ??= { error };
      closeQuietly(a);
      closeQuietly(b);
      return 0;
    }
  };
  const [aToB, bToA] = await Promise.all([oneWay(a, b), oneWay(b, a)]);
  if (failure !== undefined) throw failure.error;
  return { aToB, bToA };
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    // Without close_notify: what was relayed is not complete, and must not look so inside TLS.
    if (conn instanceof SocketConnection) conn.life.close();
    else conn.close();
  } catch {
    // A plain connection that has closed itself throws here.
  }
}
