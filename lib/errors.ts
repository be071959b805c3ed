/** The errors that a caller may want to catch, and how the message of one is extended. @module */

/**
 * The peer broke the rules of the protocol that is spoken with it.
 *
 * A handler that throws one ends its connection with the reason `protocol_error`, and nothing is
 * reported to `onError`: what a peer can cause at will is counted, not logged.
 *
 * @example Refuse a greeting
 * ```ts
 * import { ProtocolError } from "@usher/server";
 * import { assertThrows } from "@std/assert";
 *
 * function checkGreeting(line: string) {
 *   if (line !== "HELO") throw new ProtocolError(`Cannot greet with "${line}": say HELO first`);
 * }
 *
 * assertThrows(() => checkGreeting("EHLO"), ProtocolError, "say HELO");
 * ```
 */
export class ProtocolError extends Error {
  /** The name of the class, as it appears in logs. */
  override name = "ProtocolError";
}

/**
 * The peer sent a frame, or a part of one, that is larger than the option `limit` allows.
 *
 * It is thrown as soon as the size is certain, before memory for the frame is reserved, and nothing
 * of the frame is taken: its bytes are still to be read.
 *
 * @example Tell a peer why it is refused
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
 */
export class FrameTooLargeError extends ProtocolError {
  /** The name of the class, as it appears in logs. */
  override name = "FrameTooLargeError";
  /** The limit that was in force, in bytes of the frame's content. */
  readonly limit: number;
  /** The size of the frame's content in bytes, where the peer announced it. */
  readonly size: number | undefined;

  /**
   * An error that names what was too large, and the option that would allow it.
   *
   * @param message What was attempted, and which option would allow it.
   * @param limit The limit that was in force, in bytes of the frame's content.
   * @param size The size of the frame's content in bytes, where the peer announced it.
   */
  constructor(message: string, limit: number, size?: number) {
    super(message);
    this.limit = limit;
    this.size = size;
  }
}

/**
 * What came is no PROXY header, or a broken one.
 *
 * It is thrown as soon as the bytes make it certain, and nothing is taken.
 *
 * @example An HTTP client at a port that expects a PROXY header
 * ```ts
 * import { proxyHeader, ProxyHeaderError } from "@usher/server/wire";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const request = new TextEncoder().encode("POST / HTTP/1.1\r\n");
 * const error = assertThrows(() => proxyHeader().decode(request, 0, false), ProxyHeaderError);
 * assertEquals(error.at, 1); // "P" might have been the beginning of "PROXY".
 * ```
 */
export class ProxyHeaderError extends ProtocolError {
  /** The name of the class, as it appears in logs. */
  override name = "ProxyHeaderError";
  /** Which byte is wrong, counted from 0, or where the part begins that is. */
  readonly at: number;

  /**
   * An error that names what is wrong, and where.
   *
   * @param message What was attempted, what is wrong, and at which byte.
   * @param at Which byte is wrong, counted from 0, or where the part begins that is.
   */
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/**
 * Connections were refused: what `onError` is told, every ten seconds at most, for all of them
 * together.
 *
 * @example Tell the two kinds of news apart
 * ```ts
 * import { RefusedError } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const log: string[] = [];
 * const onError = (error: unknown) => {
 *   log.push(error instanceof RefusedError ? `busy: ${error.message}` : `broken: ${error}`);
 * };
 *
 * onError(new RefusedError({ peerLimit: 380, full: 32 }, 10));
 * assertEquals(log, ["busy: 412 refused in 10 s: 380 per-peer limit, 32 full"]);
 * ```
 */
export class RefusedError extends Error {
  /** The name of the class, as it appears in logs. */
  override name = "RefusedError";
  /** How many, by the causes of `stats().refused`. */
  readonly counts: Readonly<Record<string, number>>;

  /** The peer with most connections beyond `maxConnectionsPerPeer`, if there was one. */
  readonly peer: string | undefined;

  /**
   * An error that counts.
   *
   * @param counts How many, by the causes of `stats().refused`.
   * @param seconds In how many seconds.
   * @param peer The peer with most connections beyond `maxConnectionsPerPeer`, if there was one.
   */
  constructor(counts: Readonly<Record<string, number>>, seconds: number, peer?: string) {
    const causes = Object.entries(counts).toSorted(([, one], [, other]) => other - one);
    const sum = causes.reduce((sum, [, count]) => sum + count, 0);
    const parts = causes.map(([cause, count]) => `${count} ${WORDS[cause] ?? cause}`);
    const advice = peer === undefined
      ? ""
      : `; most beyond the limit came from ${peer}: if that is ` +
        "a balancer or NAT, use 'proxyProtocol' or raise 'maxConnectionsPerPeer'";
    super(`${sum} refused in ${seconds} s: ${parts.join(", ")}${advice}`);
    this.counts = counts;
    this.peer = peer;
  }
}

/** What the causes are called in a sentence. */
const WORDS: Record<string, string> = {
  peerLimit: "per-peer limit",
  address: "address not allowed",
  handshaking: "displaced in the handshake",
};

/**
 * Puts `before` in front of an error's message. The same object is kept, because a new one would
 * have neither the `code` nor the class; an error that cannot be changed stays as it is.
 */
export function extendMessage(error: unknown, before: string, after = ""): void {
  try {
    if (!(error instanceof Error) || error.message.startsWith(before)) return;
    error.message = `${before}${error.message}${after}`;
  } catch {
    // Frozen, or a DOMException, whose message has no setter.
  }
}
