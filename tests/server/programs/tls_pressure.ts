/**
 * How large does a server with TLS get whose handlers stop reading? The first client is echoed, the
 * others are never read from; answers each line with the process's memory. @module
 */

import { serve } from "../../../mod.ts";
import { server as certificate } from "../../support/certificates.ts";
import { commands, say } from "../../support/commands.ts";
import { LOOPBACK, turns } from "../../support/peers.ts";

const route = Deno.args[0] as "native" | "flexible";
const server = serve({ ...LOOPBACK, ...certificate, tls: { route } }, async (conn) => {
  if (conn.id > 1) return await new Promise<never>(() => {});
  for await (const chunk of conn) await conn.write(chunk);
});
say(`${server.addr.port}`);

for await (const _command of commands()) {
  // Whatever has arrived by now has found its place.
  await turns(10);
  say(`${Deno.memoryUsage().rss}`);
}
await server.shutdown({ timeout: 0 });
