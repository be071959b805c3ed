/**
 * Shows where the time of a small request goes, with perf(1), on Linux.
 *
 * `deno run -A tests/bench/profile.ts [SERVER,...]` runs the case `echo64` once for each server and says
 * which share of its processor time was spent in the kernel, in Deno (its ops, and what V8 has in C++,
 * the garbage collector among it), in JavaScript (compiled code and V8's built-in functions) and
 * in the C library.
 *
 * @module
 */

import { CASES } from "./cases.ts";
import { endAll, has } from "./children.ts";
import { applyLoad, prepareLoad } from "./load_process.ts";
import { machine } from "./machine.ts";
import { servers, startServer } from "./servers.ts";

/** Seconds of load: first those in which code is compiled, then those that are recorded. */
const WARM = 1, SECONDS = 4;

const SHARES: Record<string, (object: string) => boolean> = {
  "kernel": (object) => object.startsWith("[kernel"),
  "Deno": (object) => object === "deno",
  "JavaScript": (object) => object.startsWith("[JIT]") || object.startsWith("perf-"),
  "C library": (object) => object.startsWith("libc"),
};

const echo64 = CASES.find(({ name }) => name === "echo64")!;
const names = (Deno.args[0] ?? "plain,usher_iterate,usher_read").split(",");
addEventListener("unload", endAll);
if (!await has("perf")) {
  // deno-lint-ignore no-console -- the output of this program
  console.error("Without perf(1) nothing can be said");
  Deno.exit(1);
}
const generator = await prepareLoad(undefined);
for (const name of names) {
  const shares = await profile(name);
  const words = shares.map(([what, share]) => `${what} ${(100 * share).toFixed(1)} %`);
  // deno-lint-ignore no-console -- the output of this program
  console.log(`${name.padEnd(16)}${words.join(", ")}`);
}

async function profile(name: string): Promise<[what: string, share: number][]> {
  const server = servers(undefined).find((each) => each.name === name);
  if (server === undefined) {
    throw new TypeError(`There is no server '${name}'; 'deno task bench --help' lists them`);
  }
  const { load } = echo64;
  if (load.kind !== "exchange") throw new TypeError("The case 'echo64' is not an exchange");
  const [serverCore, loadCore] = machine().cores;
  const { child, port } = await startServer(
    { ...server, command: await server.prepare() },
    echo64,
    serverCore,
  );
  await using _server = child;
  const file = await Deno.makeTempFile({ suffix: ".perf" });
  try {
    let recording: Promise<string> | undefined;
    await applyLoad(generator, { port, tls: false }, load, {
      warm: WARM,
      seconds: SECONDS,
      core: loadCore,
      atRest: (phase) => {
        // Not awaited: the load goes on.
        if (phase === "warm") {
          const command = `record -F 999 -o ${file} -p ${child.pid} -- sleep ${SECONDS - 0.5}`;
          recording = perf(...command.split(" "));
        }
        return Promise.resolve();
      },
    });
    await recording;
    return sharesOf(await perf("report", "-i", file, "--stdio", "--sort", "dso"));
  } finally {
    await Deno.remove(file);
  }
}

/** perf's report, as lines of `74.92%  [kernel.kallsyms]`. */
function sharesOf(report: string): [what: string, share: number][] {
  const lines = [...report.matchAll(/^\s+([\d.]+)%\s+(\S+)/gm)];
  return Object.entries(SHARES).map(([what, isIt]) => {
    const own = lines.filter(([, , object = ""]) => isIt(object));
    return [what, own.reduce((sum, [, percent]) => sum + Number(percent) / 100, 0)];
  });
}

async function perf(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("perf", { args, stdin: "null" })
    .output();
  if (!success) throw new Error(`perf ${args[0]} failed: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
