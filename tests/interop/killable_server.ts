/** Runs another project's server for a test, which can be killed and started again on its port. @module */

import { turn } from "../support/wait.ts";
import { onFreePort } from "./processes.ts";

/** Ms after which it is killed if it is forgotten. */
const LONGEST_RUN = 120_000;

/** A server in a process of its own, killed when its scope is left. */
export abstract class KillableServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  #ended = false;

  protected constructor(port: number, program: string, args: string[]) {
    this.port = port;
    this.#child = new Deno.Command(program, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.timeout(LONGEST_RUN),
    }).spawn();
    this.#child.status.then(() => this.#ended = true);
  }

  /** Starts one on a free port; it answers when this resolves. */
  protected static startOn<T extends KillableServer>(make: (port: number) => T): Promise<T> {
    return onFreePort(async (port) => {
      const server = make(port);
      return await server.#begins() ? server : null;
    });
  }

  /** Waits for another one on the port of one that has ended. */
  protected static async startAgain<T extends KillableServer>(server: T): Promise<T> {
    if (await server.#begins()) return server;
    throw new Error(`Port ${server.port} was taken meanwhile`);
  }

  /** Whether it answers; may throw where it does not. */
  protected abstract answers(): Promise<boolean>;

  /** Waits until it answers or has ended; whether it answers. */
  async #begins(): Promise<boolean> {
    for (; !this.#ended; await turn()) if (await this.answers().catch(() => false)) return true;
    return false;
  }

  /** Ends it at once; resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.#ended) this.#child.kill("SIGKILL");
    await this.#child.status;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
