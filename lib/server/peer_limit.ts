/** Limits the connections of each peer. @module */

import { peerKey } from "../wire/address/peer_key.ts";
import type { PeerCounts } from "./limits.ts";
import type { ServedConnection } from "./served_connection.ts";
import type { Slots } from "./slots.ts";

/** Slots from which on one peer may have half of them by default; with fewer it may have all. */
const MANY = 1000;

/** Connections count for an IPv4 address or a /64 of IPv6; peers of Unix sockets do not count. */
export class PeerLimit {
  readonly #given: number | undefined;
  readonly #slots: Slots;
  readonly #counts: PeerCounts;

  /** @param given The limit; without it, one that follows the number of slots. */
  constructor(given: number | undefined, slots: Slots, counts: PeerCounts) {
    this.#given = given;
    this.#slots = slots;
    this.#counts = counts;
  }

  /** How many connections one peer may have. */
  get limit(): number {
    const { limit } = this.#slots;
    return this.#given ?? (limit >= MANY ? Math.floor(limit / 2) : Infinity);
  }

  /** Counts a connection for an address, unless that has as many as it may. Whether it may come in. */
  enter(conn: ServedConnection, addr: Deno.Addr = conn.remoteAddr): boolean {
    const { limit } = this;
    if (limit === Infinity || !("hostname" in addr)) return true;
    const key = peerKey(addr.hostname);
    if (!this.#counts.enter(key, limit)) return false;
    conn.countedFor = key;
    return true;
  }

  /** Counts it no longer; one that is not counted is ignored. */
  leave(conn: ServedConnection): void {
    const key = conn.countedFor;
    if (key === undefined) return;
    conn.countedFor = undefined;
    this.#counts.leave(key);
  }
}
