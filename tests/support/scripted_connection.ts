/** A connection over a scripted socket, and what is left to read on one. @module */

import { type Connection, connection } from "../../mod.ts";
import { text } from "./bytes.ts";
import { ScriptedSocket } from "./scripted_socket.ts";

/** A connection over a scripted socket, on which something has arrived already; `null` is its end. */
export function scripted(...arrived: (Uint8Array | null)[]) {
  const socket = new ScriptedSocket();
  for (const p of arrived) p === null ? socket.finish() : socket.arrive(p);
  return { socket, conn: connection(socket) };
}

/** What the stream still holds, as text. */
export async function restOf(conn: Connection): Promise<string> {
  let rest = "";
  for await (const chunk of conn) rest += text(chunk);
  return rest;
}
