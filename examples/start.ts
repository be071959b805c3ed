/** Starts an example from its command line. @module */

import { parseArgs } from "node:util";
import { isMainThread } from "node:worker_threads";
import {
  formatAddress,
  type ServerControl,
  shutdownOnSignals,
  type ShutdownOnSignalsOptions,
} from "jsr:@usher/server@^0.2.0";

/** How an example is started. */
export interface Example<Flag extends string = never, Option extends string = never> {
  /** The command that starts it, with the permissions that it needs, as in the file's header. */
  readonly command: string;
  /** The port if `--port` is not given; 0 takes any free one. */
  readonly port?: number;
  /** Its required flags, each with a value. */
  readonly flags?: readonly Flag[];
  /** Its optional flags, each with a sample of its value. */
  readonly options?: Readonly<Record<Option, string>>;
}

/** Where to listen, as `--hostname` and `--port` say. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** A started example, with more than a listener. */
export interface Started {
  readonly listening: ServerControl | Deno.Listener;
  /** How to connect to it, if that is not obvious. */
  readonly hint?: string;
  /** How it stops, if it is a server. */
  readonly stop?: ShutdownOnSignalsOptions;
}

/** The values of the required and the optional flags. */
export type Flags<Flag extends string, Option extends string> =
  & Record<Flag, string>
  & Partial<Record<Option, string>>;

/** The result of `begin`. */
type Begun = ServerControl | Deno.Listener | Started;

/**
 * Reads the flags, calls `begin` with them and prints one line, `Listening on tcp://127.0.0.1:7000`,
 * and the hint behind it. A server stops at SIGTERM and Ctrl-C, and the process with it. An
 * error is one sentence on stderr; the exit code is 2 for a wrong command line and 1 for anything
 * else.
 */
export async function start<Flag extends string = never, Option extends string = never>(
  example: Example<Flag, Option>,
  begin: (place: Place, flags: Flags<Flag, Option>) => Begun | Promise<Begun>,
): Promise<void> {
  try {
    const { place, flags } = parse(example);
    const begun: Begun = await begin(place, flags);
    const { listening, hint, stop }: Started = "listening" in begun ? begun : { listening: begun };
    // Before the line that says it listens, after which it may be stopped.
    if ("shutdown" in listening) shutdownOnSignals(listening, stop);
    if (!isMainThread) return; // a worker of a fleet, which says it for all of them
    print(`Listening on ${formatAddress(listening.addr)}`);
    if (hint !== undefined) print(hint);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      fail(`This example needs permissions: ${example.command}`, 1);
    }
    const { message } = error as Error;
    const wronglyCalled = error instanceof TypeError || error instanceof RangeError;
    fail(wronglyCalled ? `${message}\n${usage(example)}` : message, wronglyCalled ? 2 : 1);
  }
}

function parse<Flag extends string, Option extends string>(
  { flags = [], options, port }: Example<Flag, Option>,
) {
  const names = ["hostname", "port", ...flags, ...Object.keys(options ?? {})];
  const known = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  const values = parseArgs({ args: Deno.args, options: known }).values as Record<string, string>;
  const missing = flags.find((name) => values[name] === undefined);
  if (missing !== undefined) throw new TypeError(`The flag --${missing} is missing`);
  return {
    place: {
      hostname: values["hostname"] ?? "127.0.0.1",
      port: values["port"] === undefined ? port ?? 0 : parseNumber("port", values["port"], 65535),
    },
    flags: values as Flags<Flag, Option>,
  };
}

/** Reads the number of a flag. By itself, `Number()` would take "", " 1" and "0x1b58". */
export function parseNumber(flag: string, given: string, most: number): number {
  const number = /^\d{1,9}$/.test(given) ? Number(given) : NaN;
  if (number <= most) return number;
  throw new TypeError(`Cannot use a --${flag} of "${given}": use a whole number from 0 to ${most}`);
}

function usage({ command, port, options = {} }: Example<string, string>): string {
  const own = Object.entries(options).map(([name, value]) => ` [--${name} ${value}]`).join("");
  return `Use: ${command}${own} [--hostname 127.0.0.1] [--port ${port ?? 0}]`;
}

function print(line: string): void {
  // deno-lint-ignore no-console -- the output of the program
  console.log(line);
}

function fail(message: string, code: number): never {
  // deno-lint-ignore no-console -- the output of the program
  console.error(message);
  Deno.exit(code);
}
