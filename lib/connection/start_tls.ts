/** How does a connection go over to TLS in mid-stream? @module */

import type { ByteReader } from "./byte_reader.ts";
import type { ByteWriter } from "./byte_writer.ts";
import { checkNumber, checkObject } from "../check.ts";
import { DEFAULT_HANDSHAKE_TIMEOUT } from "./limits.ts";
import { enterTls, type TlsInfo } from "./enter_tls.ts";
import type { Lifeline } from "./lifeline.ts";
import { TlsContexts } from "../tls/tls_contexts.ts";
import { completeTlsAlone, type TlsListenOptions } from "../tls/tls_options.ts";

/**
 * The certificate, and whatever else TLS is to do, from the middle of a connection on.
 *
 * @example A plain greeting, and the rest inside TLS
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

const VERB = "start TLS";

/** Made once for each object of options: reading certificates takes longer than a handshake. */
const known = new WeakMap<object, TlsContexts>();

/** Waits for what was written before, and shakes hands; nothing written meanwhile leaves in clear. */
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
      // A read that gave up is still going on, and what it brings is the beginning of the handshake.
      while (reader.filling && await reader.more());
      return await enterTls(life, reader, contexts);
    });
  });
}

function complete(options: StartTlsOptions): { contexts: TlsContexts; timeout: number } {
  checkObject(VERB, options);
  const { handshakeTimeout = DEFAULT_HANDSHAKE_TIMEOUT, ...tls } = options;
  const timeout = checkNumber(VERB, "handshakeTimeout", handshakeTimeout, 1, Infinity, true);
  let contexts = known.get(options);
  if (contexts === undefined) {
    contexts = new TlsContexts(completeTlsAlone(VERB, tls, "startTls()"));
    known.set(options, contexts);
  }
  return { contexts, timeout };
}

function deadline(life: Lifeline, timeout: number): Disposable {
  const due = life.clock.deadline(timeout);
  const ticking = {
    tick(now: number) {
      // This deadline is the only one: who looks for bytes that move sees none of a handshake.
      life.movedAt = now;
      if (now >= due) life.endHandshake();
    },
  };
  life.clock.watch(ticking);
  return { [Symbol.dispose]: () => life.clock.unwatch(ticking) };
}
