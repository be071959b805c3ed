/** Records how the connections of a server end, and the errors it reports. @module */

import {
  type Connection,
  type EndRecord,
  serve,
  type Server,
  type ServeSettings,
} from "../../mod.ts";
import { LOOPBACK } from "./peers.ts";

/** The option `onEnd` of a server; `ended` has the record of each connection that has ended. */
export function noteEnds(): { ended: EndRecord[]; onEnd: (record: EndRecord) => void } {
  const ended: EndRecord[] = [];
  return { ended, onEnd: (record) => void ended.push(record) };
}

/** Serves on loopback, with the records and the reported errors. */
export function serveNoting(
  handler: (conn: Connection<Deno.NetAddr>) => Promise<unknown>,
  settings: ServeSettings = {},
): { server: Server<Deno.NetAddr>; ended: EndRecord[]; errors: unknown[] } {
  const { ended, onEnd } = noteEnds();
  const errors: unknown[] = [];
  const server = serve(
    { ...LOOPBACK, onError: (error) => void errors.push(error), ...settings, onEnd },
    handler,
  );
  return { server, ended, errors };
}
