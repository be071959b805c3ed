/**
 * The server of a soak, in a process of its own. Each line on stdin is a command that is answered with
 * one line of JSON; when stdin ends it has nothing left to do, and must end by itself. Its arguments
 * are the seed and a folder for its Unix socket. @module
 */

import { openTimers } from "./timers.ts";
import {
  type Connection,
  type EndRecord,
  serve,
  type Server,
  type ServerStats,
  type ServeSettings,
  type ShutdownReport,
} from "../../mod.ts";
import { BEHIND } from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { Chance } from "../support/chance.ts";
import { commands, say } from "../support/commands.ts";
import { readExactly } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import type { Route } from "./routes.ts";
import { greeted, GREETING, HANDLERS } from "./handlers.ts";

/** The record of one client: its number, bytes read and written, and end reason. */
export type Entry = [client: number, bytesRead: number, bytesWritten: number, reason: string];

/** The record of one server, from its start to its end. */
export interface Account {
  readonly stats: ServerStats;
  readonly report: ShutdownReport;
  readonly ledger: readonly Entry[];
  /** How it was stopped. */
  readonly how: string;
  /** The discrepancies. */
  readonly wrong: readonly string[];
}

/** The memory of the process while no server runs. */
export interface Holdings {
  /** Bytes of the heap and outside of it, garbage collected. */
  readonly memory: number;
  readonly descriptors: number;
  readonly timers: number;
}

/** Ms that a server may take to stop beyond its timeout: the last second, 250 ms, this machine. */
const SLOW_MACHINE = 1000 + 250 + 1500;

/** Ms between two changes of options at most. */
const LONGEST_CALM = 400;

const HOSTNAME = "127.0.0.1";

/** Ways to stop; each is a call of `shutdown()`, and how long it may take. */
const STOPS: { how: string; ms: number; stop(server: Server, aborter: AbortController): void }[] = [
  { how: "at once", ms: 0, stop: (server) => void server.shutdown({ timeout: 0 }) },
  { how: "in 300 ms", ms: 300, stop: (server) => void server.shutdown({ timeout: 300 }) },
  {
    how: "as a lame duck for 200 ms, then in 300 ms",
    ms: 500,
    stop: (server) => void server.shutdown({ lameDuck: 200, timeout: 300 }),
  },
  { how: "by its signal", ms: 0, stop: (_server, aborter) => aborter.abort() },
  {
    how: "as a lame duck that is cut short",
    ms: 200,
    stop: (server) => {
      server.shutdown({ lameDuck: 10_000, timeout: 10_000 });
      server.shutdown({ timeout: 200 });
    },
  },
];

const [seed = "1", folder = "."] = Deno.args;
const chance = new Chance(Number(seed));
const fault = () => new Error("a fault of this run");

/** A user's hook that fails now and then, by throwing or rejecting. */
function hook(): unknown {
  if (chance.onceIn(20)) throw fault();
  return chance.onceIn(20) ? Promise.reject(fault()) : undefined;
}

/** Every port; each server has those of the one before. */
const ports: Record<string, number> = {};

/** One server, and its records. */
class Generation {
  readonly routes: readonly Route[];
  readonly #server: Server;
  readonly #aborter = new AbortController();
  readonly #clients = new Map<number, number>();
  readonly #ledger: Entry[] = [];
  readonly #wrong: string[] = [];
  readonly #ids = new Set<number>();
  /** Connections whose handlers never return. */
  readonly #stay = new Set<number>();
  #bytesRead = 0;
  #bytesWritten = 0;
  #mood: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    const kinds = {
      tcp: {},
      tls: certificate,
      proxy: BEHIND,
      "proxied tls": { ...certificate, ...BEHIND },
    };
    const path = `${folder}/s`;
    const listeners = Object.entries(kinds).map(([kind, options]) => ({
      port: ports[kind] ?? 0,
      hostname: HOSTNAME,
      ...options,
    }));
    const settings: ServeSettings = {
      maxConnections: chance.pick([20, 100, 400, 400]),
      whenFull: chance.pick(["wait", "refuse"]),
      maxHandshaking: chance.pick([5, 50, 200, 200]),
      handshakeTimeout: 500,
      idleTimeout: 1000,
      writeTimeout: 1000,
      maxUnsent: 200_000,
      signal: this.#aborter.signal,
      onListen: () => hook(),
      onError: () => hook(),
      onEnd: (record) => this.#note(record),
    };
    this.#server = serve(
      { listeners: [...listeners, { path }], ...settings },
      (conn) => this.#serve(conn),
    );
    const { addrs } = this.#server;
    for (const [i, kind] of Object.keys(kinds).entries()) {
      ports[kind] = (addrs[i] as Deno.NetAddr).port;
    }
    this.routes = [
      ...Object.entries(ports).map(([kind, at]) => ({ kind, at }) as Route),
      { kind: "unix", at: path },
    ];
    this.#changeMood();
  }

  async #serve(conn: Connection): Promise<unknown> {
    const p = await conn.readExactly(GREETING);
    if (p === null) return;
    const { client, way } = greeted(p);
    this.#clients.set(conn.id, client);
    if (way === "stays") this.#stay.add(conn.id);
    return await HANDLERS[way](conn, new Chance(client));
  }

  #note({ id, reason, bytesRead, bytesWritten }: EndRecord): unknown {
    if (this.#ids.has(id)) this.#wrong.push(`connection ${id} has ended twice`);
    this.#ids.add(id);
    this.#stay.delete(id);
    const client = this.#clients.get(id);
    this.#clients.delete(id);
    if (client !== undefined) this.#ledger.push([client, bytesRead, bytesWritten, reason]);
    this.#bytesRead += bytesRead;
    this.#bytesWritten += bytesWritten;
    this.#check();
    return hook();
  }

  #check(): void {
    const { accepted, active, ended } = this.#server.stats();
    const over = Object.values(ended).reduce((sum, count) => sum + count);
    if (accepted !== active + over) this.#wrong.push(`${accepted} is not ${active} + ${over}`);
    if (over !== this.#ids.size) this.#wrong.push(`${over} ended, and ${this.#ids.size} records`);
    if (active !== this.#server.connections.size) this.#wrong.push(`${active} are not there`);
  }

  /** Pauses, resumes and sets other limits, now and then. */
  #changeMood(): void {
    const server = this.#server;
    this.#check();
    this.#mood = setTimeout(() => {
      server.resume();
      if (chance.onceIn(3)) server.pause();
      if (chance.onceIn(3)) server.maxConnections = chance.pick([5, 100, 400, 400]);
      this.#changeMood();
    }, server.waitingFor === "resume" ? LONGEST_CALM / 8 : chance.from(1, LONGEST_CALM));
  }

  #calmDown(): void {
    clearTimeout(this.#mood);
  }

  /** With all clients gone: exactly as many as are allowed get a slot. */
  async countSlots(): Promise<string> {
    this.#calmDown();
    const server = this.#server;
    server.resume();
    await until(() => server.connections.size === this.#stay.size);
    server.maxConnections = this.#stay.size + 3;
    const clients: Deno.Conn[] = [];
    for (let i = 0; i < 3; i++) {
      const client = await Deno.connect({ hostname: HOSTNAME, port: ports["tcp"]! });
      clients.push(client);
      // No client's greeting, and one byte to echo. With one slot fewer it would wait forever.
      await client.write(new Uint8Array(GREETING + 1));
      await readExactly(client, 1);
    }
    // With one slot more, or one given back twice, this server would not be full.
    const { saturatedFor } = server.stats();
    await until(() => server.stats().saturatedFor > saturatedFor);
    for (const client of clients) client.close();
    await until(() => server.connections.size === this.#stay.size);
    return "as many as there should be";
  }

  async stop(): Promise<Account> {
    this.#calmDown();
    const server = this.#server;
    const { how, ms, stop } = chance.pick(STOPS);
    const since = performance.now();
    stop(server, this.#aborter);
    await server.finished;
    const took = performance.now() - since;
    this.#check();
    const [stats, report] = [server.stats(), server.report!];
    const { ended } = stats;
    const wrong = this.#wrong;
    if (stats.active !== 0) wrong.push(`${stats.active} are left`);
    if (took > ms + SLOW_MACHINE) wrong.push(`stopping ${how} took ${took} ms`);
    if (report.completed < 0) wrong.push(`${report.completed} completed`);
    if (report.forced !== ended.forced) wrong.push(`${report.forced} forced: ${ended.forced}`);
    if (report.abandoned !== ended.abandoned) wrong.push(`abandoned: ${report.abandoned}`);
    if (stats.bytesRead !== this.#bytesRead) wrong.push(`${stats.bytesRead} bytes read`);
    if (stats.bytesWritten !== this.#bytesWritten) {
      wrong.push(`${stats.bytesWritten} bytes written`);
    }
    return { stats, report, ledger: this.#ledger, how, wrong };
  }
}

let generation: Generation | undefined;

async function fulfil(wish: string): Promise<unknown> {
  switch (wish) {
    case "start":
      generation = begin();
      return generation.routes;
    case "count slots":
      return await generation!.countSlots();
    case "stop": {
      const account = await generation!.stop();
      generation = undefined;
      return account;
    }
    default:
      return await measure();
  }
}

/** A server at the addresses of the last one, unless another program has taken one of them. */
function begin(): Generation {
  try {
    return new Generation();
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    for (const kind of Object.keys(ports)) delete ports[kind];
    return new Generation();
  }
}

/** Resolves once garbage is collected, and the kernel has finished the closes. */
async function measure(): Promise<Holdings> {
  for (let i = 0; i < 5; i++) {
    (globalThis as { gc?(): void }).gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = Deno.memoryUsage();
  const files = Deno.build.os === "linux" ? Deno.readDir("/proc/self/fd") : [];
  const descriptors = (await Array.fromAsync<unknown>(files)).length;
  return { memory: heapUsed + external, descriptors, timers: openTimers() };
}

// deno-lint-ignore no-console -- where what hooks throw is reported; it is dropped here
console.error = () => {};

for await (const wish of commands()) say(JSON.stringify(await fulfil(wish)));
