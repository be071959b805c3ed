/** The options of a stop are checked and completed. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { completeShutdownOptions } from "../../lib/server/shutdown_options.ts";

Deno.test("completeShutdownOptions() fills in what is not given", () => {
  assertEquals(completeShutdownOptions({}, 15_000), { lameDuck: 0, timeout: 15_000, spread: 0 });
  const given = { lameDuck: 1, timeout: 2, spread: 3 };
  assertEquals(completeShutdownOptions(given, 15_000), given);
});

Deno.test("completeShutdownOptions() refuses what is no time, and what it does not know", () => {
  assertThrows(() => completeShutdownOptions({ lameDuck: -1 }, 1), RangeError, "'lameDuck' of -1");
  const timeout = "1" as unknown as number;
  assertThrows(() => completeShutdownOptions({ timeout }, 1), TypeError, "'timeout'");
  assertThrows(() => completeShutdownOptions({ spread: NaN }, 1), Error, "'spread' of NaN");
  const unknown = { grace: 1 } as Record<string, number>;
  assertThrows(() => completeShutdownOptions(unknown, 1), TypeError, "grace");
});
