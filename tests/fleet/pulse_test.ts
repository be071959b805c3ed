import { assert, assertEquals, assertMatch } from "@std/assert";
import { fleet } from "../../lib/fleet/mod.ts";
import { netTest } from "../support/needs.ts";
import { until } from "../support/wait.ts";
import { ask, Asker, Hang } from "./asking.ts";
import { SERVED } from "./programs.ts";

netTest(
  "a worker that only computes is reported and replaced; when it is back it is drained",
  async () => {
    const errors: Error[] = [];
    const onError = (error: unknown) => errors.push(error as Error);
    await using running = await fleet(SERVED, { workers: 1, hangTimeout: 500, onError });
    using busy = await Asker.connect(running.addr);
    const old = await busy.ask("who");
    const hang = await Hang.begin(busy);
    await until(() => errors.length > 0);
    assertMatch(
      errors[0]!.message,
      /^Worker 0 of the fleet has not responded for 0\.\d s: another/,
    );
    assertEquals(running.workers[0]!.state, "hung");

    // Served by another one while it hangs.
    const served = await ask(running.addr, "who");
    assert(served !== old);
    assertEquals(running.workers[0]!.state, "hung");

    // Nobody has lost anything.
    hang[Symbol.dispose]();
    assertEquals(await busy.next(), old);
    await until(() => running.workers[0]!.state === "serving");
    assertEquals(await ask(running.addr, "who"), served);
  },
);

netTest("shutdown() does not wait for a worker that hangs", async () => {
  const errors: unknown[] = [];
  const running = await fleet(SERVED, {
    workers: 1,
    hangTimeout: 500,
    onError: (error) => errors.push(error),
  });
  using busy = await Asker.connect(running.addr);
  await busy.ask("who");
  using _hang = await Hang.begin(busy);
  await until(() => errors.length > 0);
  const since = performance.now();
  await running.shutdown();
  assert(performance.now() - since < 2500);
  assertEquals(running.report?.abandoned, 1);
});
