/**
 * Measures how many times the rate of one thread a fleet reaches as it gets more cores, beside Node's
 * cluster and Go: echoes behind some computing. `N` workers may run on the first `N` cores, and the load
 * runs on the last quarter of them. The servers take turns, so that slow moments of the machine fall on all.
 *
 *     deno run -A tests/bench/scaling.ts [steps=75000] [seconds=2.5]
 *
 * @module
 */

import { compileGo } from "./build.ts";
import { Child } from "./children.ts";
import { applyLoad, type LoadPlan, prepareLoad } from "./load_process.ts";
import { machine } from "./machine.ts";
import { median, ratio } from "./statistics.ts";

/** Visits of the load to each server, with a part of the seconds each. */
const VISITS = 5;

/** Connections for each worker. */
const CONNECTIONS = 16;

/** Seconds of load before the first visit counts, and before each of the others. */
const WARM = 1.5, AGAIN = 0.1;

/** Milliseconds within which a server must listen. */
const START = 30_000;

/** What is compared: how it is started, with a number of workers. */
interface Contestant {
  readonly name: string;
  /** Workers of the one that its rate is a multiple of. */
  readonly one: number;
  command(workers: number): string[];
}

interface Running {
  readonly child: Child;
  readonly port: number;
  readonly rates: Map<number, number>;
}

const [steps = 75_000, seconds = 2.5] = Deno.args.map(Number);
const { cores, processor } = machine();
const loadCores = cores.slice(-Math.max(1, cores.length >> 2));
const generator = await prepareLoad("c");
const contestants = await findContestants();

print(`${processor}, ${cores.length} cores; ${steps} steps of computing for each echo`);
for (const workers of workerCounts(cores.length - loadCores.length)) await compare(workers);

/** 1, 2, 4 and so on, and as many as there are. */
function* workerCounts(most: number): Generator<number> {
  for (let count = 1; count < most; count *= 2) yield count;
  yield most;
}

async function findContestants(): Promise<Contestant[]> {
  const found: Contestant[] = [{
    name: "usher",
    one: 0,
    command: (
      workers,
    ) => [Deno.execPath(), "run", "-A", "servers/fleet_work.ts", `${steps}`, `${workers}`],
  }, {
    name: "node:cluster",
    one: 1,
    command: (workers) => ["node", "servers/cluster_work.mjs", `${steps}`, `${workers}`],
  }];
  try {
    const program = await compileGo("servers/work.go");
    found.push({
      name: "Go",
      one: 1,
      command: (workers) => [program, `${steps}`, `${workers}`],
    });
  } catch (error) {
    print(`Go is left out: ${error instanceof Error ? error.message : error}`);
  }
  return found;
}

async function compare(workers: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const list = cores.slice(0, workers).join();
  const start = async (command: string[]): Promise<Running> => {
    const child = stack.use(new Child(command, list));
    const port = Number(/^ready (\d+)$/.exec(await child.line(START))?.[1]);
    return { child, port, rates: new Map() };
  };
  const pairs: { name: string; one: Running; all: Running }[] = [];
  for (const { name, one, command } of contestants) {
    pairs.push({ name, one: await start(command(one)), all: await start(command(workers)) });
  }
  let busiest = 0;
  for (let visit = 0; visit < VISITS; visit++) {
    for (const { one, all } of pairs) {
      for (const server of [one, all]) {
        const connections = CONNECTIONS * (server === one ? 1 : workers);
        const warm = visit === 0 ? WARM : AGAIN;
        const { rate, busy } = await load(server.port, connections, warm);
        server.rates.set(visit, rate);
        busiest = Math.max(busiest, busy);
      }
    }
  }
  const figures = pairs.map(({ name, one, all }) => {
    const rate = Math.round(median(all.rates.values()) ?? 0).toLocaleString("en");
    return `${name} ${ratio(all.rates, one.rates)?.toFixed(2)} (${rate}/s)`;
  });
  const count = `${workers} worker${workers === 1 ? "" : "s"}`;
  print(`${count}: ${figures.join(", ")}; load ${Math.round(100 * busiest)} % of a core`);
}

/** Puts the load on a server; resolves with its rate, and the share of the busiest generator's core. */
async function load(
  port: number,
  connections: number,
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

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(line + "\n"));
}
