/** A connection over a scripted socket, and the rest of one's stream. @module */

import { type Connection, connection, type ConnectionOptions } from "../../mod.ts";
import { text } from "./bytes.ts";
import { ScriptedSocket } from "./scripted_socket.ts";

/** A connection and the socket below it. */
export interface Scripted {
  readonly socket: ScriptedSocket;
  readonly conn: Connection<Deno.NetAddr>;
}

export function scripted(options?: ConnectionOptions): Scripted {
  const socket = new ScriptedSocket();
  return { socket, conn: connection(socket, options) };
}

/** A connection with bytes that have already arrived; `null` is the end. */
export function scriptedAfter(...arrived: (Uint8Array | null)[]): Scripted {
  const { socket, conn } = scripted();
  for (const p of arrived) p === null ? socket.finish() : socket.arrive(p);
  return { socket, conn };
}

/** The rest of the stream, as text. */
export async function restOf(conn: Connection): Promise<string> {
  let rest = "";
  for await (const chunk of conn) rest += text(chunk);
  return rest;
}
