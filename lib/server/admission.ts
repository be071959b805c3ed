/** Asks the program whether an identified client may come in, and gives back what it got for that. @module */

import { isObject, isPromiseLike, show } from "../check.ts";
import type { Connection } from "../connection/connection.ts";
import { Lifeline } from "../connection/lifeline.ts";
import { extendMessage } from "../errors.ts";
import type { Reporter } from "./reporter.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * What is known of a connection when its client is identified and no handler serves it yet. It is the
 * object that the handler gets, if it does.
 *
 * @typeParam A The kind of address the server listens on.
 *
 * @example From admission to the handler
 * ```ts
 * import { type IdentifiedConnection, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const plans = new WeakMap<IdentifiedConnection, string>();
 * await using server = serve({
 *   port: 0,
 *   hostname: "127.0.0.1",
 *   admit: (conn) => {
 *     plans.set(conn, conn.remoteAddr.hostname === "127.0.0.1" ? "free" : "none");
 *   },
 * }, async (conn) => {
 *   await conn.write(new TextEncoder().encode(plans.get(conn)));
 * });
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "free");
 * ```
 *
 * @category Limits
 */
export type IdentifiedConnection<A extends Deno.Addr = Deno.Addr> = Pick<
  Connection<A>,
  | "id"
  | "localAddr"
  | "peerAddr"
  | "remoteAddr"
  | "listenerName"
  | "openedAt"
  | "proxy"
  | "tls"
  | "signal"
  | "label"
>;

/**
 * What `admit` may answer: `false` refuses the client; nothing, `true` and what is to be disposed when
 * the connection is over admit it.
 *
 * @example A place that is given back
 * ```ts
 * import type { AdmitResult } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * let free = 1;
 * function takePlace(): AdmitResult {
 *   if (free === 0) return false;
 *   free--;
 *   return { [Symbol.dispose]: () => void free++ };
 * }
 *
 * const place = takePlace() as Disposable;
 * assertEquals(takePlace(), false);
 * place[Symbol.dispose]();
 * assertEquals(free, 1);
 * ```
 *
 * @category Limits
 */
export type AdmitResult = boolean | void | Disposable | AsyncDisposable;

/**
 * The option `admit`: says whether an identified client may come in, at once or with a promise.
 *
 * @typeParam A The kind of address the server listens on.
 *
 * @example Ask a list of bans
 * ```ts
 * import { type Admit, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const isBanned = (host: string) => Promise.resolve(host === "127.0.0.1");
 * const admit: Admit<Deno.NetAddr> = async ({ remoteAddr }) =>
 *   !await isBanned(remoteAddr.hostname);
 *
 * const options = { port: 0, hostname: "127.0.0.1", admit, onError: () => {} };
 * await using server = serve(options, async (conn) => {
 *   await conn.write(new TextEncoder().encode("welcome"));
 * });
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "");
 * assertEquals(server.stats().refused.admit, 1);
 * ```
 *
 * @category Limits
 */
export type Admit<A extends Deno.Addr = Deno.Addr> = (
  conn: IdentifiedConnection<A>,
) => AdmitResult | PromiseLike<AdmitResult>;

/** Bytes read ahead of the handler: a first message. A reset behind more of them is noticed later. */
const MOST_AHEAD = 4096;

/** The option `admit` of one server. */
export class Admission {
  readonly #admit: Admit;
  readonly #reporter: Reporter;

  constructor(admit: Admit, reporter: Reporter) {
    this.#admit = admit;
    this.#reporter = reporter;
  }

  /**
   * Asks about a connection, which is closed when this is over if it may not come in.
   *
   * @returns `undefined` if there was nothing to wait for; it never rejects.
   */
  ask(conn: ServedConnection): Promise<void> | undefined {
    // A health check of the proxy itself: it is no client.
    if (conn.proxy?.command === "LOCAL") return undefined;
    conn.stage = "admission";
    try {
      const result = this.#admit(conn);
      if (isPromiseLike(result)) return this.#wait(conn, result);
      this.#decide(conn, result);
    } catch (error) {
      this.#failed(conn, error);
    }
    return undefined;
  }

  /**
   * Gives back what the hook gave for a connection.
   *
   * @returns `undefined` if it is back already; it never rejects.
   */
  giveBack(conn: ServedConnection): Promise<void> | undefined {
    const { lease } = conn;
    if (lease === undefined || lease === "returning") return undefined;
    const returning = this.#dispose(conn, lease);
    conn.lease = returning && "returning";
    return returning;
  }

  /** Until the hook has answered or its time is over: what it may have taken outlives the peer. */
  async #wait(conn: ServedConnection, result: PromiseLike<AdmitResult>): Promise<void> {
    const asked = conn.asked = Promise.withResolvers<void>();
    this.#watch(conn);
    this.#settle(conn, asked, result);
    await asked.promise;
    conn.reader.giveUp();
    await conn.reader.idle();
  }

  /** A reset shows only in a read. What comes instead waits for the handler. */
  async #watch(conn: ServedConnection): Promise<void> {
    const { reader } = conn;
    try {
      while (reader.length < MOST_AHEAD && await reader.claim(() => reader.more())) {
        if (conn.asked === undefined) return;
      }
    } catch {
      // The peer has reset, or the time is over: the lifeline knows.
    }
  }

  async #settle(
    conn: ServedConnection,
    asked: PromiseWithResolvers<void>,
    result: PromiseLike<AdmitResult>,
  ): Promise<void> {
    try {
      const settled = await result;
      if (conn.asked === asked) this.#decide(conn, settled);
      // After its time, when the connection may have its record already.
      else if (isDisposable(settled)) this.#dispose(conn, settled);
    } catch (error) {
      this.#failed(conn, error);
    }
    if (conn.asked !== asked) return;
    conn.asked = undefined;
    asked.resolve();
  }

  #decide(conn: ServedConnection, result: AdmitResult): void {
    if (result === false) return conn.life.end("refused_admit");
    if (result === true || result === undefined) return;
    if (!isDisposable(result)) {
      throw new TypeError(
        `Cannot admit a connection with ${show(result)} from 'admit': return true, false, ` +
          "nothing, or what is to be disposed when it is over",
      );
    }
    conn.lease = result;
  }

  #failed(conn: ServedConnection, error: unknown): void {
    const { life } = conn;
    // It waited for something that `conn.signal` has aborted, which a peer that leaves causes at will.
    const isAborted = life.closed && (Lifeline.produced(error) || error === life.signal.reason);
    if (!isAborted) this.#report(conn, error);
    life.end("refused_admit", error);
  }

  #dispose(conn: ServedConnection, lease: Disposable | AsyncDisposable): Promise<void> | undefined {
    try {
      const result: unknown = Symbol.asyncDispose in lease
        ? lease[Symbol.asyncDispose]()
        : lease[Symbol.dispose]();
      if (!isPromiseLike(result)) return undefined;
      return Promise.resolve(result).then(() => {}, (error) => this.#report(conn, error));
    } catch (error) {
      this.#report(conn, error);
      return undefined;
    }
  }

  #report(conn: ServedConnection, error: unknown): void {
    extendMessage(error, "Hook 'admit' failed: ");
    this.#reporter.report(error, conn);
  }
}

function isDisposable(value: unknown): value is Disposable | AsyncDisposable {
  if (!isObject(value)) return false;
  return Symbol.asyncDispose in value || Symbol.dispose in value;
}
