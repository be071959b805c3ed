/** Limits the rate of new connections of each peer, for as many peers as there is room for. @module */

import { SteadyClock } from "../steady_clock.ts";
import { type Expiring, ExpiryHeap } from "../wire/address/expiry_heap.ts";
import type { PeerRates } from "./limits.ts";
import { type CompleteRate, nextDue } from "./rate_limit.ts";

/** Peers that are remembered at once. */
const MAX_PEERS = 65_536;

/** Peers that a call forgets, more than it adds: thousands at once would take milliseconds. */
const FORGOTTEN_AT_ONCE = 4;

/** A peer that has taken tokens; it is like one that never came when all would be due. */
interface Peer extends Expiring {
  readonly key: string;
}

/**
 * One number for each peer: when everything that it has taken would be due at the given rate. A peer
 * whose number has passed is forgotten. Where there is no room for another one, the peer with the lowest
 * number is: it would be the next to have all its tokens again. So those who have taken most are
 * remembered for longest, however many others come.
 */
export class PrivatePeerRates implements PeerRates {
  readonly #rate: CompleteRate;
  readonly #room: number;
  readonly #clock = new SteadyClock();
  readonly #peers = new Map<string, Peer>();
  readonly #heap = new ExpiryHeap<Peer>();

  constructor(rate: CompleteRate, room: number = MAX_PEERS) {
    this.#rate = rate;
    this.#room = room;
  }

  /** How many peers are remembered. */
  get size(): number {
    return this.#heap.size;
  }

  take(key: string): boolean {
    const now = this.#clock.read();
    for (let i = 0; i < FORGOTTEN_AT_ONCE; i++) {
      if ((this.#heap.first?.expiresAt ?? Infinity) <= now) this.#forgetFirst();
    }
    const peer = this.#peers.get(key);
    const { wait, due } = nextDue(this.#rate, peer?.expiresAt ?? 0, 1, now);
    if (wait > 0) return false;
    if (peer === undefined) this.#remember(key, due);
    else this.#heap.move(peer, due);
    return true;
  }

  #remember(key: string, due: number): void {
    if (this.size >= this.#room) this.#forgetFirst();
    const peer = { key, expiresAt: due, place: 0 };
    this.#peers.set(key, peer);
    this.#heap.add(peer);
  }

  #forgetFirst(): void {
    const peer = this.#heap.first!;
    this.#heap.delete(peer);
    this.#peers.delete(peer.key);
  }
}
