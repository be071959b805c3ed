/** The loop that every tutorial shows; it begins to accept at the first line on stdin. @module */

import { commands, say } from "../../support/commands.ts";

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
say(`${listener.addr.port}`);
for await (const _go of commands()) break;
for await (const conn of listener) {
  conn.close();
  say("served");
}
