/** How does a connection get into TLS? @module */

import type { ByteReader } from "./byte_reader.ts";
import type { Lifeline } from "./lifeline.ts";
import type { TlsContexts } from "../tls/tls_contexts.ts";
import { type TlsFacts, TlsSocket } from "../tls/tls_socket.ts";

/**
 * What TLS has settled about a connection.
 *
 * @example The protocol that was agreed on
 * ```ts
 * import type { TlsInfo } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function protocolOf(tls: TlsInfo | undefined): string {
 *   return tls?.alpnProtocol ?? "none";
 * }
 *
 * assertEquals(protocolOf({ route: "native", alpnProtocol: "imap" }), "imap");
 * ```
 */
export interface TlsInfo extends Partial<TlsFacts> {
  /** What does the work; `"native"` tells nothing but the ALPN protocol. */
  readonly route: "native" | "flexible";
}

/** Puts TLS between a connection and its socket; what was read ahead is the beginning of it. */
export function enterTls(
  life: Lifeline,
  reader: ByteReader,
  contexts: TlsContexts,
): Promise<TlsInfo> {
  const ahead = reader.take(reader.length);
  return settle(life, async () => {
    const socket = new TlsSocket(life.socket, ahead, contexts.socketOptions());
    life.socket = socket;
    return { route: "flexible", ...await socket.handshake() };
  });
}

/** Waits for the handshake of a socket that Deno has put into TLS. */
export function finishNativeTls(life: Lifeline): Promise<TlsInfo> {
  const socket = life.socket as Deno.TlsConn;
  return settle(life, async () => {
    const { alpnProtocol } = await socket.handshake();
    return { route: "native", ...(alpnProtocol !== null && { alpnProtocol }) };
  });
}

/** A connection whose handshake fails is over. */
async function settle(life: Lifeline, handshake: () => Promise<TlsInfo>): Promise<TlsInfo> {
  try {
    return await handshake();
  } catch (error) {
    // A handler that closes meanwhile has ended it for no fault of the handshake.
    if (!life.closed) life.end("handshake_failed", error);
    throw life.failed(error);
  }
}
