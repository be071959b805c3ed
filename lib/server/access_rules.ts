/** Applies the server's rules about addresses to a connection. @module */

import type { AddressTest } from "../listener/address_rules.ts";
import { PeerLimit } from "./peer_limit.ts";
import type { ServedConnection } from "./served_connection.ts";

/** `allow` and `deny`, and the limit of connections per peer, for all listeners of a server. */
export class AccessRules {
  readonly #isAllowed: AddressTest | undefined;
  readonly #peerLimit: PeerLimit;

  /** @param isAllowed Whether an address may connect; every one may without it. */
  constructor(isAllowed: AddressTest | undefined, maxConnectionsPerPeer: number) {
    this.#isAllowed = isAllowed;
    this.#peerLimit = new PeerLimit(maxConnectionsPerPeer);
  }

  /** Counts the connection for its peer, or ends it: its `remoteAddr` is known. */
  apply(conn: ServedConnection): void {
    const { life, proxy } = conn;
    if (life.closed) return;
    // A health check of the proxy itself: it was asked for, and is no client.
    if (proxy?.command === "LOCAL") return;
    if (this.#isAllowed?.(conn.remoteAddr) === false) return life.end("refused_address");
    // Clients that the proxy does not know would all be one peer.
    if (proxy !== undefined && proxy.source === undefined) return;
    if (!this.#peerLimit.enter(conn)) life.end("refused_peer_limit");
  }

  /** Counts the connection no longer. */
  leave(conn: ServedConnection): void {
    this.#peerLimit.leave(conn);
  }
}
