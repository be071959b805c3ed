/**
 * Measures how much of a core a server uses while no descriptor is free. Not a test, because
 * machines differ: `deno run -A tests/listener/programs/starved_cpu.ts` prints it. Linux only.
 *
 * @module
 */

import { connectMany, LOOPBACK } from "../../support/peers.ts";
import { Program } from "../../support/program.ts";

/** Seconds for which each kind of server is measured while it is starved. */
const SECONDS = 10;

/** Ticks per second in /proc/PID/stat, on every Linux that Deno runs on. */
const TICKS = 100;

/** Seconds of a core that a process has used, in user and kernel mode. */
function cpuOf(pid: number): number {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // After the name, which may contain anything: utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

async function measure(kind: string, logging: string): Promise<string> {
  await using program = new Program(new URL("./starved_server.ts", import.meta.url), {
    args: [kind, logging],
    descriptors: 64,
  });
  const port = Number(await program.line());
  using _flood = await connectMany({ ...LOOPBACK, transport: "tcp", port }, 200);
  await program.complaint(); // starved
  const [cpu, since] = [cpuOf(program.pid), performance.now()];
  await new Promise((resolve) =>
    AbortSignal.timeout(SECONDS * 1000).addEventListener("abort", resolve)
  );
  const used = cpuOf(program.pid) - cpu;
  const share = used / ((performance.now() - since) / 1000);
  const { starved } = JSON.parse(await program.ask("how are you?"));
  return `${kind}, ${logging}: ${(100 * share).toFixed(1)} % of a core, ${starved} tries`;
}

for (
  const [kind, logging] of [["guarded", "default"], ["guarded", "stack"], ["spinning", "default"]]
) {
  // deno-lint-ignore no-console -- what this program is for
  console.log(await measure(kind!, logging!));
}
