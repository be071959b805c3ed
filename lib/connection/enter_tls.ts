/** Puts TLS between a connection and its socket, at its beginning or in mid-stream. @module */

import { checkChoice, checkObject, checkTime } from "../check.ts";
import { TlsClient } from "../tls/tls_client.ts";
import { TlsContexts } from "../tls/tls_contexts.ts";
import {
  completeTlsAlone,
  completeTlsClient,
  type TlsClientOptions,
  type TlsListenOptions,
} from "../tls/tls_options.ts";
import type { TlsInfo, TlsSide } from "../tls/handshake.ts";
import { TlsSocket } from "../tls/tls_socket.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { ByteWriter } from "./byte_writer.ts";
import type { Lifeline } from "./lifeline.ts";
import { DEFAULT_HANDSHAKE_TIMEOUT } from "./limits.ts";

/**
 * The TLS of the rest of a connection: as its server, with a certificate, or with `role: "client"` as
 * the client of a server by name.
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
 * assertEquals(
 *   typeof secured({ handshakeTimeout: 5_000 }, async () => {}),
 *   "function",
 * );
 * ```
 *
 * @category TLS
 */
export type StartTlsOptions =
  | TlsListenOptions & { role?: "server" } & StartTlsLimits
  | TlsClientOptions & { role: "client" } & StartTlsLimits;

/**
 * How long going over to TLS may take.
 *
 * @example Less than the default
 * ```ts
 * import type { StartTlsLimits } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const limits: StartTlsLimits = { handshakeTimeout: 5_000 };
 * assertEquals(limits.handshakeTimeout, 5_000);
 * ```
 *
 * @category TLS
 */
export interface StartTlsLimits {
  /**
   * Ms for the handshake, after which the connection is closed (`handshake_timeout`).
   *
   * @default {10_000}
   */
  handshakeTimeout?: number;
}

const START = "start TLS";

/** Made once for each options object: reading certificates takes longer than a handshake. */
const known = new WeakMap<object, TlsSide>();

/**
 * Makes the handshake of a connection that begins with it; what was read ahead is its beginning.
 *
 * @param life The connection, which a failed handshake ends.
 * @param reader What has arrived.
 * @param side What to make it with; without that the socket is one of Deno's TLS and makes it itself.
 * @param begun Called when a client's first byte has come.
 */
export async function enterTls(
  life: Lifeline,
  reader: ByteReader,
  side: TlsSide | undefined,
  begun?: () => void,
): Promise<TlsInfo> {
  try {
    if (side === undefined) return await ownHandshake(life.socket as Deno.TlsConn);
    life.setOptions(); // what is around the socket from here on has none
    const ahead = reader.take(reader.length);
    const socket = new TlsSocket(life.socket, ahead, side, begun, reader.rooms);
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
    const { side, timeout } = complete(options);
    if (reader.filling && side instanceof TlsClient) {
      throw new Deno.errors.Busy(
        "Cannot start TLS as a client while a read that gave up is pending: it would take the answer",
      );
    }
    return await writer.between(async () => {
      using _deadline = deadline(life, timeout);
      // A read that gave up is still pending, and what it brings is the beginning of the handshake.
      while (reader.filling && await reader.more());
      return await enterTls(life, reader, side);
    });
  });
}

async function ownHandshake(socket: Deno.TlsConn): Promise<TlsInfo> {
  const { alpnProtocol } = await socket.handshake();
  return alpnProtocol === null ? {} : { alpnProtocol };
}

function complete(options: StartTlsOptions): { side: TlsSide; timeout: number } {
  checkObject(START, options);
  const { handshakeTimeout = DEFAULT_HANDSHAKE_TIMEOUT, role = "server", ...tls } = options;
  const timeout = checkTime(START, "handshakeTimeout", handshakeTimeout);
  checkChoice(START, "role", role, ["server", "client"]);
  let side = known.get(options);
  if (side === undefined) {
    side = role === "client"
      ? new TlsClient(START, completeTlsClient(START, tls))
      : new TlsContexts(START, completeTlsAlone(START, tls));
    known.set(options, side);
  }
  return { side, timeout };
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
