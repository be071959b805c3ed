/** Who is still here, and when is nobody? @module */

import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import type { SocketConnection } from "../connection/socket_connection.ts";

/**
 * Every connection that was accepted and has no end record yet. The clock watches them together: a
 * place of its own for each would be memory that an idle one holds.
 */
export class LiveConnections implements Ticking {
  readonly all: Set<SocketConnection> = new Set();
  readonly #clock: CoarseClock;
  #nobody: PromiseWithResolvers<void> | undefined;

  constructor(clock: CoarseClock) {
    this.#clock = clock;
  }

  enter(conn: SocketConnection): void {
    this.#clock.watch(this);
    this.all.add(conn);
  }

  /** Whether it was still here: a connection is over only once. */
  leave(conn: SocketConnection): boolean {
    const wasHere = this.all.delete(conn);
    if (this.all.size === 0) {
      this.#clock.unwatch(this);
      this.#nobody?.resolve();
      this.#nobody = undefined;
    }
    return wasHere;
  }

  tick(now: number): void {
    for (const conn of this.all) conn.tick(now);
  }

  /** Resolves when nobody is here; right away if so. */
  async nobody(): Promise<void> {
    while (this.all.size > 0) {
      this.#nobody ??= Promise.withResolvers();
      await this.#nobody.promise;
    }
  }
}
