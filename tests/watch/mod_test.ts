/** Does anybody pay for the status page who has none? @module */

import { assert, assertEquals } from "@std/assert";
import * as entry from "../../lib/watch/mod.ts";
import { netTest, root } from "../support/needs.ts";

Deno.test("@usher/server/watch gives three functions", () => {
  assertEquals(Object.keys(entry).toSorted(), ["instrument", "metricsText", "watch"]);
});

/** Everything that is loaded with a module. */
async function loadedWith(path: string): Promise<string[]> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", path],
    cwd: root,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
    modules: { specifier: string }[];
  };
  return modules.map(({ specifier }) => specifier);
}

netTest("the core loads no package and nothing of @usher/server/watch", async () => {
  const foreign = (specifier: string) =>
    specifier.startsWith("npm:") || specifier.includes("/lib/watch/");
  assertEquals((await loadedWith("mod.ts")).filter(foreign), []);
  assert((await loadedWith("lib/watch/mod.ts")).some(foreign));
});
