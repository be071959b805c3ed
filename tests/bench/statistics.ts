/** Summarizes several rounds. @module */

/** One figure of one server in one case: round → value. Rounds that failed are missing. */
export type Series = ReadonlyMap<number, number>;

/** The middle value, or the mean of the two middle ones; `undefined` if there is none. */
export function median(values: Iterable<number>): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? undefined : (lower + upper) / 2;
}

/**
 * The median of the ratios within each round: whatever slows the whole machine for a while slows both
 * sides of one ratio.
 */
export function ratio(of: Series, to: Series): number | undefined {
  return median(ratios(of, to));
}

/** The median of the differences within each round. */
export function difference(of: Series, to: Series): number | undefined {
  return median(differences(of, to));
}

/**
 * How far a ratio of equals strays from 1, from the same server measured twice in each round: the
 * deviation of the median, or its standard error where that is larger (with many rounds the deviation
 * may be near 0 by chance). A share: 0.02 is 2 %.
 */
export function noise(again: Series, first: Series): number | undefined {
  return straying(ratios(again, first), 1);
}

/** The same for a difference of equals, which should be 0; in the figure's unit. */
export function noiseOfDifference(again: Series, first: Series): number | undefined {
  return straying(differences(again, first), 0);
}

function straying(each: readonly number[], from: number): number | undefined {
  const middle = median(each);
  if (middle === undefined) return undefined;
  const spread = median(each.map((value) => Math.abs(value - middle))) ?? 0;
  return Math.max(Math.abs(middle - from), MEDIAN_ERROR * spread / Math.sqrt(each.length));
}

/**
 * From the median absolute deviation to the standard error of the median, but for √rounds: 1.483 to
 * the standard deviation, 1.253 from the mean's error to the median's (both for the normal curve).
 */
const MEDIAN_ERROR = 1.483 * 1.253;

function ratios(of: Series, to: Series): number[] {
  return pairs(of, to).filter(([, base]) => base !== 0).map(([value, base]) => value / base);
}

function differences(of: Series, to: Series): number[] {
  return pairs(of, to).map(([value, base]) => value - base);
}

function pairs(of: Series, to: Series): [number, number][] {
  const each: [number, number][] = [];
  for (const [round, value] of of) {
    const base = to.get(round);
    if (base !== undefined) each.push([value, base]);
  }
  return each;
}
