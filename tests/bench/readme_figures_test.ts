/** The figures in the README are those of RESULTS.md. @module */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { root, treeTest } from "../support/needs.ts";
import { figuresPicture, figuresTable, README_FIGURES, valuesOf } from "./readme_figures.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(path, root));

treeTest("README: its figures are those of RESULTS.md", () => {
  const results = read("tests/bench/RESULTS.md");
  const table = figuresTable(results);
  assertStringIncludes(read("README.md"), table, "run tests/bench/readme_figures.ts");
  const [, machine = ""] = /^\| machine \| (.*?, \d+ cores)/m.exec(results) ?? [];
  assertStringIncludes(read("README.md"), `(${machine})`);
});

treeTest("README: its picture shows the figures of RESULTS.md", () => {
  // `deno fmt` formats pictures, too.
  const words = (svg: string) => svg.replaceAll(/\s+/g, " ").replaceAll(/\s*([<>])\s*/g, "$1");
  const drawn = figuresPicture(read("tests/bench/RESULTS.md"));
  const numbers = (svg: string) =>
    [...words(svg).matchAll(/<text[^>]*>([^<]*)|width="(\d+)"/g)]
      .map(([, text, width]) => text ?? width);
  assertEquals(
    numbers(read("docs/figures.svg")),
    numbers(drawn),
    "run tests/bench/readme_figures.ts",
  );
});

const results = `
### echo64: 64-byte echo, 64 connections

|  | req/s |  | CPU µs/req |  |
| --- | ---: | ---: | ---: | ---: |
| plain | 1 000 |  | 8.5 |  |
| usher_iterate \\* | 2 000 | 2.00 | 9.2 | 0.93 |

### connect: connect

|  | conn/s |  |
| --- | ---: | ---: |
| plain | 3 |  |
`;

Deno.test("valuesOf() takes a figure of two servers from the table of its case", () => {
  assertEquals(valuesOf(results, README_FIGURES[0]!), ["8.5", "9.2"]);
});

Deno.test("valuesOf() names what was not measured", () => {
  assertThrows(
    () => valuesOf(results, README_FIGURES[1]!),
    RangeError,
    'Cannot take "conn/s" of plain and usher_iterate from connect',
  );
});
