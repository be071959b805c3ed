/** Puts TLS between a connection and its socket, at its beginning or in mid-stream. @module */

import { checkObject, checkTime } from "../check.ts";
import { TlsContexts } from "../tls/tls_contexts.ts";
import { completeTlsAlone, type TlsListenOptions } from "../tls/tls_options.ts";
import { type TlsInfo, TlsSocket } from "../tls/tls_socket.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { ByteWriter } from "./byte_writer.ts";
import type { Lifeline } from "./lifeline.ts";
import { DEFAULT_HANDSHAKE_TIMEOUT } from "./limits.ts";

/**
 * The certificate, and whatever else TLS is to do, from the middle of a connection on.
 *
 * @example A greeting in clear, and the rest inside TLS
 * ```ts
 * import type { Handler, StartTlsOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function secured(options: StartTlsOptions, handler: Handler): Handler {
 *   return async (conn) => {
 *     if (await conn.readLine() !== "STARTTLS") return;
 *     await conn.write(new TextEncoder().encode("go ahead\r\n"));
 *     await conn.startTls(options);
 *     await handler(conn);
 *   };
 * }
 *
 * assertEquals(typeof secured({ handshakeTimeout: 5_000 }, async () => {}), "function");
 * ```
 */
export interface StartTlsOptions extends TlsListenOptions {
  /**
   * Ms for the handshake, after which the connection is closed (`handshake_timeout`).
   *
   * @default {10_000}
   */
  handshakeTimeout?: number;
}

const START = "start TLS";

/** Made once for each options object: reading certificates takes longer than a handshake. */
const known = new WeakMap<object, TlsContexts>();

/**
 * Makes the handshake of a connection that begins with it; what was read ahead is its beginning.
 *
 * @param life The connection, which a failed handshake ends.
 * @param reader What has arrived.
 * @param contexts The certificates; without them the socket is one of Deno's TLS and does it itself.
 */
export async function enterTls(
  life: Lifeline,
  reader: ByteReader,
  contexts: TlsContexts | undefined,
): Promise<TlsInfo> {
  try {
    if (contexts === undefined) return await ownHandshake(life.socket as Deno.TlsConn);
    const ahead = reader.take(reader.length);
    const socket = new TlsSocket(life.socket, ahead, contexts.socketOptions());
    life.socket = socket;
    return await socket.handshake();
  } catch (error) {
    // A handler that closes meanwhile has ended it through no fault of the handshake.
    if (!life.closed) life.end("handshake_failed", error);
    throw life.failed(error);
  }
}

/** Goes over to TLS behind every earlier write; nothing written meanwhile leaves in clear. */
export function startTls(
  life: Lifeline,
  reader: ByteReader,
  writer: ByteWriter,
  options: StartTlsOptions,
): Promise<TlsInfo> {
  return reader.claim(async () => {
    const { contexts, timeout } = complete(options);
    return await writer.between(async () => {
      using _deadline = deadline(life, timeout);
      // A read that gave up is still pending, and what it brings is the beginning of the handshake.
      while (reader.filling && await reader.more());
      return await enterTls(life, reader, contexts);
    });
  });
}

async function ownHandshake(socket: Deno.TlsConn): Promise<TlsInfo> {
  const { alpnProtocol } = await socket.handshake();
  return alpnProtocol === null ? {} : { alpnProtocol };
}

function complete(options: StartTlsOptions): { contexts: TlsContexts; timeout: number } {
  checkObject(START, options);
  const { handshakeTimeout = DEFAULT_HANDSHAKE_TIMEOUT, ...tls } = options;
  const timeout = checkTime(START, "handshakeTimeout", handshakeTimeout);
  let contexts = known.get(options);
  if (contexts === undefined) {
    contexts = new TlsContexts(START, completeTlsAlone(START, tls));
    known.set(options, contexts);
  }
  return { contexts, timeout };
}

function deadline(life: Lifeline, timeout: number): Disposable {
  const due = life.clock.deadline(timeout);
  const ticking = {
    tick(now: number) {
      // The only deadline meanwhile: none of the bytes of a handshake count as movement elsewhere.
      life.movedAt = now;
      if (now >= due) life.endHandshake();
    },
  };
  life.clock.watch(ticking);
  return { [Symbol.dispose]: () => life.clock.unwatch(ticking) };
}
