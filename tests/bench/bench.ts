/**
 * How fast is usher, measured against the plain loop in the same minute? Arguments and flow; HELP below
 * says how it is used.
 *
 * Run with `-A`: it starts programs, reads /proc (which Deno grants only with all rights), and opens
 * sockets on the loopback interface alone.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Case, CASES } from "./cases.ts";
import { endAll } from "./children.ts";
import { GOALS } from "./goals.ts";
import { prepareLoad } from "./load_process.ts";
import { machine } from "./machine.ts";
import { failureList, goalTable, table } from "./report.ts";
import { again, Results } from "./results.ts";
import { runOnce, type RunSettings } from "./run.ts";
import { type PreparedServer, type Server, servers } from "./servers.ts";

const HELP = `deno task bench [options]

  --long            every server that this machine can run, 9 rounds, about half an hour
                    (else: usher and what it is compared with, 1 round, about a minute)
  --case NAME,...   only these cases: ${CASES.map(({ name }) => name).join(" ")}
  --only NAME,...   only these servers, and the baselines: ${
  servers(undefined).map(({ name }) => name).join(" ")
}
  --rounds N        rounds; each figure is the median of them
  --seconds S       measured seconds for each case and server
  --against PATH    the usher of another checkout, too, interleaved, as NAME@before
  --load c|deno     the load generator; default: c where there is a compiler
  --json FILE       every single figure, as JSON
  --help            this

Each server runs in a process of its own on one core, the load on another. Behind each figure stands
its ratio to the case's baseline, in the same round. The baseline runs twice: how far it strays from
itself is the noise, and a goal missed by no more than that counts as met. One round is for a first look.`;

interface Options {
  readonly cases: readonly Case[];
  readonly servers: readonly Server[];
  readonly rounds: number;
  readonly seconds: number;
  readonly load: "c" | "deno" | undefined;
  readonly json: string | undefined;
}

/** Aborted by the first signal: what has been measured is still reported. The second one exits. */
const interrupt = new AbortController();

Deno.exit(await main());

async function main(): Promise<number> {
  const options = parse(Deno.args);
  if (typeof options === "string") {
    print(options);
    return options === HELP ? 0 : 2;
  }
  endChildrenWithThis();
  const about = machine();
  const generator = await prepareLoad(options.load);
  const prepared = await prepareAll(options.servers);
  const [first, second] = about.cores;
  const settings: RunSettings = {
    generator,
    seconds: options.seconds,
    warm: Math.min(0.5, options.seconds * 0.4),
    // On a single core there is nothing to keep apart.
    serverCore: second === undefined ? undefined : first,
    loadCore: second,
  };
  print(
    `Deno ${about.deno}, ${about.system}, ${about.processor}, ${about.cores.length} cores\n` +
      `Load: ${generator.description}; ${options.rounds} x ${options.seconds} s per case and server\n`,
  );

  const results = await measure(options, prepared, settings);
  const measured = options.cases.filter(({ name }) => results.serversOf(name).size > 0);
  for (const benchCase of measured) print(table(benchCase, results) + "\n");
  const names = options.servers.map(({ name }) => name);
  const judgements = results.judge(
    GOALS.filter(({ server, against }) => names.includes(server) && names.includes(against)),
    measured,
  );
  if (judgements.length > 0) print(goalTable(judgements));
  if (results.failures.length > 0) print("\n" + failureList(results.failures));
  if (options.json !== undefined) {
    const { samples, failures } = results;
    const { rounds, seconds } = options;
    const load = generator.description;
    const all = { machine: about, load, rounds, seconds, samples, failures, judgements };
    await Deno.writeTextFile(options.json, JSON.stringify(all, null, 2) + "\n");
  }
  if (interrupt.signal.aborted) return 130;
  return results.failures.length > 0 ? 1 : 0;
}

/** What was asked for, or the text to print instead. */
function parse(args: string[]): Options | string {
  const { values } = readArguments(args);
  if (typeof values === "string") return values;
  if (values.help) return HELP;
  const { load, long } = values;
  const rounds = Number(values.rounds ?? (long ? 9 : 1));
  const seconds = Number(values.seconds ?? (long ? 1 : 0.7));
  if (!Number.isInteger(rounds) || rounds < 1) return "--rounds takes a whole number from 1";
  if (!(seconds > 0 && seconds <= 600)) return "--seconds takes a number up to 600";
  if (load !== undefined && load !== "c" && load !== "deno") return "--load takes c or deno";

  const cases = pick("--case", CASES, values.case);
  if (typeof cases === "string") return cases;
  const all = servers(values.against);
  const named = pick("--only", all, values.only);
  if (typeof named === "string") return named;
  const baselines = new Set(CASES.map(({ baseline }) => baseline));
  const chosen = all.filter((server) =>
    baselines.has(server.name) || named.includes(server) &&
      (values.only !== undefined || long || server.always)
  );
  return { cases, servers: chosen, rounds, seconds, load, json: values.json };
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        long: { type: "boolean", default: false },
        case: { type: "string" },
        only: { type: "string" },
        rounds: { type: "string" },
        seconds: { type: "string" },
        against: { type: "string" },
        load: { type: "string" },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return {
      values: `${error instanceof Error ? error.message : error}; --help says what there is`,
    };
  }
}

/** The entries whose names are in a list with commas, all without one; a text names the unknown. */
function pick<T extends { readonly name: string }>(
  option: string,
  all: readonly T[],
  list: string | undefined,
): readonly T[] | string {
  if (list === undefined) return all;
  const names = list.split(",");
  const unknown = names.find((name) => !all.some((entry) => base(entry.name) === name));
  if (unknown !== undefined) {
    return `${option}: there is no '${unknown}', but ${all.map(({ name }) => name).join(", ")}`;
  }
  return all.filter(({ name }) => names.includes(base(name)));
}

/** `usher_read@before` is chosen together with `usher_read`. */
function base(name: string): string {
  return name.replace(/@before$/, "");
}

async function prepareAll(chosen: readonly Server[]): Promise<PreparedServer[]> {
  const prepared: PreparedServer[] = [];
  for (const server of chosen) {
    try {
      prepared.push({ ...server, command: await server.prepare() });
    } catch (error) {
      print(`Without ${server.name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return prepared;
}

async function measure(
  { cases, rounds }: Options,
  prepared: readonly PreparedServer[],
  settings: RunSettings,
): Promise<Results> {
  const results = new Results();
  for (let round = 0; round < rounds; round++) {
    for (const benchCase of cases) {
      const field = fieldOf(benchCase, prepared);
      // Every other round backwards, so that nobody is always the first after a pause.
      for (const server of round % 2 === 0 ? field : field.toReversed()) {
        if (interrupt.signal.aborted) return results;
        const where = { case: benchCase.name, round, server: server.name };
        progress(`round ${round + 1} of ${rounds}: ${where.case}, ${where.server}`);
        try {
          results.samples.push({ ...where, ...await runOnce(server, benchCase, settings) });
        } catch (error) {
          if (interrupt.signal.aborted) return results;
          const reason = error instanceof Error ? error.message : String(error);
          results.failures.push({ ...where, reason });
        }
      }
    }
  }
  progress("");
  return results;
}

/** Who takes part in a case: the baseline first and last, as far apart as equals can be in a round. */
function fieldOf({ mode, baseline }: Case, prepared: readonly PreparedServer[]): PreparedServer[] {
  const able = prepared.filter(({ modes }) => modes.includes(mode));
  const first = able.filter(({ name }) => name === baseline);
  const others = able.filter(({ name }) => name !== baseline);
  return [...first, ...others, ...first.map((it) => ({ ...it, name: again(it.name) }))];
}

function endChildrenWithThis(): void {
  addEventListener("unload", endAll);
  const signals: Deno.Signal[] = Deno.build.os === "windows"
    ? ["SIGINT"]
    : ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) {
    Deno.addSignalListener(signal, () => {
      if (interrupt.signal.aborted) Deno.exit(130);
      interrupt.abort();
      endAll();
    });
  }
}

/** On a terminal, one line that is written over and over. */
function progress(text: string): void {
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
}

function print(text: string): void {
  // deno-lint-ignore no-console -- the output of this program
  console.log(text);
}
