/** Ends connections when the buffers of all of them occupy more than `maxBuffered`. @module */

import type { CoarseClock } from "../connection/coarse_clock.ts";
import type { Overflow, Rooms } from "../connection/rooms.ts";
import { peerKey } from "../wire/address/peer_key.ts";
import type { LiveConnections } from "./live_connections.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * Ms without a byte in either direction after which a connection makes no progress. While there are such
 * connections they alone are ended: an upload of one message that is under way holds more than each of
 * ten thousand connections that were left in the middle of one.
 */
const STALLED = 1000;

/** What a peer's connections hold, the one that has made no progress for longest last. */
interface Holder {
  bytes: number;
  readonly conns: ServedConnection[];
}

/**
 * Keeps the memory that buffers occupy below a limit. Above it, the peer whose stalled connections hold
 * most loses the one of them that has made no progress for longest, and so on until the rest is below it.
 * Who holds how much is looked at only then, and once for each tick of the clock: under an attack every
 * further buffer is one too many.
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
          `and 'maxBuffered' is ${most}: it made no progress, and of all such peers this one's ` +
          "held most",
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
      const held = conn?.buffered ?? 0;
      if (held > 0) {
        holder.bytes -= held;
        return conn;
      }
      // It holds nothing any more, or is over.
      if (conn === undefined) this.#holders.splice(this.#holders.indexOf(holder), 1);
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

  /** Looks who holds how much: of the stalled connections, or of all if none is stalled. */
  #look(): void {
    const { now } = this.#clock;
    this.#lookedAt = now;
    const holding = [...this.#live.all].filter(({ buffered }) => buffered > 0);
    const stalled = holding.filter(({ life }) => life.movedAt <= now - STALLED);
    const holders = new Map<string, Holder>();
    for (const conn of stalled.length > 0 ? stalled : holding) {
      const key = keyOf(conn);
      let holder = holders.get(key);
      if (holder === undefined) holders.set(key, holder = { bytes: 0, conns: [] });
      holder.bytes += conn.buffered;
      holder.conns.push(conn);
    }
    this.#holders = [...holders.values()];
    for (const { conns } of this.#holders) conns.sort(byProgress);
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
