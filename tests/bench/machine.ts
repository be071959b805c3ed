/** The machine that the bench runs on. @module */

export interface Machine {
  readonly deno: string;
  readonly system: string;
  readonly processor: string;
  readonly cores: readonly number[];
  /** In bytes. */
  readonly memory: number;
}

export function machine(): Machine {
  return {
    deno: Deno.version.deno,
    system: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    processor: /^model name\s*: (.*)$/m.exec(read("/proc/cpuinfo"))?.[1] ?? "unknown processor",
    cores: allowedCores(/^Cpus_allowed_list:\s*(.*)$/m.exec(read("/proc/self/status"))?.[1] ?? ""),
    memory: Deno.systemMemoryInfo().total,
  };
}

/** The numbers in a list such as "0-2,5". */
export function allowedCores(list: string): number[] {
  const cores: number[] = [];
  for (const part of list.split(",")) {
    const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    for (let core = Number(first); core <= Number(last ?? first); core++) cores.push(core);
  }
  return cores;
}

function read(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
