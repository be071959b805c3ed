/** Runs a NATS server for a test. @module */

import { turn } from "../support/wait.ts";
import { onFreePort } from "./processes.ts";

/** Ms after which it is killed if it is forgotten. */
const LONGEST_RUN = 120_000;

/** A NATS server, which can be killed and started again on its port. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  #ended = false;

  private constructor(port: number) {
    this.port = port;
    this.#child = new Deno.Command("nats-server", {
      args: ["--addr", "127.0.0.1", "--port", `${port}`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.timeout(LONGEST_RUN),
    }).spawn();
    this.#child.status.then(() => this.#ended = true);
  }

  /** Starts one; it accepts when this resolves. */
  static start(): Promise<NatsServer> {
    return onFreePort((port) => NatsServer.#startAt(port));
  }

  /** Starts another on the port of one that has ended. */
  async again(): Promise<NatsServer> {
    const server = await NatsServer.#startAt(this.port);
    if (server === null) throw new Error(`Port ${this.port} was taken meanwhile`);
    return server;
  }

  static async #startAt(port: number): Promise<NatsServer | null> {
    const server = new NatsServer(port);
    while (!server.#ended) {
      try {
        (await Deno.connect({ port, hostname: "127.0.0.1" })).close();
        return server;
      } catch {
        await turn();
      }
    }
    return null;
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
