/** Starts a server. @module */

import { disarmSignalPanic } from "../listener/descriptor_panics.ts";
import {
  completeServeOptions,
  type ServeHandledOptions,
  type ServeListenersOptions,
  type ServeOptions,
  type ServeTcpListenersOptions,
  type ServeTcpOptions,
  type ServeUnixOptions,
} from "./options.ts";
import { fleetSeat } from "./fleet_seat.ts";
import "./join_fleet.ts";
import { RunningServer } from "./running_server.ts";
import type { Handler } from "./handler.ts";
import type { Server } from "./server.ts";

/**
 * Serves each connection on a TCP address with `handler`. It listens when it returns.
 *
 * When the handler's promise settles, what it wrote is delivered and the connection closed. A
 * handler that throws ends its own connection and nothing else.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 * @throws {TypeError} If an option is unknown or of the wrong type, before anything is opened.
 * @throws {RangeError} If a number is out of range, before anything is opened.
 * @throws {Deno.errors.AddrInUse} If something listens there already; what else binding may throw
 * is listed at {@linkcode listen}.
 *
 * @example An echo server
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 *
 * using client = await Deno.connect({ port: server.addr.port });
 * await client.write(new Uint8Array([1, 2, 3]));
 * const p = new Uint8Array(3);
 * await client.read(p);
 * assertEquals(p, new Uint8Array([1, 2, 3]));
 * ```
 *
 * @category Servers
 */
export function serve(
  options: ServeTcpOptions,
  handler: Handler<Deno.NetAddr>,
): Server<Deno.NetAddr>;
/**
 * Serves each connection on a Unix socket with `handler`.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 * @throws {Deno.errors.AddrInUse} If a live server has the path.
 *
 * @example Tell the time on a Unix socket
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertMatch } from "@std/assert";
 *
 * if (Deno.build.os !== "windows") { // where Deno has no Unix sockets
 *   const path = `${await Deno.makeTempDir()}/time.sock`;
 *   await using _server = serve({ path, mode: 0o600 }, async (conn) => {
 *     await conn.write(new TextEncoder().encode(new Date().toISOString()));
 *   });
 *
 *   const client = await Deno.connect({ transport: "unix", path });
 *   assertMatch(await new Response(client.readable).text(), /^\d{4}-/);
 * }
 * ```
 *
 * @category Servers
 */
export function serve(
  options: ServeUnixOptions,
  handler: Handler<Deno.UnixAddr>,
): Server<Deno.UnixAddr>;
/**
 * Serves several TCP addresses, or TCP listeners, with one handler and one set of limits.
 *
 * @param options The listeners and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 *
 * @example The port of each
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertNotEquals } from "@std/assert";
 *
 * const loopback = { port: 0, hostname: "127.0.0.1" };
 * await using server = serve({ listeners: [loopback, loopback] }, async () => {});
 * assertNotEquals(server.addrs[0]?.port, server.addrs[1]?.port);
 * ```
 *
 * @category Servers
 */
export function serve(
  options: ServeTcpListenersOptions,
  handler: Handler<Deno.NetAddr>,
): Server<Deno.NetAddr>;
/**
 * Serves several addresses, or custom listeners, with one handler and one set of limits.
 *
 * @param options The listeners and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 *
 * @example Two ports, one limit
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * await using server = serve({
 *   listeners: [{ port: 0, hostname }, { port: 0, hostname }],
 *   maxConnections: 100,
 * }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 *
 * for (const { port } of server.addrs) {
 *   const client = await Deno.connect({ port });
 *   assertEquals(await new Response(client.readable).text(), "hello");
 * }
 * ```
 *
 * @category Servers
 */
export function serve(options: ServeListenersOptions, handler: Handler): Server;
/**
 * Serves whatever the options say, for programs that put them together at run time.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 *
 * @example An address from a setting
 * ```ts
 * import { serve, type ServeOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const setting = "0";
 * const options: ServeOptions = setting.startsWith("/")
 *   ? { path: setting }
 *   : { port: Number(setting), hostname: "127.0.0.1" };
 * await using server = serve(options, async () => {});
 * assertEquals(server.addr.transport, "tcp");
 * ```
 *
 * @category Servers
 */
export function serve(options: ServeOptions, handler: Handler): Server;
/**
 * Serves several addresses, each with the handler of its own entry of `listeners`.
 *
 * @param options The listeners, each with its handler, and the limits.
 * @returns The server.
 *
 * @example Two protocols under one limit
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * const encoder = new TextEncoder();
 * await using server = serve({
 *   listeners: [
 *     {
 *       port: 0,
 *       hostname,
 *       name: "time",
 *       handler: (conn) => conn.write(encoder.encode("noon")),
 *     },
 *     {
 *       port: 0,
 *       hostname,
 *       handler: (conn) => conn.write(encoder.encode(conn.listenerName)),
 *     },
 *   ],
 * });
 *
 * const [time, name] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
 * const client = await Deno.connect({ port: time.port });
 * assertEquals(await new Response(client.readable).text(), "noon");
 * const other = await Deno.connect({ port: name.port });
 * assertEquals(
 *   await new Response(other.readable).text(),
 *   `tcp://127.0.0.1:${name.port}`,
 * );
 * ```
 *
 * @category Servers
 */
export function serve(options: ServeHandledOptions): Server;
export function serve<A extends Deno.Addr>(
  options: ServeOptions | ServeTcpListenersOptions,
  handler?: Handler<A>,
): Server<A> {
  const complete = completeServeOptions(options as ServeOptions);
  const isHandled = complete.entries.every((entry) => entry.handler !== undefined);
  if (typeof handler !== "function" && (handler !== undefined || !isHandled)) {
    throw new TypeError("Cannot serve without a handler: give a function as the second argument");
  }
  disarmSignalPanic();
  const seat = fleetSeat("serve");
  if (seat === undefined) return new RunningServer<A>(complete, handler as Handler | undefined);
  try {
    const share = seat.complete(complete);
    const server = new RunningServer<A>(share, handler as Handler | undefined, seat);
    seat.joined(server as unknown as RunningServer<Deno.Addr>, share);
    return server;
  } catch (error) {
    seat.failed(error);
    throw error;
  }
}
