/** How much time has passed, roughly? @module */

/** Milliseconds between two ticks: fine enough for timeouts of seconds, cheap enough to forget. */
export const TICK = 100;

/** Something that has deadlines. */
export interface Ticking {
  /** Called at each tick while watching; `now` is the clock's own count of ms. */
  tick(now: number): void;
}

/**
 * One interval for all the timeouts of a server: setting a deadline is storing a number, which is
 * what keeps timeouts off the price of a read. It counts its own ticks and reads no other time, so
 * a fake clock moves it, and a process that was suspended wakes without a storm of timeouts.
 */
export class CoarseClock {
  /** Milliseconds counted so far; stands still while nobody watches. */
  now = 0;
  readonly #watching = new Set<Ticking>();
  readonly #lingers: boolean;
  /** Ends the interval, while there is one. */
  #end: (() => void) | undefined;
  /** What the interval was set with: a test that fakes time puts another in its place. */
  #setWith: typeof setInterval | undefined;

  /**
   * @param lingers Whether the interval outlives its last watcher until its next tick: a server
   * whose connections come and go one by one would else start a timer for each.
   */
  constructor(lingers: boolean) {
    this.#lingers = lingers;
  }

  /** When something that may take `timeout` ms from now is overdue: never early, a tick late at most. */
  deadline(timeout: number): number {
    return this.now + timeout + TICK;
  }

  /** Calls `ticking.tick` from now on. */
  watch(ticking: Ticking): void {
    this.#watching.add(ticking);
    if (this.#setWith !== setInterval) this.#start();
  }

  /** Ends what `watch` began. */
  unwatch(ticking: Ticking): void {
    this.#watching.delete(ticking);
    if (!this.#lingers && this.#watching.size === 0) this.stop();
  }

  /** Ends the interval at once; a later `watch` starts it again. */
  stop(): void {
    this.#end?.();
    this.#end = undefined;
    this.#setWith = undefined;
  }

  #start(): void {
    this.stop();
    const timer = setInterval(() => this.#tick(), TICK);
    // A deadline alone is no reason for a process to live on.
    Deno.unrefTimer(timer as unknown as number);
    const clear = clearInterval;
    this.#setWith = setInterval;
    this.#end = () => {
      try {
        clear(timer);
      } catch {
        // It was set in a fake time that is over, as the interval is with it.
      }
    };
  }

  #tick(): void {
    if (this.#watching.size === 0) return this.stop();
    this.now += TICK;
    for (const ticking of this.#watching) ticking.tick(this.now);
  }
}
