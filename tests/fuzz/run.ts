/** Tries random streams, one kind after the other, and measures the time that decoding takes. @module */

import { Chance } from "../support/chance.ts";
import { type Trial, TRIALS } from "./trials.ts";

/** Trials of one kind in a row: enough to measure. */
const BATCH = 100;

/** The figures of one kind. */
export interface Figures {
  count: number;
  /** Ms of decoding whole streams. */
  time: number;
}

/**
 * Runs until `continues()` is false, which is called between two batches.
 *
 * @param only Tries the kinds whose name contains this.
 * @throws What a trial throws, with its kind, its stream and the seed added to the message.
 */
export function run(
  seed: number,
  continues: (count: number) => boolean,
  only = "",
): Map<string, Figures> {
  const chance = new Chance(seed);
  const kinds = Object.entries(TRIALS).filter(([kind]) => kind.includes(only));
  const figures = new Map(kinds.map(([kind]): [string, Figures] => [kind, { count: 0, time: 0 }]));
  for (let count = 0, i = 0; continues(count); count += BATCH, i++) {
    const [kind, make] = kinds[i % kinds.length]!;
    const trials = Array.from({ length: BATCH }, () => make(chance));
    const begin = performance.now();
    for (const trial of trials) attempt(trial, "run", kind, seed);
    figures.get(kind)!.time += performance.now() - begin;
    figures.get(kind)!.count += BATCH;
    for (const trial of trials) attempt(trial, "check", kind, seed);
  }
  return figures;
}

function attempt(trial: Trial, step: "run" | "check", kind: string, seed: number): void {
  try {
    trial[step]();
  } catch (error) {
    if (error instanceof Error) {
      error.message += `\n(${kind}, seed ${seed}, stream ${trial.stream.toHex()})`;
    }
    throw error;
  }
}
