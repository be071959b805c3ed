/** The command line of the bench. @module */

import { parseArgs } from "node:util";
import { type Case, CASES } from "./cases.ts";
import { type Server, servers, takesPart } from "./servers.ts";

/** Of the lists in HELP: where they begin, and how wide they are. */
const INDENT = 20, WIDTH = 80;

export const HELP: string = `deno task bench [options]

  --long            every case and every server that this machine can run, 9 rounds, an hour
                    (else: what matters at each read and write, 1 round, about a minute)
  --case NAME,...   only these cases, win* for all that begin so:${names(CASES)}
  --only NAME,...   only these servers, and the baselines:${names(servers(undefined))}
  --rounds N        rounds; each figure is the median of them
  --seconds S       measured seconds for each case and server
  --count           chunks, copies and allocations for each message, and what idle connections pin
                    5 s later, in a run of its own for the cases that say so
  --v8-flags FLAGS  for every server that Deno runs, such as --max-semi-space-size=1
  --against PATH    the usher of another checkout, too, interleaved, as NAME@before
  --load c|deno     the load generator; default: c where there is a compiler
  --json FILE       every single figure, as JSON
  --write           the results as a page with pictures: RESULTS.md, beside this program
  --help            this

Each server runs in a process of its own on one core, the load on another. The servers of a case are all
started and warmed up, and the load visits them in turn, 0.15 s at a time. Behind each figure stands its
ratio to the case's baseline, in the same round. The baseline runs twice: how far it strays from itself
is the noise, and a goal missed by no more than that counts as met. One round is for a first look.`;

/** The names of all entries, in lines of their own, as wide as the rest of HELP. */
function names(entries: readonly { readonly name: string }[]): string {
  const lines = [""];
  for (const { name } of entries) {
    const line = `${lines.at(-1)} ${name}`;
    if (line.length <= WIDTH) lines[lines.length - 1] = line;
    else lines.push(` ${name}`);
  }
  return lines.map((line) => `\n${" ".repeat(INDENT)}${line.trim()}`).join("");
}

export interface Options {
  readonly cases: readonly Case[];
  readonly servers: readonly Server[];
  readonly rounds: number;
  readonly seconds: number;
  readonly load: "c" | "deno" | undefined;
  readonly json: string | undefined;
  readonly write: boolean;
  readonly count: boolean;
  readonly v8Flags: string | undefined;
}

/** The parsed arguments, or the text to print instead. */
export function parse(args: string[]): Options | string {
  const { values } = readArguments(args);
  if (typeof values === "string") return values;
  if (values.help) return HELP;
  const { load, long, json, write, count, "v8-flags": v8Flags } = values;
  const rounds = Number(values.rounds ?? (long ? 9 : 1));
  const seconds = Number(values.seconds ?? (long ? 0.3 : 0.7));
  if (!Number.isInteger(rounds) || rounds < 1) return "--rounds takes a whole number from 1";
  if (!(seconds > 0 && seconds <= 600)) return "--seconds takes a number up to 600";
  if (load !== undefined && load !== "c" && load !== "deno") return "--load takes c or deno";

  const named = pick("--case", CASES, values.case);
  if (typeof named === "string") return named;
  const cases = named.filter((each) => long || values.case !== undefined || !each.long);
  const all = servers(values.against);
  const wanted = pick("--only", all, values.only);
  if (typeof wanted === "string") return wanted;
  const baselines = new Set(cases.map(({ baseline }) => baseline));
  const chosen = all.filter((server) =>
    cases.some((each) => takesPart(server, each)) &&
    (baselines.has(server.name) ||
      wanted.includes(server) && (values.only !== undefined || long || server.always))
  );
  return { cases, servers: chosen, rounds, seconds, load, json, write, count, v8Flags };
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
        count: { type: "boolean", default: false },
        "v8-flags": { type: "string" },
        json: { type: "string" },
        write: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return {
      values: `${error instanceof Error ? error.message : error}; --help says what there is`,
    };
  }
}

/** The entries named in a comma-separated list, or all; a text if a name is unknown. */
function pick<T extends { readonly name: string }>(
  option: string,
  all: readonly T[],
  list: string | undefined,
): readonly T[] | string {
  if (list === undefined) return all;
  const names = list.split(",");
  const means = (name: string, entry: T) =>
    name.endsWith("*") ? entry.name.startsWith(name.slice(0, -1)) : base(entry.name) === name;
  const unknown = names.find((name) => !all.some((entry) => means(name, entry)));
  if (unknown !== undefined) {
    return `${option}: there is no '${unknown}', but ${all.map(({ name }) => name).join(", ")}`;
  }
  return all.filter((entry) => names.some((name) => means(name, entry)));
}

/** `usher_read@before` is chosen together with `usher_read`. */
function base(name: string): string {
  return name.replace(/@before$/, "");
}
