/** A server with short timeouts, to be suspended. Says its port, and each end reason. @module */

import { framed, lines, serve } from "../../mod.ts";
import { say } from "../support/commands.ts";
import { LOOPBACK } from "../support/peers.ts";

const TIMEOUT = 3000;

const server = serve({
  ...LOOPBACK,
  idleTimeout: TIMEOUT,
  receiveTimeout: TIMEOUT,
  frameTimeout: TIMEOUT,
  onEnd: ({ reason }) => say(reason),
}, async (conn) => {
  const kind = await conn.readLine();
  const answer = kind === "frame"
    ? await framed(conn, lines()).read()
    : await conn.readLine(kind === "read" ? { timeout: TIMEOUT } : undefined);
  await conn.write(new TextEncoder().encode(`you said ${answer}\n`));
});
say(String(server.addr.port));
