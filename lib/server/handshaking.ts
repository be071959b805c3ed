/** Who is not identified yet, and until when may that be so? @module */

import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * The connections in their PROXY header or TLS handshake, the oldest first. A peer that says nothing
 * holds its place until the deadline, or until the places are all taken: then the oldest makes room,
 * so that mute peers displace each other and real ones get through.
 */
export class Handshaking implements Ticking {
  readonly #clock: CoarseClock;
  readonly #timeout: number;
  readonly #limit: () => number;
  /** By when, on the clock. All have the same time, so who came first is due first. */
  readonly #deadlines = new Map<ServedConnection, number>();

  /** @param limit How many there may be, which may change. */
  constructor(clock: CoarseClock, timeout: number, limit: () => number) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.#limit = limit;
  }

  /** How many there are. */
  get size(): number {
    return this.#deadlines.size;
  }

  enter(conn: ServedConnection): void {
    this.#deadlines.set(conn, this.#clock.deadline(this.#timeout));
    this.#clock.watch(this);
    for (const oldest of this.#deadlines.keys()) {
      if (this.#deadlines.size <= this.#limit()) break;
      this.leave(oldest);
      oldest.life.end("refused_handshaking");
    }
  }

  leave(conn: ServedConnection): void {
    this.#deadlines.delete(conn);
    if (this.#deadlines.size === 0) this.#clock.unwatch(this);
  }

  tick(now: number): void {
    for (const [conn, deadline] of this.#deadlines) {
      if (now < deadline) break;
      this.leave(conn);
      conn.life.endHandshake();
    }
  }
}
