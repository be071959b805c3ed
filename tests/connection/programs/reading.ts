/**
 * A connection that waits for its peer keeps the process alive, or does not. Says its port, takes
 * one client, goes through the steps that the arguments name and says "got a byte" if one comes.
 *
 * @module
 */

import { connection } from "../../../mod.ts";
import { LOOPBACK } from "../../support/peers.ts";

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

const listener = Deno.listen(LOOPBACK);
say(String(listener.addr.port));
const conn = connection(await listener.accept());
listener.close();
for (const step of Deno.args) {
  if (step === "unref") conn.unref();
  if (step === "ref") conn.ref();
}
conn.read(new Uint8Array(1)).then(() => {
  say("got a byte");
  conn.close();
});
say("reading");
