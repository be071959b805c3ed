/** The resources that a process has used so far. Linux only: elsewhere the figures are missing. @module */

export interface Snapshot {
  /** Processor time of all threads in µs. */
  readonly cpu?: number;
  /** Resident memory in bytes. */
  readonly memory?: number;
}

/** µs by which /proc/PID/stat may be ahead: it counts in hundredths of a second, user and system apart. */
const ROUNDING = 20_000;

export async function snapshot(pid: number): Promise<Snapshot> {
  if (Deno.build.os !== "linux") return {};
  const [cpu, memory] = await Promise.all([cpuTime(pid), residentMemory(pid)]);
  return { cpu, memory };
}

/** What the one is too coarse for the other counts, but for threads that have ended. */
async function cpuTime(pid: number): Promise<number> {
  const [scheduled, accounted] = await Promise.all([scheduledTime(pid), accountedTime(pid)]);
  return scheduled === undefined ? accounted : Math.max(scheduled, accounted - ROUNDING);
}

/**
 * The scheduler's own count in ns, thread by thread: the same time as utime + stime, which /proc rounds
 * to 10 ms, too coarse for runs of less than a second. Not every kernel has it.
 */
async function scheduledTime(pid: number): Promise<number | undefined> {
  let total = 0;
  for await (const thread of Deno.readDir(`/proc/${pid}/task`)) {
    try {
      const words = await Deno.readTextFile(`/proc/${pid}/task/${thread.name}/schedstat`);
      total += Number(words.split(" ")[0]);
    } catch {
      // The thread has ended meanwhile, or no thread has this file.
    }
  }
  return total > 0 ? total / 1000 : undefined;
}

/** utime + stime, the 14th and 15th word of /proc/PID/stat, in hundredths of a second everywhere. */
async function accountedTime(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // The second word is the program's name in brackets and may hold spaces.
  const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(words[11]) + Number(words[12])) * 10_000;
}

async function residentMemory(pid: number): Promise<number> {
  const statm = await Deno.readTextFile(`/proc/${pid}/statm`);
  return Number(statm.split(" ")[1]) * await pageSize();
}

let knownPageSize: number | undefined;

async function pageSize(): Promise<number> {
  if (knownPageSize !== undefined) return knownPageSize;
  const size = Number(await outputOf("getconf", "PAGESIZE"));
  return knownPageSize = size > 0 ? size : 4096;
}

async function outputOf(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(program, { args, stderr: "null" }).output();
    return new TextDecoder().decode(stdout);
  } catch {
    return "";
  }
}
