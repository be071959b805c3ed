/** Starts an example from its command line. @module */

import { parseArgs } from "node:util";
import { formatAddress } from "@usher/server";

/** What an example is started with. */
export interface Example<Flag extends string = never> {
  /** The command that starts it, with the permissions that it needs; its first comment says the same. */
  readonly command: string;
  /** The port where `--port` is not given; 0 takes any free one. */
  readonly port?: number;
  /** Flags of its own, all of which must be given, each with a value. */
  readonly flags?: readonly Flag[];
}

/** Where to listen, as `--hostname` and `--port` say. */
export interface Place {
  readonly hostname: string;
  readonly port: number;
}

/** What listens then: a listener, or a server that also tells when it is over. */
export interface Listening {
  readonly addr: Deno.Addr;
  readonly finished?: Promise<void>;
}

/**
 * Reads the flags, calls `begin` with them and prints one line, `Listening on tcp://127.0.0.1:7000`.
 * What goes wrong is said in a sentence on stderr; the exit code is 2 for a wrong command line and 1
 * for all else.
 */
export async function start<Flag extends string = never>(
  example: Example<Flag>,
  begin: (place: Place, flags: Record<Flag, string>) => Listening,
): Promise<void> {
  try {
    const { place, flags } = parse(example);
    const { addr, finished } = begin(place, flags);
    print(`Listening on ${formatAddress(addr)}`);
    await finished?.catch(() => Deno.exit(1)); // a server that gives up has said why
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      fail(`This example needs permissions: ${example.command}`, 1);
    }
    const { message } = error as Error;
    const wronglyCalled = error instanceof TypeError || error instanceof RangeError;
    fail(wronglyCalled ? `${message}\n${usage(example)}` : message, wronglyCalled ? 2 : 1);
  }
}

function parse<Flag extends string>({ flags = [], port }: Example<Flag>) {
  const options = Object.fromEntries(
    ["hostname", "port", ...flags].map((name) => [name, { type: "string" as const }]),
  );
  const values = parseArgs({ args: Deno.args, options }).values as Record<string, string>;
  const missing = flags.find((name) => values[name] === undefined);
  if (missing !== undefined) throw new TypeError(`The flag --${missing} is missing`);
  return {
    place: {
      hostname: values.hostname ?? "127.0.0.1",
      port: values.port === undefined ? port ?? 0 : parsePort(values.port),
    },
    flags: values as Record<Flag, string>,
  };
}

/** `Number()` alone would take "", " 1" and "0x1b58". */
function parsePort(given: string): number {
  const port = /^\d{1,5}$/.test(given) ? Number(given) : NaN;
  if (port <= 65535) return port;
  throw new TypeError(`Cannot use a --port of "${given}": use a whole number from 0 to 65535`);
}

function usage({ command, port }: Example<string>): string {
  return `Use: ${command} [--hostname 127.0.0.1] [--port ${port ?? 0}]`;
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
