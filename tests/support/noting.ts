/** A server that records how its connections end and what it reports. @module */

import { type Connection, type EndRecord, serve, type ServeSettings } from "../../mod.ts";
import { LOOPBACK } from "./peers.ts";

/** Serves on loopback; `ended` has the record of each connection that is over. */
export function serveNoting(
  handler: (conn: Connection<Deno.NetAddr>) => Promise<unknown>,
  settings: ServeSettings = {},
) {
  const ended: EndRecord[] = [];
  const errors: unknown[] = [];
  const server = serve({
    ...LOOPBACK,
    ...settings,
    onEnd: (record) => void ended.push(record),
    onError: (error) => void errors.push(error),
  }, handler);
  return { server, ended, errors };
}
