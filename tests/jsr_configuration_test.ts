/** Keeps `deno.jsr.json`, the configuration without stand-ins, in step with `deno.json`. @module */

import { assertEquals, assertExists } from "@std/assert";
import { root, treeTest } from "./support/needs.ts";

treeTest("deno.jsr.json is deno.json without its links", async () => {
  const [here, jsr] = await Promise.all(["deno.json", "deno.jsr.json"].map(async (name) => {
    const text = await Deno.readTextFile(new URL(name, root));
    return JSON.parse(text) as Record<string, unknown>;
  }));
  assertExists(here?.["links"]);
  delete here["links"];
  assertEquals(jsr, here, "write it anew as tests/std/README.md says");
});
