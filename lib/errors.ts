/** The errors that a caller may want to catch, and a way to extend the message of one. @module */

/**
 * The peer violated the protocol.
 *
 * A handler that throws one ends its connection with the reason `protocol_error`, and nothing is
 * reported to `onError`: what a peer can trigger at will is counted, not logged.
 *
 * @example Refuse a greeting
 * ```ts
 * import { ProtocolError } from "@usher/server";
 * import { assertThrows } from "@std/assert";
 *
 * function checkGreeting(line: string) {
 *   if (line !== "HELO") {
 *     throw new ProtocolError(`Cannot greet with "${line}": say HELO first`);
 *   }
 * }
 *
 * assertThrows(() => checkGreeting("EHLO"), ProtocolError, "say HELO");
 * ```
 *
 * @category Errors and records
 */
export class ProtocolError extends Error {
  /** The name of the class, as it appears in logs. */
  override name = "ProtocolError";
}

/**
 * The peer sent a frame, or part of one, that is larger than the option `limit` allows.
 *
 * It is thrown as soon as the size is known, before memory for the frame is allocated. Nothing of the
 * frame is consumed: its bytes can still be read.
 *
 * @example Reject a line that is too long
 * ```ts
 * import { FrameTooLargeError, lines } from "@usher/server";
 * import { assertThrows } from "@std/assert";
 *
 * const tooLong = new TextEncoder().encode("a line\n");
 * const error = assertThrows(
 *   () => lines({ limit: 5 }).decode(tooLong, 0, false),
 *   FrameTooLargeError,
 *   "'limit'",
 * );
 * if (error.limit !== 5) throw error;
 * ```
 *
 * @category Errors and records
 */
export class FrameTooLargeError extends ProtocolError {
  /** The name of the class, as it appears in logs. */
  override name = "FrameTooLargeError";
  /** The limit in force, in bytes of the frame's content. */
  readonly limit: number;
  /** The size of the frame's content in bytes, where the peer announced it. */
  readonly size: number | undefined;

  /**
   * An error that names what was too large, and the option that would allow it.
   *
   * @param message What was attempted, and which option would allow it.
   * @param limit The limit in force, in bytes of the frame's content.
   * @param size The size of the frame's content in bytes, where the peer announced it.
   */
  constructor(message: string, limit: number, size?: number) {
    super(message);
    this.limit = limit;
    this.size = size;
  }
}

/**
 * The bytes are no PROXY header, or a malformed one.
 *
 * It is thrown at the first byte that proves it, and nothing is consumed.
 *
 * @example An HTTP client at a port that expects a PROXY header
 * ```ts
 * import { proxyHeader, ProxyHeaderError } from "@usher/server/wire";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const request = new TextEncoder().encode("POST / HTTP/1.1\r\n");
 * const error = assertThrows(
 *   () => proxyHeader().decode(request, 0, false),
 *   ProxyHeaderError,
 * );
 * assertEquals(error.at, 1); // "P" might have been the beginning of "PROXY".
 * ```
 *
 * @category Errors and records
 */
export class ProxyHeaderError extends ProtocolError {
  /** The name of the class, as it appears in logs. */
  override name = "ProxyHeaderError";
  /** The offset of the wrong byte, or of the wrong part, counted from 0. */
  readonly at: number;

  /**
   * An error that names what is wrong, and where.
   *
   * @param message What was attempted, what is wrong, and at which byte.
   * @param at The offset of the wrong byte, or of the wrong part, counted from 0.
   */
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/**
 * Connections were refused: `onError` receives one for all of them, every ten seconds at most.
 *
 * @example Tell refusals from other errors
 * ```ts
 * import { RefusedError } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const log: string[] = [];
 * const onError = (error: unknown) => {
 *   log.push(
 *     error instanceof RefusedError
 *       ? `busy: ${error.message}`
 *       : `broken: ${error}`,
 *   );
 * };
 *
 * onError(new RefusedError({ peerLimit: 380, full: 32 }, 10));
 * assertEquals(log, ["busy: 412 refused in 10 s: 380 per-peer limit, 32 full"]);
 * ```
 *
 * @category Errors and records
 */
export class RefusedError extends Error {
  /** The name of the class, as it appears in logs. */
  override name = "RefusedError";
  /** How many were refused, by the causes of `stats().refused`. */
  readonly counts: Readonly<Record<string, number>>;

  /** The peer with most connections beyond the limits per peer, if there was one. */
  readonly peer: string | undefined;

  /**
   * An error that sums up the refusals of some seconds.
   *
   * @param counts How many were refused, by the causes of `stats().refused`.
   * @param seconds In how many seconds.
   * @param peer The peer with most connections beyond the limits per peer, if there was one.
   */
  constructor(counts: Readonly<Record<string, number>>, seconds: number, peer?: string) {
    const causes = Object.entries(counts).toSorted(([, one], [, other]) => other - one);
    const sum = causes.reduce((sum, [, count]) => sum + count, 0);
    const parts = causes.map(([cause, count]) => `${count} ${WORDS[cause] ?? cause}`);
    const limits = Object.keys(PER_PEER).filter((cause) => counts[cause] !== undefined);
    const advice = peer === undefined
      ? ""
      : `; most beyond the limit came from ${peer}: if that is a balancer or NAT, use ` +
        `'proxyProtocol' or raise ${limits.map((cause) => PER_PEER[cause]).join(" and ")}`;
    super(`${sum} refused in ${seconds} s: ${parts.join(", ")}${advice}`);
    this.counts = counts;
    this.peer = peer;
  }
}

/** The causes in plain words. */
const WORDS: Record<string, string> = {
  peerLimit: "per-peer limit",
  address: "address not allowed",
  handshaking: "displaced in the handshake",
  rate: "per-peer rate",
  admit: "not admitted",
};

/** The option behind each cause that is about one peer. */
const PER_PEER: Record<string, string> = {
  peerLimit: "'maxConnectionsPerPeer'",
  rate: "'maxRatePerPeer'",
};

/**
 * Puts `before` in front of an error's message. The object is kept, because a new one would lose the
 * `code` and the class; an error whose message cannot be set stays as it is.
 */
export function extendMessage(error: unknown, before: string, after = ""): void {
  try {
    if (!(error instanceof Error) || error.message.startsWith(before)) return;
    error.message = `${before}${error.message}${after}`;
  } catch {
    // Frozen, or a DOMException, whose message has no setter.
  }
}
