/** The limits of a server, which the threads of a fleet have in common. @module */

import type { CompleteRate } from "./rate_limit.ts";

/**
 * What a server asks before it serves a connection. Each part has two implementations: a private one, and
 * one in memory that threads share. All but `turn()` is synchronous.
 */
export interface Limits {
  /** `maxConnections`. */
  readonly slots: Semaphore;
  /** `maxConnectionsPerPeer`. */
  readonly peers: PeerCounts;
  /** `maxRate`, where it is given. */
  readonly rate?: AcceptRate | undefined;
  /** `maxRatePerPeer`, where it is given. */
  readonly peerRates?: PeerRates | undefined;
  /** How many threads have them in common; a limit that each applies to itself is divided by it. */
  readonly threads: number;
  /**
   * Called before each accept, so that threads that share one queue take from it evenly.
   *
   * @returns Resolves when this thread may accept; `undefined` if it may now.
   */
  turn?(): Promise<void> | undefined;
}

/** A counting semaphore: how many slots are taken, of how many. */
export interface Semaphore {
  /** How many there are; `Infinity` for no limit. Lowering it takes none away. */
  limit: number;
  /** Whether one could be taken now. */
  readonly free: boolean;
  /** Takes one if one is free. Whether it did. */
  take(): boolean;
  /** Gives back one that was taken; once for each. */
  giveBack(): void;
  /**
   * Calls `wake` once, from a later microtask or task, as soon as a slot may be free through what another
   * thread did; soon, if one is free already. It may call for no reason. Further calls before that change
   * nothing: `wake` is always the same.
   */
  watch(wake: () => void): void;
}

/** How many connections each peer has. */
export interface PeerCounts {
  /** Counts one for the peer, unless that has `limit` of them. Whether it may come in. */
  enter(key: string, limit: number): boolean;
  /** Counts one less; once for each that came in. */
  leave(key: string): void;
}

/** The rate of new connections. */
export interface AcceptRate {
  /** Ms until there is a token for the next; 0 if there is one now. */
  wait(): number;
  /**
   * Takes a token. If another listener or thread has just taken the last one, it is owed, and the next
   * wait for longer: an accept that is pending cannot be withdrawn.
   */
  take(): void;
}

/** The rate of new connections of each peer. */
export interface PeerRates {
  /** Takes a token of the peer if it has one. Whether it may come in. */
  take(key: string): boolean;
}

/** What the limits of a server are made from. */
export interface LimitSettings {
  readonly maxConnections: number;
  readonly maxRate?: CompleteRate | undefined;
  readonly maxRatePerPeer?: CompleteRate | undefined;
}
