/** Runs a NATS server for a test. @module */

import { KillableServer } from "./killable_server.ts";

/** A NATS server, which can be killed and started again on its port. */
export class NatsServer extends KillableServer {
  private constructor(port: number) {
    super(port, "nats-server", ["--addr", "127.0.0.1", "--port", `${port}`]);
  }

  /** Starts one; it accepts when this resolves. */
  static start(): Promise<NatsServer> {
    return NatsServer.startOn((port) => new NatsServer(port));
  }

  /** Starts another on the port of one that has ended. */
  again(): Promise<NatsServer> {
    return NatsServer.startAgain(new NatsServer(this.port));
  }

  protected override async answers(): Promise<boolean> {
    (await Deno.connect({ port: this.port, hostname: "127.0.0.1" })).close();
    return true;
  }
}
