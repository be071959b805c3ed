/** What each worker of renewed_fleet.ts runs: an echo behind HAProxy, at the port that the arguments give. @module */

import { parseArgs } from "node:util";
import { serve } from "../../mod.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { port: { type: "string" }, trust: { type: "string" } },
  strict: false,
});
serve({
  hostname: "127.0.0.1",
  port: Number(values["port"]),
  proxyProtocol: { trust: [String(values["trust"])] },
}, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
