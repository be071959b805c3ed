/** The tables of the example server. @module */

import { formatAddress, type Server } from "jsr:@usher/server@^0.2.0";

/** Rows, made as they are read. */
export interface Table {
  readonly columns: readonly string[];
  rows(): Iterable<unknown[]> | AsyncIterable<unknown[]>;
}

/** A query that failed, with PostgreSQL's code for it. */
export class QueryError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The highest number allowed in a query. */
const MOST = 1_000_000_000;

/**
 * The table of `select * from NAME` or `select * from NAME(NUMBER)`:
 *
 * - `connections`: the connections of this server
 * - `series(n)`: the numbers from 1 to n
 * - `pause(s)`: one row, after `s` seconds
 */
export function tableOf(query: string, server: () => Server, signal: AbortSignal): Table {
  const [, name = "", given] = /^\s*select\s+\*\s+from\s+(\w+)\s*(?:\(\s*(\d{1,9})\s*\))?\s*$/i
    .exec(query) ?? [];
  const number = Math.min(MOST, Number(given ?? 1));
  switch (name.toLowerCase()) {
    case "connections":
      return { columns: ["id", "client", "bytes_read"], rows: () => connections(server()) };
    case "series":
      return { columns: ["series"], rows: () => series(number) };
    case "pause":
      return { columns: ["pause"], rows: () => pause(1000 * number, signal) };
    case "":
      throw new QueryError("42601", "Use: select * from connections, series(10) or pause(1)");
    default:
      throw new QueryError("42P01", `relation "${name}" does not exist`);
  }
}

function* connections(server: Server): Iterable<unknown[]> {
  for (const { id, remoteAddr, bytesRead } of server.connections) {
    yield [id, formatAddress(remoteAddr), bytesRead];
  }
}

function* series(count: number): Iterable<unknown[]> {
  for (let i = 1; i <= count; i++) yield [i];
}

async function* pause(ms: number, signal: AbortSignal): AsyncIterable<unknown[]> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
  yield [""];
}
