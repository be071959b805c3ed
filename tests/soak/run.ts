/** One soak: servers one after the other, and clients of every kind throughout. @module */

import { Chance } from "../support/chance.ts";
import { Directory } from "../support/directory.ts";
import { Program } from "../support/program.ts";
import { KINDS, type Visit } from "./clients.ts";
import type { Route } from "./routes.ts";
import { judgeMemory, type Sample, type Verdict } from "./memory.ts";
import type { Account, Holdings } from "./server.ts";

/** Clients at a time. */
const AT_A_TIME = 60;

/** File descriptors of the server, which floods can use up; `maxConnections` does not prevent that. */
const DESCRIPTORS = 160;

/** Ms for which one server runs: from, and up to. */
const LIFETIME = [1500, 6000] as const;

/** Ms between two samples of the resident memory. */
const RSS_INTERVAL = 1000;

/** The outcome of a soak. */
export interface Soaked {
  /** Clients that came, servers that ran, and other sums. */
  readonly figures: Record<string, number>;
  /** How many connections ended for each reason, over all servers. */
  readonly ended: Record<string, number>;
  /** How often servers were stopped in each way. */
  readonly stops: Record<string, number>;
  /** The discrepancies. */
  readonly wrong: readonly string[];
  readonly verdict: Verdict;
}

/** Runs clients and servers against each other for so long. */
export async function soak(
  seconds: number,
  seed: number,
  progress: (line: string) => void = () => {},
): Promise<Soaked> {
  const chance = new Chance(seed);
  using folder = new Directory();
  await using program = new Program(new URL("server.ts", import.meta.url), {
    args: [`${seed}`, folder.path],
    flags: ["--v8-flags=--expose-gc"],
    descriptors: DESCRIPTORS,
    longest: 2 * seconds * 1000 + 120_000,
  });
  const ask = async <T>(wish: string): Promise<T> => JSON.parse(await program.ask(wish));
  const since = performance.now();
  const length = seconds * 1000;
  const elapsed = () => performance.now() - since;

  const rss: Sample[] = [];
  let over = false;
  const looking = (async () => {
    for (; !over; await pause(RSS_INTERVAL)) {
      rss.push({ at: elapsed(), value: await rssOf(program.pid) });
    }
  })();

  const book = new Book();
  const memory: Sample[] = [];
  let first: Holdings | undefined;
  let last: Holdings | undefined;
  while (elapsed() < length) {
    const crowd = new Crowd(await ask<Route[]>("start"), chance, book.clients);
    await pause(Math.min(chance.from(...LIFETIME), Math.max(500, length - elapsed())));
    const inTheMidst = chance.onceIn(2);
    if (!inTheMidst) {
      await crowd.leave();
      await ask("count slots");
    }
    const account = await ask<Account>("stop");
    await crowd.leave();
    book.clients = crowd.count;
    book.add(account, crowd.visits);
    last = await ask<Holdings>("measure");
    // What is opened once and kept is there after the first server.
    first ??= last;
    memory.push({ at: elapsed(), value: last.memory });
    if (last.timers > 0) book.wrong.push(`${last.timers} timers are left`);
    progress(
      `${(elapsed() / 1000).toFixed(0)} s: stopped ${account.how}, ${book.clients} clients, ` +
        `${(last.memory / 2 ** 20).toFixed(1)} MiB, ${last.descriptors} descriptors`,
    );
  }
  over = true;
  await looking;
  // It has nothing left to do, unless a timer, a socket or a pending operation leaks.
  await program.endInput();
  const { code, signal } = await program.status;
  if (code !== 0) book.wrong.push(`the server ended with ${signal ?? code}`);
  const descriptors = { met: last!.descriptors <= first!.descriptors, words: "" };
  descriptors.words = `descriptors: ${first!.descriptors} at first, ${last!.descriptors} at last`;
  const verdict = [...judgeMemory(memory, rss, length), descriptors];
  const { figures, ended, stops, wrong } = book;
  return { figures: { clients: book.clients, ...figures }, ended, stops, wrong, verdict };
}

/** The sums over all servers and clients. */
class Book {
  clients = 0;
  readonly figures = {
    servers: 0,
    accepted: 0,
    swept: 0,
    starved: 0,
    "gone before they were accepted": 0,
    "bytes echoed": 0,
    "echoed whole": 0,
  };
  readonly ended: Record<string, number> = {};
  readonly stops: Record<string, number> = {};
  readonly wrong: string[] = [];

  /** Compares the records of a server and its clients. */
  add({ stats, report, ledger, how, wrong }: Account, visits: Map<number, Visit>): void {
    const { figures } = this;
    figures.servers++;
    figures.accepted += stats.accepted;
    figures.swept += report.swept;
    figures.starved += stats.acceptFailures.resources;
    figures["gone before they were accepted"] += stats.acceptFailures.aborted;
    for (const [reason, count] of Object.entries(stats.ended)) {
      if (count > 0) this.ended[reason] = (this.ended[reason] ?? 0) + count;
    }
    this.stops[how] = (this.stops[how] ?? 0) + 1;
    this.wrong.push(...wrong.map((line) => `${line} (stopped ${how})`));
    const known = new Map(ledger.map((entry) => [entry[0], entry]));
    for (const [client, { said, heard, whole, ended, wrong }] of visits) {
      const say = (line: string) => this.wrong.push(`client ${client}: ${line} (stopped ${how})`);
      if (wrong !== undefined) say(wrong);
      figures["bytes echoed"] += heard;
      const [, read, written, reason] = known.get(client) ?? [client, 0, 0, "nothing"];
      // Every byte that came back was written by the server, and every byte that the server read was sent.
      if (heard > written) say(`heard ${heard} of ${written} bytes`);
      if (read > said) say(`said ${said} bytes, of which ${read} were read`);
      if (ended && heard < written) {
        say(`heard ${heard} of ${written} bytes, and an end: ${reason}`);
      }
      if (!whole) continue;
      figures["echoed whole"]++;
      if (heard !== written || read !== said) {
        say(
          `all of ${said} bytes said, ${read} read, ${written} written, ${heard} heard: ${reason}`,
        );
      }
    }
  }
}

/** Clients that come one after the other, a fixed number at a time. */
class Crowd {
  readonly visits = new Map<number, Visit>();
  readonly #routes: readonly Route[];
  readonly #chance: Chance;
  readonly #over: Promise<unknown>;
  #next: number;
  #leaving = false;

  constructor(routes: readonly Route[], chance: Chance, first: number) {
    this.#routes = routes;
    this.#chance = chance;
    this.#next = first;
    this.#over = Promise.all(Array.from({ length: AT_A_TIME }, () => this.#come()));
  }

  async #come(): Promise<void> {
    while (!this.#leaving) {
      const client = ++this.#next;
      const chance = new Chance(this.#chance.seed ^ Math.imul(client, 0x9e3779b1));
      const visit: Visit = { said: 0, heard: 0, whole: false, ended: false };
      const route = chance.pick(this.#routes);
      try {
        await pickKind(chance).run(route, client, visit, chance, () => !this.#leaving);
      } catch {
        // A client's error may well be caused by the server, or connections are refused now.
        await pause(chance.from(0, 20));
      }
      if (visit.said > 0) this.visits.set(client, visit);
    }
  }

  /** Resolves when the last has left. */
  async leave(): Promise<void> {
    this.#leaving = true;
    await this.#over;
  }

  /** How many have come, including earlier ones. */
  get count(): number {
    return this.#next;
  }
}

const TOTAL = Object.values(KINDS).reduce((sum, { share }) => sum + share, 0);

function pickKind(chance: Chance): (typeof KINDS)[string] {
  let at = chance.next() * TOTAL;
  for (const kind of Object.values(KINDS)) if ((at -= kind.share) < 0) return kind;
  return KINDS["well-behaved"]!;
}

/** Bytes of resident memory; 0 if unknown. */
async function rssOf(pid: number): Promise<number> {
  if (Deno.build.os !== "linux") return 0;
  // Not read by Deno itself, which wants all permissions for /proc.
  const { stdout } = await new Deno.Command("cat", { args: [`/proc/${pid}/status`] }).output();
  return 1024 * Number(/VmRSS:\s+(\d+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
}

/** A real delay: a soak needs time. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
