/**
 * Measures usher against the plain loop in the same minute. `--help` explains its options.
 *
 * Run with `-A`: it starts programs, reads /proc (which Deno grants only with all rights), and opens
 * sockets only on the loopback interface.
 *
 * @module
 */

import { HELP, type Options, parse } from "./arguments.ts";
import { writeCertificate } from "./build.ts";
import { type Case, isTls } from "./cases.ts";
import { endAll } from "./children.ts";
import { GOALS } from "./goals.ts";
import { type Generator, prepareLoad } from "./load_process.ts";
import { machine } from "./machine.ts";
import { failureList, goalTable, table } from "./report.ts";
import { again, Results } from "./results.ts";
import { countOnce, run, type RunSettings, takesRounds } from "./run.ts";
import { type PreparedServer, type Server, takesPart } from "./servers.ts";
import { Turns } from "./turns.ts";
import { writeResults } from "./write.ts";

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
  await writeCertificate();
  const generator = await prepareLoad(options.load);
  const prepared = await prepareAll(options.servers);
  const cases = possible(options.cases, generator, prepared);
  const [first, second] = about.cores;
  const { rounds, seconds, v8Flags } = options;
  const settings: RunSettings = {
    generator,
    seconds,
    warm: Math.min(1.5, 5 * seconds),
    // On a single core there is nothing to keep apart.
    serverCore: second === undefined ? undefined : first,
    loadCore: second,
    v8Flags,
  };
  const conditions =
    `Load: ${generator.description}; ${rounds} x ${seconds} s per case and server` +
    (v8Flags === undefined ? "" : `; Deno with --v8-flags=${v8Flags}`);
  print(
    `Deno ${about.deno}, ${about.system}, ${about.processor}, ${about.cores.length} cores\n` +
      `${conditions}\n`,
  );

  const results = await measure(cases, options, prepared, settings);
  const measured = cases.filter(({ name }) => results.serversOf(name).size > 0);
  for (const benchCase of measured) print(table(benchCase, results) + "\n");
  const names = options.servers.map(({ name }) => name);
  const judgements = results.judge(
    GOALS.filter(({ server, against = server }) =>
      names.includes(server) && names.includes(against)
    ),
    measured,
  );
  if (judgements.length > 0) print(goalTable(judgements));
  if (results.failures.length > 0) print("\n" + failureList(results.failures));
  if (options.json !== undefined) {
    const { samples, failures } = results;
    const load = generator.description;
    const all = { machine: about, load, rounds, seconds, samples, failures, judgements };
    await Deno.writeTextFile(options.json, JSON.stringify(all, null, 2) + "\n");
  }
  if (options.write && !interrupt.signal.aborted) {
    await writeResults(
      { machine: about, conditions, cases: measured, results, judgements },
      Deno.args,
    );
  }
  if (interrupt.signal.aborted) return 130;
  return results.failures.length > 0 ? 1 : 0;
}

/** The cases that this machine can measure; the others are named, with the reason. */
function possible(
  cases: readonly Case[],
  { withoutTls }: Generator,
  prepared: readonly PreparedServer[],
): readonly Case[] {
  const lacking = ({ mode, load, baseline }: Case) => {
    if (!prepared.some(({ name }) => name === baseline)) {
      return `there is no ${baseline} to compare with`;
    }
    // The start of a server is measured by this program itself.
    return isTls(mode) && load.kind !== "start" ? withoutTls : undefined;
  };
  for (const [reason, without] of Map.groupBy(cases, lacking)) {
    if (reason !== undefined) print(`Without ${listed(without)}: ${reason}`);
  }
  return cases.filter((each) => lacking(each) === undefined);
}

function listed(entries: readonly { readonly name: string }[]): string {
  return entries.map(({ name }) => name).join(", ");
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
  cases: readonly Case[],
  { rounds: all, count }: Options,
  prepared: readonly PreparedServer[],
  settings: RunSettings,
): Promise<Results> {
  const results = new Results();
  for (const benchCase of cases) {
    const field = fieldOf(benchCase, prepared);
    const rounds = Math.min(all, benchCase.rounds ?? all) * (benchCase.repeats ?? 1);
    // Counts do not vary: once is enough.
    const counting = count && benchCase.counted === true;
    if (takesRounds(benchCase)) {
      progress(`${benchCase.name}: ${field.map(({ name }) => name).join(", ")}`);
      const each = Math.ceil(rounds / (benchCase.processes ?? 1));
      for (let first = 0; first < rounds && !interrupt.signal.aborted; first += each) {
        const these = { ...settings, rounds: Math.min(each, rounds - first) };
        const counts = counting && first === 0;
        await measureTogether(benchCase, first, field, these, results, counts);
      }
      continue;
    }
    for (let round = 0; round < rounds && !interrupt.signal.aborted; round++) {
      progress(`${benchCase.name}: round ${round + 1} of ${rounds}`);
      // Every other round backwards, so that none is always the first after a pause.
      const order = round % 2 === 0 ? field : field.toReversed();
      await measureTogether(benchCase, round, order, settings, results, counting && round === 0);
    }
  }
  progress("");
  return results;
}

/** Every server of a case is started once, and the loads take turns. `first` is the first round. */
async function measureTogether(
  benchCase: Case,
  first: number,
  field: readonly PreparedServer[],
  settings: RunSettings,
  results: Results,
  counting: boolean,
): Promise<void> {
  const turns = new Turns();
  await Promise.all(field.map(async (server) => {
    const where = { case: benchCase.name, server: server.name };
    await turns.take();
    try {
      if (interrupt.signal.aborted) return;
      const outcomes = await run(server, benchCase, settings, turns);
      const counted = counting && server.counts
        ? (await countOnce(server, benchCase, { ...settings, rounds: 1 })).figures
        : {};
      for (const [i, { figures, busy }] of outcomes.entries()) {
        const all = i === 0 ? { ...figures, ...counted } : figures;
        results.samples.push({ ...where, round: first + i, figures: all, busy });
      }
    } catch (error) {
      if (interrupt.signal.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      results.failures.push({ ...where, round: first, reason });
    } finally {
      turns.pass();
    }
  }));
}

/** The servers of a case: the baseline first and last, as far apart as possible within a round. */
function fieldOf(benchCase: Case, prepared: readonly PreparedServer[]): PreparedServer[] {
  const { baseline } = benchCase;
  const able = prepared.filter((server) => takesPart(server, benchCase));
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

/** On a terminal, one line that is overwritten again and again. */
function progress(text: string): void {
  if (Deno.stderr.isTerminal()) Deno.stderr.writeSync(new TextEncoder().encode(`\r\x1b[K${text}`));
}

function print(text: string): void {
  // deno-lint-ignore no-console -- the output of this program
  console.log(text);
}
