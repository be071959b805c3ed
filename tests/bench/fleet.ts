/**
 * Measures what a second worker brings: requests per second behind some computing, of a single server, of
 * fleets, of Node's cluster and of Go. Each figure is the median of its rounds; the generator's share of a
 * core stands beside it.
 *
 *     deno run -A tests/bench/fleet.ts [rounds=3] [seconds=1] [most=2] [work=0,100,1000]
 *
 * @module
 */

import { compileGo } from "./build.ts";
import { Child } from "./children.ts";
import { applyLoad, prepareLoad } from "./load_process.ts";
import { median } from "./statistics.ts";

/** Milliseconds after which a child counts as stuck. */
const LIMIT = 30_000;

const [rounds = "3", seconds = "1", most = "2", works = "0,100,1000"] = Deno.args;
const load = await prepareLoad("c");
const counts = Array.from({ length: Number(most) }, (_, i) => i + 1);
const deno = [Deno.execPath(), "run", "--quiet", "-A", "servers/fleet_work.ts"];

/** What starts each server, with the work still to be named, and its environment. */
const servers: Record<string, [words: (work: string) => string[], env?: Record<string, string>]> = {
  "usher, one thread": [(work) => [...deno, work, "0"]],
  ...Object.fromEntries(
    counts.map((n) => [`usher, fleet of ${n}`, [(work: string) => [...deno, work, `${n}`]]]),
  ),
  ...Object.fromEntries(
    counts.map((n) => [
      `Node, cluster of ${n}`,
      [(work: string) => ["node", "servers/cluster_work.mjs", work, `${n}`]],
    ]),
  ),
};
try {
  const go = await compileGo("servers/work.go");
  for (const n of counts) {
    servers[`Go, GOMAXPROCS=${n}`] = [(work) => [go, work], { GOMAXPROCS: `${n}` }];
  }
} catch (error) {
  print(`without Go: ${(error as Error).message}`);
}

for (const work of works.split(",")) {
  print(`\n${work} µs of computing per request, 64 connections`);
  const rates: Record<string, { rate: number; busy: number }[]> = {};
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, [words, env]] of Object.entries(servers)) {
      (rates[name] ??= []).push(await measure(words(work), env));
    }
  }
  for (const [name, found] of Object.entries(rates)) {
    const rate = median(found.map(({ rate }) => rate)) ?? NaN;
    const busy = median(found.map(({ busy }) => busy)) ?? NaN;
    print(
      `${name.padEnd(22)} ${rate.toFixed(0).padStart(8)}/s  generator ${busy.toFixed(2)} of a core`,
    );
  }
}

async function measure(
  words: readonly string[],
  env?: Record<string, string>,
): Promise<{ rate: number; busy: number }> {
  await using server = new Child(words, undefined, env);
  const [, port = ""] = /^ready (\d+)$/.exec(await server.line(LIMIT)) ?? [];
  const settings = { warm: 0.3, seconds: Number(seconds), core: undefined };
  const report = await applyLoad(
    load,
    { port: Number(port), tls: false },
    { kind: "exchange", connections: 64, request: 64, reply: 64 },
    { ...settings, atRest: () => Promise.resolve() },
  );
  return { rate: report.requests / report.seconds, busy: report.busy };
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
