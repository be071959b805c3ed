/**
 * Forwards each connection to another address, both ways, with half-closes.
 *
 * deno run --allow-net examples/forward.ts --to 127.0.0.1:7000
 *
 * @module
 */

import { connection, type Handler, relay, serve } from "@usher/server";
import { start } from "./start.ts";

/** Makes the handler that forwards to `target`. */
export function forward(target: Deno.ConnectOptions): Handler {
  return async (conn) => {
    await using upstream = connection(await Deno.connect(target));
    await relay(conn, upstream);
  };
}

/** Reads `HOST:PORT`, an IPv6 address in brackets. */
function parseTarget(text: string): Deno.ConnectOptions {
  const url = /^(\[[^\]]+\]|[^\s:/@]+):\d+$/.test(text) ? URL.parse(`tcp://${text}`) : null;
  if (url === null) {
    throw new TypeError(`Cannot forward --to "${text}": use HOST:PORT, such as 127.0.0.1:7000`);
  }
  return { hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(url.port) };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/forward.ts --to 127.0.0.1:7000";
  await start(
    { command, flags: ["to"] },
    (place, { to }) => serve(place, forward(parseTarget(to))),
  );
}
