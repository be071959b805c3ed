/**
 * What forwarding to an echo costs with usher's `relay()`. Arguments as in usher_iterate.ts, the
 * first two without meaning.
 *
 * @module
 */

import { startBackend } from "./echo_backend.ts";

type Usher = typeof import("../../../mod.ts");

const backend = { port: startBackend(), hostname: "127.0.0.1" };
const { connection, relay, serve }: Usher = await import(Deno.args[2] ?? "../../../mod.ts");

const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
  await relay(conn, connection(await Deno.connect(backend)));
});
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));
