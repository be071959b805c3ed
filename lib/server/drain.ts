/** How do we stop? @module */

import type { SocketConnection } from "../connection/socket_connection.ts";
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
  /** Taken out of the kernel's queue, connected and not yet accepted, when the listener closed. */
  readonly swept: number;
  /** How long stopping took, in ms. */
  readonly ms: number;
}

/** How the server comes to accept nobody any more. */
export interface Accepting {
  /** Takes in who has connected, and closes the listeners; resolves with how many those are. */
  stop(): Promise<number>;
  /** Closes the listeners at once; `stop()` then takes in nobody. */
  cut(): void;
  /** Serves those who were taken in. */
  letIn(): void;
  /** Ends the waiting of those who have no slot yet. */
  sendAway(): void;
}

/**
 * Ends the present work, step by step: goes on as before for a while; takes in who is at the door and
 * closes it; asks; waits; forces, and gives up on handlers that do not return.
 */
export class Drain {
  readonly #live: LiveConnections;
  readonly #accepting: Accepting;
  readonly #abandon: (conn: SocketConnection) => void;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #since = performance.now();
  /** Once the door is being closed. */
  #closed: Promise<void> | undefined;
  #told = false;
  #forced = false;
  #over = false;
  #left = 0;
  #swept = 0;

  /** @param abandon Gives up on a handler that does not settle. */
  constructor(
    live: LiveConnections,
    accepting: Accepting,
    abandon: (conn: SocketConnection) => void,
  ) {
    this.#live = live;
    this.#accepting = accepting;
    this.#abandon = abandon;
    for (const conn of live.all) this.join(conn);
  }

  /** Counts a connection, and tells it. One that comes after the force is closed at once, too. */
  join(conn: SocketConnection): void {
    this.#left++;
    if (this.#told) conn.drain();
    if (this.#forced) force(conn);
  }

  /**
   * Begins in `lameDuck` ms and forces `timeout` ms later, at the latest. Of several calls the one
   * that is due first counts.
   */
  within(lameDuck: number, timeout: number): void {
    if (lameDuck + timeout <= 0) return this.#force();
    if (lameDuck + timeout !== Infinity) this.#in(lameDuck + timeout, () => this.#force());
    if (lameDuck <= 0) this.#begin();
    else if (lameDuck !== Infinity) this.#in(lameDuck, () => this.#begin());
  }

  /** Resolves when the door is closed, and whoever came in by then is being served. */
  get closed(): Promise<void> {
    return this.#begin();
  }

  /** Nobody is left: the count of how they ended. */
  finish(forced: number, abandoned: number): ShutdownReport {
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    const completed = this.#left - forced - abandoned;
    const ms = performance.now() - this.#since;
    return { completed, forced, abandoned, swept: this.#swept, ms };
  }

  #begin(): Promise<void> {
    return this.#closed ??= this.#accepting.stop().then((swept) => {
      this.#swept = swept;
      this.#tell();
      this.#accepting.letIn();
    });
  }

  #tell(): void {
    if (this.#told) return;
    this.#told = true;
    for (const conn of this.#live.all) conn.drain();
  }

  #force(): void {
    if (this.#forced) return;
    this.#forced = true;
    this.#accepting.cut();
    this.#begin();
    this.#tell();
    for (const conn of this.#live.all) force(conn);
    this.#accepting.sendAway();
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
