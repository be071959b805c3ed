/**
 * Forwards each connection to another address, both ways, with half-closes. `--send-proxy v1`, or
 * `v2`, passes on the client's address in a PROXY header.
 *
 * deno run --allow-net examples/forward.ts --to 127.0.0.1:7000
 *
 * @module
 */

import {
  type Connection,
  connection,
  type Handler,
  type ProxyHeader,
  relay,
  serve,
} from "jsr:@usher/server@^0.2.0";
import { encodeProxyHeader } from "jsr:@usher/server@^0.2.0/wire";
import { start } from "./start.ts";

/** Makes the handler that forwards to `target`, with a PROXY header of this version if given. */
export function forward(target: Deno.ConnectOptions, version?: ProxyHeader["version"]): Handler {
  return async (conn) => {
    await using upstream = connection(await Deno.connect(target));
    if (version !== undefined) await upstream.write(encodeProxyHeader(describe(conn, version)));
    await relay(conn, upstream);
  };
}

/** The header for a connection: of its peer, or of the client that a proxy before us has announced. */
function describe(conn: Connection, version: ProxyHeader["version"]): ProxyHeader {
  const { remoteAddr: source, localAddr: destination } = conn;
  const { proxy = { command: "PROXY", source, destination } as ProxyHeader } = conn;
  if (version === 2) return { ...proxy, version };
  // Version 1 knows only TCP addresses.
  const { source: from, destination: to } = proxy;
  const isTcp = from?.transport === "tcp" && to !== undefined;
  return { version, command: "PROXY", ...(isTcp && { source: from, destination: to }) };
}

/** Reads `v1` or `v2`. */
function parseVersion(text: string): ProxyHeader["version"] {
  if (text === "v1") return 1;
  if (text === "v2") return 2;
  throw new TypeError(`Cannot forward with --send-proxy "${text}": use v1 or v2`);
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
  const options = { "send-proxy": "v1|v2" };
  await start({ command, flags: ["to"], options }, (place, { to, "send-proxy": version }) => {
    const target = parseTarget(to);
    return serve(place, forward(target, version === undefined ? version : parseVersion(version)));
  });
}
