/** What happens to one connection, start to end? @module */

import type { Connection, SocketConnection } from "../connection/connection.ts";
import type { EndReason } from "../connection/end_reason.ts";
import { Lifeline } from "../connection/lifeline.ts";
import { ProtocolError } from "../errors.ts";
import type { Slot } from "./admit.ts";
import { isPromiseLike, type Reporter } from "./reporter.ts";

/**
 * What serves a connection: its promise owns it, and when that settles the connection is closed.
 *
 * @typeParam A The kind of address the server listens on.
 */
export type Handler<A extends Deno.Addr = Deno.Addr> = (conn: Connection<A>) => Promise<unknown>;

/** How a handler ended. */
type Outcome = "returned" | "abandoned" | { readonly thrown: unknown };

/**
 * Runs the handler, closes politely and sees to it that `over` is called exactly once and the slot
 * given back, whatever the handler, the peer or the server does.
 */
export async function serveConnection(
  conn: SocketConnection,
  handler: Handler,
  slot: Slot,
  reporter: Reporter,
  over: (conn: SocketConnection, reason: EndReason) => void,
): Promise<void> {
  using _slot = slot; // freed last: the record is written while the connection still counts
  const outcome = await run(conn, handler);
  if (outcome === "abandoned") return over(conn, "abandoned");
  if (outcome !== "returned") blame(outcome.thrown, conn, reporter);
  await conn.end();
  over(conn, conn.life.reason ?? "completed");
}

/** Not `async`, and one promise for both ways out: each microtask here is paid per connection. */
function run(conn: SocketConnection, handler: Handler): Promise<Outcome> {
  return new Promise((resolve) => {
    conn.onAbandon = () => resolve("abandoned");
    try {
      const result: unknown = handler(conn);
      if (!isPromiseLike(result)) return resolve("returned");
      result.then(() => resolve("returned"), (thrown) => resolve({ thrown }));
    } catch (thrown) {
      resolve({ thrown });
    }
  });
}

/** Says what a handler's error means for its connection, and tells `onError` if it is news. */
function blame(thrown: unknown, conn: SocketConnection, reporter: Reporter): void {
  if (thrown instanceof ProtocolError) return conn.life.settle("protocol_error", thrown);
  // Another connection's failure, in a broadcast for instance, ends this handler but is no news.
  if (!Lifeline.produced(thrown) && !isPeerGone(thrown)) reporter.report(thrown, conn);
  // The connection's own first failure, if there was one, has settled the reason before this.
  if (conn.life.closed && Lifeline.produced(thrown)) return;
  conn.life.settle("handler_error", thrown);
}

/** Says that some peer went away in mid-connection, which any peer can do at will. */
function isPeerGone(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.UnexpectedEof ||
    error instanceof Deno.errors.Interrupted;
}
