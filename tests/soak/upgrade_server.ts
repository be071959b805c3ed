/**
 * An echo server that the next one replaces: its argument is the options of `serve()` as JSON. Prints
 * its port, and a report when SIGTERM has stopped it.
 *
 * @module
 */

import { serve, type ServeTcpOptions, shutdownOnSignals } from "../../mod.ts";
import { say } from "../support/commands.ts";

const options: ServeTcpOptions = JSON.parse(Deno.args[0] ?? "{}");
const server = serve(options, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
shutdownOnSignals(server);
server.finished.then(() => say(JSON.stringify(server.report)));
say(`${server.addr.port}`);
