/** Draws one figure of several servers as bars, in self-contained SVG. @module */

import { format } from "./report.ts";

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** The lowest and the highest round, drawn as a thin line over the end of the bar. */
  readonly range: readonly [number, number];
  readonly kind: Kind;
}

/** The library, its baseline, and the others. */
export type Kind = "usher" | "baseline" | "other";

export interface Picture {
  readonly title: string;
  /** What the bars show, and which way is better. */
  readonly subtitle: string;
  readonly bars: readonly Bar[];
}

/** Colours on a card of their own, so that the page around it may be light or dark. */
export interface Colours extends Readonly<Record<Kind, string>> {
  readonly card: string;
  readonly edge: string;
  readonly text: string;
  readonly faint: string;
}

export const LIGHT: Colours = {
  card: "#ffffff",
  edge: "#d0d7de",
  text: "#1f2328",
  faint: "#59636e",
  usher: "#0969da",
  baseline: "#424a53",
  other: "#848d97",
};

export const DARK: Colours = {
  card: "#151b23",
  edge: "#3d444d",
  text: "#f0f6fc",
  faint: "#9198a1",
  usher: "#4493f8",
  baseline: "#d1d7e0",
  other: "#7d858f",
};

/** In units of the drawing, which a page scales to its width. */
const WIDTH = 720, MARGIN = 16, HEAD = 60, ROW = 24, BAR = 14;

/** Where bars begin, and how long the longest is; right of it there is room for its value. */
const BARS_FROM = 176, BARS_LENGTH = 440;

/** The bars in their order, from 0, to one scale. */
export function draw({ title, subtitle, bars }: Picture): string {
  const longest = Math.max(...bars.map(({ value, range }) => Math.max(value, range[1])), 0);
  // Of less than the least normal number the quotient is infinite.
  const scale = longest > Number.MIN_VALUE * 2 ** 52 ? BARS_LENGTH / longest : 0;
  const height = HEAD + bars.length * ROW + MARGIN;
  return card(WIDTH, height, "title subtitle", [], rules, [
    text(MARGIN, 26, "text", title, ` id="title" style="font-weight: 600; font-size: 14px"`),
    text(MARGIN, 45, "faint", subtitle, ` id="subtitle"`),
    ...bars.flatMap((bar, row) => drawBar(bar, HEAD + row * ROW, scale)),
  ]);
}

/**
 * A picture on a card of its own, in the colours of the page around it.
 *
 * @param labelledBy The ids of what names it.
 * @param head What stands before everything else.
 * @param rules Its styles in either set of colours.
 * @param content What is drawn on the card.
 */
export function card(
  width: number,
  height: number,
  labelledBy: string,
  head: string[],
  rules: (colours: Colours) => string[],
  content: string[],
): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${labelledBy}">`,
    ...head,
    `<style>`,
    `text { font: 12px system-ui, sans-serif; }`,
    ...rules(LIGHT),
    `@media (prefers-color-scheme: dark) {`,
    ...rules(DARK),
    `}`,
    `</style>`,
    `<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6"/>`,
    ...content,
    `</svg>`,
  ].join("\n") + "\n";
}

function drawBar({ label, value, range, kind }: Bar, top: number, scale: number): string[] {
  const middle = top + ROW / 2;
  const baseline = middle + 4;
  const [low, high] = range.map((end) => BARS_FROM + end * scale) as [number, number];
  const end = Math.max(BARS_FROM + value * scale, high);
  return [
    text(BARS_FROM - 10, baseline, "text", label, ` text-anchor="end"`),
    `<rect class="${kind}" x="${BARS_FROM}" y="${middle - BAR / 2}" width="${
      rounded(value * scale)
    }" height="${BAR}"/>`,
    ...["halo", "range"].map((name) =>
      `<path class="${name}" d="M${rounded(low)} ${middle}H${rounded(high)}"/>`
    ),
    text(rounded(end + 8), baseline, "text", format(value), ""),
  ];
}

function rules(colours: Colours): string[] {
  return [
    `.card { fill: ${colours.card}; stroke: ${colours.edge}; }`,
    // Visible on every bar, and beside it.
    `.halo { stroke: ${colours.card}; stroke-width: 5; }`,
    `.range { stroke: ${colours.text}; stroke-width: 2; }`,
    ...(["text", "faint", "usher", "baseline", "other"] as const).map((name) =>
      `.${name} { fill: ${colours[name]}; }`
    ),
  ];
}

function text(x: number, y: number, className: string, words: string, more: string): string {
  return `<text class="${className}" x="${x}" y="${y}"${more}>${escape(words)}</text>`;
}

function escape(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** A tenth of a unit is finer than any screen. */
function rounded(length: number): number {
  return Math.round(length * 10) / 10;
}
