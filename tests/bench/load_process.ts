/** Starts the load and talks to it. @module */

import { compileC } from "./build.ts";
import { Child } from "./children.ts";

/** The options of the load; each kind is explained at the head of load.c. */
export interface LoadPlan {
  readonly kind: "exchange" | "stream" | "connect" | "hold";
  readonly connections: number;
  readonly request: number;
  readonly reply: number;
  /** Exchanges that travel as one batch; 1 where missing. */
  readonly depth?: number;
  /** Bytes of each exchange of `hold` after the first. */
  readonly burst?: number;
  /** How many of them; 1 where missing. */
  readonly times?: number;
  /** Bytes that a stream keeps unanswered at most. */
  readonly window?: number;
  /** Whether the server's FIN comes first in `connect`; the mode is then `once`. */
  readonly serverCloses?: true;
  /** Whether each request begins with the number of the bytes after it, in four bytes. */
  readonly prefix?: true;
  /** Seconds of silence before memory is read. */
  readonly rest?: number;
}

/** The report of every kind of load; latencies in µs. */
export interface LoadReport {
  readonly requests: number;
  readonly seconds: number;
  /** The share of one core that the load itself used, if known. */
  readonly busy: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly p999?: number;
  readonly least?: number;
  readonly most?: number;
}

/** A load generator that is ready to be started. */
export interface Generator {
  readonly command: readonly string[];
  readonly description: string;
  /** Why it cannot speak TLS; `undefined` when it can. */
  readonly withoutTls: string | undefined;
}

/** Milliseconds beyond the requested time until the load counts as stuck. */
const SPARE = 40_000;

/** The generator in C where it can be had, else the one in TypeScript. */
export async function prepareLoad(wanted: "c" | "deno" | undefined): Promise<Generator> {
  let reason = "as asked";
  if (wanted !== "deno") {
    try {
      return await generatorInC();
    } catch (error) {
      if (wanted === "c" || !(error instanceof Error)) throw error;
      reason = error.message;
    }
  }
  return {
    command: [Deno.execPath(), "run", "--no-config", "-A", "load.ts"],
    description: `load.ts (${reason}): it is the bottleneck, so rates and latencies are its own`,
    withoutTls: undefined,
  };
}

async function generatorInC(): Promise<Generator> {
  try {
    const command = [await compileC("load.c", "-DWITH_TLS", "-lssl", "-lcrypto")];
    return { command, description: "load.c", withoutTls: undefined };
  } catch {
    const command = [await compileC("load.c")];
    const withoutTls = "load.c needs OpenSSL and its headers for it (Debian has libssl-dev)";
    return { command, description: "load.c without TLS", withoutTls };
  }
}

/** The phases of one run of a load, of any kind. */
export interface LoadSettings {
  readonly warm: number;
  readonly seconds: number;
  /** Measurements, each of so many seconds; 1 where missing. */
  readonly rounds?: number;
  /** Parts of the seconds of a round, each of them behind a phase "turn"; 1 where missing. */
  readonly slices?: number;
  readonly core: number | undefined;
  /** Awaited at every phase, while nothing is in flight, with the report where a round is over. */
  atRest(phase: string, report?: LoadReport): Promise<void>;
}

/** Puts one load on a server, and resolves with its last report; rejects when an exchange failed. */
export async function applyLoad(
  { command }: Generator,
  { port, through = 0, tls }: { port: number; through?: number; tls: boolean },
  { kind, serverCloses, prefix, ...sizes }: LoadPlan,
  { warm, seconds, rounds = 1, slices = 1, core, atRest }: LoadSettings,
): Promise<LoadReport> {
  const options = Object.entries({
    ...sizes,
    "server-closes": serverCloses ? 1 : 0,
    prefix: prefix ? 1 : 0,
    through,
    warm,
    seconds,
    rounds,
    slices,
    tls: tls ? 1 : 0,
  }).flatMap(([name, value]) => [`--${name}`, String(value)]);
  await using load = new Child([...command, kind, String(port), ...options], core);
  const limit = (warm + seconds + (sizes.rest ?? 0)) * 1000 + SPARE;
  while (true) {
    const word: Word | Report = JSON.parse(await load.line(limit));
    const report = "requests" in word ? word : undefined;
    if (report !== undefined && report.errors > 0) {
      throw new Error(`${report.errors} errors, the first: ${report.error}`);
    }
    await atRest(word.at, report);
    if (report?.at === "end") return report;
    await load.tell("go on");
  }
}

interface Word {
  readonly at: string;
}

interface Report extends Word, LoadReport {
  readonly errors: number;
  readonly error: string;
}
