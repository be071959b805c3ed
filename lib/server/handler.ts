/** The function that serves a connection. @module */

import type { Connection } from "../connection/connection.ts";

/**
 * What serves a connection: its promise owns it, and when that settles the connection is closed.
 *
 * @typeParam A The kind of address the server listens on.
 *
 * @example A handler around another one
 * ```ts
 * import { type Handler, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function greeting(handler: Handler): Handler {
 *   return async (conn) => {
 *     await conn.write(new TextEncoder().encode("hello, "));
 *     await handler(conn);
 *   };
 * }
 * const name: Handler = async (conn) => {
 *   await conn.write(new TextEncoder().encode("I am usher"));
 * };
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, greeting(name));
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "hello, I am usher");
 * ```
 *
 * @category Servers
 */
export type Handler<A extends Deno.Addr = Deno.Addr> = (conn: Connection<A>) => Promise<unknown>;
