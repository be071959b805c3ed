/** How do we stop? @module */

import type { SocketConnection } from "../connection/connection.ts";
import type { LiveConnections } from "./live_connections.ts";

/** Ms that handlers get to settle after their connections were closed under them. */
const LAST_CHANCE = 1000;

/**
 * What became of the connections that were open when the server began to stop, or came after.
 *
 * @example What became of the last connections
 * ```ts
 * import { serve, type ShutdownReport } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * await server.shutdown();
 *
 * const { forced, abandoned }: ShutdownReport = server.report!;
 * assertEquals({ forced, abandoned }, { forced: 0, abandoned: 0 });
 * ```
 */
export interface ShutdownReport {
  /** Ended by themselves. */
  readonly completed: number;
  /** Closed when the time was up. */
  readonly forced: number;
  /** Closed when the time was up, and their handlers had not settled a second later. */
  readonly abandoned: number;
  /** How long stopping took, in ms. */
  readonly ms: number;
}

/** Ends the present work: asks, waits, forces, and gives up on handlers that do not return. */
export class Drain {
  readonly #live: LiveConnections;
  readonly #sendAway: () => void;
  readonly #abandon: (conn: SocketConnection) => void;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #since = performance.now();
  #forced = false;
  #over = false;
  #left = 0;

  /**
   * @param sendAway Ends the waiting of those who have no slot yet.
   * @param abandon Gives up on a handler that does not settle.
   */
  constructor(
    live: LiveConnections,
    sendAway: () => void,
    abandon: (conn: SocketConnection) => void,
  ) {
    this.#live = live;
    this.#sendAway = sendAway;
    this.#abandon = abandon;
    for (const conn of live.all) this.join(conn);
  }

  /** Tells a connection, and counts it. One that comes after the force is closed at once, too. */
  join(conn: SocketConnection): void {
    this.#left++;
    conn.drain();
    if (this.#forced) force(conn);
  }

  /** Forces in `timeout` ms at the latest. Of several calls the one that is due first counts. */
  forceWithin(timeout: number): void {
    if (timeout <= 0) return this.#force();
    if (timeout !== Infinity) this.#in(timeout, () => this.#force());
  }

  /** Nobody is left: the count of how they ended. */
  finish(forced: number, abandoned: number): ShutdownReport {
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    const ms = performance.now() - this.#since;
    return { completed: this.#left - forced - abandoned, forced, abandoned, ms };
  }

  #force(): void {
    if (this.#forced) return;
    this.#forced = true;
    for (const conn of this.#live.all) force(conn);
    this.#sendAway();
    this.#in(LAST_CHANCE, () => {
      for (const conn of this.#live.all) this.#abandon(conn);
    });
  }

  #in(ms: number, step: () => void): void {
    // setTimeout takes 2 ** 31 - 1 ms at most and fires at once for more.
    const timer = setTimeout(step, Math.min(ms, 2 ** 31 - 1));
    // The first timer of a process runs microtasks while it is made, in `deno test` at least: with
    // nobody here the drain may have finished meanwhile, and the timer would outlive the server.
    if (this.#over) clearTimeout(timer);
    else this.#timers.add(timer);
  }
}

function force(conn: SocketConnection): void {
  conn.life.end(
    "forced",
    new Deno.errors.Interrupted("The server closed the connection because it is stopping"),
  );
}
