/** Who is it? @module */

import type { SocketConnection } from "../connection/socket_connection.ts";
import { enterTls, finishNativeTls } from "../connection/enter_tls.ts";
import type { EndReason } from "../connection/end_reason.ts";
import { ProxyHeaderError } from "../errors.ts";
import { type ProxyHeader, proxyHeader } from "../wire/proxy/proxy_header.ts";
import type { Expected } from "../listener/bind.ts";
import type { AddressTest } from "../listener/address_rules.ts";
import type { Handshaking } from "./handshaking.ts";
import type { PeerLimit } from "./peer_limit.ts";

/** Who may come in, at whichever address. */
export interface House {
  readonly isWelcome: AddressTest | undefined;
  readonly peerLimit: PeerLimit;
  readonly handshaking: Handshaking;
  /** Told of what is wrong with the server's own options, which shows in a handshake only. */
  report(error: unknown, conn: SocketConnection): void;
}

/**
 * Makes a socket a connection whose facts no longer change: the PROXY header first, as it comes
 * before everything else; then the rules, which are about the address that the header says; then the
 * TLS handshake, which is dear and for those alone who may come in.
 *
 * A connection that does not get through is closed when this is over, with its reason.
 *
 * @returns `undefined` if there was nothing to wait for; it never rejects.
 */
export function identify(
  conn: SocketConnection,
  expected: Expected,
  house: House,
): Promise<void> | undefined {
  const { isTrusted, tls } = expected;
  // Before it has a place among the handshakes: who may not come in displaces nobody there.
  if (isTrusted === undefined) admit(conn, house);
  else if (!isTrusted(conn.peerAddr)) conn.life.end("refused_address");
  const isOver = conn.life.closed || (isTrusted === undefined && tls === undefined);
  return isOver ? undefined : shakeHands(conn, expected, house);
}

async function shakeHands(
  conn: SocketConnection,
  { isTrusted, tls }: Expected,
  house: House,
): Promise<void> {
  const { handshaking } = house;
  handshaking.enter(conn);
  try {
    if (isTrusted !== undefined) {
      await readProxyHeader(conn);
      admit(conn, house);
    }
    const { life, reader, proxy } = conn;
    if (tls === undefined || life.closed) return;
    // Proxies look at ports with TLS, too: many connect and leave.
    if (proxy?.command === "LOCAL" && (await reader.peek(1)).length === 0) {
      return life.end("health_check");
    }
    const settled = tls === "native" ? finishNativeTls(life) : enterTls(life, reader, tls);
    conn.identity = { ...conn.identity, tls: await settled };
  } catch (error) {
    // What fails has ended the connection, and said why. Nobody comes in by what has not.
    conn.life.end("handshake_failed", error);
    // No peer can cause this: the function that chooses certificates failed, or gave none.
    if (error instanceof TypeError) house.report(error, conn);
  } finally {
    handshaking.leave(conn);
  }
}

/** Ends the connection, unless its peer sends a good header. */
async function readProxyHeader(conn: SocketConnection): Promise<void> {
  const { life, reader } = conn;
  let header: ProxyHeader | null;
  try {
    header = await reader.readFrame("a PROXY header", undefined, proxyHeader);
  } catch (error) {
    if (life.bytesRead === 0 && life.reason === "peer_reset") life.rename("health_check");
    // A stream that ends inside a header is no error of the socket.
    const isBroken = error instanceof ProxyHeaderError ||
      error instanceof Deno.errors.UnexpectedEof;
    if (isBroken) life.end("proxy_header_invalid", error);
    throw error;
  }
  if (header === null) return life.end("health_check");
  conn.identity = { proxy: header };
  // What the handler can read is what is counted.
  life.bytesRead = reader.length;
}

/** Applies the rules about addresses. */
function admit(conn: SocketConnection, { isWelcome, peerLimit }: House): void {
  const { life, proxy } = conn;
  if (life.closed) return;
  // The proxy itself looks whether we live: it was asked for, and is nobody's client.
  if (proxy?.command === "LOCAL") return;
  if (isWelcome?.(conn.remoteAddr) === false) return life.end("refused_address");
  // Where the client is not known, everybody would be one peer.
  if (proxy !== undefined && proxy.source === undefined) return;
  if (!peerLimit.enter(conn)) life.end("refused_peer_limit");
}

/** What a proxy that only looks whether we live may end as. */
const LEFT: readonly EndReason[] = ["completed", "peer_closed_early", "peer_reset"];

/** Whether that was a proxy which looked whether we live, and said nothing. */
export function isHealthCheck(conn: SocketConnection, reason: EndReason): boolean {
  if (conn.proxy?.command !== "LOCAL" || conn.bytesRead > 0) return false;
  if (LEFT.includes(reason)) return true;
  // It has seen that we speak TLS, which was all it wanted, and does not wait for the last message.
  return reason === "handshake_failed" && conn.life.error instanceof Deno.errors.ConnectionReset;
}
