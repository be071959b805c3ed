/** A server with a status page; a line from any client stops the server, and not the page. @module */

import { watch } from "../../../lib/watch/watch.ts";
import { serve } from "../../../mod.ts";
import { say } from "../../support/commands.ts";
import { LOOPBACK } from "../../support/peers.ts";

const server = serve(LOOPBACK, async (conn) => {
  await conn.readLine();
  server.shutdown();
});
const page = watch(server, { port: 0 });
say(JSON.stringify({ server: server.addr.port, page: page.addr.port }));
await server.finished;
say("stopped");
