/** The measurements so far. @module */

import type { Case } from "./cases.ts";
import type { FigureName } from "./figures.ts";
import { type Goal, judge, type Verdict } from "./goals.ts";
import type { Outcome } from "./run.ts";
import { difference, median, noise, noiseOfDifference, ratio, type Series } from "./statistics.ts";

export interface Sample extends Outcome {
  readonly case: string;
  readonly round: number;
  readonly server: string;
}

export interface Failure {
  readonly case: string;
  readonly round: number;
  readonly server: string;
  readonly reason: string;
}

/** The result of one goal. */
export interface Judgement {
  readonly goal: Goal;
  /** A ratio, a difference or the figure itself, as the goal has it. */
  readonly value: number | undefined;
  readonly noise: number | undefined;
  readonly verdict: Verdict;
}

/** The name under which a baseline runs the second time in each round. */
export function again(server: string): string {
  return `${server} again`;
}

export class Results {
  readonly samples: Sample[] = [];
  readonly failures: Failure[] = [];

  /** The servers with at least one sample of a case. */
  serversOf(benchCase: string): Set<string> {
    return new Set(this.#samplesOf(benchCase).map((sample) => sample.server));
  }

  median(benchCase: string, server: string, figure: FigureName): number | undefined {
    return median(this.#series(benchCase, server, figure).values());
  }

  ratio(benchCase: string, of: string, to: string, figure: FigureName): number | undefined {
    return ratio(this.#series(benchCase, of, figure), this.#series(benchCase, to, figure));
  }

  /** How much the case's baseline varies against itself. */
  noise({ name, baseline }: Case, figure: FigureName): number | undefined {
    return noise(this.#series(name, again(baseline), figure), this.#series(name, baseline, figure));
  }

  /** The share of a core that the load used in the middle of its runs. */
  busy(benchCase: string, server: string): number {
    const samples = this.#samplesOf(benchCase).filter((sample) => sample.server === server);
    return median(samples.map((sample) => sample.busy)) ?? 0;
  }

  /** The lowest and the highest value of any round. */
  range(benchCase: string, server: string, figure: FigureName): [number, number] | undefined {
    const values = [...this.#series(benchCase, server, figure).values()];
    return values.length === 0 ? undefined : [Math.min(...values), Math.max(...values)];
  }

  /** The goals of these cases. */
  judge(goals: readonly Goal[], cases: readonly Case[]): Judgement[] {
    return goals.flatMap((goal) => {
      const benchCase = cases.find(({ name }) => name === goal.case);
      if (benchCase === undefined) return [];
      const { value, noise } = this.#valueFor(goal, benchCase);
      return [{ goal, value, noise, verdict: judge(goal, value, noise) }];
    });
  }

  #valueFor({ server, against, figure, atMostMore }: Goal, benchCase: Case) {
    const series = (name: string) => this.#series(benchCase.name, name, figure);
    const noise = this.noise(benchCase, figure);
    if (against === undefined) return { value: median(series(server).values()), noise };
    if (atMostMore === undefined) return { value: ratio(series(server), series(against)), noise };
    const { baseline } = benchCase;
    return {
      value: difference(series(server), series(against)),
      noise: noiseOfDifference(series(again(baseline)), series(baseline)),
    };
  }

  #samplesOf(benchCase: string): Sample[] {
    return this.samples.filter((sample) => sample.case === benchCase);
  }

  #series(benchCase: string, server: string, figure: FigureName): Series {
    const series = new Map<number, number>();
    for (const sample of this.#samplesOf(benchCase)) {
      const value = sample.server === server ? sample.figures[figure] : undefined;
      if (value !== undefined) series.set(sample.round, value);
    }
    return series;
  }
}
