/** Bounds how many connections are being identified at once, and for how long. @module */

import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import { peerKey } from "../wire/address/peer_key.ts";
import { PeerGroups } from "./peer_groups.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * Ms for which a connection whose peer has sent something keeps its place: a handshake takes two round
 * trips, and none on this planet takes a second.
 */
const SAFE = 2000;

/** One connection that is being identified. */
interface Handshake {
  /** On the clock. */
  readonly deadline: number;
  /** Whose place it takes. */
  key: string;
  /** On the clock: when the first byte came; `undefined` while the peer has sent nothing. */
  sentAt: number | undefined;
}

/**
 * The connections in their PROXY header or TLS handshake. A peer that sends nothing holds its place
 * until the deadline, or until the places are all taken. Then one makes room for the next: a connection
 * that has sent nothing, else one of the peer that has most, the oldest of them. So peers that only
 * connect displace each other, and a peer that takes many places displaces itself.
 */
export class Handshaking implements Ticking {
  readonly #clock: CoarseClock;
  readonly #timeout: number;
  readonly #limit: () => number;
  /** In the order of their deadlines, as all have the same time. */
  readonly #all = new Map<ServedConnection, Handshake>();
  readonly #silent = new PeerGroups<ServedConnection>();
  readonly #sending = new PeerGroups<ServedConnection>();
  /** The same, in the order of their first bytes. */
  readonly #senders = new Set<ServedConnection>();

  /** @param limit How many there may be, which may change. */
  constructor(clock: CoarseClock, timeout: number, limit: () => number) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.#limit = limit;
  }

  /** How many there are. */
  get size(): number {
    return this.#all.size;
  }

  /** Takes a place for the connection, or ends it where none can be made. */
  enter(conn: ServedConnection): void {
    const key = keyOf(conn);
    while (this.#all.size >= this.#limit()) {
      const displaced = this.#displacedBy(key) ?? conn;
      this.leave(displaced);
      displaced.life.end("refused_handshaking");
      if (displaced === conn) return;
    }
    this.#all.set(conn, { deadline: this.#clock.deadline(this.#timeout), key, sentAt: undefined });
    this.#silent.add(key, conn);
    this.#clock.watch(this);
  }

  /** The peer has sent its first byte. */
  sent(conn: ServedConnection): void {
    const handshake = this.#all.get(conn);
    if (handshake === undefined || handshake.sentAt !== undefined) return;
    handshake.sentAt = this.#clock.now;
    this.#silent.delete(handshake.key, conn);
    this.#sending.add(handshake.key, conn);
    this.#senders.add(conn);
  }

  /** The PROXY header has named another peer, which has sent nothing itself so far. */
  renamed(conn: ServedConnection): void {
    const handshake = this.#all.get(conn);
    if (handshake === undefined) return;
    this.#ungroup(conn, handshake);
    handshake.sentAt = undefined;
    handshake.key = keyOf(conn);
    this.#silent.add(handshake.key, conn);
  }

  leave(conn: ServedConnection): void {
    const handshake = this.#all.get(conn);
    if (handshake === undefined) return;
    this.#ungroup(conn, handshake);
    this.#all.delete(conn);
    if (this.#all.size === 0) this.#clock.unwatch(this);
  }

  tick(now: number): void {
    for (const [conn, { deadline }] of this.#all) {
      if (now < deadline) break;
      this.leave(conn);
      conn.life.endHandshake();
    }
  }

  /** The connection that makes room for one of a peer; `undefined` if that has to go itself. */
  #displacedBy(key: string): ServedConnection | undefined {
    const silent = this.#silent.oldestOfLargest();
    if (silent !== undefined) return silent;
    const candidate = this.#sending.oldestOfLargest()!;
    const [oldest] = this.#senders;
    for (const conn of [candidate, oldest!]) if (!this.#isSafe(conn)) return conn;
    // They are safe from peers that have as many places as theirs, and from no others.
    const { key: holder } = this.#all.get(candidate)!;
    return this.#sending.sizeOf(holder) > this.#sending.sizeOf(key) + 1 ? candidate : undefined;
  }

  #isSafe(conn: ServedConnection): boolean {
    return this.#clock.now < this.#all.get(conn)!.sentAt! + SAFE;
  }

  #ungroup(conn: ServedConnection, { key, sentAt }: Handshake): void {
    if (sentAt === undefined) return this.#silent.delete(key, conn);
    this.#sending.delete(key, conn);
    this.#senders.delete(conn);
  }
}

/** Peers of Unix sockets are indistinguishable. */
function keyOf({ remoteAddr }: ServedConnection): string {
  return "hostname" in remoteAddr ? peerKey(remoteAddr.hostname) : "";
}
