/** One measurement: a server and a load, each of its own. @module */

import { type Case, isTls } from "./cases.ts";
import { Child } from "./children.ts";
import { askCount, type Count, COUNTING } from "./counting.ts";
import type { FigureName, Measurement } from "./figures.ts";
import { fanOut } from "./fan_out.ts";
import { awaitFirstAnswer } from "./first_answer.ts";
import { sendItems } from "./keeping.ts";
import { applyLoad, type Generator, type LoadReport, type LoadSettings } from "./load_process.ts";
import { type Snapshot, snapshot } from "./measure.ts";
import { applyRedisBenchmark } from "./redis_benchmark.ts";
import { compileC } from "./build.ts";
import type { Turns } from "./turns.ts";
import { type PreparedServer, type Running, startServer } from "./servers.ts";
import { stopServer } from "./stopping.ts";

export interface RunSettings {
  readonly generator: Generator;
  readonly warm: number;
  readonly seconds: number;
  readonly serverCore: number | undefined;
  readonly loadCore: number | undefined;
  /** V8's flags in every server that Deno runs. */
  readonly v8Flags: string | undefined;
  /** In one process; 1 where missing. */
  readonly rounds?: number;
  /** Parts of the seconds of each, between which others have their turns. */
  readonly slices?: number;
}

/** Milliseconds until the backend of a proxy listens. */
const BACKEND = 5000;

/** Seconds of silence before the memory of idle connections is read. */
const IDLE = 5;

/**
 * Seconds of one slice: a machine that others use as well is slow and fast for parts of a second, and the
 * ratio of two neighbouring slices stays the same.
 */
const SLICE = 0.15;

export interface Outcome {
  readonly figures: Partial<Record<FigureName, number>>;
  /** The share of a core that the load itself used. */
  readonly busy: number;
}

/**
 * Runs a server and a load for some rounds, with an outcome each, and ends both; rejects when anything went
 * wrong. Between the slices of the load it lets the others have their turns.
 */
export async function run(
  server: PreparedServer,
  benchCase: Case,
  settings: RunSettings,
  turns: Turns,
): Promise<Outcome[]> {
  // What a handler keeps is only counted.
  if (benchCase.load.kind === "keep") return [await countOnce(server, benchCase, settings)];
  const { v8Flags } = settings;
  const { connections } = benchCase.load;
  const flags = v8Flags === undefined ? [] : [`--v8-flags=${v8Flags}`];
  const core = coreOf(benchCase, settings.serverCore);
  const running = await startServer(server, benchCase, core, flags);
  const { child } = running;
  await using _server = child;
  const outcomes: Outcome[] = [];
  const snapshots = new Map<string, Snapshot>();
  let cpu: number | undefined, begun: Snapshot | undefined;
  const endRound = (report: LoadReport) => {
    const figures = figuresOf(benchCase, { report, cpu, snapshots, connections });
    outcomes.push({ figures, busy: report.busy });
    cpu = undefined;
  };
  const slices = Math.max(1, Math.round((benchCase.longer ?? 1) * settings.seconds / SLICE));
  const last = await load(running, benchCase, { ...settings, slices }, async (phase, report) => {
    const now = await snapshot(child.pid);
    snapshots.set(phase, now);
    if (begun?.cpu !== undefined && now.cpu !== undefined) cpu = (cpu ?? 0) + now.cpu - begun.cpu;
    begun = phase === "warm" ? now : undefined;
    if (phase === "turn") await turns.yield();
    if (phase === "round" && report !== undefined) endRound(report);
  }).catch((error: Error) => {
    throw new Error(error.message + (child.complaint && `; the server said: ${child.complaint}`));
  });
  endRound(last);
  return outcomes;
}

/** The same with a server that counts, which slows it down: its times are meaningless. */
export async function countOnce(
  server: PreparedServer,
  benchCase: Case,
  settings: RunSettings,
): Promise<Outcome> {
  const running = await startServer(server, benchCase, settings.serverCore, COUNTING);
  const { child } = running;
  await using _server = child;
  const counts = new Map<string, Count>([["start", await askCount(child)]]);
  const plan = benchCase.load.kind === "exchange" || benchCase.load.kind === "stream"
    ? { ...benchCase, load: { ...benchCase.load, rest: IDLE } }
    : benchCase;
  const report = await load(running, plan, settings, async (phase) => {
    counts.set(phase, await askCount(child));
  }).catch((error: Error) => {
    throw new Error(error.message + (child.complaint && `; the server said: ${child.complaint}`));
  });
  const { connections } = benchCase.load;
  const snapshots = new Map<string, Snapshot>();
  const all = figuresOf(benchCase, { report, cpu: undefined, snapshots, connections, counts });
  const figures: Outcome["figures"] = {};
  for (const name of COUNTED) if (all[name] !== undefined) figures[name] = all[name];
  return { figures, busy: report.busy };
}

function coreOf({ onAllCores }: Case, core: number | undefined): number | undefined {
  return onAllCores ? undefined : core;
}

/**
 * Whether a load can measure several rounds in one process, so that they are those of a server whose code is
 * compiled and whose memory has settled.
 */
export function takesRounds({ load: { kind } }: Case): boolean {
  return kind === "exchange" || kind === "stream" || kind === "connect";
}

/** The counts; the other figures of such a run are worthless. */
const COUNTED: readonly FigureName[] = ["chunks", "copied", "allocated", "pinned", "kept"];

async function load(
  running: Running,
  benchCase: Case,
  { generator, warm, seconds, rounds = 1, slices = 1, loadCore }: RunSettings,
  atRest: LoadSettings["atRest"],
): Promise<LoadReport> {
  const { load: plan, mode, bytes = 0, longer = 1 } = benchCase;
  const settings = {
    warm,
    seconds: longer * seconds,
    rounds,
    slices,
    core: coreOf(benchCase, loadCore),
    atRest,
  };
  const tls = isTls(mode);
  switch (plan.kind) {
    case "start":
      return await awaitFirstAnswer(running, tls, settings);
    case "stop":
      return await stopServer(running, plan, settings);
    case "keep":
      return await sendItems(running, plan, settings);
    case "fan_out":
      return await fanOut(running.port, plan, settings);
    case "redis":
      return await applyRedisBenchmark(running.port, plan, settings);
    default: {
      if (mode !== "socks") {
        return await applyLoad(generator, { port: running.port, tls }, plan, settings);
      }
      // The backend of the proxy runs on the load's core.
      const command = [await compileC("servers/epoll.c"), "send", String(bytes)];
      await using beyond = new Child(command, loadCore);
      const port = Number(/^ready (\d+)$/.exec(await beyond.line(BACKEND))?.[1]);
      return await applyLoad(generator, { port, through: running.port, tls }, plan, settings);
    }
  }
}

function figuresOf(benchCase: Case, measurement: Measurement): Outcome["figures"] {
  const figures: Outcome["figures"] = {};
  for (const { name, of } of benchCase.figures) {
    const value = of(measurement);
    if (value !== undefined && Number.isFinite(value)) figures[name] = value;
  }
  return figures;
}
