/** Limits the rate of new connections over all workers, by one number in shared memory. @module */

import type { AcceptRate } from "../server/limits.ts";
import { type CompleteRate, dueAfterWait, nextDue } from "../server/rate_limit.ts";
import type { SharedClock } from "./shared_clock.ts";

/** Ms that rounding may add. */
const ROUNDING = 1e-3;

/** A rate whose state, when everything taken so far would be due, is one cell, in ns. */
export class SharedRate implements AcceptRate {
  readonly #due: BigInt64Array;
  readonly #rate: CompleteRate;
  readonly #clock: SharedClock;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(8);
  }

  constructor(buffer: SharedArrayBuffer, rate: CompleteRate, clock: SharedClock) {
    this.#due = new BigInt64Array(buffer);
    this.#rate = rate;
    this.#clock = clock;
  }

  wait(): number {
    const due = Number(Atomics.load(this.#due, 0)) / 1e6;
    const { wait } = nextDue(this.#rate, due, 1, this.#clock.now);
    return wait > ROUNDING ? wait : 0;
  }

  take(): void {
    for (;;) {
      const due = Atomics.load(this.#due, 0);
      const after = dueAfterWait(this.#rate, Number(due) / 1e6, this.#clock.now);
      const next = BigInt(Math.round(after * 1e6));
      if (Atomics.compareExchange(this.#due, 0, due, next) === due) return;
    }
  }
}
