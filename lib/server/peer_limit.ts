/** Counts the connections of each peer, and limits them. @module */

import type { ServedConnection } from "./served_connection.ts";
import { peerKey } from "../wire/address/peer_key.ts";

/** Counts connections by IPv4 address and by /64 of IPv6; peers of Unix sockets do not count. */
export class PeerLimit {
  readonly #limit: number;
  readonly #counts = new Map<string, number>();
  readonly #counted = new Map<ServedConnection, string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Counts a connection, unless its peer has as many as it may. Whether it may come in. */
  enter(conn: ServedConnection): boolean {
    const { remoteAddr } = conn;
    if (this.#limit === Infinity || !("hostname" in remoteAddr)) return true;
    const key = peerKey(remoteAddr.hostname);
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#limit) return false;
    this.#counts.set(key, count + 1);
    this.#counted.set(conn, key);
    return true;
  }

  /** It is over; one that was not counted is none. */
  leave(conn: ServedConnection): void {
    const key = this.#counted.get(conn);
    if (key === undefined) return;
    this.#counted.delete(conn);
    const count = this.#counts.get(key)!;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }
}
