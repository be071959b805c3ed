/** How is the load started and spoken with? @module */

import { compileC } from "./build.ts";
import { Child } from "./children.ts";

export interface LoadPlan {
  /** What each means is said at the head of load.c. */
  readonly kind: "exchange" | "connect" | "hold";
  readonly connections: number;
  readonly request: number;
  readonly reply: number;
  /** Exchanges that travel as one batch; 1 where missing. */
  readonly depth?: number;
  /** Bytes of the second exchange of `hold`. */
  readonly burst?: number;
}

/** The load's last line; latencies in µs. */
export interface LoadReport {
  readonly requests: number;
  readonly seconds: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly least: number;
  readonly most: number;
  readonly errors: number;
  readonly error: string;
  /** The share of one core that the load itself used. */
  readonly busy: number;
}

/** A load generator that is ready to be started. */
export interface Generator {
  readonly command: readonly string[];
  readonly description: string;
}

/** Milliseconds beyond the time asked for, until the load counts as stuck. */
const SPARE = 20_000;

/** The generator in C where it can be had, else the one in TypeScript. */
export async function prepareLoad(wanted: "c" | "deno" | undefined): Promise<Generator> {
  let reason = "as asked";
  if (wanted !== "deno") {
    try {
      return { command: [await compileC("load.c")], description: "load.c" };
    } catch (error) {
      if (wanted === "c" || !(error instanceof Error)) throw error;
      reason = error.message;
    }
  }
  return {
    command: [Deno.execPath(), "run", "--no-config", "-A", "load.ts"],
    description: `load.ts (${reason}): it is the bottleneck, so rates and latencies are its own`,
  };
}

/**
 * Puts one load on a server; rejects when a single exchange failed. At every phase nothing is in
 * flight, and `atRest` is awaited before the load goes on.
 */
export async function applyLoad(
  { command }: Generator,
  port: number,
  plan: LoadPlan,
  { warm, seconds, core }: { warm: number; seconds: number; core: number | undefined },
  atRest: (phase: string) => Promise<void>,
): Promise<LoadReport> {
  const { kind, ...sizes } = plan;
  const options = Object.entries({ ...sizes, warm, seconds })
    .flatMap(([name, value]) => [`--${name}`, String(value)]);
  await using load = new Child([...command, kind, String(port), ...options], core);
  while (true) {
    const word: { at: string } = JSON.parse(await load.line((warm + seconds) * 1000 + SPARE));
    await atRest(word.at);
    if (isReport(word)) {
      if (word.errors === 0) return word;
      throw new Error(`${word.errors} errors, the first: ${word.error}`);
    }
    await load.tell("go on");
  }
}

function isReport(word: { at: string }): word is { at: string } & LoadReport {
  return word.at === "end";
}
