/** Is this a server that can be looked at? @module */

import { isObject } from "../check.ts";
import type { Server } from "../server/server.ts";

/** Refuses anything that is no server of `serve()`. */
export function checkServer(verb: string, value: unknown): void {
  if (!isServer(value)) {
    throw new TypeError(`Cannot ${verb} what is no server: use what serve() returns`);
  }
}

/** Tells a server from an object of servers by name, also one that is called "stats". */
export function isServer(value: unknown): value is Server {
  return isObject(value) && typeof value.stats === "function" && isObject(value.addr);
}
