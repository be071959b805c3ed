/** Accepts one connection: prints the class of each failure, then "accepted". @module */

import { Acceptor } from "../../../lib/listener/accept.ts";
import { dial, LOOPBACK } from "../../support/peers.ts";

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

const listener = Deno.listen(LOOPBACK);
const acceptor = new Acceptor(listener, {
  aborted: () => say("aborted"),
  resources: () => say("resources"),
});
const next = acceptor.next();
const client = await dial(listener.addr);
const socket = await next;
if (socket !== null) say("accepted");
socket?.close();
client.close();
acceptor.close();
