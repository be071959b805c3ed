/** Makes the limits of a server that shares them with no other thread. @module */

import { SteadyClock } from "../steady_clock.ts";
import type { AcceptRate, Limits, LimitSettings, PeerCounts, Semaphore } from "./limits.ts";
import { PrivatePeerRates } from "./private_peer_rates.ts";
import { type CompleteRate, dueAfterWait, nextDue } from "./rate_limit.ts";

/** The limits of a server that shares them with none. */
export function privateLimits({ maxConnections, maxRate, maxRatePerPeer }: LimitSettings): Limits {
  return {
    slots: new PrivateSemaphore(maxConnections),
    peers: new PrivatePeerCounts(),
    rate: maxRate && new PrivateAcceptRate(maxRate),
    peerRates: maxRatePerPeer && new PrivatePeerRates(maxRatePerPeer),
    threads: 1,
  };
}

class PrivateSemaphore implements Semaphore {
  limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get free(): boolean {
    return this.#taken < this.limit;
  }

  take(): boolean {
    if (!this.free) return false;
    this.#taken++;
    return true;
  }

  giveBack(): void {
    this.#taken--;
  }

  watch(): void {} // no other thread changes anything
}

class PrivatePeerCounts implements PeerCounts {
  readonly #counts = new Map<string, number>();

  enter(key: string, limit: number): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count >= limit) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  leave(key: string): void {
    const count = this.#counts.get(key)!;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }
}

class PrivateAcceptRate implements AcceptRate {
  readonly #rate: CompleteRate;
  readonly #clock = new SteadyClock();
  #due = 0;

  constructor(rate: CompleteRate) {
    this.#rate = rate;
  }

  wait(): number {
    return nextDue(this.#rate, this.#due, 1, this.#clock.read()).wait;
  }

  take(): void {
    this.#due = dueAfterWait(this.#rate, this.#due, this.#clock.read());
  }
}
