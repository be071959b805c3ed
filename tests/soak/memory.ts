/** Judges whether a process leaks by what it held at quiet moments and at most. @module */

/** What a process held at one moment of a run. */
export interface Sample {
  /** Ms since the run began. */
  readonly at: number;
  readonly value: number;
}

/** Runs that are shorter, in ms, have not seen enough for a verdict: one flood more shows in the RSS. */
const SHORTEST = 600_000;

/** By how much memory may have grown between a fifth of the run and its end. */
const GROWTH = { ratio: 1.05, bytes: 2 * 1024 * 1024 };

/** By how much the highest RSS of the last two fifths may be above that of the second and third. */
const RSS_RATIO = 1.15;

/** A sentence for each criterion, and whether it was met; `undefined` where that cannot be told. */
export type Verdict = readonly { readonly met: boolean | undefined; readonly words: string }[];

/**
 * Compares the second fifth of a run with its end: what is taken once and kept is taken by then.
 *
 * @param memory Heap and external memory at quiet moments, garbage collected.
 * @param rss Resident memory at any moment.
 */
export function judgeMemory(
  memory: readonly Sample[],
  rss: readonly Sample[],
  length: number,
): Verdict {
  const early = memory.find(({ at }) => at >= length / 5) ?? memory[0]!;
  const late = memory.at(-1)!;
  const grown = late.value - early.value;
  const highest = (from: number, to: number) =>
    Math.max(...rss.filter(({ at }) => at >= from && at <= to).map(({ value }) => value));
  const [before, after] = [highest(length / 5, length / 2), highest(length * 0.6, Infinity)];
  const told = (met: boolean) => length < SHORTEST ? undefined : met;
  return [
    {
      met: told(grown <= Math.max(GROWTH.bytes, early.value * (GROWTH.ratio - 1))),
      words: `heap and external memory: ${mib(early.value)} after ${minutes(early.at)}, ` +
        `${mib(late.value)} after ${minutes(late.at)}`,
    },
    {
      met: told(after <= before * RSS_RATIO),
      words: `highest RSS: ${mib(before)} before half of the time, ${mib(after)} in the last two ` +
        `fifths, ratio ${(after / before).toFixed(3)}`,
    },
  ];
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}

function minutes(ms: number): string {
  return `${(ms / 60_000).toFixed(1)} min`;
}
