/**
 * Sends back to each client the lines that it sends, in capitals.
 *
 * deno run --allow-net examples/shout.ts
 *
 * @module
 */

import { type Connection, framed, lines, serve } from "jsr:@usher/server@^0.1.0";
import { start } from "./start.ts";

/** Bytes of a line that is taken. */
const LONGEST = 4096;

/** How often a text may grow in capitals, at most: the two bytes of `ΐ` become six. */
const GROWTH = 3;

/** Serves one client. */
export async function shout(conn: Connection): Promise<void> {
  // What is no text ends the connection; as U+FFFD it would be three times as long, too.
  const said = framed(conn, lines({ limit: LONGEST, fatal: true }));
  // What is sent may be longer than what is taken, and CRLF can end a line that has a CR at its end.
  const shouted = framed(conn, lines({ limit: LONGEST * GROWTH, ending: "\r\n" }));
  for await (const line of said) await shouted.send(line.toUpperCase());
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/shout.ts";
  await start({ command, port: 7000 }, (place) => serve(place, shout));
}
