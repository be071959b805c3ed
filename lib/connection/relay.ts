/** Copies both ways between two connections. @module */

import { type AbortOptions, untilAborted } from "./abort.ts";
import { TICK, type Ticking } from "./coarse_clock.ts";
import { copy } from "./copy.ts";
import type { EndReason } from "./end_reason.ts";
import type { Lifeline } from "./lifeline.ts";
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
 *
 * @category Connections
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
 * once. The record of a side that did not fail itself says `relay_failed`, with the error of the other.
 * The other peer then sees an end, not a reset, because Deno has no way to send one: a protocol that must
 * tell a whole stream from a broken one has to say so itself.
 *
 * Where one side is a plain connection of Deno, the `idleTimeout` of the other is for both; two plain
 * ones have none: wrap one with {@linkcode connection}.
 *
 * @param a One end.
 * @param b The other end.
 * @param options A signal that ends both when it fires.
 * @returns How many bytes went each way, once both directions have ended. Neither is closed then.
 * @throws What reading or writing threw first, or the signal's reason.
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
 *   await using upstream = connection(
 *     await Deno.connect({ port: backend.addr.port }),
 *   );
 *   await relay(conn, upstream);
 * });
 *
 * const client = await Deno.connect({ port: front.addr.port });
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 *
 * @category Connections
 */
export function relay(a: Deno.Conn, b: Deno.Conn, options?: AbortOptions): Promise<Relayed> {
  const relay = new Relay(a, b);
  return untilAborted("relay", options, (reason) => relay.abort(reason), () => relay.run());
}

/** Two connections of which each is written what the other one reads. */
class Relay implements Ticking {
  readonly #a: Deno.Conn;
  readonly #b: Deno.Conn;
  /** Of those that are no plain connections of Deno, which have neither a clock nor a record. */
  readonly #lives: readonly Lifeline[];
  /** Bytes that the first of them has moved, which is all, and on its clock: since when. */
  #moved = 0;
  #movedAt = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(a: Deno.Conn, b: Deno.Conn) {
    this.#a = a;
    this.#b = b;
    this.#lives = [a, b].flatMap((conn) => conn instanceof SocketConnection ? [conn.life] : []);
  }

  async run(): Promise<Relayed> {
    const clock = this.#lives[0]?.clock;
    this.#movedAt = clock?.now ?? 0;
    clock?.watch(this);
    try {
      const ways = [this.#oneWay(this.#a, this.#b), this.#oneWay(this.#b, this.#a)];
      const [aToB = 0, bToA = 0] = await Promise.all(ways);
      if (this.#failure !== undefined) throw this.#failure.error;
      return { aToB, bToA };
    } finally {
      clock?.unwatch(this);
    }
  }

  /** Ends what half of a relay cannot see: its one pending read is that of the other side. */
  tick(now: number): void {
    const [life] = this.#lives as [Lifeline];
    const over = this.#lives.find(({ closed }) => closed);
    if (over !== undefined) return this.#fail(over.refusal());
    const moved = life.bytesRead + life.bytesWritten;
    if (moved !== this.#moved) {
      this.#moved = moved;
      this.#movedAt = now - TICK;
    } else if (this.#lives.length === 1 && now >= this.#movedAt + life.limits.idleTimeout + TICK) {
      life.timeOut("idle_timeout", "no byte moved within 'idleTimeout'");
      this.#fail(life.error);
    }
  }

  abort(reason: unknown): void {
    this.#endBoth("dismissed", reason, "relay aborted");
  }

  async #oneWay(from: Deno.Conn, to: Deno.Conn): Promise<number> {
    try {
      const copied = await copy(from, to);
      await to.closeWrite();
      return copied;
    } catch (error) {
      this.#fail(error);
      return 0;
    }
  }

  /** The other direction fails because of this one, so the first failure is the cause. */
  #fail(error: unknown): void {
    this.#endBoth("relay_failed", error);
  }

  #endBoth(reason: EndReason, error: unknown, detail?: string): void {
    this.#failure ??= { error };
    // A side that failed by itself, or was closed, has its reason or needs none. No close_notify: what
    // was relayed is not complete, and must not look so inside TLS.
    for (const life of this.#lives) if (!life.closed) life.end(reason, error, detail);
    for (const conn of [this.#a, this.#b]) closeQuietly(conn);
  }
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // A plain connection that has closed itself throws here.
  }
}
