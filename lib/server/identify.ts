/** Identifies a connection: PROXY header, rules about addresses, TLS. @module */

import type { RecordOptions } from "../connection/byte_reader.ts";
import { enterTls } from "../connection/enter_tls.ts";
import { ProxyHeaderError } from "../errors.ts";
import type { Expected } from "../listener/bind.ts";
import { type ProxyHeader, proxyHeader } from "../wire/proxy/proxy_header.ts";
import type { AccessRules } from "./access_rules.ts";
import type { Handshaking } from "./handshaking.ts";
import type { Reporter } from "./reporter.ts";
import type { ServedConnection } from "./served_connection.ts";

/** What identifying a connection works with. */
export interface Identification {
  readonly access: AccessRules;
  readonly handshaking: Handshaking;
  readonly reporter: Reporter;
}

/**
 * Makes a socket a connection whose facts no longer change: the PROXY header first, as it comes
 * before everything else; then the rules, which are about the address in the header; then the TLS
 * handshake, which is expensive and only for those that the rules let in.
 *
 * A connection that does not get through is closed when this is over, with its reason.
 *
 * @returns `undefined` if there was nothing to wait for; it never rejects.
 */
export function identify(
  conn: ServedConnection,
  expected: Expected,
  service: Identification,
): Promise<void> | undefined {
  const { isTrusted, tls } = expected;
  // Before it has a place among the handshakes, so that a refused peer displaces no other.
  if (isTrusted === undefined) service.access.apply(conn);
  else if (!isTrusted(conn.peerAddr)) conn.life.end("refused_address");
  const isPlain = isTrusted === undefined && tls === undefined && !hasOwnTls(conn);
  if (!conn.life.closed && !isPlain) return shakeHands(conn, expected, service);
  conn.stage = "serving";
  return undefined;
}

async function shakeHands(
  conn: ServedConnection,
  expected: Expected,
  service: Identification,
): Promise<void> {
  const { life, reader } = conn;
  const { handshaking, reporter } = service;
  conn.stage = expected.isTrusted !== undefined ? "proxy-header" : "tls-handshake";
  handshaking.enter(conn);
  try {
    if (life.closed) return; // no place could be made for it
    if (expected.isTrusted === undefined) await enterTlsFirst(conn, expected, service);
    // What others write to it meanwhile must not leave in clear.
    else if (expected.tls === undefined) await readHeader(conn, expected, service);
    else await conn.writer.between(() => readHeaderAndEnterTls(conn, expected, service));
    if (life.closed) return;
    // Only what the handler can read counts as received.
    life.bytesRead = reader.length;
    conn.stage = "serving";
  } catch (error) {
    // Whatever failed usually ended the connection with its own reason; otherwise end it here, so that
    // no failure admits a client.
    life.end("handshake_failed", error);
    // No peer can cause this: the function that chooses certificates failed, or returned none.
    if (error instanceof TypeError) reporter.report(error, conn);
  } finally {
    handshaking.leave(conn);
  }
}

/** TLS is in place before the first byte, so that nothing written meanwhile leaves in clear. */
async function enterTlsFirst(
  conn: ServedConnection,
  { tls }: Expected,
  { handshaking }: Identification,
): Promise<void> {
  const settled = enterTls(conn.life, conn.reader, tls, () => handshaking.sent(conn));
  conn.identity = { ...conn.identity, tls: await settled };
}

async function readHeader(
  conn: ServedConnection,
  { allowsUnknown }: Expected,
  { access, handshaking }: Identification,
): Promise<void> {
  await conn.reader.peek(1);
  handshaking.sent(conn);
  await readProxyHeader(conn);
  access.apply(conn, allowsUnknown);
}

async function readHeaderAndEnterTls(
  conn: ServedConnection,
  expected: Expected,
  service: Identification,
): Promise<void> {
  const { life, reader } = conn;
  const { handshaking } = service;
  await readHeader(conn, expected, service);
  if (life.closed) return;
  conn.stage = "tls-handshake";
  handshaking.renamed(conn);
  const { length } = await reader.peek(1);
  // Proxies check the health of ports with TLS, too: many connect and leave.
  if (length === 0 && conn.proxy?.command === "LOCAL") return life.end("health_check");
  handshaking.sent(conn);
  life.movedAt = Infinity; // the handshake has a deadline of its own
  conn.identity = { ...conn.identity, tls: await enterTls(life, reader, expected.tls) };
  life.movedAt = life.clock.now;
}

/** Whether the socket comes from `Deno.listenTls`, or from a listener like it. */
function hasOwnTls({ life }: ServedConnection): boolean {
  return "handshake" in life.socket;
}

/** Ends the connection, unless its peer sends a good header. */
async function readProxyHeader(conn: ServedConnection): Promise<void> {
  const { life, reader } = conn;
  let header: ProxyHeader | null;
  try {
    header = await reader.readFrame("a PROXY header", UNHURRIED, proxyHeader);
  } catch (error) {
    // A stream that ends inside a header is no error of the socket.
    const isBroken = error instanceof ProxyHeaderError ||
      error instanceof Deno.errors.UnexpectedEof;
    if (isBroken) life.end("proxy_header_invalid", error);
    throw error;
  }
  if (header === null) return life.end("health_check");
  conn.identity = { proxy: header };
}

/** What bounds it is `handshakeTimeout`. */
const UNHURRIED: RecordOptions = { frameTimeout: Infinity };
