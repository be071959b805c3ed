/** The page shows what was measured, where and how. @module */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Case, CASES } from "./cases.ts";
import type { Goal } from "./goals.ts";
import { page, picture, pictureFile, type Run } from "./page.ts";
import { again, Results } from "./results.ts";

const CASE: Case = CASES.find(({ name }) => name === "echo64")!;

const GOAL: Goal = {
  case: "echo64",
  figure: "cpu",
  server: "usher_read",
  against: "plain",
  atMost: 0.95,
};

/** CPU µs of each server, round by round. */
function resultsOf(cpu: Record<string, number[]>): Results {
  const results = new Results();
  for (const [server, values] of Object.entries(cpu)) {
    for (const [round, value] of values.entries()) {
      results.samples.push({
        case: CASE.name,
        round,
        server,
        figures: { cpu: value, rate: 1e6 / value },
        busy: server === "go" ? 1 : 0.5,
      });
    }
  }
  return results;
}

const RESULTS = resultsOf({
  plain: [10, 12, 11],
  usher_read: [9, 10, 9.9],
  go: [5, 5, 5],
  [again("plain")]: [10, 12, 11.2],
});

function run(results = RESULTS, more: Partial<Run> = {}): Run {
  return {
    machine: { deno: "2.9.6", system: "linux", processor: "A 1", cores: [0, 1], memory: 2 ** 33 },
    versions: ["Node v20", "Go | 1"],
    date: "2026-01-02",
    command: "deno task bench --long",
    conditions: "Load: load.c; 3 x 1 s",
    cases: [CASE],
    results,
    judgements: results.judge([GOAL], [CASE]),
    ...more,
  };
}

/** The cells of the rows of a page that begin with a word. */
function rows(text: string, first: string): string[][] {
  return text.split("\n").filter((line) => line.startsWith(`| ${first} |`)).map((line) =>
    line.slice(2, -2).split(/(?<!\\)\|/).map((word) => word.trim())
  );
}

Deno.test("page() says when, where, with what and by which command", () => {
  const text = page(run());
  assertEquals(rows(text, "date"), [["date", "2026-01-02"]]);
  assertEquals(rows(text, "command"), [["command", "`deno task bench --long`"]]);
  assertEquals(rows(text, "machine"), [["machine", "A 1, 2 cores, 8.0 GiB"]]);
  assertEquals(rows(text, "versions"), [["versions", "Deno 2.9.6; Node v20; Go \\| 1"]]);
});

Deno.test("page() has the medians, the ratios to the baseline, and the noise", () => {
  const text = page(run());
  const [plain = []] = rows(text, "plain");
  const [usher = []] = rows(text, "usher_read");
  const at = (rows(text, "")[1] ?? []).indexOf("CPU µs/req");
  assertEquals(plain.slice(at, at + 2), ["11", ""]);
  assertEquals(usher.slice(at, at + 2), ["9.90", "0.90"]);
  assertMatch(rows(text, "noise")[1]?.[at + 1] ?? "", /^±0\.\d %$/);
});

Deno.test("page() marks servers that the load held up, and explains the mark", () => {
  const text = page(run());
  assertEquals(rows(text, "go \\*").length, 1);
  assertStringIncludes(text, "\n\\* the load used its core up");
});

Deno.test("page() lists the goals, and counts what is met within noise as met", () => {
  const text = page(run());
  assertStringIncludes(text, "1 of 1 met.");
  const [row] = rows(text, "met");
  assertEquals(row?.slice(0, 5), ["met", "echo64 cpu", "usher_read : plain", "0.90", "≤ 0.95"]);
  const missed = resultsOf({ plain: [10], usher_read: [12], [again("plain")]: [10] });
  assertStringIncludes(page(run(missed)), "0 of 1 met.");
});

Deno.test("page() has no goals where there are none, and no failures without one", () => {
  const text = page(run(RESULTS, { judgements: [] }));
  assert(!text.includes("## Goals"));
  assert(!text.includes("## Failed"));
});

Deno.test("page() lists what failed, with the reason", () => {
  const results = resultsOf({ plain: [10] });
  results.failures.push({ case: "echo64", round: 0, server: "go", reason: "Ended with code 1" });
  assertStringIncludes(page(run(results)), "failed: echo64: go: Ended with code 1");
});

Deno.test("page() shows each case's picture from where picture files are written", () => {
  const text = page(run());
  const [, alt = "", file] = /!\[(.+)\]\((.+)\)/.exec(text) ?? [];
  assertEquals(file, pictureFile(CASE));
  assertStringIncludes(alt, "CPU µs/req");
});

Deno.test("page() has tables with as many cells in each row as in the head", () => {
  const tables = page(run()).split("\n\n").filter((part) => part.startsWith("|"));
  assertEquals(tables.length, 3);
  for (const table of tables) {
    const widths = table.split("\n").map((line) => line.split(/(?<!\\)\|/).length);
    assertEquals(new Set(widths).size, 1, table);
  }
});

Deno.test("picture() has a bar for each server but the baseline's second run, each of its kind", () => {
  const drawing = picture(CASE, RESULTS);
  assertEquals(drawing.match(/<rect class="(\w+)"/g), [
    '<rect class="card"',
    '<rect class="baseline"',
    '<rect class="usher"',
    '<rect class="other"',
  ]);
  assertStringIncludes(drawing, "less is better");
  assert(!drawing.includes("again"));
});
