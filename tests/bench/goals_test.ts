/** Measurements are judged by the goals as intended. @module */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CASES } from "./cases.ts";
import { type Goal, GOALS, judge } from "./goals.ts";

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

Deno.test("judge() takes the noise of a difference as it is, not as a share", () => {
  const soon: Goal = {
    case: "start",
    figure: "ms",
    server: "one",
    against: "other",
    atMostMore: 15,
  };
  assertEquals(judge(soon, 15, 0), "met");
  assertEquals(judge(soon, -3, 0), "met");
  assertEquals(judge(soon, 17, 2), "met within noise");
  assertEquals(judge(soon, 17.5, 2), "missed");
});

Deno.test("judge() never gives a worse value a better verdict, nor more noise a worse one", () => {
  const verdicts = ["missed", "met within noise", "met"];
  const amount = fc.double({ min: 0, max: 1000, noNaN: true });
  fc.assert(fc.property(amount, amount, amount, amount, (limit, value, worse, noise) => {
    const goal: Goal = { ...CHEAPER, atMost: limit };
    const found = verdicts.indexOf(judge(goal, value, noise));
    assert(verdicts.indexOf(judge(goal, value + worse, noise)) <= found);
    assert(verdicts.indexOf(judge(goal, value, noise + worse)) >= found);
  }));
});

Deno.test("every goal names a case that has its figure, and has one bound", () => {
  for (const goal of GOALS) {
    const figures = CASES.find(({ name }) => name === goal.case)?.figures ?? [];
    assertEquals(figures.some(({ name }) => name === goal.figure), true, JSON.stringify(goal));
    const bounds = [goal.atMost, goal.atLeast, goal.atMostMore].filter((it) => it !== undefined);
    assertEquals(bounds.length, 1, JSON.stringify(goal));
  }
});

Deno.test("no goal is listed twice", () => {
  const keys = GOALS.map(({ case: name, figure, server, against }) =>
    [name, figure, server, against].join()
  );
  assertEquals(new Set(keys).size, keys.length);
});

Deno.test("every case has a name of its own and the figure of its picture", () => {
  assertEquals(new Set(CASES.map(({ name }) => name)).size, CASES.length);
  for (const { name, figures, pictured } of CASES) {
    assertEquals(figures.some((figure) => figure.name === pictured), true, name);
  }
});
