/** Random numbers that can be repeated. @module */

/** Numbers that follow from a seed only. */
export class Chance {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed;
  }

  /** A number from 0 up to, but not including, 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  from(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** True once in `count` times on average. */
  onceIn(count: number): boolean {
    return this.next() * count < 1;
  }

  /** One of several. */
  pick<T>(list: readonly T[]): T {
    return list[this.from(0, list.length - 1)]!;
  }
}

/** Runs a randomized test. A failure names the seed; given as `seed`, it repeats the run. */
export async function byChance(
  run: (chance: Chance) => Promise<void> | void,
  seed: number = Math.floor(Math.random() * 2 ** 32),
): Promise<void> {
  try {
    await run(new Chance(seed));
  } catch (error) {
    if (error instanceof Error) error.message += ` (seed ${seed})`;
    throw error;
  }
}
