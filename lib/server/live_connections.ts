/** The connections of a server that are not over. @module */

import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import { ConnectionSet } from "./connection_set.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * Every connection that was accepted and has no end record yet. The clock watches them together: an
 * entry of its own for each would be memory that an idle one holds.
 */
export class LiveConnections implements Ticking {
  readonly all: ConnectionSet = new ConnectionSet();
  readonly #clock: CoarseClock;
  #empty: PromiseWithResolvers<void> | undefined;

  constructor(clock: CoarseClock) {
    this.#clock = clock;
  }

  enter(conn: ServedConnection): void {
    this.#clock.watch(this);
    this.all.add(conn);
  }

  /** Whether it was still here: a connection is over only once. */
  leave(conn: ServedConnection): boolean {
    const wasHere = this.all.delete(conn);
    if (this.all.size === 0) {
      this.#clock.unwatch(this);
      this.#empty?.resolve();
      this.#empty = undefined;
    }
    return wasHere;
  }

  tick(now: number): void {
    this.all.forEach((conn) => conn.tick(now));
  }

  /** Resolves when no connection is left; right away if so. */
  async empty(): Promise<void> {
    while (this.all.size > 0) {
      this.#empty ??= Promise.withResolvers();
      await this.#empty.promise;
    }
  }
}
