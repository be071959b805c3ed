/**
 * Puts five figures of RESULTS.md into the README, as a table and as a picture.
 *
 * deno run --allow-read --allow-write tests/bench/readme_figures.ts && deno fmt README.md docs/figures.svg
 *
 * @module
 */

import { card, type Colours } from "./picture.ts";

/** A figure of a case in RESULTS.md, of the plain loop and of usher. */
export interface ReadmeFigure {
  /** What was measured, in words for the README. */
  readonly title: string;
  /** The case's name, and the head of the column. */
  readonly from: readonly [name: string, column: string];
  /** The rows. */
  readonly servers: readonly [plain: string, usher: string];
  readonly unit: string;
  readonly better: "less" | "more";
}

export const README_FIGURES: readonly ReadmeFigure[] = [
  {
    title: "64-byte echo, 64 connections: CPU time per request",
    from: ["echo64", "CPU µs/req"],
    servers: ["plain", "usher_iterate"],
    unit: "µs",
    better: "less",
  },
  {
    title: "Connect, echo, close: connections per second",
    from: ["connect", "conn/s"],
    servers: ["plain", "usher_iterate"],
    unit: "",
    better: "more",
  },
  {
    title: "A reply made of two writes: median time",
    from: ["two_writes", "p50 µs"],
    servers: ["plain", "usher_iterate"],
    unit: "µs",
    better: "less",
  },
  {
    title: "16-byte lines, 16 at a time: lines per second",
    from: ["lines16", "line/s"],
    servers: ["plain_lines", "usher_lines"],
    unit: "",
    better: "more",
  },
  {
    title: "Memory of an idle connection",
    from: ["memory", "KB/conn idle"],
    servers: ["plain", "usher_iterate"],
    unit: "KB",
    better: "less",
  },
];

/** The two values of a figure as RESULTS.md has them, or an error that names what is missing. */
export function valuesOf(
  results: string,
  { from: [name, column], servers }: ReadmeFigure,
): [plain: string, usher: string] {
  const [, part] = new RegExp(`\\n### ${name}: ([^]*?)(?=\\n##|$)`).exec(results) ?? [];
  const rows = (part ?? "").split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const at = rows[0]?.indexOf(column) ?? -1;
  const [plain, usher] = servers.map((server) =>
    rows.find(([first]) => first?.replace(" \\*", "") === server)?.[at]
  );
  if (at < 0 || !plain || !usher) {
    throw new RangeError(
      `Cannot take "${column}" of ${servers.join(" and ")} from ${name}: measure it`,
    );
  }
  return [plain, usher];
}

/** The table of the README. */
export function figuresTable(results: string): string {
  const cells = README_FIGURES.map((figure) => {
    const values = valuesOf(results, figure).map((value) => `${value} ${figure.unit}`.trim());
    return [figure.title, ...values];
  });
  const head = ["", "plain loop", "usher"];
  const width = (i: number) => Math.max(...[head, ...cells].map((row) => row[i]?.length ?? 0));
  const line = ([title = "", ...values]: string[]) =>
    `| ${title.padEnd(width(0))} | ${
      values.map((value, i) => value.padStart(width(i + 1))).join(" | ")
    } |`;
  const rule = `| ${"-".repeat(width(0))} | ${"-".repeat(width(1) - 1)}: | ${
    "-".repeat(width(2) - 1)
  }: |`;
  return [line(head), rule, ...cells.map(line)].join("\n");
}

const WIDTH = 720, MARGIN = 16, ROW = 58, BAR = 13, BARS_FROM = 84, BARS_LENGTH = 500;

/** The picture: a pair of bars for each figure, to a scale of its own. */
export function figuresPicture(results: string): string {
  const height = MARGIN + README_FIGURES.length * ROW + 8;
  const rules = ({ card: fill, edge, text, faint, usher, baseline }: Colours) => [
    `.card { fill: ${fill}; stroke: ${edge}; }`,
    ...Object.entries({ text, faint, usher, baseline }).map(([name, colour]) =>
      `.${name} { fill: ${colour}; }`
    ),
  ];
  const title = `<title id="title">Five figures of the plain loop and of usher</title>`;
  return card(
    WIDTH,
    height,
    "title",
    [title],
    rules,
    README_FIGURES.flatMap((figure, row) => drawPair(results, figure, MARGIN + row * ROW)),
  );
}

function drawPair(results: string, figure: ReadmeFigure, top: number): string[] {
  const values = valuesOf(results, figure);
  const numbers = values.map((value) => Number(value.replaceAll(/\s/g, "")));
  const longest = Math.max(...numbers);
  return [
    `<text class="faint" x="${MARGIN}" y="${
      top + 12
    }">${figure.title} (${figure.better} is better)</text>`,
    ...["plain loop", "usher"].flatMap((name, i) => {
      const y = top + 18 + i * (BAR + 2);
      const length = Math.max(1, Math.round((numbers[i] ?? 0) / longest * BARS_LENGTH));
      return [
        `<text class="text" x="${BARS_FROM - 8}" y="${y + 11}" text-anchor="end">${name}</text>`,
        `<rect class="${
          i === 0 ? "baseline" : "usher"
        }" x="${BARS_FROM}" y="${y}" width="${length}" height="${BAR}"/>`,
        `<text class="text" x="${BARS_FROM + length + 8}" y="${y + 11}">${
          `${values[i]} ${figure.unit}`.trim()
        }</text>`,
      ];
    }),
  ];
}

if (import.meta.main) {
  const root = new URL("../../", import.meta.url);
  const results = Deno.readTextFileSync(new URL("tests/bench/RESULTS.md", root));
  const readme = new URL("README.md", root);
  const before = Deno.readTextFileSync(readme);
  const table = /(?<=^## Figures\n[^|]*)^\|[^]*?(?=\n\n)/m;
  Deno.writeTextFileSync(readme, before.replace(table, () => figuresTable(results)));
  Deno.writeTextFileSync(new URL("docs/figures.svg", root), figuresPicture(results));
}
