/** Runs other projects' programs in tests. @module */

import { granted } from "../support/needs.ts";
import { text } from "../support/bytes.ts";

/** Ms after which a program that hangs is ended. */
const LONGEST_RUN = 60_000;

/** What a program has said and how it ended. */
export interface Outcome {
  readonly code: number;
  /** Its stdout. */
  readonly said: string;
  /** Its stderr. */
  readonly complaints: string;
}

/** How a program is run. */
export interface RunOptions {
  /** What it is told on stdin, which ends then. */
  input?: string;
  /** Instead: what it is told first, and what it has to say before it is told the next; then the end. */
  dialogue?: [told: string, until: RegExp][];
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
  // It may end before it has heard everything, which its outcome shows.
  const told: Promise<void>[] = [];
  const tell = (text?: string) => {
    const done = text === undefined ? writer.close() : writer.write(new TextEncoder().encode(text));
    told.push(done.catch(() => {}));
  };
  let heard = "", step = 0;
  const hear = (text: string) => {
    heard += text;
    while (step < dialogue.length && dialogue[step]![1].test(heard)) tell(dialogue[++step]?.[0]);
  };
  tell(dialogue[0]![0]);
  hear("");
  const [said, complaints] = await Promise.all([
    collect(child.stdout, hear),
    collect(child.stderr, hear),
  ]);
  const { code } = await child.status;
  if (step < dialogue.length) tell();
  await Promise.all(told);
  return { code, said, complaints };
}

/** All that comes, of which each piece is shown at once. */
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

/** What a program says to these arguments, at once; empty if it is not there. */
export function ask(program: string, ...args: string[]): string {
  if (!granted) return "";
  try {
    const { stdout, stderr } = new Deno.Command(program, { args }).outputSync();
    return text(stdout) + text(stderr);
  } catch {
    return "";
  }
}

/** A program that runs until its scope is left, and says what happens on stderr. */
export class Daemon implements AsyncDisposable {
  /** All that it has said. */
  log = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  /** Calls whoever waits for something in the log. */
  #heard = () => {};
  #ended = false;

  /** @param longest Ms after which it is ended if it hangs. */
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

  /** Resolves when it has said this; whether it has, or else ended. */
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

/** How often somebody else may take a port that was free a moment ago. */
const ATTEMPTS = 5;

/**
 * Starts a program that has to be told its port, with one that the kernel gave away just now.
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
