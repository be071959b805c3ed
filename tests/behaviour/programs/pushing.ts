/** A server that sends to each client 20 times a second, and says goodbye when it stops. @module */

import { framed, lines, serve, shutdownOnSignals } from "../../../mod.ts";
import { say } from "../../support/commands.ts";
import { LOOPBACK } from "../../support/peers.ts";

const server = serve(LOOPBACK, async (conn) => {
  const io = framed(conn, lines());
  const ticker = setInterval(() => io.send("tick"), 50);
  try {
    for await (const _ of io);
    if (conn.draining) await io.send("goodbye");
  } finally {
    clearInterval(ticker);
  }
});
shutdownOnSignals(server, { timeout: 3000 });
say(String((server.addr as Deno.NetAddr).port));
