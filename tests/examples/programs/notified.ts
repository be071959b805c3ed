/** A stand-in for systemd: prints the datagrams that arrive on a Unix socket. @module */

import { say } from "../../support/commands.ts";

const socket = Deno.listenDatagram({ transport: "unixpacket", path: Deno.args[0]! });
say("ready");
for await (const [bytes] of socket) {
  for (const fact of new TextDecoder().decode(bytes).split("\n")) say(fact);
}
