/** What happens to one connection, start to end? @module */

import { isPromiseLike } from "../check.ts";
import type { Connection } from "../connection/connection.ts";
import type { SocketConnection } from "../connection/socket_connection.ts";
import type { EndReason } from "../connection/end_reason.ts";
import { Lifeline } from "../connection/lifeline.ts";
import { ProtocolError } from "../errors.ts";
import type { Reporter } from "./reporter.ts";

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
 */
export type Handler<A extends Deno.Addr = Deno.Addr> = (conn: Connection<A>) => Promise<unknown>;

/** What all connections of a server have in common. */
export interface Service {
  readonly handler: Handler;
  readonly reporter: Reporter;
  /** Takes note that a connection is over. */
  over(conn: SocketConnection, reason: EndReason): void;
}

/**
 * Runs the handler once it is clear who is there, closes politely and sees to it that `over` is called
 * and the slot given back, whatever the handler, the peer or the server does. A handler that does not
 * settle even after its connection was closed is abandoned by the server, which then does both in its
 * place; what the handler does later has no effect.
 *
 * Not `async`, and with no more closures than two: the frame of a pending async function is half a KiB
 * for each idle connection, and a closure with what it holds on to some 100 bytes.
 */
export function serveConnection(
  conn: SocketConnection,
  identifying: Promise<void> | undefined,
  service: Service,
): void {
  if (identifying === undefined) run(conn, service);
  else identifying.then(() => run(conn, service));
}

function run(conn: SocketConnection, service: Service): void {
  if (conn.life.closed) return close(conn, service); // it was not let in, or has gone already
  try {
    const serving: unknown = service.handler(conn);
    if (!isPromiseLike(serving)) return close(conn, service);
    serving.then(
      () => close(conn, service),
      (thrown: unknown) => blameAndClose(thrown, conn, service),
    );
  } catch (thrown) {
    blameAndClose(thrown, conn, service);
  }
}

function close(conn: SocketConnection, service: Service): void {
  if (conn.endAtOnce()) leave(conn, service);
  else conn.end().then(() => leave(conn, service));
}

function leave(conn: SocketConnection, service: Service): void {
  using _slot = conn.slot; // freed last: the record is written while the connection still counts
  service.over(conn, conn.life.reason ?? "completed");
}

function blameAndClose(thrown: unknown, conn: SocketConnection, service: Service): void {
  if (!conn.abandoned) blame(thrown, conn, service.reporter);
  close(conn, service);
}

/** Says what a handler's error means for its connection, and tells `onError` if it is news. */
function blame(thrown: unknown, conn: SocketConnection, reporter: Reporter): void {
  const origin = originOf(thrown);
  if (origin === "protocol") return conn.life.setReason("protocol_error", thrown);
  if (origin === "handler") reporter.report(thrown, conn);
  // The connection's own first failure, if there was one, has settled the reason before this.
  if (origin === "connection" && conn.life.closed) return;
  // Whoever reads a record, or a frame, is told in this way that the peer has left in its middle.
  if (origin === "cut short" && conn.life.peerFinished) {
    return conn.life.setReason("peer_closed_early", thrown);
  }
  conn.life.setReason("handler_error", thrown);
}

/**
 * Where an error that a handler threw comes from. `connection` may be another one than its own, in a
 * broadcast for instance: like a plain socket's `peer` that left, it ends the handler but is no news.
 */
function originOf(
  thrown: unknown,
): "protocol" | "connection" | "cut short" | "peer" | "handler" {
  try {
    if (thrown instanceof ProtocolError) return "protocol";
    if (Lifeline.produced(thrown)) return "connection";
    if (thrown instanceof Deno.errors.UnexpectedEof) return "cut short";
    return isPeerGone(thrown) ? "peer" : "handler";
  } catch {
    return "handler"; // A Proxy may throw at `instanceof` even; who throws one hears of it.
  }
}

/** Says that some peer went away in mid-connection, which any peer can do at will. */
function isPeerGone(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.Interrupted;
}
