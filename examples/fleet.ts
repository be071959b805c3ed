/**
 * Stretches passwords, some ms of work each, on every core: one server, as many threads.
 *
 * deno run --allow-net --allow-read examples/fleet.ts
 *
 * @module
 */

import { scryptSync } from "node:crypto";
import { isMainThread } from "node:worker_threads";
import { type Connection, framed, lines, serve } from "jsr:@usher/server@^0.2.0";
import { fleet } from "jsr:@usher/server@^0.2.0/fleet";
import { start } from "./start.ts";

/** Bytes of a password that is accepted. */
const LONGEST = 1024;

/** Bytes of what it becomes. */
const KEY = 16;

/** Serves one client: answers each line with its key in hexadecimal. */
export async function stretch(conn: Connection): Promise<void> {
  const passwords = framed(conn, lines({ limit: LONGEST }));
  for await (const password of passwords) {
    // The thread does nothing else meanwhile, and the other threads go on.
    await passwords.send(scryptSync(password, "usher", KEY, { N: 1024 }).toString("hex"));
  }
}

// From an address on the network it is not the main module of its workers.
if (import.meta.main || !isMainThread) {
  const command = "deno run --allow-net --allow-read examples/fleet.ts";
  // This program starts the fleet, and is what each of its workers runs.
  await start(
    { command, port: 7000 },
    (place) => isMainThread ? fleet(import.meta.url) : serve(place, stretch),
  );
}
