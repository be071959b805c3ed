/**
 * Shows whether the server endures: arguments and output. HELP below explains how to use it.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { soak, type Soaked } from "./run.ts";

const HELP = `deno task soak [options]

  --seconds N   how long; default: 60. Memory is judged from 600 on.
  --seed N      repeats a run, as far as chance goes; default: another one each time
  --help        this

Clients of every kind, good and bad, come by TCP, Unix socket, PROXY protocol and TLS to
servers that pause, change their limits, run out of descriptors, and are stopped and started again at the
same addresses. The exit code is 1 if anything does not add up in the end.`;

Deno.exit(await main());

async function main(): Promise<number> {
  const options = parse(Deno.args);
  if (typeof options === "string") {
    print(options);
    return options === HELP ? 0 : 2;
  }
  const { seconds, seed } = options;
  print(`Seed ${seed}`);
  const { figures, ended, stops, wrong, verdict } = await soak(seconds, seed, print);
  print(table("What happened", figures));
  print(table("How connections ended", ended));
  print(table("How servers were stopped", stops));
  for (const { met, words } of verdict) print(`${word(met)}: ${words}`);
  print(wrong.length === 0 ? "Everything adds up." : `Does not add up:\n  ${wrong.join("\n  ")}`);
  return wrong.length === 0 && verdict.every(({ met }) => met !== false) ? 0 : 1;
}

/** The verdict on a criterion. */
function word(met: boolean | undefined): string {
  return met === undefined ? "too short to tell" : met ? "met" : "MISSED";
}

function table(title: string, counts: Soaked["figures"]): string {
  const rows = Object.entries(counts).map(([name, count]) => [name, count.toLocaleString("en")]);
  return [`\n${title}`, ...rows.map(([name = "", count = ""]) => `  ${name.padEnd(42)}${count}`)]
    .join("\n");
}

/** The options, or what to print if they are wrong. */
function parse(args: string[]): { seconds: number; seed: number } | string {
  let values;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        seconds: { type: "string", default: "60" },
        seed: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    return `${error instanceof Error ? error.message : error}\n\n${HELP}`;
  }
  if (values.help) return HELP;
  const seed = values.seed ?? `${Math.floor(Math.random() * 2 ** 32)}`;
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) return `Cannot soak with --seconds ${values.seconds}: use a number above 0`;
  if (!/^\d+$/.test(seed)) return `Cannot soak with --seed ${seed}: use a whole number`;
  return { seconds, seed: Number(seed) };
}

function print(text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  for (let sent = 0; sent < bytes.length;) sent += Deno.stdout.writeSync(bytes.subarray(sent));
}
