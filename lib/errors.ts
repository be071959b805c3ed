/** The error classes that a caller may want to catch. @module */

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
