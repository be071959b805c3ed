/** Gives any `Deno.Conn` what a handler's connection has. @module */

import { checkKeys, checkNumber, checkTime, isObject, isPromiseLike, show } from "../check.ts";
import { CoarseClock } from "./coarse_clock.ts";
import type { Connection } from "./connection.ts";
import { enterTls } from "./enter_tls.ts";
import type { Lifeline } from "./lifeline.ts";
import { Rooms } from "./rooms.ts";
import { SocketConnection } from "./socket_connection.ts";
import { type ConnectionLimits, DEFAULT_LIMITS } from "./limits.ts";

/**
 * Limits of a connection that no server holds.
 *
 * @example A client that does not wait indefinitely
 * ```ts
 * import { connection, type ConnectionOptions, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const patient: ConnectionOptions = { idleTimeout: 60_000 };
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * await using client = connection(
 *   await Deno.connect({ port: server.addr.port }),
 *   patient,
 * );
 * for await (const chunk of client) {
 *   assertEquals(new TextDecoder().decode(chunk), "hello");
 * }
 * ```
 *
 * @category Connections
 */
export interface ConnectionOptions {
  /**
   * Ms without a byte in either direction while a read or write is pending.
   *
   * @default {300_000}
   */
  idleTimeout?: number;
  /**
   * Ms without a byte received while a read is pending, whatever is sent.
   *
   * @default {Infinity}
   */
  receiveTimeout?: number;
  /**
   * Ms within which a frame or a record that has begun must be complete, counted while a read waits for
   * it; otherwise the connection is closed. `framed()` and each read of a record may say otherwise.
   *
   * @default {30_000}
   */
  frameTimeout?: number;
  /**
   * Ms within which a write must advance by 1 KiB, or by its rest if that is less.
   *
   * @default {30_000}
   */
  writeTimeout?: number;
  /**
   * Bytes that may wait behind a write in progress. A write that finds so many waiting, counted with
   * what it takes to hold them, ends the connection.
   *
   * @default {1_048_576}
   */
  maxUnsent?: number;
}

/** The limits that are times. */
const TIMES = ["idleTimeout", "receiveTimeout", "frameTimeout", "writeTimeout"] as const;

/** One of each for all of them; the clock runs only while one is open. */
const clock = new CoarseClock(false);
const rooms = new Rooms();
let ids = 0;
const wrappers = new WeakMap<Deno.Conn, SocketConnection>();

/**
 * Wraps a connection that was made elsewhere, such as with `Deno.connect`: whole ordered writes,
 * chunks, timeouts and a polite end for clients and forwarders too.
 *
 * From then on the socket is the wrapper's: use and close only that. (Closing the socket closes both;
 * but a `using` declared before closes only the socket, and the wrapper at its next operation.) A connection that is wrapped
 * already, and the socket of one, give that connection as it is, its limits unchanged.
 *
 * @param conn The socket.
 * @param options Its limits.
 * @returns The connection.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example A client that reads to the end
 * ```ts
 * import { connection, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 *
 * await using client = connection(await Deno.connect({ port: server.addr.port }));
 * let text = "";
 * for await (const chunk of client) text += new TextDecoder().decode(chunk);
 * assertEquals(text, "hello");
 * ```
 *
 * @category Connections
 */
export function connection<A extends Deno.Addr>(
  conn: Deno.Conn<A>,
  options: ConnectionOptions = {},
): Connection<A> {
  const limits = completeLimits(options);
  if (conn instanceof SocketConnection) return conn;
  // Two wrappers of one socket would each miss what the other has read and not given out.
  if (!isConn(conn)) throw new TypeError(notConn(conn));
  const before = wrappers.get(conn);
  if (before !== undefined) return before as unknown as Connection<A>;
  const wrapper = new SocketConnection<A>(++ids, conn, conn.localAddr, clock, limits, rooms);
  clock.watch(wrapper.life);
  wrappers.set(conn, wrapper as unknown as SocketConnection);
  closeTogether(conn, wrapper.life);
  if ("handshake" in conn) reportTls(wrapper);
  return wrapper;
}

function isConn(value: unknown): boolean {
  const methods = ["read", "write", "close"];
  return isObject(value) && methods.every((name) => typeof value[name] === "function");
}

function notConn(value: unknown): string {
  const given = isPromiseLike(value) ? "a promise" : show(value);
  const wanted = isPromiseLike(value) ? "await it first" : "use what Deno.connect() resolves with";
  return `Cannot wrap ${given} as a connection: ${wanted}`;
}

/** Closes the wrapper with the socket, which its maker may still hold; or it would tick forever. */
function closeTogether(conn: Deno.Conn, life: Lifeline): void {
  const close = conn.close.bind(conn);
  const both = () => {
    close();
    life.close();
  };
  try {
    conn.close = both;
    conn[Symbol.dispose] = () => {
      if (!life.closed) both();
    };
  } catch {
    // It is frozen. Its next operation will fail, and close the wrapper.
  }
}

function completeLimits(options: ConnectionOptions): ConnectionLimits {
  const attempt = "wrap a connection";
  checkKeys(attempt, options, [...TIMES, "maxUnsent"]);
  const limits: { -readonly [K in keyof ConnectionLimits]: number } = { ...DEFAULT_LIMITS };
  for (const name of TIMES) {
    if (options[name] !== undefined) limits[name] = checkTime(attempt, name, options[name]);
  }
  const { maxUnsent } = options;
  if (maxUnsent !== undefined) {
    limits.maxUnsent = checkNumber(attempt, "maxUnsent", maxUnsent, 0, Infinity, true);
  }
  return limits;
}

/** Deno makes the handshake by itself; what it has negotiated is known once it is complete. */
function reportTls(wrapper: SocketConnection): void {
  wrapper.identity = { tls: {} };
  enterTls(wrapper.life, wrapper.reader, undefined)
    .then((tls) => wrapper.identity = { tls }, () => {});
}
