/** Runs a Deno program in a child process for a test. @module */

/** Ms after which a program that hangs, or that a test forgot, is killed. */
const LONGEST_RUN = 120_000;

/** How to start a program. */
export interface ProgramOptions {
  /** Arguments of the program. */
  args?: string[];
  /** Flags of Deno, besides all permissions. */
  flags?: string[];
  /** Replaces the program between Deno and its arguments: a subcommand with its flags. */
  how?: string[];
  /** A program that starts Deno, with its arguments: strace, setpriv. */
  under?: string[];
  /** The directory that it is started in. */
  cwd?: URL;
  /** Limit of file descriptors (`ulimit -n`). */
  descriptors?: number;
  /** Ms after which it is killed, if not `LONGEST_RUN`. */
  longest?: number;
}

/** A Deno program in a child process, controlled by lines and ended when its scope is left. */
export class Program implements AsyncDisposable {
  readonly pid: number;
  /** How it ended, once it has. */
  readonly status: Promise<Deno.CommandStatus>;
  /** The lines of its stdout and of its stderr that are not taken yet. */
  readonly #said: Lines;
  readonly #complained: Lines;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #bound: ReturnType<typeof setTimeout>;

  constructor(program: URL, options: ProgramOptions = {}) {
    const { args = [], flags = [], under = [], descriptors, cwd, longest = LONGEST_RUN } = options;
    const { how = ["run", "--quiet", "--no-config", "-A", ...flags] } = options;
    const command = [...under, Deno.execPath(), ...how, program.href, ...args];
    const [file = "", ...rest] = descriptors === undefined
      ? command
      : ["sh", "-c", `ulimit -n ${descriptors}; exec "$0" "$@"`, ...command];
    this.#child = new Deno.Command(file, {
      args: rest,
      ...(cwd === undefined ? {} : { cwd }),
      // Without a descriptor to read the machine's certificates, Deno would complain.
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", NODE_EXTRA_CA_CERTS: "" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.pid = this.#child.pid;
    this.status = this.#child.status;
    this.#input = this.#child.stdin.getWriter();
    this.#said = new Lines(this.#child.stdout);
    this.#complained = new Lines(this.#child.stderr);
    this.#bound = setTimeout(() => this.kill("SIGKILL"), longest);
  }

  /** The next line of its stdout. */
  async line(): Promise<string> {
    const line = await this.#said.next();
    if (line !== null) return line;
    const { code, signal } = await this.status;
    const last = (await this.#complained.rest()).join("\n");
    throw new Error(`The program ended with ${signal ?? `code ${code}`}: ${last}`);
  }

  /** The next line of its stderr, or `null` when it has ended. */
  complaint(): Promise<string | null> {
    return this.#complained.next();
  }

  /** Every line of its stdout that is left, once it has ended. */
  lines(): Promise<string[]> {
    return this.#said.rest();
  }

  /** Every line of its stderr that is left, once it has ended. */
  complaints(): Promise<string[]> {
    return this.#complained.rest();
  }

  /** Sends it a line. */
  async tell(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  /** Sends it a line and takes the line that it answers. */
  async ask(line: string): Promise<string> {
    await this.tell(line);
    return await this.line();
  }

  /** Ends its stdin. */
  async endInput(): Promise<void> {
    await this.#input.close();
  }

  /** Sends it a signal, if it is still there. */
  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended by itself.
    }
  }

  /** Lets it end by itself, by closing its stdin. */
  async end(): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.status;
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    clearTimeout(this.#bound);
    await this.status;
    await Promise.allSettled([this.#input.close(), this.#said.rest(), this.#complained.rest()]);
  }
}

/** A stream of text, line by line. */
class Lines {
  readonly #lines: AsyncGenerator<string>;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#lines = split(stream);
  }

  async next(): Promise<string | null> {
    const { done, value } = await this.#lines.next();
    return done ? null : value;
  }

  rest(): Promise<string[]> {
    return Array.fromAsync(this.#lines);
  }
}

async function* split(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** How many descriptors a process has open; Linux only. */
export async function openDescriptors(pid: number = Deno.pid): Promise<number> {
  // Not read by Deno itself, which wants all permissions for /proc.
  const { stdout } = await new Deno.Command("ls", { args: [`/proc/${pid}/fd`] }).output();
  return new TextDecoder().decode(stdout).trim().split("\n").length;
}
