/**
 * Shows the options of sockets. Listens, then serves, with the options that the argument names; each
 * time prints the address, accepts one client and prints "served" when its options make a difference.
 *
 * @module
 */

import { listen, serve } from "../../../mod.ts";
import { LOOPBACK } from "../../support/peers.ts";

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
const options = { ...LOOPBACK, ...JSON.parse(Deno.args[0] ?? "{}") };

{
  using listener = listen(options);
  say(JSON.stringify(listener.addr));
  using _conn = await listener.accept();
}
say("served");

const served = Promise.withResolvers<void>();
await using server = serve(options, async (conn) => {
  for (let i = 0; i < 2; i++) await conn.write(new Uint8Array(1));
  // The clock has ticked by then.
  await conn.skip(1, { timeout: 200 }).catch(() => {});
  served.resolve();
});
say(JSON.stringify(server.addr));
await served.promise;
say("served");
