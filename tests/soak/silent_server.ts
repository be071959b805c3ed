/**
 * A server whose handlers give up on silent clients, with the log that it has by default. Says its port,
 * and, once as many connections as its argument says are over, for what reasons. @module
 */

import { serve } from "../../mod.ts";
import { say } from "../support/commands.ts";
import { LOOPBACK } from "../support/peers.ts";

const count = Number(Deno.args[0]);
let over = 0;
const server = serve({
  ...LOOPBACK,
  maxConnections: count,
  maxConnectionsPerPeer: Infinity,
  onEnd() {
    if (++over < count) return;
    const { ended } = server.stats();
    say(JSON.stringify(Object.fromEntries(Object.entries(ended).filter(([, n]) => n > 0))));
    server.shutdown();
  },
}, async (conn) => {
  const name = await conn.readLine({ timeout: 2000 });
  await conn.write(new TextEncoder().encode(`hello, ${name}\n`));
});
say(String(server.addr.port));
