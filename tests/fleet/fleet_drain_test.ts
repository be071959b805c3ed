import { assertEquals } from "@std/assert";
import { fleet } from "../../lib/fleet/mod.ts";
import { netTest } from "../support/needs.ts";
import { Asker } from "./asking.ts";
import { SERVED } from "./programs.ts";

netTest(
  "a fleet accepts who has connected when it is stopped, and drops nobody in the queue",
  async () => {
    const running = await fleet(SERVED, { workers: 2 });
    const askers = await Promise.all(Array.from({ length: 50 }, () => Asker.connect(running.addr)));
    const stopped = running.shutdown();
    const answers = await Promise.all(askers.map((asker) => asker.ask("who")));
    assertEquals(answers.filter((answer) => answer === null), []);
    await stopped;
    const { completed, forced, abandoned } = running.report!;
    assertEquals([completed, forced, abandoned], [50, 0, 0]);
    for (const asker of askers) asker[Symbol.dispose]();
  },
);

netTest("a later shutdown() of a fleet shortens the first", async () => {
  const running = await fleet(SERVED, { workers: 2 });
  using asker = await Asker.connect(running.addr);
  await asker.ask("who");
  const stopped = running.shutdown({ lameDuck: 60_000, timeout: 60_000 });
  running.shutdown({ timeout: 0 });
  await stopped;
  assertEquals(running.report?.forced, 1);
});
