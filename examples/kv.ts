/**
 * A small key-value server that speaks the protocol of Redis: `redis-cli` and `redis-benchmark` work
 * with it.
 *
 * deno run --allow-net examples/kv.ts
 *
 * @module
 */

import { framed, type Handler, ProtocolError, serve } from "jsr:@usher/server@^0.2.0";
import { BYE, execute } from "./kv/commands.ts";
import { commands, Failure, replies } from "./kv/resp.ts";
import { Store } from "./kv/store.ts";
import { start } from "./start.ts";

/** Bytes of unsent replies from which on `send` waits, and with it the next command. */
const ENOUGH = 65_536;

/** Makes the handler that serves a store to each client. */
export function kv(store: Store): Handler {
  return async (conn) => {
    const requests = framed(conn, commands);
    const answers = framed(conn, replies);
    try {
      for await (const command of requests) {
        const reply = execute(store, command);
        const sent = answers.send(reply);
        // Awaiting every send would be as correct, and costs a twentieth of a GET.
        if (conn.unsentBytes >= ENOUGH) await sent;
        if (reply === BYE) return;
      }
    } catch (error) {
      if (error instanceof ProtocolError) {
        answers.send(new Failure(`ERR ${error.message}`));
        await answers.flush();
      }
      throw error;
    }
  };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/kv.ts";
  const store = new Store();
  await start({ command, port: 6379 }, (place) => serve(place, kv(store)));
}
