/** Brings on collections of V8's young objects. @module */

/**
 * Bytes of young buffers from which on V8 collects the young objects before it makes another one: twice the
 * largest semi-space, whatever the flags say. The odd page keeps Linux from laying huge pages below
 * it, of which the allocator's first word would touch one.
 */
const COLLECTS_AT = 2 ** 26 + 4096;

/**
 * Bytes that are held while V8 marks. It marks where those of {@linkcode COLLECTS_AT} have exceeded its limit, and
 * the next limit is what it counts at the end of that, a tenth more and 8 MB: with nothing held, the next
 * collection would exceed it again.
 */
const HELD = 4 * COLLECTS_AT;

/** Collections that are left out while they are held; twice as many if it marks again at once. */
const LEFT_OUT = { least: 4, most: 512 };

/** Failures in a row after which no more is tried: another V8 has other rules. */
const MOST_FAILURES = 8;

/** Bytes that V8's heap may grow to, at least: as it bounds what buffers may have, too, {@linkcode HELD} must fit. */
const LEAST_HEAP = 500 * 2 ** 20;

/** What is known of V8's collections. */
export interface Collections {
  /** Runs `step`; returns the kinds of those that began meanwhile, or `undefined` if that can't be known. */
  during(step: () => void): readonly string[] | undefined;
}

/**
 * Has V8 free what died young before it marks and compacts its whole heap.
 *
 * V8 counts the memory of each ArrayBuffer towards the limit at which it marks, also of those that die with the
 * message they were read for. Large chunks reach that limit every 10 to 50 MB, 30 to 40 times a second, and each
 * time takes 10 to 15 ms of a core. To collect the young objects alone frees the same memory and takes 0.2 to
 * 0.4 ms, but by itself V8 does so when 64 MiB are there. Here one more ArrayBuffer has that size, is
 * freed at once, and no page of it is touched.
 */
export class YoungCollector {
  readonly #collections: Collections;
  #isOff = false;
  /** In a row. */
  #failures = 0;
  #held: ArrayBuffer | undefined;
  /** Collections to be left out because of it. */
  #left = 0;
  #leftOut = LEFT_OUT.least;
  /** Collections since. */
  #since = Infinity;

  constructor(collections: Collections = v8Collections) {
    this.#collections = collections;
  }

  /** Has V8 collect its young objects, unless that would have it mark all. */
  collect(): void {
    if (this.#isOff || --this.#left > 0) return;
    if (this.#held !== undefined) this.#held = free(this.#held);
    const kinds = this.#collections.during(collectYoung);
    if (kinds === undefined) this.#isOff = true;
    else if (kinds.length > 0 && kinds.every((kind) => kind === "Scavenge")) {
      this.#since++;
      this.#failures = 0;
    } else this.#hold();
  }

  /** V8 has begun to mark, or was marking and collects nothing else meanwhile. */
  #hold(): void {
    if (++this.#failures === MOST_FAILURES) {
      this.#isOff = true;
      return;
    }
    const { least, most } = LEFT_OUT;
    this.#leftOut = this.#since < 2 ? Math.min(2 * this.#leftOut, most) : least;
    this.#left = this.#leftOut;
    this.#since = 0;
    try {
      this.#held = new ArrayBuffer(HELD);
    } catch {
      this.#isOff = true; // there may be a limit to the address space
    }
  }
}

function collectYoung(): void {
  const large = new ArrayBuffer(COLLECTS_AT);
  new ArrayBuffer(1); // before it makes this one
  free(large);
}

function free(buffer: ArrayBuffer): undefined {
  buffer.transfer(0);
}

/** The part of `node:v8` that says it. */
interface V8 {
  GCProfiler: new () => { start(): void; stop(): { statistics: { gcType: string }[] } };
  getHeapStatistics(): { heap_size_limit: number };
}

/** As `node:v8` has them, which is not loaded before it is needed: it makes the heap larger. */
const v8Collections: Collections = {
  during(step) {
    const { process } = globalThis as unknown as {
      process: { getBuiltinModule(name: "node:v8"): V8 };
    };
    try {
      const { GCProfiler, getHeapStatistics } = process.getBuiltinModule("node:v8");
      if (getHeapStatistics().heap_size_limit < LEAST_HEAP) return undefined;
      const profiler = new GCProfiler();
      profiler.start();
      let statistics;
      try {
        step();
      } finally {
        ({ statistics } = profiler.stop());
      }
      return statistics.map(({ gcType }) => gcType);
    } catch {
      return undefined; // another Deno, or no memory for the step
    }
  },
};
