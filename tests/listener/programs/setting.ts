/**
 * Shows the options of sockets. Listens, then serves, with the options that the argument names; each
 * time prints the address, accepts one client and prints "served" when it has left.
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
  using conn = await listener.accept();
  await conn.read(new Uint8Array(1));
}
say("served");

const served = Promise.withResolvers<void>();
await using server = serve(options, async (conn) => {
  for await (const _ of conn);
  served.resolve();
});
say(JSON.stringify(server.addr));
await served.promise;
say("served");
