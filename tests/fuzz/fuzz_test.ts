/** Some ten thousand streams break no decoder; `deno task fuzz` tries more. @module */

import { assertEquals } from "@std/assert";
import { run } from "./run.ts";
import { TRIALS } from "./trials.ts";

/** The same streams each time, so that a failure can be repeated. */
const SEED = 20_260_402;

const COUNT = 20_000;

Deno.test("no stream breaks a decoder", () => {
  const figures = run(SEED, (count) => count < COUNT);
  assertEquals([...figures.keys()], Object.keys(TRIALS));
  const counts = [...figures.values()].map(({ count }) => count);
  assertEquals(counts.reduce((sum, count) => sum + count), COUNT);
  assertEquals(Math.min(...counts) > 0, true, "a kind was never tried");
});
