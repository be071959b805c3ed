/** Takes one server, or several by name. @module */

import { isObject } from "../check.ts";
import type { Server } from "../server/server.ts";

/** Servers by name; a single server has the name "". */
export type Servers = ReadonlyMap<string, Server>;

/** One server, or several by name. */
export function serversByName(attempt: string, given: unknown): Servers {
  const entries = !isObject(given) || isServer(given) ? [["", given]] : Object.entries(given);
  for (const [, server] of entries) checkServer(attempt, server);
  return new Map(entries as [string, Server][]);
}

/** Refuses a value that no `serve()` has returned. */
export function checkServer(attempt: string, value: unknown): void {
  if (!isServer(value)) {
    throw new TypeError(`Cannot ${attempt} what is no server: use what serve() returns`);
  }
}

/** Tells a server from an object of servers by name, one of which may be called "stats". */
function isServer(value: unknown): value is Server {
  return isObject(value) && typeof value["stats"] === "function" && isObject(value["addr"]);
}
