/**
 * A server on an inherited socket, or on what its first argument says as JSON. Answers each chunk with
 * it; does what each line on stdin says: "stats", "stop". @module
 */

import { inheritedListeners, serve, type ServeOptions } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";

const [given = "{}", settings = "{}"] = Deno.args;
const place = given === "inherited" ? inheritedListeners()[0]! : JSON.parse(given);
const { name: _name, ...address } = place;
const server = serve({ ...address, ...JSON.parse(settings) } as ServeOptions, async (conn) => {
  if (conn.tls !== undefined) await conn.write(new TextEncoder().encode("inside TLS\n"));
  if (conn.proxy !== undefined) {
    const { hostname } = conn.remoteAddr as Deno.NetAddr;
    await conn.write(new TextEncoder().encode(`${hostname}\n`));
  }
  for await (const chunk of conn) await conn.write(chunk);
});
say(JSON.stringify({ pid: Deno.pid, addr: server.addr, name: place.name }));
for await (const command of commands()) {
  if (command === "stats") say(JSON.stringify(server.stats()));
  if (command === "stop") break;
}
await server.shutdown();
say(JSON.stringify(server.report));
