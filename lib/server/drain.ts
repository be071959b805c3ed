/** How do we stop? @module */

import type { LiveConnections } from "./live_connections.ts";

/** Ms that handlers get to settle after their connections were closed under them. */
const LAST_CHANCE = 1000;

/** What became of the connections that were open when the server began to stop, or came after. */
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
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #since = performance.now();
  #forced = false;
  #left = 0;

  /** @param sendAway Ends the waiting of those who have no slot yet. */
  constructor(live: LiveConnections, sendAway: () => void) {
    this.#live = live;
    this.#sendAway = sendAway;
    this.#left = live.all.size;
    for (const conn of live.all) conn.drain();
  }

  /** Counts a connection that came after the drain had begun. */
  joined(): void {
    this.#left++;
  }

  /** Forces in `timeout` ms at the latest. Of several calls the one that is due first counts. */
  forceWithin(timeout: number): void {
    if (timeout <= 0) return this.#force();
    if (timeout !== Infinity) this.#in(timeout, () => this.#force());
  }

  /** Nobody is left: the count of how they ended. */
  finish(forced: number, abandoned: number): ShutdownReport {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    const ms = performance.now() - this.#since;
    return { completed: this.#left - forced - abandoned, forced, abandoned, ms };
  }

  #force(): void {
    if (this.#forced) return;
    this.#forced = true;
    for (const conn of this.#live.all) {
      conn.life.end(
        "forced",
        new Deno.errors.Interrupted("The server closed the connection because it is stopping"),
      );
    }
    this.#sendAway();
    this.#in(LAST_CHANCE, () => {
      for (const conn of this.#live.all) conn.onAbandon?.();
    });
  }

  #in(ms: number, step: () => void): void {
    // setTimeout takes 2 ** 31 - 1 ms at most and fires at once for more.
    const timer = setTimeout(step, Math.min(ms, 2 ** 31 - 1));
    this.#timers.add(timer);
  }
}
