/** Which connections are asked for, and in which order? @module */

import type { SocketConnection } from "../connection/socket_connection.ts";
import type { Server } from "../server/server.ts";
import { CELLS, type Doing, DOINGS, type Row, row } from "./row.ts";

/** Rows of a page unless asked otherwise. */
const USUAL_ROWS = 50;

/** Rows of the longest page: a thousand are some 200 KiB, made in 5 ms. */
const MOST_ROWS = 1000;

/** A page of the table. */
export interface Page {
  /** Connections in all. */
  readonly total: number;
  /** Connections that were asked for, on all pages. */
  readonly matching: number;
  readonly offset: number;
  readonly connections: readonly Row[];
}

/** What a page is asked for with. */
export interface Query {
  readonly sort: keyof Row;
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
  /** What a client, a peer or a name has to contain, in lower case. */
  readonly filter: string;
  readonly state: Doing | undefined;
}

/**
 * Reads what a page is asked for with.
 *
 * @throws {RangeError} If there is something else, or something unknown; its message is for the asker.
 */
export function readQuery(parameters: URLSearchParams): Query {
  const {
    sort = "id",
    order = "asc",
    offset = "0",
    limit = String(USUAL_ROWS),
    filter = "",
    state,
    ...others
  } = Object.fromEntries(parameters);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw wrong("parameter", unknown, KNOWN);
  if (!Object.hasOwn(CELLS, sort)) throw wrong("sort", sort, Object.keys(CELLS));
  if (order !== "asc" && order !== "desc") throw wrong("order", order, ["asc", "desc"]);
  if (state !== undefined && !(DOINGS as readonly string[]).includes(state)) {
    throw wrong("state", state, DOINGS);
  }
  const whole = (name: string, value: string, least: number, most: number) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
    if (number >= least && number <= most) return number;
    throw wrong(name, value, [`a whole number from ${least} to ${most}`]);
  };
  return {
    sort: sort as keyof Row,
    descending: order === "desc",
    offset: whole("offset", offset, 0, 999_999_999),
    limit: whole("limit", limit, 1, MOST_ROWS),
    filter: filter.toLowerCase(),
    state: state as Doing | undefined,
  };
}

/** Makes a page; whole rows are made of those on it only. */
export function pageOf(server: Server, query: Query): Page {
  const { sort, descending, offset, limit, filter, state } = query;
  const connections = server.connections as ReadonlySet<unknown> as ReadonlySet<SocketConnection>;
  const found: { readonly key: number | string; readonly conn: SocketConnection }[] = [];
  for (const conn of connections) {
    if (state !== undefined && CELLS.state(conn) !== state) continue;
    if (filter !== "" && !contains(conn, filter)) continue;
    // Time goes on between two pages, and while this goes on: the order of ages is that of ids.
    found.push({ key: sort === "age" ? -conn.id : CELLS[sort](conn), conn });
  }
  // Accepting keeps the order of ids, and what is as large as another keeps its place.
  const sign = descending ? -1 : 1;
  if (sort !== "id") found.sort((a, b) => a.key < b.key ? -sign : a.key > b.key ? sign : 0);
  else if (descending) found.reverse();
  return {
    total: connections.size,
    matching: found.length,
    offset,
    connections: found.slice(offset, offset + limit).map(({ conn }) => row(conn)),
  };
}

function contains(conn: SocketConnection, filter: string): boolean {
  return [CELLS.client, CELLS.peer, CELLS.name].some((cell) =>
    cell(conn).toLowerCase().includes(filter)
  );
}

const KNOWN = ["sort", "order", "offset", "limit", "filter", "state"];

function wrong(what: string, value: string, known: readonly string[]): RangeError {
  return new RangeError(
    `Cannot list connections with '${what}' of ${JSON.stringify(value)}: use ${known.join(", ")}`,
  );
}
