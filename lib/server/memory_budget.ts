/** Ends connections when the buffers of all of them occupy more than `maxBuffered`. @module */

import type { CoarseClock } from "../connection/coarse_clock.ts";
import type { Overflow, Rooms } from "../connection/rooms.ts";
import { peerKey } from "../wire/address/peer_key.ts";
import type { LiveConnections } from "./live_connections.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * The part of the longest time without progress from which on a connection may be ended. An upload under
 * way holds more than each of ten thousand connections that were left in the middle of one; however
 * busy the server is, it stands still for less long than they do.
 */
const LONG = 1 / 2;

/** What a peer's connections hold, the one that has made no progress for longest last. */
interface Holder {
  bytes: number;
  readonly conns: ServedConnection[];
}

/**
 * Keeps the memory that buffers occupy below a limit. Above it, of the connections that have stood still
 * for long, the peer that holds most loses the one that has for longest, and so on until the rest is below
 * it. Who holds how much is looked at only then, and once for each tick of the clock: under an attack
 * every further buffer is one too many.
 */
export class MemoryBudget implements Overflow {
  readonly #rooms: Rooms;
  readonly #live: LiveConnections;
  readonly #clock: CoarseClock;
  #holders: Holder[] = [];
  /** On the clock: when they were looked for. */
  #lookedAt = -1;
  #isDue = false;

  constructor(rooms: Rooms, live: LiveConnections, clock: CoarseClock) {
    this.#rooms = rooms;
    this.#live = live;
    this.#clock = clock;
  }

  /** A buffer has just grown, maybe that of a connection which has to go: that is done behind it. */
  exceeded(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#relieve());
  }

  #relieve(): void {
    this.#isDue = false;
    const { most } = this.#rooms;
    while (this.#rooms.occupied > most) {
      const conn = this.#next();
      if (conn === undefined) return;
      const error = new Deno.errors.Interrupted(
        `The server closed the connection because buffers occupied ${this.#rooms.occupied} bytes, ` +
          `and 'maxBuffered' is ${most}: its peer's held most, and it made no progress`,
      );
      conn.life.end("memory_limit", error);
    }
  }

  /** The connection that is to be ended; `undefined` if none holds anything. */
  #next(): ServedConnection | undefined {
    if (this.#lookedAt === this.#clock.now) {
      const conn = this.#take();
      if (conn !== undefined) return conn;
    }
    this.#look();
    return this.#take();
  }

  #take(): ServedConnection | undefined {
    for (let holder; (holder = this.#largest()) !== undefined;) {
      const conn = holder.conns.pop();
      if (conn === undefined) this.#holders.splice(this.#holders.indexOf(holder), 1);
      else {
        holder.bytes -= conn.buffered;
        if (conn.buffered > 0) return conn; // neither over nor empty by now
      }
    }
    return undefined;
  }

  #largest(): Holder | undefined {
    let largest: Holder | undefined;
    for (const holder of this.#holders) {
      if (largest === undefined || holder.bytes > largest.bytes) largest = holder;
    }
    return largest;
  }

  /** Looks who holds how much, of the connections that have stood still for long. */
  #look(): void {
    this.#lookedAt = this.#clock.now;
    const holding = [...this.#live.all].filter(({ buffered }) => buffered > 0);
    const longest = holding.reduce((most, conn) => Math.max(most, this.#stillFor(conn)), 0);
    const holders = new Map<string, Holder>();
    for (const conn of holding) {
      if (this.#stillFor(conn) < longest * LONG) continue;
      const key = keyOf(conn);
      let holder = holders.get(key);
      if (holder === undefined) holders.set(key, holder = { bytes: 0, conns: [] });
      holder.bytes += conn.buffered;
      holder.conns.push(conn);
    }
    this.#holders = [...holders.values()];
    for (const { conns } of this.#holders) conns.sort(byProgress);
  }

  #stillFor({ life }: ServedConnection): number {
    return Math.max(0, this.#lookedAt - life.movedAt);
  }
}

/** The one that has made no progress for longest last; of several, the oldest. */
function byProgress(one: ServedConnection, other: ServedConnection): number {
  return other.life.movedAt - one.life.movedAt || other.id - one.id;
}

/** Peers of Unix sockets are indistinguishable. */
function keyOf({ remoteAddr }: ServedConnection): string {
  return "hostname" in remoteAddr ? peerKey(remoteAddr.hostname) : "";
}
