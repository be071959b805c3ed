/** Limits the rate of each peer over all workers, in shared memory. @module */

import type { PeerRates } from "../server/limits.ts";
import { type CompleteRate, nextDue } from "../server/rate_limit.ts";
import type { SharedClock } from "./shared_clock.ts";
import { REFUSED, SharedTable, type WordRule } from "./shared_table.ts";

/** Ms that rounding may add. */
const ROUNDING = 1e-3;

/**
 * One number for each peer, when everything it has taken would be due. In a full bucket the peer that is
 * due first goes: it has lost the least.
 */
export class SharedPeerRates implements PeerRates {
  readonly #table: SharedTable;
  readonly #rule: DueRule;
  readonly #clock: SharedClock;

  static allocate(rows: number, places: number): SharedArrayBuffer {
    const buffer = new SharedArrayBuffer(SharedTable.size(rows, places));
    SharedTable.lay(buffer, rows, places);
    return buffer;
  }

  constructor(buffer: SharedArrayBuffer, row: number, rate: CompleteRate, clock: SharedClock) {
    this.#clock = clock;
    this.#table = new SharedTable(buffer, row);
    this.#rule = new DueRule(rate);
  }

  take(peer: string): boolean {
    this.#rule.now = this.#clock.now;
    const place = this.#table.put(peer, this.#rule);
    this.#table.finish();
    return place !== REFUSED;
  }

  /** Ends what a dead worker left half done. */
  bury(row: number): void {
    this.#table.bury(row);
  }
}

/** Words are the times, in ns; no time returns. */
class DueRule implements WordRule {
  now = 0;
  readonly displaces = 2n ** 63n - 1n;
  readonly #rate: CompleteRate;

  constructor(rate: CompleteRate) {
    this.#rate = rate;
  }

  first(): bigint {
    return this.next(0n)!;
  }

  next(word: bigint): bigint | undefined {
    const { wait, due } = nextDue(this.#rate, Number(word) / 1e6, 1, this.now);
    return wait > ROUNDING ? undefined : BigInt(Math.round(due * 1e6));
  }
}
