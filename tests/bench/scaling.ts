/**
 * Measures how many times the rate of one thread a fleet reaches as it gets more cores, beside Node's
 * cluster and Go: echoes behind some computing. `N` workers may run on the first `N` cores, and the load
 * runs on the last quarter of them. The servers take turns, so that slow moments of the machine fall on all.
 *
 *     deno run -A tests/bench/scaling.ts [steps=75000] [seconds=2.5]
 *
 * @module
 */

import { say } from "../support/commands.ts";
import { CASES } from "./cases.ts";
import { applyLoad, type LoadPlan, prepareLoad } from "./load_process.ts";
import { machine } from "./machine.ts";
import { computing, type Running, startServer } from "./servers.ts";
import { median, ratio } from "./statistics.ts";

/** Visits of the load to each server, with a part of the seconds each. */
const VISITS = 5;

/** Connections for each worker. */
const CONNECTIONS = 16;

/** Seconds of load before the first visit counts, and before each of the others. */
const WARM = 1.5, AGAIN = 0.1;

/** What has many workers, and what its rate is a multiple of: the one thread, or itself with one. */
const PAIRS: readonly [one: string, all: string][] = [
  ["usher_single", "usher_fleet"],
  ["node_cluster", "node_cluster"],
  ["go_work", "go_work"],
];

interface Visited extends Running {
  readonly connections: number;
  /** By visit. */
  readonly rates: Map<number, number>;
}

const [steps = 75_000, seconds = 2.5] = Deno.args.map(Number);
const work = { ...CASES.find(({ mode }) => mode === "work")!, bytes: steps };
const { cores, processor } = machine();
const loadCores = cores.slice(-Math.max(1, cores.length >> 2));
const generator = await prepareLoad("c");

say(`${processor}, ${cores.length} cores; ${steps} steps of computing for each echo`);
for (const workers of workerCounts(cores.length - loadCores.length)) await compare(workers);

/** 1, 2, 4 and so on, and as many as there are. */
function* workerCounts(most: number): Generator<number> {
  for (let count = 1; count < most; count *= 2) yield count;
  yield most;
}

async function compare(workers: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const list = cores.slice(0, workers).join();
  const start = async (name: string, count: number): Promise<Visited> => {
    const server = computing(count).find((each) => each.name === name)!;
    const running = await startServer({ ...server, command: await server.prepare() }, work, list);
    stack.use(running.child);
    return { ...running, connections: CONNECTIONS * count, rates: new Map() };
  };
  const pairs: { name: string; one: Visited; all: Visited }[] = [];
  for (const [one, all] of PAIRS) {
    try {
      pairs.push({ name: all, one: await start(one, 1), all: await start(all, workers) });
    } catch (error) {
      say(`Without ${all}: ${error instanceof Error ? error.message : error}`);
    }
  }
  let busiest = 0;
  for (let visit = 0; visit < VISITS; visit++) {
    for (const server of pairs.flatMap(({ one, all }) => [one, all])) {
      const { rate, busy } = await load(server, visit === 0 ? WARM : AGAIN);
      server.rates.set(visit, rate);
      busiest = Math.max(busiest, busy);
    }
  }
  const figures = pairs.map(({ name, one, all }) => {
    const rate = Math.round(median(all.rates.values()) ?? 0).toLocaleString("en");
    return `${name} ${ratio(all.rates, one.rates)?.toFixed(2)} (${rate}/s)`;
  });
  const count = `${workers} worker${workers === 1 ? "" : "s"}`;
  say(`${count}: ${figures.join(", ")}; load ${Math.round(100 * busiest)} % of a core`);
}

/** Puts the load on a server; resolves with its rate, and the share of the busiest generator's core. */
async function load(
  { port, connections }: Visited,
  warm: number,
): Promise<{ rate: number; busy: number }> {
  const plan: LoadPlan = {
    kind: "exchange",
    connections: Math.ceil(connections / loadCores.length),
    request: 64,
    reply: 64,
  };
  const reports = await Promise.all(
    loadCores.map((core) =>
      applyLoad(generator, { port, tls: false }, plan, {
        warm,
        seconds: seconds / VISITS,
        core,
        atRest: () => Promise.resolve(),
      })
    ),
  );
  return {
    rate: reports.reduce((sum, { requests, seconds }) => sum + requests / seconds, 0),
    busy: Math.max(...reports.map(({ busy }) => busy)),
  };
}
