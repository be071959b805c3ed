/** Runs Redis's own benchmark against a server. @module */

import { Child } from "./children.ts";
import type { LoadReport, LoadSettings } from "./load_process.ts";
import { type Snapshot, snapshot } from "./measure.ts";
import { readReport } from "./redis_report.ts";

export interface RedisPlan {
  readonly kind: "redis";
  readonly connections: number;
  /** A test of redis-benchmark. */
  readonly test: string;
  /** Commands that a client sends together. */
  readonly depth: number;
}

/** Commands of the first run, whose rate decides the length of the others. */
const FIRST = 5_000;

/** Times what was planned, and seconds on top, until a run counts as stuck: machines are slow for a while. */
const PATIENCE = 4, SPARE = 10;

/** Milliseconds between two samples of the load's own CPU time. */
const LOOK = 50;

/** Three runs: one to learn the rate and to set what GET then finds, a warm one, the measured one. */
export async function applyRedisBenchmark(
  port: number,
  plan: RedisPlan,
  { warm, seconds, core, atRest }: LoadSettings,
): Promise<LoadReport> {
  const run = (test: string, requests: number, planned: number) =>
    runOnce({ ...plan, test, port, requests, limit: planned * PATIENCE + SPARE, core });
  const first = await run("set", FIRST, 0);
  const warmed = await run(plan.test, enough(first, warm), warm);
  await atRest("warm");
  const report = await run(plan.test, enough(warmed, seconds), seconds);
  await atRest("end");
  return report;
}

/** Commands for so many seconds, at the rate of an earlier run. */
function enough({ requests, seconds }: LoadReport, planned: number): number {
  return Math.max(FIRST, Math.round(requests / seconds * planned));
}

interface Run extends RedisPlan {
  readonly port: number;
  readonly requests: number;
  readonly limit: number;
  readonly core: number | undefined;
}

async function runOnce(
  { connections, test, depth, port, requests, limit, core }: Run,
): Promise<LoadReport> {
  await using child = new Child([
    ...["redis-benchmark", "-h", "127.0.0.1", "-p", String(port), "--csv", "-t", test],
    ...["-c", String(connections), "-P", String(depth), "-n", String(requests)],
  ], core);
  const began = performance.now();
  let busy = 0;
  // It has exited after its last line: then there is nothing left to sample.
  const looks = setInterval(async () => {
    const took = performance.now() - began;
    const { cpu } = await snapshot(child.pid).catch((): Snapshot => ({}));
    if (cpu !== undefined) busy = cpu / 1000 / took;
  }, LOOK);
  try {
    const lines = [await child.line(limit * 1000), await child.line(limit * 1000)];
    return { ...readReport(lines, { test, requests }), busy };
  } finally {
    clearInterval(looks);
  }
}
