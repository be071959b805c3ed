/** Runs a fleet that a soak controls by lines, and answers each with one line of JSON. @module */

import { fleet } from "../../lib/fleet/mod.ts";
import { commands, say } from "../support/commands.ts";
import { openDescriptors } from "../support/program.ts";

const ends: unknown[] = [];
const errors: string[] = [];
const running = await fleet(new URL("fleet_worker.ts", import.meta.url), {
  workers: Number(Deno.args[0]),
  hangTimeout: Number(Deno.args[1]),
  maxHeap: 128 * 2 ** 20,
  onWorkerEnd: ({ worker, exitCode, lost }) => ends.push({ worker, exitCode, lost }),
  onError: (error) => errors.push(`${Math.round(performance.now())} ${(error as Error).message}`),
});
say(String(running.addr.port));
for await (const command of commands()) {
  if (command === "restart") await running.restart();
  if (command === "stop") await running.shutdown();
  const { accepted, active, ended } = running.stats();
  const over = Object.values(ended).reduce((sum, count) => sum + count);
  say(JSON.stringify({
    workers: running.workers,
    report: running.report,
    accepted,
    active,
    lost: ended.worker_lost,
    isWhole: accepted === active + over,
    ends: ends.length,
    errors,
    resident: Math.round(Deno.memoryUsage().rss / 2 ** 20),
    descriptors: await openDescriptors(),
    now: Math.round(performance.now()),
  }));
  if (command === "stop") break;
}
