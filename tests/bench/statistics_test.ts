/** Several rounds are summarized correctly, and the list of cores is read. @module */

import { assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { allowedCores } from "./machine.ts";
import { difference, median, noise, noiseOfDifference, ratio, type Series } from "./statistics.ts";

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

Deno.test("ratio() skips rounds that only one side has", () => {
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

Deno.test("difference() compares within each round", () => {
  assertEquals(difference(series(12, 105, 30), series(10, 100, 40)), 2);
  assertEquals(difference(series(1), new Map([[7, 1]])), undefined);
});

Deno.test("noiseOfDifference() is in the unit of the figure, and nothing to compare is no noise", () => {
  assertEquals(noiseOfDifference(series(23), series(20)), 3);
  assertAlmostEquals(
    noiseOfDifference(series(18, 20, 22), series(20, 20, 20)) ?? NaN,
    1.858 * 2 / Math.sqrt(3),
    0.001,
  );
  assertEquals(noiseOfDifference(series(), series(20)), undefined);
});

Deno.test("ratio() and difference() of a server and itself are 1 and 0, with no noise", () => {
  const times = fc.array(fc.double({ min: 0.001, max: 1e9, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(times, (values) => {
    const same = series(...values);
    assertEquals([ratio(same, same), difference(same, same)], [1, 0]);
    assertEquals([noise(same, same), noiseOfDifference(same, same)], [0, 0]);
  }));
});

Deno.test("allowedCores() reads the kernel's list", () => {
  assertEquals(allowedCores("0-2,5"), [0, 1, 2, 5]);
  assertEquals(allowedCores("3"), [3]);
  assertEquals(allowedCores(""), []);
});
