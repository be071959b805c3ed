/** Replaces a server by a new process again and again, on the same port and under load. @module */

import type { ServeTcpOptions } from "../../mod.ts";
import { compileC } from "../bench/build.ts";
import { BEHIND } from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { LOOPBACK } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { LoopingClients } from "./looping.ts";
import type { RouteKind } from "./routes.ts";

/** The load, and how often the server is replaced under it. */
export interface UpgradeOptions {
  /** By which route clients come; for `loop` only. */
  readonly kind?: Exclude<RouteKind, "unix">;
  /** 64 clients that come again as soon as they are answered, or new ones at a rate per second. */
  readonly load: "loop" | { readonly rate: number };
  readonly upgrades: number;
}

/** The fate of the clients. */
export interface Upgraded {
  readonly answered: number;
  readonly lost: number;
  /** How many were lost in which way. */
  readonly losses: Readonly<Record<string, number>>;
  /** Ms from connecting to the answer, for the one that waited longest. */
  readonly longest: number;
  /** Connections that the old servers found in their queues when they had stopped. */
  readonly swept: number;
}

/** Clients that are answered in each server's time, at least. */
const ANSWERS = 128;

/** Ms in which a rate has reached a new server. */
const SETTLED = 300;

/** Ms after which a server that nobody stopped is killed. */
const LONGEST = 600_000;

const ROUTES: Record<string, Partial<ServeTcpOptions>> = {
  tcp: {},
  proxy: BEHIND,
  tls: certificate,
  "proxied tls": { ...BEHIND, ...certificate },
};

/** Starts the next server, stops the one before with SIGTERM, and so on. */
export async function upgrade(
  { kind = "tcp", load, upgrades }: UpgradeOptions,
): Promise<Upgraded> {
  const start = async (port: number) => {
    const options = { ...LOOPBACK, port, reusePort: true, tcpBacklog: 4096, ...ROUTES[kind] };
    const program = new Program(new URL("upgrade_server.ts", import.meta.url), {
      args: [JSON.stringify(options)],
      flags: ["--unstable-net"],
      longest: LONGEST,
    });
    return { program, port: Number(await program.line()) };
  };
  const { port, ...first } = await start(0);
  let { program } = first;
  try {
    const clients = load === "loop"
      ? new Looping(new LoopingClients({ kind, at: port }))
      : await Storm.begin(port, load.rate);
    let swept = 0;
    for (let i = 0; i < upgrades; i++) {
      await clients.settle();
      const next = await start(port);
      const old = program;
      ({ program } = next);
      old.kill("SIGTERM");
      const report = JSON.parse(await old.line());
      swept += report.swept;
      const { code } = await old.status;
      await old[Symbol.asyncDispose]();
      if (code !== 0) throw new Error(`A server ended with code ${code}: ${report}`);
    }
    await clients.settle();
    return { ...await clients.stop(), swept };
  } finally {
    await program[Symbol.asyncDispose]();
  }
}

export type Fate = Omit<Upgraded, "swept">;

export class Looping {
  readonly #clients: LoopingClients;

  constructor(clients: LoopingClients) {
    this.#clients = clients;
  }

  settle(): Promise<void> {
    return this.#clients.more(ANSWERS);
  }

  async stop(): Promise<Fate> {
    await this.#clients.stop();
    const { answered, failures, longest } = this.#clients;
    const losses: Record<string, number> = {};
    for (const failure of failures) losses[failure] = (losses[failure] ?? 0) + 1;
    return { answered, lost: failures.length, losses, longest: Math.round(longest) };
  }
}

/** open_storm.c. */
export class Storm {
  readonly #child: Deno.ChildProcess;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async begin(port: number, rate: number): Promise<Storm> {
    const program = await compileC(new URL("open_storm.c", import.meta.url).pathname);
    const args = [`${port}`, `${rate}`];
    return new Storm(new Deno.Command(program, { args, stdin: "piped", stdout: "piped" }).spawn());
  }

  settle(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, SETTLED));
  }

  async stop(): Promise<Fate> {
    await this.#child.stdin.close();
    const { stdout } = await this.#child.output();
    const { answered, longest, made: _, failed, ...losses } = JSON.parse(
      new TextDecoder().decode(stdout),
    );
    if (failed > 0) throw new Error(`This machine could not make ${failed} connections`);
    const lost = Object.values<number>(losses).reduce((sum, count) => sum + count);
    return { answered, lost, losses, longest };
  }
}
