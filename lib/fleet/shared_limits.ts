/** Gives a worker the limits that all workers of its fleet have in common. @module */

import type { Limits, LimitSettings } from "../server/limits.ts";
import type { SharedClock } from "./shared_clock.ts";
import { SharedPeerRates } from "./shared_peer_rates.ts";
import { SharedPeers } from "./shared_peers.ts";
import { SharedRate } from "./shared_rate.ts";
import { SharedSlots } from "./shared_slots.ts";
import { SharedTable } from "./shared_table.ts";

/** Places of a table: four for each connection there may be, so that hardly a bucket is ever full. */
const PLACES = { perConnection: 4, least: 2 ** 14, most: 2 ** 20 };

/** The memory behind the limits, as it is handed to threads. */
export interface LimitsMemory {
  readonly slots: SharedArrayBuffer;
  readonly peers: SharedArrayBuffer;
  readonly rate: SharedArrayBuffer;
  readonly peerRates: SharedArrayBuffer;
}

/** The limits of a fleet, as one of its threads has them. */
export class SharedLimits implements Limits {
  readonly slots: SharedSlots;
  readonly peers: SharedPeers;
  readonly rate: SharedRate | undefined;
  readonly peerRates: SharedPeerRates | undefined;
  readonly threads: number;
  /** The same table as that of `peerRates`, which the main thread has, too. */
  readonly #peerRates: SharedTable;

  /** @param rows How many threads there are at most, the main thread included. */
  static allocate(rows: number, maxConnections: number): LimitsMemory {
    const wanted = PLACES.perConnection * Math.min(maxConnections, PLACES.most);
    const places = Math.min(
      PLACES.most,
      Math.max(PLACES.least, 2 ** Math.ceil(Math.log2(wanted))),
    );
    return {
      slots: SharedSlots.allocate(rows),
      peers: SharedPeers.allocate(rows, places),
      rate: SharedRate.allocate(),
      peerRates: SharedPeerRates.allocate(rows, places),
    };
  }

  /**
   * @param row The row of this thread.
   * @param threads How many workers have the limits in common.
   * @param settings What the program of this worker asks for; the main thread asks for nothing.
   */
  constructor(
    memory: LimitsMemory,
    row: number,
    threads: number,
    clock: SharedClock,
    settings?: LimitSettings,
  ) {
    this.slots = new SharedSlots(memory.slots, row);
    this.peers = new SharedPeers(memory.peers, row);
    this.threads = threads;
    this.#peerRates = new SharedTable(memory.peerRates, row);
    if (settings === undefined) return;
    const { maxConnections, maxRate, maxRatePerPeer } = settings;
    this.slots.offer(maxConnections);
    this.rate = maxRate && new SharedRate(memory.rate, maxRate, clock);
    this.peerRates = maxRatePerPeer &&
      new SharedPeerRates(memory.peerRates, row, maxRatePerPeer, clock);
  }

  /** A worker begins in a row. */
  begin(row: number): void {
    this.slots.begin(row);
    this.peers.begin(row);
  }

  /**
   * Gives back what a dead worker had; only the main thread does. If its thread hangs and goes on one day,
   * nothing that it does then has an effect.
   */
  bury(row: number): void {
    this.slots.bury(row);
    this.peers.bury(row);
    this.#peerRates.bury(row);
  }

  /** Puts right what dead workers left half done; the main thread calls it at each of its ticks. */
  tend(): void {
    this.slots.tend();
    this.peers.tend();
  }
}
