/** A balancer for tests. @module */

import { encodeProxyHeader, type ProxyHeader } from "../../lib/wire/mod.ts";
import type { ServedConnection } from "../../lib/server/served_connection.ts";
import type { Server, ServerStats } from "../../mod.ts";
import { ca } from "./certificates.ts";
import { dial, writeAll } from "./peers.ts";

/** Options of an address behind a balancer on this machine. */
export const BEHIND = { proxyProtocol: { trust: ["127.0.0.1"] } } as const;

/** A client's header, as the server should understand it. */
export function headerOf(hostname: string, version: 1 | 2 = 1): ProxyHeader {
  const isV6 = hostname.includes(":");
  const source = { transport: "tcp", hostname, port: 4711 } as const;
  const destination = { ...source, hostname: isV6 ? "2001:db8::1" : "192.0.2.1", port: 443 };
  return { version, command: "PROXY", source, destination };
}

/** The same as bytes. */
export function proxied(hostname: string, version: 1 | 2 = 1): Uint8Array<ArrayBuffer> {
  return encodeProxyHeader(headerOf(hostname, version));
}

/** The header of a connection of the balancer itself. */
export const LOCAL: Uint8Array<ArrayBuffer> = encodeProxyHeader({ version: 2, command: "LOCAL" });

/** The header of an unknown client, in either version. */
export const UNKNOWN: readonly Uint8Array<ArrayBuffer>[] = ([1, 2] as const).map((version) =>
  encodeProxyHeader({ version, command: "PROXY" })
);

/** Bytes that the newest connection of a server has received, the PROXY header included. */
export function arrived({ connections }: Server): number {
  return ([...connections].at(-1) as ServedConnection | undefined)?.life.bytesRead ?? 0;
}

/** Connects to a server and sends these bytes first. */
export async function dialSaying(
  addr: Deno.NetAddr,
  ...parts: Uint8Array[]
): Promise<Deno.TcpConn> {
  const client = await dial(addr);
  for (const part of parts) await writeAll(client, part);
  return client;
}

/** Connects with TLS, trusting only the test certificates. */
export function dialTls({ hostname, port }: Deno.NetAddr): Promise<Deno.TlsConn> {
  return Deno.connectTls({ hostname, port, caCerts: [ca.cert] });
}

/** Sends these bytes first, and then upgrades to TLS. */
export async function dialTlsSaying(addr: Deno.NetAddr, p: Uint8Array): Promise<Deno.TlsConn> {
  const client = await dialSaying(addr, p);
  return await Deno.startTls(client, { hostname: addr.hostname, caCerts: [ca.cert] });
}

/** Every accepted connection: the open ones, and the records of those that have ended. */
export function accountedFor({ active, ended }: ServerStats): number {
  return Object.values(ended).reduce((sum, count) => sum + count, active);
}
