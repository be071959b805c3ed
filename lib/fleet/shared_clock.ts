/** Gives all threads of a fleet one monotonic time. @module */

/** Cells, in ns: what the main thread has published last, and the latest time that any thread was given. */
const PUBLISHED = 0, LATEST = 1;

/**
 * The time of the main thread, as other threads know it.
 *
 * `performance.now()` counts from the start of its own thread, and `performance.timeOrigin` is the wall
 * clock's, which may have been set in between. So the main thread publishes its time again and again, and
 * a worker adds to its own the greatest difference that it has ever seen between the two: what was
 * published is never ahead of the main thread, and the difference that is greatest is the one that was
 * read soonest. A worker's time is late by at most the time between two publications at first, by less
 * than a ms after some of them. No thread is given a time before one that another was given already: a
 * peer that has taken from its rate in one worker would else find less in the next.
 */
export class SharedClock {
  readonly #times: BigInt64Array;
  #ahead = -Infinity;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(16);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.#times = new BigInt64Array(buffer);
    this.look();
  }

  /** Ms since the main thread began. */
  get now(): number {
    const own = BigInt(Math.round((performance.now() + this.#ahead) * 1e6));
    for (;;) {
      const latest = Atomics.load(this.#times, LATEST);
      if (own <= latest) return Number(latest) / 1e6;
      const before = Atomics.compareExchange(this.#times, LATEST, latest, own);
      if (before === latest) return Number(own) / 1e6;
    }
  }

  /** Publishes this thread's own time, as the main thread does at each of its ticks. */
  publish(): void {
    Atomics.store(this.#times, PUBLISHED, BigInt(Math.round(performance.now() * 1e6)));
    this.#ahead = 0;
  }

  /** Learns from what was published last; to be called at each tick of a worker. */
  look(): void {
    const published = Number(Atomics.load(this.#times, PUBLISHED)) / 1e6;
    this.#ahead = Math.max(this.#ahead, published - performance.now());
  }
}
