/** Handlers that many tests serve with. @module */

import type { Connection } from "../../mod.ts";

export async function echo(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}
