/**
 * Sends each client its address, then echoes. It runs behind a balancer that passes on the addresses of
 * clients: with the `haproxy.cfg` beside this file, HAProxy listens on port 7000 and connects here.
 * `--trust` names other balancers, separated by commas.
 *
 * deno run --allow-net examples/behind_proxy.ts
 *
 * @module
 */

import { type Connection, formatAddress, serve } from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

/** Connections per client. The limit works because the balancer passes on each client's address. */
const MOST_PER_CLIENT = 20;

/** Serves one client. */
export async function behindProxy(conn: Connection): Promise<void> {
  // A health check sends a header without a client; it is answered like any connection.
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
      // No other peer may connect: with a header it could claim any address.
      proxyProtocol: { trust: trust.split(",") },
      maxConnectionsPerPeer: MOST_PER_CLIENT,
    }, behindProxy));
}
