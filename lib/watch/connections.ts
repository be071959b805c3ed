/** Lists the connections of a server as a table asks for them: filtered, sorted, one page at a time. @module */

import { bad } from "../check.ts";
import { formatAddress, oneLine } from "../format_address.ts";
import type { ServedConnection } from "../server/served_connection.ts";
import type { Server } from "../server/server.ts";

/** Rows of a page unless the query says otherwise. */
const DEFAULT_ROWS = 50;

/** Rows of the longest page: a thousand are some 200 KiB, made in 5 ms. */
const MAX_ROWS = 1000;

/**
 * What a connection is doing, in the order of its life: it waits for a slot, is being identified,
 * waits for the answer of `admit`, waits to read or to write, is being worked for by its handler, or closes.
 */
export const CONNECTION_STATES = [
  "waiting",
  "handshaking",
  "admitting",
  "reading",
  "writing",
  "working",
  "closing",
] as const;

/** One of {@linkcode CONNECTION_STATES}. */
export type ConnectionState = typeof CONNECTION_STATES[number];

/**
 * One connection in the table. Numbers are plain, so that they can be sorted. Texts come from peers:
 * they are on one line and not escaped for HTML.
 */
export interface ConnectionRow {
  readonly id: number;
  readonly state: ConnectionState;
  /** The client's address. */
  readonly client: string;
  /** The other end as the kernel sees it, where that is not the client. */
  readonly peer: string;
  /** Ms since it was accepted. */
  readonly age: number;
  /** Ms since a byte moved, or since the read or write that it now waits for began. */
  readonly idle: number;
  readonly received: number;
  readonly sent: number;
  readonly unsent: number;
  /** Bytes in its buffers: received and not taken by the handler, and unsent. */
  readonly buffered: number;
  /** The version of TLS; `"TLS"` where the version is unknown; empty without TLS. */
  readonly tls: string;
  /** What the program calls it. */
  readonly label: string;
  /** The name of the listener that it came through, or that listener's address. */
  readonly listener: string;
  /** The server name that was asked for, or the name in the client's certificate. */
  readonly name: string;
  /** The worker that has it; empty for a server that is no fleet. */
  readonly worker: string;
  /** Why it ends, once something has ended it. */
  readonly reason: string;
  /** What the program said about that. */
  readonly detail: string;
}

/** A page of the table. */
export interface ConnectionPage {
  /** How many connections there are. */
  readonly total: number;
  /** How many of them match the filter and the state. */
  readonly matching: number;
  readonly offset: number;
  readonly connections: readonly ConnectionRow[];
}

/** Each cell by itself: sorting ten thousand connections by one cell makes no rows. */
const CELLS: {
  readonly [Name in keyof ConnectionRow]: (conn: ServedConnection) => ConnectionRow[Name];
} = {
  id: ({ id }) => id,
  state: stateOf,
  client: ({ remoteAddr }) => formatAddress(remoteAddr),
  peer: ({ remoteAddr, peerAddr }) => remoteAddr === peerAddr ? "" : formatAddress(peerAddr),
  age: ({ duration }) => Math.round(duration),
  idle: ({ life }) => Math.max(0, life.clock.now - life.movedAt),
  received: ({ bytesRead }) => bytesRead,
  sent: ({ bytesWritten }) => bytesWritten,
  unsent: ({ unsentBytes }) => unsentBytes,
  buffered: ({ unsentBytes, reader }) => unsentBytes + reader.length,
  tls: tlsVersionOf,
  label: ({ label }) => oneLine(label ?? ""),
  listener: ({ listenerName }) => oneLine(listenerName),
  name: nameOf,
  worker: () => "",
  reason: ({ endReason }) => endReason ?? "",
  detail: ({ life }) => oneLine(life.detail ?? ""),
};

/** The cells that a filter is compared with. */
const FILTERED = [CELLS.client, CELLS.peer, CELLS.label, CELLS.listener, CELLS.name];

/** The parameters of a query. */
const PARAMETERS = ["sort", "order", "offset", "limit", "filter", "state"];

/**
 * Lists connections: `sort` names a cell, `order` is `asc` or `desc`, `offset` and `limit` choose the
 * page, `filter` is a part of a client, a peer, a label, a listener or a name, and `state` a {@linkcode ConnectionState}.
 *
 * @param isPart Whether the page is of a list that goes over several workers: the rows before it are
 * needed, too.
 * @throws {RangeError} If a parameter is unknown or wrong; the message is meant for the client.
 */
export function listConnections(
  server: Pick<Server, "connections">,
  parameters: URLSearchParams,
  isPart = false,
): ConnectionPage {
  const { sort, descending, offset, limit, filter, state } = readQuery(parameters);
  const connections = server.connections as ReadonlySet<unknown> as ReadonlySet<ServedConnection>;
  const found: { readonly key: number | string; readonly conn: ServedConnection }[] = [];
  for (const conn of connections) {
    if (state !== undefined && stateOf(conn) !== state) continue;
    if (filter !== "" && !FILTERED.some((cell) => cell(conn).toLowerCase().includes(filter))) {
      continue;
    }
    // Ages change between two pages, and while this loop runs; their order is that of the ids.
    found.push({ key: sort === "age" ? -conn.id : CELLS[sort](conn), conn });
  }
  // The set is in the order of ids already, and sorting keeps the order of equal keys.
  const sign = descending ? -1 : 1;
  if (sort !== "id") found.sort((a, b) => a.key < b.key ? -sign : a.key > b.key ? sign : 0);
  else if (descending) found.reverse();
  return {
    total: connections.size,
    matching: found.length,
    offset,
    connections: found.slice(isPart ? 0 : offset, offset + limit).map(({ conn }) => rowOf(conn)),
  };
}

/** One list of those of several workers, of which each has all rows up to the end of the page. */
export function mergeConnections(
  parts: readonly ConnectionPage[],
  parameters: URLSearchParams,
): ConnectionPage {
  const { sort, descending, offset, limit } = readQuery(parameters);
  const keyOf = (row: ConnectionRow) => sort === "age" ? -row.id : row[sort];
  const rows = parts.flatMap(({ connections }, i) =>
    connections.map((row) => ({ ...row, worker: String(i) }))
  );
  const sign = descending ? -1 : 1;
  rows.sort((a, b) => a.id - b.id);
  rows.sort((a, b) => keyOf(a) < keyOf(b) ? -sign : keyOf(a) > keyOf(b) ? sign : 0);
  return {
    total: parts.reduce((sum, { total }) => sum + total, 0),
    matching: parts.reduce((sum, { matching }) => sum + matching, 0),
    offset,
    connections: rows.slice(offset, offset + limit),
  };
}

/** What is asked for. */
interface Query {
  readonly sort: keyof ConnectionRow;
  readonly descending: boolean;
  readonly offset: number;
  readonly limit: number;
  /** In lower case. */
  readonly filter: string;
  readonly state: ConnectionState | undefined;
}

function readQuery(parameters: URLSearchParams): Query {
  const {
    sort = "id",
    order = "asc",
    offset = "0",
    limit = String(DEFAULT_ROWS),
    filter = "",
    state,
    ...others
  } = Object.fromEntries(parameters);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw wrong("parameter", unknown, PARAMETERS);
  if (!Object.hasOwn(CELLS, sort)) throw wrong("sort", sort, Object.keys(CELLS));
  if (order !== "asc" && order !== "desc") throw wrong("order", order, ["asc", "desc"]);
  if (state !== undefined && !(CONNECTION_STATES as readonly string[]).includes(state)) {
    throw wrong("state", state, CONNECTION_STATES);
  }
  return {
    sort: sort as keyof ConnectionRow,
    descending: order === "desc",
    offset: readNumber("offset", offset, 0, 999_999_999),
    limit: readNumber("limit", limit, 1, MAX_ROWS),
    filter: filter.toLowerCase(),
    state: state as ConnectionState | undefined,
  };
}

function readNumber(name: string, value: string, least: number, most: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw wrong(name, value, [`a whole number from ${least} to ${most}`]);
}

function wrong(name: string, value: string, known: readonly string[]): RangeError {
  return new RangeError(bad("list connections", name, value, known.join(", ")));
}

function rowOf(conn: ServedConnection): ConnectionRow {
  return Object.fromEntries(
    Object.entries(CELLS).map(([name, cell]) => [name, cell(conn)]),
  ) as unknown as ConnectionRow;
}

function stateOf({ life, stage }: ServedConnection): ConnectionState {
  if (life.closed || life.reason !== undefined) return "closing";
  if (stage === "over-limit") return "waiting";
  if (stage === "admission") return "admitting";
  if (stage !== "serving") return "handshaking";
  if (life.writing) return "writing";
  return life.reading ? "reading" : "working";
}

function tlsVersionOf({ tls, proxy }: ServedConnection): string {
  if (tls !== undefined) return oneLine(tls.version ?? "TLS");
  const ssl = proxy?.tlvs?.ssl;
  return ssl?.ssl ? oneLine(ssl.version ?? "TLS") : "";
}

/** What TLS has proven comes before what a balancer says. */
function nameOf({ tls, proxy }: ServedConnection): string {
  const { ssl, authority } = proxy?.tlvs ?? {};
  return oneLine(tls?.serverName ?? ssl?.commonName ?? authority ?? "");
}
