/** The clock ticks while something watches, and only then, and counts the time that passes. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertLessOrEqual,
  assertRejects,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { CoarseClock, TICK, type Ticking } from "../../lib/connection/coarse_clock.ts";
import { connection, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { turns, until } from "../support/wait.ts";

/** Notes the times that it is called with. */
class Watcher implements Ticking {
  readonly heard: number[] = [];

  tick(now: number): void {
    this.heard.push(now);
  }
}

Deno.test("a clock calls each that watches with the ms it has counted, at each tick", () => {
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

Deno.test("a clock no longer calls what has stopped watching", () => {
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

Deno.test("a clock goes on when watchers leave during a tick", () => {
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
  time.tick(2 * TICK);
  assertEquals(third.heard, [TICK, 2 * TICK]);
});

Deno.test("a clock has no timer before something watches, and none that goes on after the last has left", () => {
  using time = new FakeTime();
  for (const lingers of [false, true]) {
    const clock = new CoarseClock(lingers);
    assertFalse(time.next());
    const watcher = new Watcher();
    clock.watch(watcher);
    assert(time.next());
    clock.unwatch(watcher);
    time.next(); // at most the one that was set already
    assertFalse(time.next());
    assertEquals(watcher.heard, [TICK]);
  }
});

Deno.test("a clock without watchers leaves no real timer, unless it lingers until its next tick", () => {
  const clock = new CoarseClock(false);
  const watcher = new Watcher();
  clock.watch(watcher);
  clock.unwatch(watcher); // the sanitizer sees what is left
});

Deno.test("a clock that lingers goes on for the next watcher", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(true);
  const watcher = new Watcher();
  clock.watch(watcher);
  time.tick(TICK / 2);
  clock.unwatch(watcher);
  clock.watch(watcher);
  time.tick(TICK / 2);
  assertEquals(watcher.heard, [TICK]);
  clock.unwatch(watcher);
});

Deno.test("a clock stands still while nothing watches", () => {
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

Deno.test("a clock that was stopped ticks again for the next watcher", () => {
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

// Late ticks

Deno.test("a late tick adds what has passed, at most 1 s, and an early one a tick's time", () => {
  const late: [passed: number, adds: number][] = [
    [TICK, TICK],
    [350, 350],
    [1000, 1000],
    [1001, 1000],
    [3_600_000, 1000],
    [-3 * 86_400_000, TICK],
    [90, TICK],
    [TICK, TICK],
  ];
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const watcher = new Watcher();
  let date = Date.now();
  using _date = stub(Date, "now", () => date);
  clock.watch(watcher);
  for (const [passed, adds] of late) {
    const { now } = clock;
    date += passed;
    time.next();
    assertEquals(clock.now - now, adds, `${passed} ms after the last tick`);
    assertEquals(watcher.heard.at(-1), clock.now);
  }
  clock.stop();
});

Deno.test("a deadline that begins behind a slow handler is not early either", () => {
  for (const busy of [0, 50, 99, 100, 101, 300, 999, 1000, 5000]) {
    for (const timeout of [100, 150, 3000]) {
      using time = new FakeTime();
      const clock = new CoarseClock(false);
      let date = Date.now();
      using _date = stub(Date, "now", () => date);
      clock.watch(new Watcher());
      date += busy; // without a tick
      const deadline = clock.deadline(timeout);
      const begun = date;
      for (date += TICK; time.next() && clock.now < deadline; date += TICK);
      assertGreaterOrEqual(date - begun, timeout, `${busy} ms`);
      assertLessOrEqual(date - begun, timeout + 2 * TICK, `${busy} ms`);
      clock.stop();
    }
  }
});

for (const name of ["idleTimeout", "receiveTimeout", "writeTimeout"]) {
  Deno.test(`${name} is not early behind a slow handler, nor late by more than that`, () => {
    for (const busy of [0, 100, 300, 900]) {
      using time = new FakeTime();
      const socket = new ScriptedSocket();
      socket.takes = undefined;
      const conn = connection(socket, { [name]: 3000 });
      const { signal } = conn;
      let date = Date.now();
      using _date = stub(Date, "now", () => date);
      time.next();
      date += busy; // without a tick
      if (name === "writeTimeout") conn.write(new Uint8Array(1));
      else conn.read(new Uint8Array(1));
      const begun = date;
      for (date += TICK; time.next() && !signal.aborted; date += TICK);
      assertGreaterOrEqual(date - begun, 3000, `${busy} ms`);
      assertLessOrEqual(date - begun, 3000 + 2 * TICK, `${busy} ms`);
    }
  });
}

// One fake time after the other

Deno.test("a clock watched under a fake time ticks again under the next one", () => {
  for (const lingers of [false, true]) {
    for (const forgets of [false, true]) {
      const clock = new CoarseClock(lingers);
      const [left, stayed, next] = [new Watcher(), new Watcher(), new Watcher()];
      {
        using time = new FakeTime();
        clock.watch(left);
        clock.watch(stayed);
        time.tick(TICK);
        clock.unwatch(left);
      }
      if (!forgets) clock.unwatch(stayed);
      using time = new FakeTime();
      clock.watch(next);
      time.tick(2 * TICK);
      const about = `lingers: ${lingers}, forgets: ${forgets}`;
      assertEquals(next.heard, [2 * TICK, 3 * TICK], about);
      if (forgets) assertEquals(stayed.heard, [TICK, 2 * TICK, 3 * TICK], about);
      clock.stop();
    }
  }
});

Deno.test("a clock ticks in the second fake time also when that begins where the first one did", () => {
  const clock = new CoarseClock(true);
  const [forgotten, next] = [new Watcher(), new Watcher()];
  for (const watcher of [forgotten, next]) {
    using time = new FakeTime(1_000_000);
    clock.watch(watcher);
    time.tick(TICK);
    assertEquals(watcher.heard.length, 1);
  }
  clock.stop();
});

Deno.test("a clock keeps its rhythm under a fake time however often watchers come", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const first = new Watcher();
  clock.watch(first);
  for (let i = 0; i < 50; i++) {
    time.tick(TICK / 5);
    clock.watch(new Watcher());
  }
  assertEquals(first.heard.length, 10);
  assertEquals(clock.now, 10 * TICK);
  clock.stop();
});

Deno.test("a clock that ends under a fake time clears no timer of others", () => {
  const clock = new CoarseClock(false);
  const watcher = new Watcher();
  {
    using _time = new FakeTime();
    clock.watch(watcher);
  }
  using time = new FakeTime();
  let came = 0;
  for (let i = 0; i < 10; i++) setInterval(() => came++, 50);
  clock.unwatch(watcher);
  time.tick(50);
  assertEquals(came, 10);
});

for (const forgets of [false, true]) {
  Deno.test(`connection() keeps its timeouts under the next fake time, the last client ${forgets ? "forgotten" : "closed"}`, async () => {
    for (let i = 0; i < 3; i++) {
      using time = new FakeTime();
      const conn = connection(new ScriptedSocket(), { idleTimeout: 1000 });
      const read = conn.read(new Uint8Array(1));
      time.tick(1000 + 2 * TICK);
      await assertRejects(() => read, DOMException, "'idleTimeout'");
      const last = connection(new ScriptedSocket());
      if (!forgets) last.close();
    }
  });
}

netTest("a server keeps its timeouts from one fake time to the next", async () => {
  const ended: string[] = [];
  await using server = serve({
    ...LOOPBACK,
    idleTimeout: 1000,
    onEnd: ({ reason }) => ended.push(reason),
  }, async (conn) => {
    for await (const _ of conn);
  });
  for (let i = 1; i <= 3; i++) {
    using time = new FakeTime();
    using _client = await dial(server.addr);
    await until(() => server.connections.size === 1);
    await turns();
    time.tick(1000 + 2 * TICK);
    await until(() => ended.length === i);
  }
  assertEquals(ended, Array(3).fill("idle_timeout"));
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
    clock.stop(); // for the sanitizer: what is left now would be a timer that nothing ends
  }
});

netTest("a clock that ticks does not keep its process alive", async () => {
  await using program = new Program(new URL("./programs/ticking.ts", import.meta.url));
  assertEquals(await program.lines(), ["watched"]);
  assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
});
