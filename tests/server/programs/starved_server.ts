/**
 * An echo server to be starved of descriptors. Its first argument says how much it is guarded:
 *
 * - `guarded`: usher
 * - `unguarded`: the same accept loop without what usher does against Deno's panics
 * - `spinning`: a loop that tries again at once, with the panics disarmed
 *
 * and the second what it does with the errors: `default`, or `stack` to log them whole. @module
 */

import { Acceptor } from "../../../lib/server/accept.ts";
import { disarmDescriptorPanics } from "../../../lib/server/descriptor_panics.ts";
import { serve } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";
import { turn } from "../../support/peers.ts";

const [guard, logging] = Deno.args;
const address = { port: 0, hostname: "127.0.0.1" };

// deno-lint-ignore no-console -- what a user's own onError may do
const logWhole = (error: unknown) => console.error(error);
// deno-lint-ignore no-console -- and the careful one
const logMessage = (error: unknown) => console.error((error as Error).message);

async function echo(conn: Deno.Conn): Promise<void> {
  try {
    const p = new Uint8Array(1024);
    for (let n; (n = await conn.read(p)) !== null;) await conn.write(p.subarray(0, n));
  } catch {
    // The client has had enough.
  }
}

let starved: () => number;
let stop: () => void;

if (guard === "guarded") {
  const server = serve(
    logging === "stack" ? { ...address, onError: logWhole } : address,
    echo,
  );
  say(`${server.addr.port}`);
  starved = () => server.stats().acceptFailures.starved;
  stop = () => void server.shutdown({ timeout: 0 });
} else {
  const listener = Deno.listen(address);
  say(`${listener.addr.port}`);
  let failures = 0;
  starved = () => failures;
  stop = () => listener.close();
  if (guard === "spinning") {
    disarmDescriptorPanics();
    spin(listener);
  } else {
    const log = logging === "stack" ? logWhole : logMessage;
    accept(new Acceptor(listener, { lost() {}, starved: (error) => (failures++, log(error)) }));
  }

  async function accept(acceptor: Acceptor): Promise<void> {
    for (let conn; (conn = await acceptor.next()) !== null;) serveAndClose(conn);
  }

  async function spin(listener: Deno.Listener): Promise<void> {
    for (;;) {
      try {
        serveAndClose(await listener.accept());
      } catch {
        if (failures++ === 0) logMessage(new Error("Spinning"));
      }
    }
  }
}

async function serveAndClose(conn: Deno.Conn): Promise<void> {
  await echo(conn);
  conn.close();
}

/** Ms since the process began in which the shortage was first felt. */
let since: number | undefined;
const watch = (async () => {
  while (starved() === 0) await turn();
  since = performance.now();
})();

for await (const command of commands()) {
  if (command === "stop") break;
  await watch;
  say(JSON.stringify({ starved: starved(), since }));
}
stop();
