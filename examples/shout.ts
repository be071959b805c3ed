/**
 * Sends back to each client the lines that it sends, in capitals.
 *
 * deno run --allow-net examples/shout.ts
 *
 * @module
 */

import { type Connection, framed, lines, serve } from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

/** Bytes of a line that is accepted. */
const LONGEST = 4096;

/** The most that text grows in capitals: the two bytes of `ΐ` become six. */
const GROWTH = 3;

/** Serves one client. */
export async function shout(conn: Connection): Promise<void> {
  // Invalid UTF-8 ends the connection; replaced by U+FFFD it would also grow threefold.
  const said = framed(conn, lines({ limit: LONGEST, fatal: true }));
  // Output may be longer than input, and with CRLF a line may itself end in CR.
  const shouted = framed(conn, lines({ limit: LONGEST * GROWTH, ending: "\r\n" }));
  for await (const line of said) await shouted.send(line.toUpperCase());
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/shout.ts";
  await start({ command, port: 7000 }, (place) => serve(place, shout));
}
