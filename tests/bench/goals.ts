/** Which ratios is usher meant to reach, and does it? @module */

import type { FigureName } from "./figures.ts";

export interface Goal {
  readonly case: string;
  readonly figure: FigureName;
  readonly server: string;
  readonly against: string;
  /** One of the two. */
  readonly atMost?: number;
  readonly atLeast?: number;
}

export type Verdict = "met" | "met within noise" | "missed" | "not measured";

/** Whether a ratio reaches its goal; `noise` is a share of the bound, as statistics.ts finds it. */
export function judge(goal: Goal, ratio: number | undefined, noise: number | undefined): Verdict {
  if (ratio === undefined) return "not measured";
  if (reaches(goal, ratio, 0)) return "met";
  return reaches(goal, ratio, noise ?? 0) ? "met within noise" : "missed";
}

function reaches({ atMost, atLeast }: Goal, ratio: number, noise: number): boolean {
  return ratio <= (atMost ?? Infinity) * (1 + noise) && ratio >= (atLeast ?? 0) * (1 - noise);
}

const ITERATE = { server: "usher_iterate", against: "plain" };
const READ = { server: "usher_read", against: "plain" };
const LINES = { server: "usher_lines", against: "plain_lines" };

export const GOALS: readonly Goal[] = [
  { case: "echo64", figure: "cpu", ...ITERATE, atMost: 1.05 },
  { case: "echo64", figure: "cpu", ...READ, atMost: 1.00 },
  { case: "echo64", figure: "cpu", ...ITERATE, against: "plain_timeout", atMost: 0.75 },
  { case: "echo64", figure: "cpu", ...READ, against: "plain_timeout", atMost: 0.75 },
  { case: "connect", figure: "rate", ...ITERATE, atLeast: 1.15 },
  // usher_read.ts brings the plain loop's 64 KiB for each connection, which is what costs there.
  { case: "bulk_out", figure: "rate", ...ITERATE, atLeast: 1.0 },
  { case: "bulk_out", figure: "rate", ...READ, atLeast: 1.0 },
  { case: "bulk_in", figure: "rate", ...ITERATE, atLeast: 1.0 },
  { case: "bulk_in", figure: "rate", ...READ, atLeast: 1.0 },
  { case: "bulk_echo", figure: "rate", ...ITERATE, atLeast: 1.0 },
  { case: "bulk_echo", figure: "rate", ...READ, atLeast: 1.0 },
  { case: "two_writes", figure: "rate", ...ITERATE, atLeast: 30 },
  { case: "two_writes", figure: "rate", ...READ, atLeast: 30 },
  { case: "memory", figure: "idle", ...ITERATE, atMost: 0.13 },
  { case: "memory", figure: "idle_after_burst", ...ITERATE, atMost: 0.25 },
  {
    case: "forward",
    figure: "rate",
    server: "usher_forward",
    against: "plain_pipe",
    atLeast: 1.0,
  },
  { case: "lines1", figure: "rate", ...LINES, atLeast: 1.0 },
  { case: "lines16", figure: "rate", ...LINES, atLeast: 6.0 },
];
