/** Runs other projects' programs in tests. @module */

import { granted } from "../support/needs.ts";
import { text } from "../support/bytes.ts";

/** Ms after which a program that hangs is killed. */
const LONGEST_RUN = 60_000;

/** The output of a program, and how it ended. */
export interface Outcome {
  readonly code: number;
  /** Its stdout. */
  readonly said: string;
  /** Its stderr. */
  readonly complaints: string;
}

/** How a program is run. */
export interface RunOptions {
  /** Its stdin, which ends after that. */
  input?: string;
  /** Instead: texts to send, each with the output to wait for before the next; then the end. */
  dialogue?: [text: string, until: RegExp][];
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: string[],
  { input = "", dialogue = [[input, /(?:)/]] }: RunOptions = {},
): Promise<Outcome> {
  const child = new Deno.Command(program, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(LONGEST_RUN),
  }).spawn();
  const writer = child.stdin.getWriter();
  // It may end before it has read everything, which its outcome shows.
  const writes: Promise<void>[] = [];
  const write = (text?: string) => {
    const done = text === undefined ? writer.close() : writer.write(new TextEncoder().encode(text));
    writes.push(done.catch(() => {}));
  };
  let heard = "", step = 0;
  const hear = (text: string) => {
    heard += text;
    while (step < dialogue.length && dialogue[step]![1].test(heard)) write(dialogue[++step]?.[0]);
  };
  write(dialogue[0]![0]);
  hear("");
  const [said, complaints] = await Promise.all([
    collect(child.stdout, hear),
    collect(child.stderr, hear),
  ]);
  const { code } = await child.status;
  if (step < dialogue.length) write();
  await Promise.all(writes);
  return { code, said, complaints };
}

/** All output, passing on each piece at once. */
async function collect(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  show: (text: string) => void,
): Promise<string> {
  let all = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    all += text;
    show(text);
  }
  return all;
}

/** The output of a program with these arguments; empty if it is not installed. */
export function ask(program: string, ...args: string[]): string {
  if (!granted) return "";
  try {
    const { stdout, stderr } = new Deno.Command(program, { args }).outputSync();
    return text(stdout) + text(stderr);
  } catch {
    return "";
  }
}

/** A program that runs until its scope is left, with its log on stderr. */
export class Daemon implements AsyncDisposable {
  /** Its whole log. */
  log = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  /** Wakes everything that waits for a line of the log. */
  #heard = () => {};
  #ended = false;

  /** @param longest Ms after which it is killed if it hangs. */
  constructor(program: string, args: string[], longest: number = LONGEST_RUN) {
    this.#child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      signal: AbortSignal.timeout(longest),
    }).spawn();
    this.#reading = this.#read();
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
      this.log += text;
      this.#heard();
    }
    await this.#child.status;
    this.#ended = true;
    this.#heard();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Resolves when the log matches, or the program has ended; returns whether it matches. */
  async says(pattern: RegExp): Promise<boolean> {
    while (!pattern.test(this.log) && !this.#ended) {
      await new Promise<void>((resolve) => this.#heard = resolve);
    }
    return pattern.test(this.log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // By its own pid, and only if it is still there.
    if (!this.#ended) this.#child.kill("SIGTERM");
    await this.#reading;
  }
}

/** How often another program may take a port that was free a moment ago. */
const ATTEMPTS = 5;

/**
 * Starts a program that needs its port as an argument, with one that the kernel just gave.
 *
 * @param begin Starts it; `null` if it has ended because the port was taken.
 */
export async function onFreePort<T>(begin: (port: number) => Promise<T | null>): Promise<T> {
  for (let i = 0; i < ATTEMPTS; i++) {
    const begun = await begin(freePort());
    if (begun !== null) return begun;
  }
  throw new Error(`No port stayed free for long enough ${ATTEMPTS} times`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
