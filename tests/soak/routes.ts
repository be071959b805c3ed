/** The routes by which clients reach a server. @module */

import { connect } from "node:net";
import { headerOf } from "../support/balancer.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { ca } from "../support/certificates.ts";
import { writeAll } from "../support/peers.ts";

/** The protocols between a client and its server. */
export type RouteKind = "tcp" | "unix" | "tls" | "proxy" | "proxied tls";

/** A server's address for one kind of client. */
export interface Route {
  readonly kind: RouteKind;
  /** A port of this machine, or a path. */
  readonly at: number | string;
}

const HOSTNAME = "127.0.0.1";

/** The balancer's header. */
const HEADER = encodeProxyHeader(headerOf("192.0.2.7", 2));

/** Connects; a connection that fails here was never in the kernel's queue. */
export function reach({ at }: Route): Promise<Deno.Conn> {
  return typeof at === "string"
    ? Deno.connect({ transport: "unix", path: at })
    : Deno.connect({ hostname: HOSTNAME, port: at });
}

/** Sends the PROXY header and makes the TLS handshake, as far as the route has them. */
export async function prepare(socket: Deno.Conn, { kind }: Route): Promise<Deno.Conn> {
  if (kind === "proxy" || kind === "proxied tls") await writeAll(socket, HEADER);
  if (kind === "tcp" || kind === "unix" || kind === "proxy") return socket;
  const tls = await Deno.startTls(socket as Deno.TcpConn, {
    hostname: "localhost",
    caCerts: [ca.cert],
  });
  try {
    await tls.handshake();
    return tls;
  } catch (error) {
    tls.close();
    throw error;
  }
}

/** Connects, sends these bytes and resets; resolves when the socket is gone. */
export function reachAndReset(
  { kind, at }: Route,
  first: Uint8Array,
  after: number,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = typeof at === "string" ? connect(at) : connect(at, HOSTNAME);
  // Its errors do not matter here. Unix sockets have no reset, and are closed.
  const leave = () => typeof at === "string" ? socket.destroy() : socket.resetAndDestroy();
  socket.on("error", () => {});
  socket.once("close", () => resolve());
  socket.once("connect", () => {
    if (kind === "proxy" || kind === "proxied tls") socket.write(HEADER);
    socket.write(first);
    setTimeout(leave, after);
  });
  return promise;
}
