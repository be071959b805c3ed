/** Runs a Redis for a test. @module */

import { text } from "../support/bytes.ts";
import { readAll, writeAll } from "../support/peers.ts";
import { KillableServer } from "./killable_server.ts";

/** A Redis that keeps nothing on disk, and can be killed and started again on its port. */
export class RedisServer extends KillableServer {
  private constructor(port: number) {
    const nothingOnDisk = ["--save", "", "--appendonly", "no"];
    super(port, "redis-server", ["--port", `${port}`, "--bind", "127.0.0.1", ...nothingOnDisk]);
  }

  /** Starts one; it answers when this resolves. */
  static start(): Promise<RedisServer> {
    return RedisServer.startOn((port) => new RedisServer(port));
  }

  /** Starts another on the port of one that has ended. */
  again(): Promise<RedisServer> {
    return RedisServer.startAgain(new RedisServer(this.port));
  }

  protected override async answers(): Promise<boolean> {
    return (await this.ask("PING")).startsWith("+PONG");
  }

  /** Sends a command in one line; returns the reply as it comes. */
  async ask(command: string): Promise<string> {
    const conn = await Deno.connect({ port: this.port });
    await writeAll(conn, new TextEncoder().encode(`${command}\r\nQUIT\r\n`));
    return text(await readAll(conn)).replace(/\+OK\r\n$/, "").trimEnd();
  }
}
