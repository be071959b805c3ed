/**
 * The chat room over any number of servers, which hear of each other through NATS. While that is away
 * each goes on by itself, and says so.
 *
 * deno run --allow-net examples/chat_nats.ts
 *
 * @module
 */

import { serve, type Server } from "jsr:@usher/server@^0.2.0";
import { chat, IDLE_TIMEOUT } from "./chat.ts";
import { SharedRoom } from "./chat_nats/shared_room.ts";
import { type Place, start } from "./start.ts";

/**
 * Serves a room that it shares with other servers.
 *
 * @param nats Where NATS is.
 * @param report Is called with one sentence when NATS has gone away, and when it is back.
 */
export async function serveShared(
  place: Place,
  nats: string,
  report: (sentence: string) => void,
): Promise<Server> {
  const room = new SharedRoom(nats, report);
  await room.begin();
  const server = serve({ ...place, idleTimeout: IDLE_TIMEOUT }, chat(room));
  // After the last guest has left.
  server.finished.finally(() => room.close()).catch(() => {});
  return server;
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/chat_nats.ts";
  const options = { nats: "127.0.0.1:4222" };
  await start(
    { command, port: 7000, options },
    (place, { nats = options.nats }) =>
      // deno-lint-ignore no-console -- the output of the program
      serveShared(place, nats, (sentence) => console.error(sentence)),
  );
}
