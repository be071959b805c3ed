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

netTest("of all entries only otel loads a package, and the core nothing of watch", async () => {
  const { exports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", root))) as {
    exports: Record<string, string>;
  };
  const isPackage = (specifier: string) => specifier.startsWith("npm:");
  const isWatch = (specifier: string) => specifier.includes("/lib/watch/");
  const loaded = await Promise.all(
    Object.entries(exports).map(async ([name, path]) => [name, await loadedWith(path)] as const),
  );
  const withPackage = loaded.filter(([, modules]) => modules.some(isPackage));
  assertEquals(withPackage.map(([name]) => name), ["./otel"]);
  const withWatch = loaded.filter(([, modules]) => modules.some(isWatch)).map(([name]) => name);
  assert(withWatch.includes("./watch") && !withWatch.includes("."), withWatch.join(" "));
});
