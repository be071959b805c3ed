/** Lets a test decide when a handler returns. @module */

import type { Connection } from "../../mod.ts";

/** A handler that holds each connection until the test lets it go. */
export class Holding {
  /** The connections that are being served, in the order in which they came. */
  readonly inside: Connection[] = [];
  /** How many have come so far. */
  served = 0;
  readonly #doors = new Map<Connection, () => void>();

  readonly handler = async (conn: Connection): Promise<void> => {
    this.served++;
    this.inside.push(conn);
    await new Promise<void>((resolve) => this.#doors.set(conn, resolve));
  };

  /** Lets the handler of `conn` return, or of whoever came first. */
  letGo(conn: Connection = this.inside[0]!): void {
    this.inside.splice(this.inside.indexOf(conn), 1);
    this.#doors.get(conn)!();
  }

  /** Lets everybody go. */
  letAllGo(): void {
    while (this.inside.length > 0) this.letGo();
  }
}
