/** Runs a Redis for a test. @module */

import { text } from "../support/bytes.ts";
import { readAll, writeAll } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import { onFreePort } from "./processes.ts";

/** Ms after which it is killed if it is forgotten. */
const LONGEST_RUN = 120_000;

/** A Redis that keeps nothing on disk. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  #ended = false;

  private constructor(port: number) {
    this.port = port;
    this.#child = new Deno.Command("redis-server", {
      args: ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
      signal: AbortSignal.timeout(LONGEST_RUN),
    }).spawn();
    this.#child.status.then(() => this.#ended = true);
  }

  /** Starts one; it answers when this resolves. */
  static start(): Promise<RedisServer> {
    return onFreePort((port) => RedisServer.#startAt(port));
  }

  /** Starts another on the port of one that has ended. */
  async again(): Promise<RedisServer> {
    const server = await RedisServer.#startAt(this.port);
    if (server === null) throw new Error(`Port ${this.port} was taken meanwhile`);
    return server;
  }

  static async #startAt(port: number): Promise<RedisServer | null> {
    const server = new RedisServer(port);
    while (!server.#ended) {
      try {
        if ((await server.ask("PING")).startsWith("+PONG")) return server;
      } catch {
        await turn();
      }
    }
    return null;
  }

  /** Sends a command in one line; returns the reply as it comes. */
  async ask(command: string): Promise<string> {
    const conn = await Deno.connect({ port: this.port });
    await writeAll(conn, new TextEncoder().encode(`${command}\r\nQUIT\r\n`));
    return text(await readAll(conn)).replace(/\+OK\r\n$/, "").trimEnd();
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
