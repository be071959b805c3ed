/** Starts child processes and ends each of them. @module */

/** Characters of a child's stderr that are kept: the first lines explain why it failed. */
const KEPT = 600;

const living = new Set<Deno.ChildProcess>();

/** Ends, by its pid, every process started here that is still there. */
export function endAll(): void {
  for (const child of living) end(child);
}

/** A process with lines in both directions, ended when its scope is left. */
export class Child implements AsyncDisposable {
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncGenerator<string>;
  readonly #complaints: Promise<void>;
  #complaint = "";

  /** The beginning of what it wrote to stderr. */
  get complaint(): string {
    return this.#complaint.trim();
  }

  /** `cores`: the only ones it may run on, as in "0,2", where the system supports that. */
  constructor(
    command: readonly string[],
    cores: number | string | undefined,
    env: Readonly<Record<string, string>> = {},
  ) {
    const [program = "", ...args] = [...guards(cores), ...command];
    this.#child = new Deno.Command(program, {
      args,
      cwd: new URL(".", import.meta.url),
      env: { NO_COLOR: "1", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    living.add(this.#child);
    this.pid = this.#child.pid;
    this.#input = this.#child.stdin.getWriter();
    this.#lines = linesOf(this.#child.stdout);
    this.#complaints = this.#keepComplaints();
  }

  /** The next line it prints. */
  async line(timeout: number): Promise<string> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`No word within ${timeout / 1000} s`)),
      timeout,
    );
    try {
      const { done, value } = await Promise.race([this.#lines.next(), late.promise]);
      if (!done) return value;
    } finally {
      clearTimeout(timer);
    }
    const [{ code, signal }] = await Promise.all([this.#child.status, this.#complaints]);
    throw new Error(
      `Ended with ${signal ?? `code ${code}`}${this.complaint && `: ${this.complaint}`}`,
    );
  }

  /** Sends it one line. */
  async tell(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(line + "\n"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    end(this.#child);
    await this.#child.status;
    living.delete(this.#child);
    await Promise.allSettled([
      this.#input.close(),
      this.#lines.return(undefined),
      this.#complaints,
    ]);
  }

  async #keepComplaints(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.#complaint = (this.#complaint + text).slice(0, KEPT);
    }
  }
}

/** Whether a program is installed; with unknown arguments it may exit with any code. */
export async function has(program: string, ...question: string[]): Promise<boolean> {
  const args = question.length > 0 ? question : ["--version"];
  try {
    const { success } = await new Deno.Command(program, { args, stdin: "null" }).output();
    return success || question.length > 0;
  } catch {
    return false;
  }
}

/** SIGKILL, because nothing here has anything to save. */
function end(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/**
 * Programs that prepare the process and become it, so the pid stays: one pins it to a core, the other
 * makes the kernel end it when this process is gone, whatever ended this one.
 */
const CAN_FOLLOW = Deno.build.os === "linux" && await has("setpriv");
const CAN_PIN = Deno.build.os === "linux" && await has("taskset");

function guards(cores: number | string | undefined): string[] {
  return [
    ...CAN_FOLLOW ? ["setpriv", "--pdeathsig", "KILL"] : [],
    ...CAN_PIN && cores !== undefined ? ["taskset", "--cpu-list", String(cores)] : [],
  ];
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
