/** Each end reason is there once, and each is explained. @module */

import { assertEquals } from "@std/assert";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import { netTest } from "../support/needs.ts";

Deno.test("no end reason is there twice, and each is one word", () => {
  assertEquals(new Set(END_REASONS).size, END_REASONS.length);
  for (const reason of END_REASONS) assertEquals(reason, reason.match(/^[a-z]+(_[a-z]+)*$/)?.[0]);
});

netTest("the documentation explains each end reason, in their order", async () => {
  const source = await Deno.readTextFile(
    new URL("../../lib/connection/end_reason.ts", import.meta.url),
  );
  const explained = source.matchAll(/^ \* - `(\w+)`: [\w`]/gm).map(([, reason]) => reason!);
  assertEquals<readonly string[]>([...explained], END_REASONS);
});
