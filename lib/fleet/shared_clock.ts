/** Gives all threads of a fleet one monotonic time. @module */

/** The time of the clock in ns. */
const TIME = 0;

/**
 * The time of the main thread, as other threads know it.
 *
 * `performance.now()` counts from the start of its own thread, and `performance.timeOrigin` is the wall
 * clock's, which may have been set in between. So the main thread publishes its time again and again, and
 * a worker adds to its own the greatest difference that it has ever seen between the two: what was
 * published is never ahead of the main thread, and the difference that is greatest is the one that was
 * read soonest. A worker's time is late by at most the time between two publications at first, by less
 * than a ms after some of them, and never goes back.
 */
export class SharedClock {
  readonly #published: BigInt64Array;
  #ahead = -Infinity;

  static allocate(): SharedArrayBuffer {
    return new SharedArrayBuffer(8);
  }

  constructor(buffer: SharedArrayBuffer) {
    this.#published = new BigInt64Array(buffer);
    this.look();
  }

  /** Ms since the main thread began. */
  get now(): number {
    return performance.now() + this.#ahead;
  }

  /** Publishes this thread's own time, as the main thread does at each of its ticks. */
  publish(): void {
    Atomics.store(this.#published, TIME, BigInt(Math.round(performance.now() * 1e6)));
    this.#ahead = 0;
  }

  /** Learns from what was published last; to be called at each tick of a worker. */
  look(): void {
    const published = Number(Atomics.load(this.#published, TIME)) / 1e6;
    this.#ahead = Math.max(this.#ahead, published - performance.now());
  }
}
