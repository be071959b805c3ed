/** Lets a test decide when a handler returns. @module */

import type { Connection } from "../../mod.ts";

/** A handler that holds each connection until the test lets it go. */
export class Holding {
  /** The connections that are being served, in order of arrival. */
  readonly inside: Connection[] = [];
  /** How many have come so far. */
  served = 0;
  readonly #releases = new Map<Connection, () => void>();

  readonly handler = async (conn: Connection): Promise<void> => {
    this.served++;
    this.inside.push(conn);
    await new Promise<void>((resolve) => this.#releases.set(conn, resolve));
  };

  /** Lets the handler of `conn` return, or of the first one. */
  letGo(conn: Connection = this.inside[0]!): void {
    this.inside.splice(this.inside.indexOf(conn), 1);
    this.#releases.get(conn)!();
  }

  /** Lets all handlers return. */
  letAllGo(): void {
    while (this.inside.length > 0) this.letGo();
  }
}
