/** Tells the time that has passed, whatever is done to the wall clock. @module */

/**
 * A clock that never goes back. It counts by the wall clock, as the monotonic one stands still while the
 * machine is suspended: where the wall clock is set back no time passes, and where it is set forward all
 * of it does.
 */
export class SteadyClock {
  #last = Date.now();
  #setBack = 0;

  /** Ms since some moment. */
  read(): number {
    const now = Date.now();
    if (now < this.#last) this.#setBack += this.#last - now;
    this.#last = now;
    return now + this.#setBack;
  }
}
