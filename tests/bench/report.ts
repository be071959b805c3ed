/** Prints results as tables. @module */

import type { Case } from "./cases.ts";
import type { Goal } from "./goals.ts";
import type { Failure, Judgement, Results } from "./results.ts";

/** The share of a core above which the load, not the server, may be what a rate shows. */
const BUSY = 0.95;

/** One line for each server, with its ratios to the case's baseline. */
export function table(benchCase: Case, results: Results): string {
  const { rows, remark } = caseRows(benchCase, results);
  const lines = [`${benchCase.name}: ${benchCase.title}`, ...align(rows)];
  if (remark !== undefined) lines.push(`  ${remark}`);
  return lines.join("\n");
}

/** The heads, the servers and the noise; and the notes below them. */
export function caseRows(
  benchCase: Case,
  results: Results,
): { rows: string[][]; remark: string | undefined } {
  const { name, baseline } = benchCase;
  const servers = [...results.serversOf(name)];
  // A figure that no server has, or this machine does not know, has no column.
  const figures = benchCase.figures.filter((figure) =>
    servers.some((server) => results.median(name, server, figure.name) !== undefined)
  );
  const slow = servers.filter((server) => results.busy(name, server) > BUSY);
  const rows = [
    ["", ...figures.flatMap((figure) => [figure.title, ""])],
    ...servers.map((server) => [
      slow.includes(server) ? `${server} *` : server,
      ...figures.flatMap((figure) => [
        format(results.median(name, server, figure.name)),
        server === baseline ? "" : formatRatio(results.ratio(name, server, baseline, figure.name)),
      ]),
    ]),
    ...servers.filter((server) => server.endsWith("@before")).map((before) => {
      const now = before.replace("@before", "");
      return [
        `${now} : before`,
        ...figures.flatMap(({ name: figure }) => [
          "",
          formatRatio(results.ratio(name, now, before, figure)),
        ]),
      ];
    }),
    ["noise", ...figures.flatMap(({ name }) => ["", formatNoise(results.noise(benchCase, name))])],
  ];
  const remark = slow.length > 0
    ? "* the load used its core up: the server could do more"
    : undefined;
  return { rows, remark };
}

/** One line for each goal. */
export function goalTable(judgements: readonly Judgement[]): string {
  return align(goalRows(judgements), 3).join("\n");
}

export function goalRows(judgements: readonly Judgement[]): string[][] {
  return [
    ["goals", "", "", "value", "goal", "noise"],
    ...judgements.map(({ goal, value, noise, verdict }) => [
      verdict,
      `${goal.case} ${goal.figure}`,
      sides(goal),
      isRatio(goal) ? formatRatio(value) : format(value),
      bound(goal),
      goal.atMostMore === undefined ? formatNoise(noise) : `±${format(noise)}`,
    ]),
  ];
}

function isRatio({ against, atMostMore }: Goal): boolean {
  return against !== undefined && atMostMore === undefined;
}

function sides({ server, against, atMostMore }: Goal): string {
  if (against === undefined) return server;
  return atMostMore === undefined ? `${server} : ${against}` : `${server} - ${against}`;
}

function bound(goal: Goal): string {
  const written = isRatio(goal) ? formatRatio : format;
  const most = goal.atMostMore ?? goal.atMost;
  return most === undefined ? `≥ ${written(goal.atLeast)}` : `≤ ${written(most)}`;
}

/** One line for each server and reason, with the cases. */
export function failureList(failures: readonly Failure[]): string {
  const cases = new Map<string, Set<string>>();
  for (const failure of failures) {
    const key = `${failure.server}: ${failure.reason}`;
    cases.set(key, (cases.get(key) ?? new Set()).add(failure.case));
  }
  return [...cases].map(([key, names]) => `failed: ${[...names].join(", ")}: ${key}`).join("\n");
}

/** Three significant digits, with separators between thousands. */
export function format(value: number | undefined): string {
  if (value === undefined) return "-";
  const digits = value >= 100 || Number.isInteger(value) ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).replaceAll(",", " ");
}

export function formatRatio(value: number | undefined): string {
  return value === undefined ? "-" : value.toFixed(value >= 10 ? 1 : 2);
}

export function formatNoise(noise: number | undefined): string {
  return noise === undefined ? "-" : `±${(noise * 100).toFixed(1)} %`;
}

/** Columns of equal width: the first `left` to the left, the others to the right. */
export function align(rows: readonly string[][], left = 1): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0))
  );
  return rows.map((row) =>
    "  " + row.map((word, column) => {
      const width = widths[column] ?? 0;
      return column < left ? word.padEnd(width) : word.padStart(width);
    }).join("  ").trimEnd()
  );
}
