/** Applies the server's rules about addresses to a connection. @module */

import type { AddressTest } from "../listener/address_rules.ts";
import { peerKey } from "../wire/address/peer_key.ts";
import type { Limits, PeerRates } from "./limits.ts";
import { PeerLimit } from "./peer_limit.ts";
import type { ServedConnection } from "./served_connection.ts";
import type { Slots } from "./slots.ts";

/** The rules as the user gave them; what is not given is no rule. */
interface Rules {
  /** Whether an address may connect. */
  readonly isAllowed?: AddressTest | undefined;
  readonly maxConnectionsPerPeer?: number | undefined;
}

/** `allow` and `deny`, and the limits per peer, for all listeners of a server. */
export class AccessRules {
  readonly #isAllowed: AddressTest | undefined;
  readonly #peerLimit: PeerLimit;
  readonly #peerRates: PeerRates | undefined;
  /** The user gave a rule that needs an address. */
  readonly #needsAddress: boolean;

  constructor({ isAllowed, maxConnectionsPerPeer }: Rules, slots: Slots, limits: Limits) {
    this.#isAllowed = isAllowed;
    this.#peerLimit = new PeerLimit(maxConnectionsPerPeer, slots, limits.peers);
    this.#peerRates = limits.peerRates;
    this.#needsAddress = isAllowed !== undefined || this.#peerRates !== undefined ||
      (maxConnectionsPerPeer ?? Infinity) !== Infinity;
  }

  /**
   * Counts the connection for its peer, or ends it.
   *
   * @param allowsUnknown Whether a client whose address the PROXY header does not give may pass rules
   * about addresses.
   */
  apply(conn: ServedConnection, allowsUnknown = false): void {
    const { life, proxy } = conn;
    if (life.closed) return;
    // A health check of the proxy itself: it was asked for, and is no client.
    if (proxy?.command === "LOCAL") return;
    if (proxy !== undefined && !isNetAddr(proxy.source)) {
      if (this.#needsAddress) {
        if (!allowsUnknown) life.end("refused_address");
      } else if (!this.#peerLimit.enter(conn, conn.peerAddr)) life.end("refused_peer_limit");
      return;
    }
    if (this.#isAllowed?.(conn.remoteAddr) === false) return life.end("refused_address");
    if (!this.#takeToken(conn.remoteAddr)) return life.end("refused_rate");
    if (!this.#peerLimit.enter(conn)) life.end("refused_peer_limit");
  }

  /** Peers of Unix sockets have no limit. */
  #takeToken(addr: Deno.Addr): boolean {
    if (this.#peerRates === undefined || !("hostname" in addr)) return true;
    return this.#peerRates.take(peerKey(addr.hostname));
  }

  /** Counts the connection no longer. */
  leave(conn: ServedConnection): void {
    this.#peerLimit.leave(conn);
  }
}

function isNetAddr(addr: Deno.Addr | undefined): boolean {
  return addr !== undefined && "hostname" in addr;
}
