/** The steady clock goes with the wall clock and never back. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { SteadyClock } from "../lib/steady_clock.ts";

Deno.test("read() counts the ms that pass, and none for a wall clock that is set back", () => {
  using time = new FakeTime(1_000_000);
  const clock = new SteadyClock();
  const since = clock.read();
  time.tick(50);
  assertEquals(clock.read() - since, 50);
  const now = Date.now;
  try {
    Date.now = () => now() - 30_000;
    assertEquals(clock.read() - since, 50);
    time.tick(10);
    assertEquals(clock.read() - since, 60);
    Date.now = () => now() + 5000; // 35 s forward: a machine that was suspended
    assertEquals(clock.read() - since, 35_060);
  } finally {
    Date.now = now;
  }
});
