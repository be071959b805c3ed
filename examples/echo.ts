/**
 * Sends back to each client what it sends.
 *
 * deno run --allow-net examples/echo.ts
 *
 * @module
 */

import { type Connection, serve } from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

/** Serves one client; when it returns, the connection is closed. */
export async function echo(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/echo.ts";
  await start({ command, port: 7000 }, (place) => serve(place, echo));
}
