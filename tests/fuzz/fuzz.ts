/**
 * Fuzzes the decoders from the command line; HELP below says how to use it.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { type Figures, run } from "./run.ts";
import { TRIALS } from "./trials.ts";

const HELP = `deno task fuzz [options]

  --seconds N   how long to run; default: 5
  --count N     how many streams to try, in place of a time
  --only TEXT   tries the kinds whose name contains it
  --seed N      repeats a run; default: a random one
  --help        prints this

Tries PROXY headers, ClientHellos, the binary reader and writer and streams for the codecs,
well-formed and malformed. The first stream that breaks a rule ends the run with its seed, its bytes and the exit
code 1.`;

interface Options {
  readonly seconds: number;
  readonly count: number;
  readonly seed: number;
  readonly only: string;
}

Deno.exit(main());

function main(): number {
  const options = parse(Deno.args);
  if (typeof options === "string") {
    print(options);
    return options === HELP ? 0 : 2;
  }
  const { seconds, count, seed, only } = options;
  print(`Seed ${seed}`);
  const begin = performance.now();
  const continues = (done: number) =>
    count > 0 ? done < count : performance.now() - begin < seconds * 1000;
  let figures;
  try {
    figures = run(seed, continues, only);
  } catch (error) {
    print(error instanceof Error ? error.stack ?? error.message : String(error));
    return 1;
  }
  print(table(figures));
  const total = [...figures.values()].reduce((sum, { count }) => sum + count, 0);
  print(`${total} streams in ${((performance.now() - begin) / 1000).toFixed(1)} s: no rule broken`);
  return 0;
}

/** The mean time of each kind. */
function table(figures: Map<string, Figures>): string {
  const rows = [...figures].filter(([, { count }]) => count > 0).map(([kind, { count, time }]) =>
    [kind, `${count}`, `${(time * 1000 / count).toFixed(1)} µs`] as const
  );
  return [["kind", "streams", "mean time"] as const, ...rows].map(([kind, count, time]) =>
    kind.padEnd(32) + count.padStart(9) + time.padStart(12)
  ).join("\n");
}

/** The options, or what to print where they are wrong. */
function parse(args: string[]): Options | string {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        seconds: { type: "string", default: "5" },
        count: { type: "string", default: "0" },
        seed: { type: "string" },
        only: { type: "string", default: "" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return `${error instanceof Error ? error.message : error}\n\n${HELP}`;
  }
  if (values.help) return HELP;
  const seed = values.seed ?? `${Math.floor(Math.random() * 2 ** 32)}`;
  const [seconds, count] = [Number(values.seconds), Number(values.count)];
  if (!(seconds > 0)) return `Cannot fuzz with --seconds ${values.seconds}: use a number above 0`;
  if (!Number.isInteger(count) || count < 0) {
    return `Cannot fuzz with --count ${values.count}: use a whole number above 0`;
  }
  if (!/^\d+$/.test(seed)) return `Cannot fuzz with --seed ${seed}: use a whole number`;
  const { only } = values;
  if (!Object.keys(TRIALS).some((kind) => kind.includes(only))) {
    return `Cannot fuzz with --only ${only}: use a part of ${Object.keys(TRIALS).join(", ")}`;
  }
  return { seconds, count, seed: Number(seed), only };
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}
