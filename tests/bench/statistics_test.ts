/** Do the figures say what they should? The pure parts: statistics, goals, the list of cores. @module */

import { assertAlmostEquals, assertEquals } from "@std/assert";
import { type Goal, GOALS, judge } from "./goals.ts";
import { CASES } from "./cases.ts";
import { allowedCores } from "./machine.ts";
import { median, noise, ratio, type Series } from "./statistics.ts";

/** One value for each round, from round 0. */
function series(...values: number[]): Series {
  return new Map(values.entries());
}

Deno.test("median() is the middle value, whatever the order", () => {
  assertEquals(median([9, 1, 5]), 5);
});

Deno.test("median() of an even number of values is the mean of the middle two", () => {
  assertEquals(median([1, 10, 3, 2]), 2.5);
});

Deno.test("median() of nothing is undefined", () => {
  assertEquals(median([]), undefined);
});

Deno.test("ratio() compares within each round, so a slow round counts on both sides", () => {
  assertEquals(ratio(series(20, 2, 200), series(10, 1, 100)), 2);
});

Deno.test("ratio() leaves out rounds that only one side has", () => {
  assertEquals(ratio(new Map([[1, 30], [2, 50]]), new Map([[0, 1], [1, 10]])), 3);
});

Deno.test("ratio() is undefined when there is nothing to compare with", () => {
  assertEquals(ratio(series(1), series()), undefined);
  assertEquals(ratio(series(1), series(0)), undefined);
});

Deno.test("noise() of one round is how far the two are apart", () => {
  assertAlmostEquals(noise(series(97), series(100)) ?? NaN, 0.03);
  assertAlmostEquals(noise(series(104), series(100)) ?? NaN, 0.04);
});

Deno.test("noise() is not zero because the middle round happens to agree", () => {
  const found = noise(series(90, 100, 110), series(100, 100, 100)) ?? NaN;
  assertAlmostEquals(found, 1.858 * 0.1 / Math.sqrt(3), 0.001);
});

Deno.test("noise() shrinks with more rounds of the same spread", () => {
  const values = [95, 105, 100, 95, 105, 100, 95, 105, 100];
  const few = noise(series(...values.slice(0, 3)), series(100, 100, 100)) ?? NaN;
  const many = noise(series(...values), series(...values.map(() => 100))) ?? NaN;
  assertAlmostEquals(many, few / Math.sqrt(3), 0.001);
});

const CHEAPER: Goal = {
  case: "echo64",
  figure: "cpu",
  server: "one",
  against: "other",
  atMost: 0.75,
};
const FASTER: Goal = {
  case: "connect",
  figure: "rate",
  server: "one",
  against: "other",
  atLeast: 2,
};

Deno.test("judge() counts the bound itself as met", () => {
  assertEquals(judge(CHEAPER, 0.75, 0), "met");
  assertEquals(judge(FASTER, 2, 0), "met");
});

Deno.test("judge() counts a miss by no more than the noise as met within noise", () => {
  assertEquals(judge(CHEAPER, 0.76, 0.02), "met within noise");
  assertEquals(judge(FASTER, 1.97, 0.02), "met within noise");
});

Deno.test("judge() says missed beyond the noise, and without any", () => {
  assertEquals(judge(CHEAPER, 0.78, 0.02), "missed");
  assertEquals(judge(FASTER, 1.9, 0.02), "missed");
  assertEquals(judge(FASTER, 1.99, undefined), "missed");
});

Deno.test("judge() says not measured when a side is missing", () => {
  assertEquals(judge(FASTER, undefined, 0.02), "not measured");
});

Deno.test("every goal names a case that has its figure", () => {
  for (const goal of GOALS) {
    const figures = CASES.find(({ name }) => name === goal.case)?.figures ?? [];
    assertEquals(figures.some(({ name }) => name === goal.figure), true, JSON.stringify(goal));
  }
});

Deno.test("allowedCores() reads the kernel's list", () => {
  assertEquals(allowedCores("0-2,5"), [0, 1, 2, 5]);
  assertEquals(allowedCores("3"), [3]);
  assertEquals(allowedCores(""), []);
});
