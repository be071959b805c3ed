/** Takes one server, or several by name. @module */

import { isObject } from "../check.ts";
import type { Connection } from "../connection/connection.ts";
import type { ServerControl } from "../server/server.ts";
import type { ConnectionPage } from "./connections.ts";

/** A server, whose connections are here, or a fleet, whose workers have them. */
export interface Observed extends ServerControl {
  /** Of a server. */
  readonly connections?: ReadonlySet<Connection>;
  /** Of a fleet. */
  readonly workers?: readonly ObservedWorker[];
  /** Of a fleet: as `listConnections()` of a server. */
  listConnections?(parameters: URLSearchParams): Promise<ConnectionPage>;
  /** Of a fleet: closes one of its connections. Whether there was one of that id. */
  closeConnection?(id: number, detail: string): Promise<boolean>;
}

/** A worker of a fleet. */
export interface ObservedWorker {
  readonly state: string;
  readonly connections: number;
  readonly restarts: number;
}

/** Servers by name; a single server has the name "". */
export type Servers = ReadonlyMap<string, Observed>;

/** One server, or several by name. */
export function serversByName(attempt: string, given: unknown): Servers {
  const entries = !isObject(given) || isServer(given) ? [["", given]] : Object.entries(given);
  for (const [, server] of entries) checkServer(attempt, server);
  return new Map(entries as [string, Observed][]);
}

/** Refuses a value that no `serve()` or `fleet()` has returned. */
export function checkServer(attempt: string, value: unknown): void {
  if (!isServer(value)) {
    throw new TypeError(`Cannot ${attempt} what is no server: use what serve() returns`);
  }
}

/** Tells a server from an object of servers by name, one of which may be called "stats". */
function isServer(value: unknown): value is Observed {
  return isObject(value) && typeof value["stats"] === "function" && isObject(value["addr"]);
}
