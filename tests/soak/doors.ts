/** The ways by which clients come to a server. @module */

import { connect } from "node:net";
import { headerOf } from "../support/balancer.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { ca } from "../support/certificates.ts";
import { writeAll } from "../support/peers.ts";

/** What stands between a client and its server. */
export type DoorKind = "tcp" | "unix" | "tls" | "proxy" | "proxied tls";

/** Where a server listens, for one kind of client. */
export interface Door {
  readonly kind: DoorKind;
  /** A port of this machine, or a path. */
  readonly at: number | string;
}

const HOSTNAME = "127.0.0.1";

/** What the balancer says first. */
const HEADER = encodeProxyHeader(headerOf("192.0.2.7", 2));

/** Connects; whoever fails here was never let into the kernel's queue. */
export function knock({ at }: Door): Promise<Deno.Conn> {
  return typeof at === "string"
    ? Deno.connect({ transport: "unix", path: at })
    : Deno.connect({ hostname: HOSTNAME, port: at });
}

/** Says and does what is to be said before the server's handler hears anything. */
export async function enter(socket: Deno.Conn, { kind }: Door): Promise<Deno.Conn> {
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

/** Connects and, after having said this, resets; resolves when the socket is gone. */
export function knockAndReset({ kind, at }: Door, said: Uint8Array, after: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = typeof at === "string" ? connect(at) : connect(at, HOSTNAME);
  // What becomes of it is the server's business; Unix sockets know no reset, and are closed.
  const leave = () => typeof at === "string" ? socket.destroy() : socket.resetAndDestroy();
  socket.on("error", () => {});
  socket.once("close", () => resolve());
  socket.once("connect", () => {
    if (kind === "proxy" || kind === "proxied tls") socket.write(HEADER);
    socket.write(said);
    setTimeout(leave, after);
  });
  return promise;
}
