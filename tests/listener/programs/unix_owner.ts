/**
 * Another process that has a Unix path. Runs the command on each line of stdin: "serve" the paths given
 * as arguments, "stop". Answers each with a line. With `--die-before=n` it kills itself, as SIGKILL
 * would, right before the n-th of the calls that change something on disk.
 *
 * @module
 */

import { serve, type Server } from "../../../mod.ts";

/** Every call with which a listener changes what is on disk, or which process holds it. */
const CHANGES: [owner: object, names: string[]][] = [
  [Deno, [
    "openSync",
    "mkdirSync",
    "listen",
    "umask",
    "linkSync",
    "renameSync",
    "removeSync",
  ]],
  [Deno.FsFile.prototype, ["tryLockSync", "writeSync", "truncateSync"]],
];

const paths = Deno.args.filter((arg) => !arg.startsWith("--"));
const mode = Deno.args.includes("--no-mode") ? {} : { mode: 0o600 };
const dieBefore = Number(/^--die-before=(\d+)$/m.exec(Deno.args.join("\n"))?.[1] ?? Infinity);

let changes = 0;
function count(): void {
  if (++changes !== dieBefore) return;
  Deno.kill(Deno.pid, "SIGKILL");
  for (;;); // until the signal has arrived
}

for (const [owner, names] of CHANGES) {
  for (const name of names) {
    const original: unknown = Reflect.get(owner, name);
    if (typeof original !== "function") throw new TypeError(`No such function: ${name}`);
    Object.defineProperty(owner, name, {
      value(this: unknown, ...args: unknown[]): unknown {
        count();
        return Reflect.apply(original, this, args);
      },
    });
  }
}

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

let server: Server | undefined;
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  for (const line of text.trim().split("\n")) {
    if (line === "stop") {
      await server?.shutdown();
      say("stopped");
      continue;
    }
    try {
      const listeners = paths.map((path) => ({ path, ...mode }));
      server = serve({ listeners }, async (conn) => {
        for await (const chunk of conn) await conn.write(chunk);
      });
      say("serving");
    } catch (error) {
      say(error instanceof Error ? error.name : String(error));
      // deno-lint-ignore no-console -- for debugging
      console.error(error instanceof Error ? error.message : error);
    }
  }
}
