/** What is shown of one connection? @module */

import type { Connection } from "../connection/connection.ts";
import type { SocketConnection } from "../connection/socket_connection.ts";
import { formatAddress, oneLine } from "../format_address.ts";

/**
 * What a connection does: it waits for a slot, says who it is, waits to read, or to write, is worked
 * for by its handler, or is over and ends politely.
 */
export type Doing = "waiting" | "handshaking" | "reading" | "writing" | "working" | "closing";

/** Each once, in the order of a connection's life. */
export const DOINGS: readonly Doing[] = [
  "waiting",
  "handshaking",
  "reading",
  "writing",
  "working",
  "closing",
];

/** One line of the table, in which nothing is formatted that has to be sorted. */
export interface Row {
  readonly id: number;
  readonly state: Doing;
  /** The client. */
  readonly client: string;
  /** The other end as the kernel sees it, where that is not the client. */
  readonly peer: string;
  /** Ms since it was accepted. */
  readonly age: number;
  /** Ms since a byte moved, or since what it now waits for began. */
  readonly idle: number;
  readonly received: number;
  readonly sent: number;
  readonly unsent: number;
  /** The version of TLS; `"TLS"` where that is not known, and nothing without TLS. */
  readonly tls: string;
  /** Whoever it says it is, or wants: a certificate's name, or that of the server asked for. */
  readonly name: string;
}

/** How each cell is found, so that those who sort need not make whole rows. */
export const CELLS: { readonly [Name in keyof Row]: (conn: SocketConnection) => Row[Name] } = {
  id: ({ id }) => id,
  state: doing,
  client: ({ remoteAddr }) => formatAddress(remoteAddr),
  peer: ({ remoteAddr, peerAddr }) => remoteAddr === peerAddr ? "" : formatAddress(peerAddr),
  age: ({ duration }) => Math.round(duration),
  idle: ({ life }) => Math.max(0, life.clock.now - life.movedAt),
  received: ({ bytesRead }) => bytesRead,
  sent: ({ bytesWritten }) => bytesWritten,
  unsent: ({ unsentBytes }) => unsentBytes,
  tls: versionOf,
  name: nameOf,
};

/** All cells of a connection. Texts are foreign: they are on one line and not escaped for HTML. */
export function row(conn: Connection): Row {
  return Object.fromEntries(
    Object.entries(CELLS).map(([name, cell]) => [name, cell(conn as SocketConnection)]),
  ) as unknown as Row;
}

function doing({ life, slot, handshaking }: SocketConnection): Doing {
  if (life.closed || life.reason !== undefined) return "closing";
  if (slot === undefined) return "waiting";
  if (handshaking) return "handshaking";
  if (life.writing) return "writing";
  return life.reading ? "reading" : "working";
}

function versionOf({ tls, proxy }: SocketConnection): string {
  if (tls !== undefined) return oneLine(tls.version ?? "TLS");
  const ssl = proxy?.tlvs?.ssl;
  return ssl?.ssl ? oneLine(ssl.version ?? "TLS") : "";
}

function nameOf({ tls, proxy }: SocketConnection): string {
  const { ssl, authority } = proxy?.tlvs ?? {};
  return oneLine(tls?.serverName ?? ssl?.commonName ?? authority ?? "");
}
