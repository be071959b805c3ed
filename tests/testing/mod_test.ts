/** The testing entry point works without permissions. @module */

import { assertEquals, assertMatch } from "@std/assert";
import * as kit from "../../lib/testing/mod.ts";
import { netTest, root } from "../support/needs.ts";

Deno.test("@usher/server/testing gives four functions", () => {
  const names = ["connect", "everySplit", "pair", "scriptedListener"];
  assertEquals(Object.keys(kit).toSorted(), names);
});

netTest("@usher/server/testing needs no permission", async () => {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-prompt", "--no-check", "examples/testing_a_handler_test.ts"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stderr: "inherit",
  }).output();
  const said = new TextDecoder().decode(stdout);
  assertEquals(success, true, said);
  assertMatch(said, /^ok \| [1-9]\d* passed \| 0 failed \(/m);
});
