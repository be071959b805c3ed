import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { fleet, type FleetOptions, type WorkerEnd } from "../../lib/fleet/mod.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { until } from "../support/wait.ts";
import { ask, Asker } from "./asking.ts";
import { SERVED } from "./programs.ts";

/** A fleet of the program, with what its hooks received. */
async function start(options: FleetOptions, program = SERVED) {
  const ends: WorkerEnd[] = [];
  const errors: unknown[] = [];
  const running = await fleet(program, {
    onWorkerEnd: (end) => ends.push(end),
    onError: (error) => errors.push(error),
    ...options,
  });
  return { running, ends, errors };
}

/** How a worker ends by a line, and what is said of it. */
const ENDS: Record<string, { line: string; exitCode: number; error: RegExp | undefined }> = {
  "an uncaught error": { line: "throw ouch", exitCode: 1, error: /^ouch$/ },
  "Deno.exit()": { line: "exit 4", exitCode: 4, error: undefined },
  "a full heap": { line: "heap", exitCode: 1, error: /memory limit/ },
};

for (const [name, { line, exitCode, error }] of Object.entries(ENDS)) {
  netTest(
    `a worker that ends by ${name} is reported and started again; the other serves on`,
    async () => {
      const { running, ends, errors } = await start({ workers: 2, maxHeap: 64 * 2 ** 20 });
      await using _running = running;
      using one = await Asker.connect(running.addr);
      const worker = await one.ask("who");
      // On the other worker.
      using askers = new DisposableStack();
      let other = askers.use(await Asker.connect(running.addr));
      while (await other.ask("who") === worker) {
        other = askers.use(await Asker.connect(running.addr));
      }

      assertEquals(await one.ask(line), null);
      await until(() => ends.length > 0);
      const [end] = ends;
      assertEquals(end!.exitCode, exitCode);
      if (error === undefined) assertEquals(end!.error, undefined);
      else assertMatch(end!.error!.message, error);
      assertMatch((errors[0] as Error).message, new RegExp(`^Worker ${end!.worker} of the fleet`));

      assert(await other.ask("who") !== null);
      await until(() => running.workers.every(({ state }) => state === "serving"));
      assertEquals(running.workers[end!.worker]!.restarts, 1);

      // Of those that are over, the worker's are lost, and every one is counted.
      const { accepted, active, ended } = running.stats();
      assertEquals(ended.worker_lost, end!.lost);
      assert(end!.lost > 0);
      assertEquals(Object.values(ended).reduce((sum, count) => sum + count, active), accepted);
    },
  );
}

netTest("no client is refused while no worker is there", async () => {
  const { running, ends } = await start({ workers: 1 });
  await using _running = running;
  const before = await ask(running.addr, "who");
  assertEquals(await ask(running.addr, "exit 1"), null);
  await until(() => ends.length > 0);
  const after = await ask(running.addr, "who");
  assert(after !== null && after !== before);
});

netTest("a fleet that is stopped does not start a worker again", async () => {
  const { running, ends } = await start({ workers: 1 });
  await ask(running.addr, "exit 1");
  await until(() => ends.length > 0);
  await running.shutdown();
  assertEquals(running.workers.map(({ state }) => state), ["stopped"]);
});

netTest(
  "restart() replaces every worker, and connections in the old ones are drained",
  async () => {
    const { running, ends } = await start({ workers: 2 });
    await using _running = running;
    const before = new Set<string | null>();
    while (before.size < 2) before.add(await ask(running.addr, "who"));
    await running.restart();
    const after = new Set<string | null>();
    while (after.size < 2) after.add(await ask(running.addr, "who"));
    assertEquals(before.intersection(after).size, 0);
    assertEquals(ends, []);
    assertEquals(running.workers.map(({ restarts }) => restarts), [0, 0]);
  },
);

netTest("restart() runs what is on disk, what the program imports included", async () => {
  using folder = new Directory();
  const program = new URL(`file://${folder.at("server.js")}`);
  const part = new URL(`file://${folder.at("part.js")}`);
  const usher = new URL("../../mod.ts", import.meta.url).href;
  await Deno.writeTextFile(
    program,
    `import { serve } from "${usher}"; import { text } from "./part.js";
     serve({ port: 0, hostname: "127.0.0.1" }, (conn) => conn.write(new TextEncoder().encode(text)));`,
  );
  await Deno.writeTextFile(part, 'export const text = "old\\n"');
  const { running, errors } = await start({ workers: 2 }, program);
  await using _running = running;
  assertEquals(await ask(running.addr, ""), "old");
  await Deno.writeTextFile(part, 'export const text = "new\\n"');
  await running.restart();
  for (let i = 0; i < 4; i++) assertEquals(await ask(running.addr, ""), "new");

  await Deno.writeTextFile(part, "export const text = ;");
  await assertRejects(() => running.restart(), SyntaxError);
  for (let i = 0; i < 4; i++) assertEquals(await ask(running.addr, ""), "new");
  assertEquals(running.workers.map(({ state }) => state), ["serving", "serving"]);
  assertEquals(errors, []);
});

netTest("shutdown() during restart() stops the old and the new workers", async () => {
  const { running } = await start({ workers: 2 });
  const restarted = running.restart();
  await running.shutdown();
  await assertRejects(() => restarted, Error);
  assertEquals(running.state, "stopped");
});
