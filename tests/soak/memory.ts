/** Judges whether a process leaks, by its memory at quiet moments and its peak. @module */

/** The memory of a process at one moment of a run. */
export interface Sample {
  /** Ms since the run began. */
  readonly at: number;
  readonly value: number;
}

/** Ms of a run below which there is no verdict: one flood more would show in the RSS. */
const SHORTEST = 600_000;

/** How much memory may grow between a fifth of the run and its end. */
const GROWTH = { ratio: 1.05, bytes: 2 * 1024 * 1024 };

/** How much the peak RSS of the last two fifths may exceed that of the second and third. */
const RSS_RATIO = 1.15;

/** A sentence for each criterion, and whether it was met; `undefined` if there is no verdict. */
export type Verdict = readonly { readonly met: boolean | undefined; readonly words: string }[];

/**
 * Compares the second fifth of a run with its end: what is allocated once and kept is there by then.
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
  const verdict = (met: boolean) => length < SHORTEST ? undefined : met;
  return [
    {
      met: verdict(grown <= Math.max(GROWTH.bytes, early.value * (GROWTH.ratio - 1))),
      words: `heap and external memory: ${mib(early.value)} after ${minutes(early.at)}, ` +
        `${mib(late.value)} after ${minutes(late.at)}`,
    },
    {
      met: verdict(after <= before * RSS_RATIO),
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
