/**
 * Tells each client who it is, then sends back what it sends. It stands behind a balancer, which says
 * who the clients are: with the `haproxy.cfg` beside this file, HAProxy listens on port 7000 and comes
 * here. `--trust` names other balancers, with commas between them.
 *
 * deno run --allow-net examples/behind_proxy.ts
 *
 * @module
 */

import { type Connection, formatAddress, serve } from "jsr:@usher/server@^0.1.0";
import { start } from "./start.ts";

/** Connections of one client. Only because the balancer tells clients apart can they be limited. */
const MOST_PER_CLIENT = 20;

/** Serves one client. */
export async function behindProxy(conn: Connection): Promise<void> {
  // A health check with a header of its own: it gets an answer like everybody, without a client.
  const who = conn.proxy?.source === undefined ? "nobody I know" : formatAddress(conn.remoteAddr);
  const how = conn.proxy?.tlvs?.ssl?.version ?? "clear text";
  const greeting = `You are ${who} in ${how}, through ${formatAddress(conn.peerAddr)}\n`;
  await conn.write(new TextEncoder().encode(greeting));
  for await (const chunk of conn) await conn.write(chunk);
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/behind_proxy.ts";
  const options = { trust: "127.0.0.1,::1" };
  await start({ command, port: 7001, options }, (place, { trust = options.trust }) =>
    serve({
      ...place,
      // Nobody else may connect: a header of his own could say that he is anybody.
      proxyProtocol: { trust: trust.split(",") },
      maxConnectionsPerPeer: MOST_PER_CLIENT,
    }, behindProxy));
}
