/**
 * A server to be starved of descriptors: it echoes, and fails at "!". Its first
 * argument says how well it is guarded:
 *
 * - `guarded`: usher
 * - `unguarded`: the same accept loop without usher's guards against Deno's panics
 * - `spinning`: a loop that tries again at once, guarded against the panics
 *
 * and the second how it reports errors: `default`, or `stack` to log them whole. @module
 */

import { Acceptor } from "../../../lib/listener/accept.ts";
import { disarmCompilerPanic, disarmSignalPanic } from "../../../lib/listener/descriptor_panics.ts";
import { serve } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";
import { turn } from "../../support/wait.ts";
import { failIf } from "../../server/programs/elsewhere.ts";

/** Ms after which Deno has done all its late initialization. */
const GROWN_UP = 1000;

/** A server as far as this program needs it. */
interface Kind {
  port: number;
  /** How often accepting has failed. */
  starved(): number;
  stop(): void;
}

const address = { port: 0, hostname: "127.0.0.1" };
const KINDS: Record<string, (log: (error: unknown) => void) => Kind> = {
  guarded: (log) => {
    // Not lowered to what the descriptors are enough for, as this is about running out of them.
    const options = { ...address, maxConnections: Infinity };
    const server = serve(log === logWhole ? { ...options, onError: log } : options, echo);
    return {
      port: server.addr.port,
      starved: () => server.stats().acceptFailures.resources,
      stop: () => void server.shutdown({ timeout: 0 }),
    };
  },
  unguarded: (log) => {
    const listener = Deno.listen(address);
    let starved = 0;
    const acceptor = new Acceptor(listener, {
      aborted() {},
      resources(error) {
        starved++;
        log(error);
      },
    });
    (async () => {
      for (let conn; (conn = await acceptor.next()) !== null;) echoAndClose(conn);
    })();
    return { port: listener.addr.port, starved: () => starved, stop: () => acceptor.close() };
  },
  spinning: (log) => {
    disarmSignalPanic();
    disarmCompilerPanic();
    const listener = Deno.listen(address);
    let starved = 0;
    (async () => {
      for (;;) {
        try {
          echoAndClose(await listener.accept());
        } catch (error) {
          if (starved++ === 0) log(error);
        }
      }
    })();
    return { port: listener.addr.port, starved: () => starved, stop: () => Deno.exit() };
  },
};

function logWhole(error: unknown): void {
  // deno-lint-ignore no-console -- what a user's own onError may do
  console.error(error);
}

function logMessage(error: unknown): void {
  // deno-lint-ignore no-console -- and the careful one
  console.error((error as Error).message);
}

async function echo(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(1024);
  for (let n; (n = await conn.read(p)) !== null;) {
    failIf(p[0] === "!".charCodeAt(0));
    await conn.write(p.subarray(0, n));
  }
}

async function echoAndClose(conn: Deno.Conn): Promise<void> {
  try {
    await echo(conn);
  } catch {
    // The client has read enough.
  }
  conn.close();
}

const [kind = "guarded", logging] = Deno.args;
const server = KINDS[kind]!(logging === "stack" ? logWhole : logMessage);
say(`${server.port}`);

const starvedSince = (async () => {
  while (server.starved() === 0) await turn();
  return performance.now();
})();

for await (const command of commands()) {
  if (command === "stop") break;
  if (command === "grow up") {
    while (performance.now() < GROWN_UP) await turn();
    say("grown up");
  } else {
    const since = await starvedSince;
    say(JSON.stringify({ starved: server.starved(), since, now: performance.now() }));
  }
}
server.stop();
