/**
 * Shows what signals do to a process with servers. The first argument names the servers. It prints
 * "ready" and the ports, "here" for each client, and later what happens. @module
 */

import { type Connection, listen, serve, shutdownOnSignals } from "../../../mod.ts";
import { say } from "../../support/commands.ts";
import { LOOPBACK } from "../../support/peers.ts";

const echo = async (conn: Connection) => {
  say("here");
  for await (const chunk of conn) await conn.write(chunk);
};

/** Ignores everything. */
const stuck = async (conn: Connection) => {
  conn.drainSignal.onabort = () => say("draining");
  say("here");
  await new Promise(() => {});
};

/** Runs until it has read a line; a stop does not end it. */
const untilLine = async (conn: Connection) => {
  conn.drainSignal.onabort = () => say("draining");
  say("here");
  await conn.readLine();
};

/** Keeps the process alive forever. */
const stayAlive = () => setInterval(() => {}, 2 ** 31 - 1);

function ready(...servers: { addr: Deno.Addr }[]): void {
  say(`ready ${servers.map(({ addr }) => (addr as Deno.NetAddr).port).join(" ")}`);
}

const CASES: Record<string, () => unknown> = {
  untouched() {
    ready(serve(LOOPBACK, echo));
  },

  echo() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server);
    ready(server);
  },

  stuck() {
    const server = serve(LOOPBACK, stuck);
    shutdownOnSignals(server);
    ready(server);
  },

  "out of time"() {
    const server = serve(LOOPBACK, untilLine);
    shutdownOnSignals(server, { timeout: 10 });
    ready(server);
  },

  "lame duck"() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server, { lameDuck: Infinity });
    Deno.addSignalListener("SIGTERM", () => say(`${server.state} ${server.accepting}`));
    ready(server);
  },

  "another signal"() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server, { signals: ["SIGUSR2", "SIGUSR2"] });
    ready(server);
  },

  async lingering() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server);
    stayAlive();
    ready(server);
    await server.finished;
    say(`report ${server.report?.completed}`);
  },

  async "exit: false"() {
    const server = serve(LOOPBACK, untilLine);
    shutdownOnSignals(server, { exit: false, timeout: 10 });
    ready(server);
    await server.finished;
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    say(`put away, ${Deno.exitCode}`);
  },

  "own code, set before"() {
    Deno.exitCode = 7;
    const server = serve(LOOPBACK, untilLine);
    shutdownOnSignals(server, { timeout: 10 });
    ready(server);
  },

  async "own code, set at the end"() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server);
    ready(server);
    await server.finished;
    Deno.exitCode = 7;
  },

  "two servers"() {
    const [one, two] = [serve(LOOPBACK, untilLine), serve(LOOPBACK, untilLine)];
    shutdownOnSignals(one);
    shutdownOnSignals(two);
    one.finished.then(() => say("one"));
    two.finished.then(() => say("two"));
    ready(one, two);
  },

  "two servers, one signal each"() {
    const [one, two] = [serve(LOOPBACK, echo), serve(LOOPBACK, echo)];
    shutdownOnSignals(one, { signals: ["SIGTERM"] });
    shutdownOnSignals(two, { signals: ["SIGINT"] });
    one.finished.then(() => say("one"));
    two.finished.then(() => say("two"));
    ready(one, two);
  },

  "two servers, one by itself"() {
    const [one, two] = [serve(LOOPBACK, echo), serve(LOOPBACK, echo)];
    shutdownOnSignals(one, { signals: ["SIGTERM"] });
    shutdownOnSignals(two, { signals: ["SIGINT"] });
    one.finished.then(() => two.shutdown());
    stayAlive();
    ready(one, two);
  },

  "two servers, one gives up"() {
    const listener = listen(LOOPBACK);
    const [one, two] = [
      serve({ listeners: [listener], onError: () => {} }, echo),
      serve(LOOPBACK, echo),
    ];
    shutdownOnSignals(one);
    shutdownOnSignals(two);
    one.finished.catch(() => ready(two));
    listener.close();
  },

  async "by itself"() {
    const server = serve(LOOPBACK, echo);
    shutdownOnSignals(server);
    await server.shutdown();
    stayAlive();
    ready();
  },

  async "a signal after shutdown()"() {
    const server = serve(LOOPBACK, untilLine);
    shutdownOnSignals(server, { timeout: 10 });
    stayAlive();
    ready(server);
    while (server.connections.size === 0) await new Promise((resolve) => setImmediate(resolve));
    server.shutdown({ timeout: Infinity });
  },

  "gives up"() {
    const listener = listen(LOOPBACK);
    const server = serve({ listeners: [listener], onError: () => {} }, echo);
    shutdownOnSignals(server);
    stayAlive();
    ready();
    listener.close();
  },

  untied() {
    const server = serve(LOOPBACK, echo);
    {
      using _tie = shutdownOnSignals(server);
    }
    ready(server);
  },

  "untied while stopping"() {
    const server = serve(LOOPBACK, untilLine);
    const tie = shutdownOnSignals(server);
    Deno.addSignalListener("SIGTERM", () => tie[Symbol.dispose]());
    stayAlive();
    server.finished.then(() => say("stopped"));
    ready(server);
  },

  async "untied from one that has stopped"() {
    const [one, two] = [serve(LOOPBACK, untilLine), serve(LOOPBACK, untilLine)];
    shutdownOnSignals(one);
    const tie = shutdownOnSignals(two);
    ready(one, two);
    await one.finished;
    tie[Symbol.dispose]();
    await two.finished;
    const three = serve(LOOPBACK, echo);
    shutdownOnSignals(three);
    await three.shutdown();
    stayAlive();
    say("goes on");
  },

  refused() {
    const server = serve(LOOPBACK, echo);
    try {
      shutdownOnSignals(server, { signals: ["SIGTERM", "SIGKILL"] });
    } catch {
      ready(server);
    }
  },
};

CASES[Deno.args[0]!]!();
