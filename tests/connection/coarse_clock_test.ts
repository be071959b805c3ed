/** Does the clock tick while somebody watches, and then only? @module */

import { assert, assertEquals, assertFalse, assertGreater, assertLessOrEqual } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { CoarseClock, TICK, type Ticking } from "../../lib/connection/coarse_clock.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";

/** Notes the times that it is told. */
class Watcher implements Ticking {
  readonly heard: number[] = [];

  tick(now: number): void {
    this.heard.push(now);
  }
}

Deno.test("a clock tells each that watches how many ms it has counted, at each tick", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const [early, late] = [new Watcher(), new Watcher()];
  clock.watch(early);
  time.tick(2 * TICK);
  clock.watch(late);
  time.tick(TICK);
  assertEquals(early.heard, [TICK, 2 * TICK, 3 * TICK]);
  assertEquals(late.heard, [3 * TICK]);
  clock.stop();
});

Deno.test("a clock tells nobody who has stopped watching", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const [gone, here] = [new Watcher(), new Watcher()];
  clock.watch(gone);
  clock.watch(here);
  time.tick(TICK);
  clock.unwatch(gone);
  time.tick(TICK);
  assertEquals(gone.heard, [TICK]);
  assertEquals(here.heard, [TICK, 2 * TICK]);
  clock.stop();
});

Deno.test("a clock goes on when those who watch leave during a tick", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const second = new Watcher();
  const first: Ticking = {
    tick: () => {
      clock.unwatch(first);
      clock.unwatch(second);
    },
  };
  const third = new Watcher();
  for (const watcher of [first, second, third]) clock.watch(watcher);
  time.tick(2 * TICK);
  assertEquals(second.heard, []);
  assertEquals(third.heard, [TICK, 2 * TICK]);
  clock.unwatch(third);
  assertFalse(time.next());
});

Deno.test("a clock has no timer before somebody watches and none after the last has left", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  assertFalse(time.next());
  const watcher = new Watcher();
  clock.watch(watcher);
  assert(time.next());
  clock.unwatch(watcher);
  assertFalse(time.next());
});

Deno.test("a clock that lingers keeps its timer for one tick after the last has left", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(true);
  const watcher = new Watcher();
  clock.watch(watcher);
  clock.unwatch(watcher);
  clock.watch(watcher);
  time.tick(TICK);
  assertEquals(watcher.heard, [TICK]);
  clock.unwatch(watcher);
  assert(time.next());
  assertFalse(time.next());
});

Deno.test("a clock stands still while nobody watches", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const watcher = new Watcher();
  clock.watch(watcher);
  time.tick(TICK);
  clock.unwatch(watcher);
  time.tick(1000 * TICK);
  assertEquals(clock.now, TICK);
  clock.watch(watcher);
  time.tick(TICK);
  assertEquals(watcher.heard, [TICK, 2 * TICK]);
  clock.stop();
});

Deno.test("a clock that was stopped ticks again for the next that watches", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(true);
  const [before, after] = [new Watcher(), new Watcher()];
  clock.watch(before);
  clock.stop();
  time.tick(5 * TICK);
  assertEquals(before.heard, []);
  clock.watch(after);
  time.tick(TICK);
  assertEquals(after.heard, [TICK]);
  clock.stop();
});

Deno.test("a deadline is never early and at most one tick late, whenever it begins", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const watcher = new Watcher();
  clock.watch(watcher);
  for (let offset = 0; offset < TICK; offset++) {
    time.tick(TICK + 1); // each round begins 1 ms later after a tick
    const timeout = 5 * TICK;
    const deadline = clock.deadline(timeout);
    let passed = 0;
    while (clock.now < deadline) {
      time.tick(1);
      passed++;
    }
    assertGreater(passed, timeout - 1, `begun ${offset} ms after a tick`);
    assertLessOrEqual(passed, timeout + TICK, `begun ${offset} ms after a tick`);
  }
  clock.stop();
});

Deno.test("a deadline of Infinity never comes", () => {
  assertEquals(new CoarseClock(false).deadline(Infinity), Infinity);
});

Deno.test("a clock watched under a fake time ticks again under the next one", () => {
  for (const lingers of [false, true]) {
    const clock = new CoarseClock(lingers);
    const [left, stayed, next] = [new Watcher(), new Watcher(), new Watcher()];
    {
      using time = new FakeTime();
      clock.watch(left);
      clock.watch(stayed);
      time.tick(TICK);
      clock.unwatch(left);
    }
    clock.unwatch(stayed);
    using time = new FakeTime();
    clock.watch(next);
    time.tick(2 * TICK);
    assertEquals(next.heard, [2 * TICK, 3 * TICK], `lingers: ${lingers}`);
    clock.stop();
  }
});

Deno.test("a clock whose last watcher leaves under a fake time leaves no real timer behind", () => {
  for (const lingers of [false, true]) {
    const clock = new CoarseClock(lingers);
    const [real, fake] = [new Watcher(), new Watcher()];
    clock.watch(real);
    {
      using time = new FakeTime();
      clock.watch(fake);
      time.tick(TICK);
      assertEquals(fake.heard, [TICK], `lingers: ${lingers}`);
      clock.unwatch(fake);
      clock.unwatch(real);
      time.tick(TICK);
    }
    clock.stop(); // for the sanitizer: what is left now would be a timer that nobody knows
  }
});

netTest("a clock that ticks does not keep its process alive", async () => {
  await using program = new Program(new URL("./programs/ticking.ts", import.meta.url));
  assertEquals(await program.lines(), ["watched"]);
  assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
});
