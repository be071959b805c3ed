/** All threads have one time, which goes forward. @module */

import { assert, assertEquals } from "@std/assert";
import { Worker } from "node:worker_threads";
import { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { netTest } from "../support/needs.ts";

/** Moves what another thread calls its own time. */
function withOwnTime(time: { ahead: number }): Disposable {
  const { now } = performance;
  performance.now = () => now.call(performance) + time.ahead;
  return { [Symbol.dispose]: () => void (performance.now = now) };
}

Deno.test("now is the main thread's time, however far a worker's own is away", () => {
  const time = { ahead: 0 };
  using _ = withOwnTime(time);
  const buffer = SharedClock.allocate();
  const main = new SharedClock(buffer);
  for (const ahead of [-5000, 0, 1e9]) {
    time.ahead = 0;
    const before = main.now;
    main.publish();
    time.ahead = ahead;
    const { now } = new SharedClock(buffer);
    time.ahead = 0;
    const after = main.now;
    assert(now >= before - 1 && now <= after + 1, `${before}, ${now}, ${after}`);
  }
});

Deno.test("look() learns from a publication that was read sooner, and never goes back", () => {
  const time = { ahead: 0 };
  using _ = withOwnTime(time);
  const buffer = SharedClock.allocate();
  const main = new SharedClock(buffer);
  main.publish();
  time.ahead += 1000; // a worker that begins a second after the last publication
  const worker = new SharedClock(buffer);
  const before = worker.now;
  assert(main.now - before > 900, "late by the age of what was published");
  main.publish();
  worker.look();
  assert(main.now - worker.now < 100);
  const learned = worker.now;
  time.ahead += 1000; // and which reads the same once more, a second later
  worker.look();
  assert(worker.now - learned >= 1000);
});

Deno.test("now is never before a time that another thread was given", () => {
  const time = { ahead: 0 };
  using _ = withOwnTime(time);
  const buffer = SharedClock.allocate();
  const main = new SharedClock(buffer);
  main.publish();
  const late = new SharedClock(buffer);
  time.ahead = 1000;
  const given = main.now;
  time.ahead = 0;
  assert(late.now >= given);
});

netTest("now of two real threads differs by less than a tick", async () => {
  const buffer = SharedClock.allocate();
  const main = new SharedClock(buffer);
  main.publish();
  const url = new URL("../../lib/fleet/shared_clock.ts", import.meta.url).href;
  const code = `
    import { parentPort, workerData } from "node:worker_threads";
    import { SharedClock } from "${url}";
    const clock = new SharedClock(workerData);
    parentPort.on("message", () => { clock.look(); parentPort.postMessage(clock.now); });
    parentPort.postMessage("ready");`;
  const program = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  const worker = new Worker(program, { workerData: buffer });
  let asked = 0;
  const late: number[] = [];
  worker.on("message", (now: number | "ready") => {
    if (now !== "ready") {
      // Not before it was asked, and not after it was answered.
      assert(now <= main.now + 0.1);
      late.push(asked - now);
    }
    if (late.length === 20) {
      worker.terminate();
      return;
    }
    main.publish();
    asked = main.now;
    worker.postMessage("now?");
  });
  await new Promise((resolve) => worker.on("exit", resolve));
  assertEquals(late.length, 20);
  assert(Math.min(...late) < 1, `${late}`);
  assert(late.at(-1)! < 5, `${late}`);
});
