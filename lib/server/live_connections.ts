/** Who is still here, and when is nobody? @module */

import type { SocketConnection } from "../connection/connection.ts";

/** Every connection that was accepted and has no end record yet. */
export class LiveConnections {
  readonly all: Set<SocketConnection> = new Set();
  #nobody: PromiseWithResolvers<void> | undefined;

  enter(conn: SocketConnection): void {
    this.all.add(conn);
  }

  /** Whether it was still here: a connection is over only once. */
  leave(conn: SocketConnection): boolean {
    const wasHere = this.all.delete(conn);
    if (this.all.size === 0) {
      this.#nobody?.resolve();
      this.#nobody = undefined;
    }
    return wasHere;
  }

  /** Resolves when nobody is here; right away if so. */
  async nobody(): Promise<void> {
    while (this.all.size > 0) {
      this.#nobody ??= Promise.withResolvers();
      await this.#nobody.promise;
    }
  }
}
