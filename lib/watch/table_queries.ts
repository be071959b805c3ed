/** Answers one query for the table at a time, and keeps each answer for a moment. @module */

import { listConnections } from "./connections.ts";
import type { Observed } from "./observed.ts";

/** Ms for which the same query gets the same answer. */
const KEPT_FOR = 500;

/**
 * After a query the next one waits this many times as long as that took. With ten thousand
 * connections one takes up to 100 ms, in which the thread does nothing else.
 */
const PAUSE_FACTOR = 3;

/** Queries that wait, and answers that are kept; a further query is refused. */
const MAX_QUERIES = 16;

/** A query and its answer. */
interface Asked {
  readonly answer: Promise<string>;
  /** When the answer is made anew, in ms of `performance.now()`; `Infinity` while it is made. */
  until: number;
}

/** The queries of every client of a page, which take a quarter of the thread's time at most. */
export class TableQueries {
  readonly #asked = new Map<string, Asked>();
  #previous: Promise<unknown> = Promise.resolve();
  /** When the next query may begin. */
  #pausedUntil = -Infinity;

  /**
   * The connections of a server as JSON; `null` if too many queries wait.
   *
   * @param name The name of the server.
   */
  ask(name: string, server: Observed, parameters: URLSearchParams): Promise<string> | null {
    const now = performance.now();
    for (const [key, { until }] of this.#asked) if (until < now) this.#asked.delete(key);
    const key = `${name}?${parameters}`;
    const known = this.#asked.get(key);
    if (known !== undefined) return known.answer;
    if (this.#asked.size >= MAX_QUERIES) return null;
    const answer = this.#previous.then(() => this.#answer(server, parameters));
    const asked: Asked = { answer, until: Infinity };
    this.#asked.set(key, asked);
    this.#previous = answer.catch(() => {}).then(() => asked.until = performance.now() + KEPT_FOR);
    return answer;
  }

  async #answer(server: Observed, parameters: URLSearchParams): Promise<string> {
    const pause = this.#pausedUntil - performance.now();
    if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    const since = performance.now();
    try {
      const page = server.listConnections === undefined
        ? listConnections(server as Required<Observed>, parameters)
        : await server.listConnections(parameters);
      return JSON.stringify(page);
    } finally {
      const now = performance.now();
      this.#pausedUntil = now + PAUSE_FACTOR * (now - since);
    }
  }
}
