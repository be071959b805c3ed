/**
 * The server that is flooded: echoes, with the options of the first argument, prints its port, and
 * after a line on stdin what became of the clients. @module
 */

import { serve } from "../../mod.ts";
import { server as certificate } from "../support/certificates.ts";
import { echo } from "../support/handlers.ts";

const { tls, ...settings } = JSON.parse(Deno.args[0]!);
const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  ...(tls && certificate),
  ...settings,
  onError: () => {},
}, echo);
print(server.addr.port);
await Deno.stdin.read(new Uint8Array(1));
const { accepted, ended } = server.stats();
print(JSON.stringify({
  accepted,
  ...Object.fromEntries(Object.entries(ended).filter(([, n]) => n > 0)),
}));
await server.shutdown({ timeout: 0 });
Deno.exit();

function print(what: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${what}\n`));
}
