/** Clients that come, are answered, leave and come again without a pause. @module */

import { readExactly, writeAll } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import { prepare, reach, type Route } from "./routes.ts";

/** What each client sends to an echo. */
const QUESTION = Uint8Array.from({ length: 64 }, (_, i) => i);

/** Clients of one server, each with one connection at a time, until they are stopped. */
export class LoopingClients {
  /** Clients that had their answer. */
  answered = 0;
  /** The failures of the others. */
  readonly failures: string[] = [];
  /** The longest time in ms from connecting to the answer. */
  longest = 0;
  readonly #clients: Promise<void[]>;
  #stopped = false;

  constructor(route: Route, count = 64) {
    this.#clients = Promise.all(Array.from({ length: count }, () => this.#loop(route)));
  }

  async #loop(route: Route): Promise<void> {
    while (!this.#stopped) {
      const since = performance.now();
      try {
        await ask(route);
        this.answered++;
      } catch (error) {
        this.failures.push(`${error}`);
      }
      this.longest = Math.max(this.longest, performance.now() - since);
    }
  }

  /** Resolves when so many more have been answered. */
  async more(count: number): Promise<void> {
    for (const before = this.answered; this.answered < before + count;) await turn();
  }

  /** Resolves when the last ones have left. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#clients;
  }
}

async function ask(route: Route): Promise<void> {
  const socket = await reach(route);
  let conn = socket;
  try {
    conn = await prepare(socket, route);
    await writeAll(conn, QUESTION);
    const answer = await readExactly(conn, QUESTION.length);
    if (!answer.every((byte, i) => byte === QUESTION[i])) throw new Error("Another answer");
  } finally {
    try {
      conn.close();
    } catch {
      // A handshake that failed has closed it.
    }
  }
}
