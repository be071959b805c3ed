/** Decides why a connection is over, counts it and writes its one record. @module */

import type { EndReason } from "../connection/end_reason.ts";
import type { Refusals } from "./refusals.ts";
import type { Reporter } from "./reporter.ts";
import type { ServedConnection } from "./served_connection.ts";
import { refusalCause, type Statistics } from "./statistics.ts";

/**
 * What `onEnd` is called with when a connection is over.
 *
 * @example One line for each connection
 * ```ts
 * import { type EndRecord, formatAddress, serve } from "@usher/server";
 * import { assertMatch } from "@std/assert";
 *
 * const log: string[] = [];
 * const onEnd = ({ id, remoteAddr, reason, bytesWritten }: EndRecord) =>
 *   log.push(`${id} ${formatAddress(remoteAddr)} ${reason} ${bytesWritten}`);
 *
 * const server = serve(
 *   { port: 0, hostname: "127.0.0.1", onEnd },
 *   async (conn) => {
 *     await conn.write(new TextEncoder().encode("hello"));
 *   },
 * );
 * const client = await Deno.connect({ port: server.addr.port });
 * await new Response(client.readable).text();
 * await server.shutdown();
 * assertMatch(log[0]!, /^1 tcp:\/\/127\.0\.0\.1:\d+ completed 5$/);
 * ```
 *
 * @category Errors and records
 */
export interface EndRecord {
  /** The connection's `id`. */
  readonly id: number;
  /** Why it is over. */
  readonly reason: EndReason;
  /** What `end()` or `close()` was given, where the reason is `dismissed`. */
  readonly detail?: string;
  /** What the program had written into the connection's `label`. */
  readonly label?: string;
  /** The `name` of the listener that it came through, or that listener's address. */
  readonly listenerName: string;
  /** The other end as the kernel saw it. */
  readonly peerAddr: Deno.Addr;
  /** The client's address. */
  readonly remoteAddr: Deno.Addr;
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel. */
  readonly bytesWritten: number;
  /** When it was accepted, in ms since 1970. */
  readonly openedAt: number;
  /** How long it lasted, in ms. */
  readonly duration: number;
  /** The error that ended it, where there was one. */
  readonly error?: unknown;
}

/** Called with the record of each connection of a server. */
export type EndObserver = (record: EndRecord) => void;

/** The records of one server. A connection of a server that nothing observes costs no record. */
export class EndRecords {
  readonly #statistics: Statistics;
  readonly #refusals: Refusals;
  readonly #reporter: Reporter;
  readonly #onEnd: ((record: EndRecord) => unknown) | undefined;
  readonly #observers = new Set<EndObserver>();

  constructor(
    statistics: Statistics,
    refusals: Refusals,
    reporter: Reporter,
    onEnd: ((record: EndRecord) => unknown) | undefined,
  ) {
    this.#statistics = statistics;
    this.#refusals = refusals;
    this.#reporter = reporter;
    this.#onEnd = onEnd;
  }

  /** How many observers there are. */
  get observed(): number {
    return this.#observers.size;
  }

  /** Calls `observer` with each record, beside `onEnd`, until what is returned is disposed. */
  observe(observer: EndObserver): Disposable {
    this.#observers.add(observer);
    return { [Symbol.dispose]: () => void this.#observers.delete(observer) };
  }

  /** Writes the record of a connection that is over; to be called once for each. */
  write(conn: ServedConnection): void {
    const reason = finalReason(conn);
    this.#statistics.end(reason, conn);
    const cause = refusalCause(reason);
    if (cause !== undefined) this.#refusals.add(cause, conn.remoteAddr);
    const onEnd = this.#onEnd;
    if (onEnd === undefined && this.#observers.size === 0) return;
    const record = recordOf(conn, reason);
    for (const observer of this.#observers) {
      this.#reporter.call("instrument", () => observer(record));
    }
    if (onEnd !== undefined) this.#reporter.call("onEnd", () => onEnd(record));
  }
}

function recordOf(conn: ServedConnection, reason: EndReason): EndRecord {
  const { id, peerAddr, remoteAddr, bytesRead, bytesWritten, openedAt, duration, life } = conn;
  return {
    id,
    reason,
    listenerName: conn.listenerName,
    peerAddr,
    remoteAddr,
    bytesRead,
    bytesWritten,
    openedAt,
    duration,
    ...(conn.label !== undefined && { label: conn.label }),
    ...(life.detail !== undefined && { detail: life.detail }),
    ...(life.error !== undefined && { error: life.error }),
  };
}

/**
 * The first terminal event on the connection; but `abandoned` for a handler that did not settle,
 * `health_check` for a proxy that only looked whether the server lives, and one word for a handshake
 * that came to nothing.
 */
function finalReason(conn: ServedConnection): EndReason {
  if (conn.stage === "abandoned") return "abandoned";
  const reason = conn.life.reason ?? "completed";
  if (isHealthCheck(conn, reason)) return "health_check";
  // The peer was gone before its handshake was over, however it left.
  return conn.stage === "tls-handshake" && reason === "peer_reset" ? "handshake_failed" : reason;
}

/** How a proxy leaves that has seen that the server lives. */
const LEFT: readonly EndReason[] = ["completed", "peer_closed_early", "peer_reset"];

function isHealthCheck(conn: ServedConnection, reason: EndReason): boolean {
  const { stage, life, proxy } = conn;
  if (stage === "proxy-header") return reason === "peer_reset" && life.bytesRead === 0;
  if (proxy?.command !== "LOCAL" || conn.bytesRead > 0) return false;
  if (LEFT.includes(reason)) return true;
  // It has seen that we speak TLS, which is all it checks, and does not wait for the last message.
  return reason === "handshake_failed" && life.error instanceof Deno.errors.ConnectionReset;
}
