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
