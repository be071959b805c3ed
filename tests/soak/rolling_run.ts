/**
 * Restarts the servers behind a balancer one after the other, and counts the requests that fail.
 *
 * @module
 */

import { bytes, text } from "../support/bytes.ts";
import { readAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { Haproxy } from "../interop/haproxy.ts";
import { onFreePort } from "../interop/processes.ts";

/** The outcome of a run. */
export interface Rolled {
  readonly requests: number;
  readonly perSecond: number;
  readonly failed: number;
  /** How requests failed. */
  readonly errors: Readonly<Record<string, number>>;
  readonly restarts: number;
}

/** The options of a run. */
export interface RollingOptions {
  readonly whose: "usher" | "plain";
  readonly seconds: number;
  /** Ms for which a server goes on while its probe says that it is not ready. */
  readonly lameDuck: number;
}

/** Requests that are begun each second. */
const RATE = 250;

/** Ms between two rounds of requests. */
const ROUND = 20;

/** Ms between a server's return and the stop of the other one. */
const REST = 300;

/** Ms for everything besides the run itself. */
const SLACK = 60_000;

/** One server after the other is stopped and started, while clients come through HAProxy. */
export async function roll({ whose, seconds, lameDuck }: RollingOptions): Promise<Rolled> {
  const longest = seconds * 1000 + SLACK;
  const ports = await fourFreePorts();
  await using programs = new AsyncDisposableStack();
  const backend = async (i: number) => {
    const args = [whose, `${ports[i]}`, `${ports[i + 2]}`, `${lameDuck}`];
    const program = programs.use(
      new Program(new URL("backend.ts", import.meta.url), { args, longest }),
    );
    await program.line();
    return program;
  };
  const backends = [await backend(0), await backend(1)];
  await using haproxy = await Haproxy.startWith(configuration(ports), longest);
  const crowd = new Crowd(haproxy.port);
  const since = performance.now();
  const coming = crowd.come(seconds * 1000);
  let restarts = 0;
  for (let i = 0; performance.now() - since < seconds * 1000; i = 1 - i) {
    await pause(REST);
    // The two are never down at the same time, as in a real rolling restart.
    await isUp(haproxy, 1 - i);
    await backends[i]!.endInput();
    await backends[i]!.status;
    backends[i] = await backend(i);
    restarts++;
  }
  await coming;
  const { requests, errors } = crowd;
  const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
  return { requests, perSecond: requests / seconds, failed, errors, restarts };
}

/** No retries and no redispatch: every failure is seen. */
function configuration([a, b, readyA, readyB]: number[]): string {
  return `
defaults
  mode tcp
  retries 0
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  timeout check 1s
listen usher
  bind 127.0.0.1:PORT
  balance roundrobin
  option httpchk GET /readyz
  default-server check inter 50ms fall 1 rise 1
  server usher0 127.0.0.1:${a} port ${readyA}
  server usher1 127.0.0.1:${b} port ${readyB}
`;
}

/** Resolves when HAProxy sends clients to a server. */
async function isUp(haproxy: Haproxy, i: number): Promise<void> {
  for (;;) {
    const rows = (await haproxy.ask("show stat")).split("\n").map((row) => row.split(","));
    const column = rows[0]!.indexOf("status");
    if (rows.find((row) => row[1] === `usher${i}`)?.[column]?.startsWith("UP")) return;
    await pause(ROUND);
  }
}

/** Clients with one request each, at a steady rate. */
class Crowd {
  requests = 0;
  readonly errors: Record<string, number> = {};
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  async come(ms: number): Promise<void> {
    const since = performance.now();
    const asking: Promise<void>[] = [];
    for (let at = 0; at < ms; at = performance.now() - since) {
      while (this.requests < (at * RATE) / 1000) asking.push(this.#ask(`${++this.requests}`));
      await pause(ROUND);
    }
    await Promise.all(asking);
  }

  async #ask(question: string): Promise<void> {
    let wrong: string | undefined;
    try {
      const socket = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
      await socket.write(bytes`${question}`);
      const heard = text(await readAll(socket));
      if (heard === "") wrong = "no answer";
      else if (heard !== `answer to ${question}`) wrong = "another answer";
    } catch (error) {
      wrong = error instanceof Error ? error.name : String(error);
    }
    if (wrong !== undefined) this.errors[wrong] = (this.errors[wrong] ?? 0) + 1;
  }
}

/** Four free ports: all are kept until the last is found. */
function fourFreePorts(): Promise<number[]> {
  return onFreePort((first) => {
    using one = Deno.listen({ hostname: "127.0.0.1", port: first });
    using two = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using three = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    using four = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return Promise.resolve([one, two, three, four].map(({ addr }) => addr.port));
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
