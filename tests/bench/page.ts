/** Writes results as a page of Markdown, with a picture for each case. @module */

import type { Case } from "./cases.ts";
import { isBetterHigh } from "./figures.ts";
import type { Machine } from "./machine.ts";
import { type Bar, draw, type Kind } from "./picture.ts";
import { caseRows, failureList, formatNoise, goalRows } from "./report.ts";
import { again, type Judgement, type Results } from "./results.ts";
import { median } from "./statistics.ts";

export interface Run {
  readonly machine: Machine;
  readonly versions: readonly string[];
  /** As YYYY-MM-DD. */
  readonly date: string;
  readonly command: string;
  /** The load, its rounds and its duration. */
  readonly conditions: string;
  readonly cases: readonly Case[];
  readonly results: Results;
  readonly judgements: readonly Judgement[];
}

/** The path of a picture, from the page. */
export function pictureFile({ name }: Case): string {
  return `pictures/${name}.svg`;
}

export function page(run: Run): string {
  const { cases, results, judgements } = run;
  const parts = [
    "# Results",
    "Written by the command below; the next run writes it anew.",
    about(run),
    "The servers of a case are started together and warmed up, and the load visits them in turn, 0.15 s " +
    "at a time. Behind each figure stands its ratio to the first server of its table, measured in the same " +
    "round. That server runs twice in each round: how far it strays from itself is the noise. In the " +
    "pictures a bar is the median of the rounds, and the line at its end goes from the lowest to the " +
    "highest of them.",
  ];
  if (judgements.length > 0) {
    const met = judgements.filter(({ verdict }) => verdict.startsWith("met")).length;
    parts.push(
      "## Goals",
      `${met} of ${judgements.length} met. A goal missed by no more than the noise counts as met.`,
      markdownTable(goalRows(judgements), 3),
    );
  }
  if (results.failures.length > 0) {
    parts.push("## Failed", "```text\n" + failureList(results.failures) + "\n```");
  }
  parts.push("## Cases", ...cases.map((each) => section(each, results)));
  return parts.join("\n\n") + "\n";
}

/** The main figure of a case, of every server in it. */
export function picture(benchCase: Case, results: Results): string {
  const { name, title, figures, pictured, baseline } = benchCase;
  const unit = figures.find((figure) => figure.name === pictured)?.title ?? pictured;
  const bars = [...results.serversOf(name)].flatMap((server): Bar[] => {
    const value = results.median(name, server, pictured);
    const range = results.range(name, server, pictured);
    if (value === undefined || range === undefined || server === again(baseline)) return [];
    return [{ label: server, value, range, kind: kindOf(server, baseline) }];
  });
  const better = isBetterHigh(pictured) ? "more is better" : "less is better";
  return draw({ title: `${name}: ${title}`, subtitle: `${unit}, ${better}`, bars });
}

function kindOf(server: string, baseline: string): Kind {
  if (server === baseline) return "baseline";
  return server.startsWith("usher") ? "usher" : "other";
}

function about({ machine, versions, date, command, conditions, cases, results }: Run): string {
  const { deno, system, processor, cores, memory } = machine;
  const strays = cases.flatMap((each) => results.noise(each, each.pictured) ?? []);
  return markdownTable([
    ["", ""],
    ["date", date],
    ["command", `\`${command}\``],
    ["conditions", conditions],
    ["machine", `${processor}, ${cores.length} cores, ${(memory / 2 ** 30).toFixed(1)} GiB`],
    ["system", system],
    ["versions", [`Deno ${deno}`, ...versions].join("; ")],
    [
      "noise",
      `${formatNoise(median(strays))} in the middle of the pictures, ${
        formatNoise(strays.length === 0 ? undefined : Math.max(...strays))
      } at most`,
    ],
  ], 2);
}

function section(benchCase: Case, results: Results): string {
  const { name, title, figures, pictured } = benchCase;
  const { rows, remark } = caseRows(benchCase, results);
  const unit = figures.find((figure) => figure.name === pictured)?.title ?? pictured;
  return [
    `### ${name}: ${title}`,
    `![${unit} of each server, as in the table below](${pictureFile(benchCase)})`,
    markdownTable(rows, 1),
    ...remark === undefined ? [] : [remark.replaceAll("*", "\\*")],
  ].join("\n\n");
}

/** The first `left` columns to the left, the others to the right. */
function markdownTable(rows: readonly string[][], left: number): string {
  const line = (words: readonly string[]) => `| ${words.join(" | ")} |`;
  const escaped = rows.map((row) =>
    row.map((word) => word.replaceAll("|", "\\|").replaceAll(/\*$/g, "\\*"))
  );
  const [head = [], ...body] = escaped;
  const rule = head.map((_, column) => column < left ? "---" : "---:");
  return [line(head), line(rule), ...body.map(line)].join("\n");
}
