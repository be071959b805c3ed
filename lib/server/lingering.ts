/** Bounds how many connections wait for their peer's FIN after ours. @module */

import type { ServedConnection } from "./served_connection.ts";
import type { Slots } from "./slots.ts";

/** How many may linger with few slots: peers that answer do so within a round trip. */
const LEAST = 64;

/** Slots for each one that may linger, from where that is more. */
const SLOTS_EACH = 16;

/**
 * The connections whose slots were given back with our FIN, the oldest first. They still hold a
 * descriptor each, so beyond the limit the oldest is closed: it has had the longest time to answer.
 */
export class Lingering {
  readonly #slots: Slots;
  /** An array, as few linger, and what a `Set` has held is kept too long: see `ConnectionSet`. */
  readonly #all: ServedConnection[] = [];

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** How many connections may linger beside so many slots. */
  static limit(slots: number): number {
    return Math.max(LEAST, Math.floor(slots / SLOTS_EACH));
  }

  enter(conn: ServedConnection): void {
    if (conn.lingers) return;
    conn.lingers = true;
    this.#all.push(conn);
    const limit = Lingering.limit(this.#slots.limit);
    while (this.#all.length > limit) {
      const oldest = this.#all.shift()!;
      oldest.lingers = false;
      oldest.close();
    }
  }

  leave(conn: ServedConnection): void {
    if (!conn.lingers) return;
    conn.lingers = false;
    this.#all.splice(this.#all.indexOf(conn), 1);
  }
}
