/**
 * How does examples/kv.ts do beside a real Redis, under Redis's own benchmark?
 *
 * `deno run -A tests/bench/kv_beside_redis.ts [--rounds N] [--seconds S]`
 *
 * The servers run one after the other, each in a process of its own on one core, `redis-benchmark` on
 * another one. Redis, which keeps nothing on disk either, runs twice in each round: how far it strays
 * from itself is the noise, and a goal missed by no more than that counts as met.
 *
 * Run with `-A`: it starts programs, reads /proc (which Deno grants only with all rights), and opens
 * sockets on the loopback interface alone.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Child, endAll, has } from "./children.ts";
import { machine } from "./machine.ts";
import { snapshot } from "./measure.ts";
import { align, format, formatNoise, formatRatio } from "./report.ts";
import { median, noise, ratio, type Series } from "./statistics.ts";

/** Clients at once. */
const CLIENTS = 50;

/** Commands that a client sends together, and the share of Redis's rate that kv.ts is to reach then. */
const DEPTHS = [{ depth: 1, goal: 0.6 }, { depth: 16, goal: 0.35 }];

/** Tests of redis-benchmark. GET comes behind SET, so that there is something to get. */
const TESTS = ["ping_inline", "ping_mbulk", "set", "get"];

/** Commands of the run before the measured one, for what a compiler does once. */
const WARM = 20_000;

/** Ms until a server that has not said that it listens counts as stuck. */
const START = 15_000;

/** Ms that a run of redis-benchmark may take longer than planned. */
const SPARE = 60_000;

interface Server {
  readonly name: string;
  command(port: number): string[];
  /** What it says when it listens; the port in brackets if it is not the one that it was given. */
  readonly ready: RegExp;
}

const KV: Server = {
  name: "kv.ts",
  command: () => [
    ...[Deno.execPath(), "run", "--allow-net", "--no-remote"],
    ...["../../examples/kv.ts", "--port", "0"],
  ],
  ready: /^Listening on tcp:.*:(\d+)$/,
};

const REDIS: Server = {
  name: "redis",
  command: (port) => [
    ...["redis-server", "--bind", "127.0.0.1", "--port", String(port)],
    ...["--save", "", "--appendonly", "no", "--daemonize", "no"],
  ],
  ready: /Ready to accept connections/,
};

const FIELD: readonly Server[] = [REDIS, KV, { ...REDIS, name: "redis again" }];

/** What one run gives: commands a second, and the server's processor time in µs for each. */
interface Figures {
  readonly rate: number;
  readonly cpu: number | undefined;
}

interface Sample extends Figures {
  readonly server: string;
  readonly test: string;
  readonly depth: number;
  readonly round: number;
}

Deno.exit(await main());

async function main(): Promise<number> {
  const settings = parse();
  if (settings === null) {
    print("Use --rounds with a whole number from 1, and --seconds with a number up to 60");
    return 2;
  }
  for (const program of ["redis-server", "redis-benchmark"]) {
    if (await has(program)) continue;
    print(`Skipped: ${program} is not there (Debian has redis-server and redis-tools)`);
    return 0;
  }
  endChildrenWithThis();

  const { rounds, seconds } = settings;
  const { cores, deno, processor, system } = machine();
  print(`Deno ${deno}, ${system}, ${processor}, ${cores.length} cores`);
  print(`redis-benchmark -c ${CLIENTS}; ${rounds} x about ${seconds} s for each figure\n`);
  const samples: Sample[] = [];
  for (let round = 0; round < rounds; round++) {
    // Every other round backwards, so that nobody is always the first after a pause.
    for (const server of round % 2 === 0 ? FIELD : FIELD.toReversed()) {
      for (const sample of await runAll(server, seconds, cores)) samples.push({ ...sample, round });
    }
  }
  return report(samples) ? 0 : 1;
}

function parse(): { rounds: number; seconds: number } | null {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: "string", default: "5" },
        seconds: { type: "string", default: "1" },
      },
    });
    const rounds = Number(values.rounds);
    const seconds = Number(values.seconds);
    return Number.isInteger(rounds) && rounds > 0 && seconds > 0 && seconds <= 60
      ? { rounds, seconds }
      : null;
  } catch {
    return null;
  }
}

/** Every test at every depth against one server of its own. */
async function runAll(
  server: Server,
  seconds: number,
  [serverCore, loadCore]: readonly number[],
): Promise<Omit<Sample, "round">[]> {
  const given = freePort();
  // On a single core there is nothing to keep apart.
  const core = loadCore === undefined ? undefined : serverCore;
  await using child = new Child(server.command(given), core);
  const port = await portOf(child, server.ready) ?? given;
  const samples = [];
  for (const { depth } of DEPTHS) {
    for (const test of TESTS) {
      const load = (requests: number) => redisBenchmark({ port, test, depth, requests }, loadCore);
      const { rate: expected } = await load(WARM);
      const requests = Math.max(WARM, Math.round(expected * seconds));
      const before = await snapshot(child.pid);
      const { rate } = await load(requests);
      const after = await snapshot(child.pid);
      const cpu = after.cpu === undefined || before.cpu === undefined
        ? undefined
        : (after.cpu - before.cpu) / requests;
      samples.push({ server: server.name, test, depth, rate, cpu });
    }
  }
  return samples;
}

/** Any free port; the server gets it because Redis would take 0 as "none". */
function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return listener.addr.port;
}

/** Waits until a server listens; its port, if it says which. */
async function portOf(child: Child, ready: RegExp): Promise<number | undefined> {
  for (let match = null;;) {
    match = ready.exec(await child.line(START));
    if (match !== null) return match[1] === undefined ? undefined : Number(match[1]);
  }
}

interface Load {
  readonly port: number;
  readonly test: string;
  readonly depth: number;
  readonly requests: number;
}

/** One run of redis-benchmark; rejects when it says something else than its figures. */
async function redisBenchmark(
  { port, test, depth, requests }: Load,
  core: number | undefined,
): Promise<{ rate: number }> {
  await using child = new Child([
    ...["redis-benchmark", "-h", "127.0.0.1", "-p", String(port), "--csv", "-t", test],
    ...["-c", String(CLIENTS), "-P", String(depth), "-n", String(requests)],
  ], core);
  for (;;) {
    const line = await child.line(SPARE);
    // "test","rps","avg_latency_ms",... and below that the figures, all in quotes.
    const [name, rate] = line.split(",").map((word) => word.replaceAll('"', ""));
    if (name === "test") continue;
    if (name?.toLowerCase() !== test || !(Number(rate) > 0)) {
      throw new Error(`redis-benchmark said: ${line}`);
    }
    return { rate: Number(rate) };
  }
}

/** Prints the table; whether every goal was met. */
function report(samples: readonly Sample[]): boolean {
  const rows = [["", "redis/s", "kv.ts/s", "ratio", "goal", "", "noise"]];
  for (const head of ["redis CPU µs", "kv.ts CPU µs", "ratio"]) rows[0]!.push(head);
  let met = true;
  for (const { depth, goal } of DEPTHS) {
    for (const test of TESTS) {
      const of = (server: string, figure: keyof Figures): Series =>
        new Map(
          samples.filter((sample) =>
            sample.server === server && sample.test === test && sample.depth === depth &&
            sample[figure] !== undefined
          ).map((sample) => [sample.round, sample[figure]!]),
        );
      const reached = ratio(of("kv.ts", "rate"), of("redis", "rate")) ?? 0;
      const stray = noise(of("redis again", "rate"), of("redis", "rate")) ?? 0;
      const within = reached >= goal * (1 - stray);
      met &&= within;
      rows.push([
        `${test} -P ${depth}`,
        format(median(of("redis", "rate").values())),
        format(median(of("kv.ts", "rate").values())),
        formatRatio(reached),
        `≥ ${goal}`,
        reached >= goal ? "met" : within ? "met within noise" : "missed",
        formatNoise(stray),
        format(median(of("redis", "cpu").values())),
        format(median(of("kv.ts", "cpu").values())),
        formatRatio(ratio(of("kv.ts", "cpu"), of("redis", "cpu"))),
      ]);
    }
  }
  print(align(rows).join("\n"));
  return met;
}

function endChildrenWithThis(): void {
  addEventListener("unload", endAll);
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, () => Deno.exit(130));
}

function print(text: string): void {
  // deno-lint-ignore no-console -- the output of this program
  console.log(text);
}
