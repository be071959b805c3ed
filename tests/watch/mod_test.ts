/** Tests that a program without a status page does not load one. @module */

import { assert, assertEquals } from "@std/assert";
import * as entry from "../../lib/watch/mod.ts";
import { netTest, root } from "../support/needs.ts";

Deno.test("@usher/server/watch gives two functions", () => {
  assertEquals(Object.keys(entry).toSorted(), ["metricsText", "watch"]);
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

netTest("neither the core nor watch loads a package, and the core nothing of watch", async () => {
  const isPackage = (specifier: string) => specifier.startsWith("npm:");
  const isWatch = (specifier: string) => specifier.includes("/lib/watch/");
  const [core, watch, otel] = await Promise.all(
    ["mod.ts", "lib/watch/mod.ts", "lib/otel/mod.ts"].map(loadedWith),
  );
  assertEquals(core!.filter((specifier) => isPackage(specifier) || isWatch(specifier)), []);
  assertEquals(watch!.filter(isPackage), []);
  assert(watch!.some(isWatch));
  assert(otel!.some(isPackage));
});
