/** Why is a connection over? @module */

/** Every end reason, in the order in which the README explains them. */
export const END_REASONS = [
  "completed",
  "peer_closed_early",
  "peer_reset",
  "network_error",
  "handler_error",
  "protocol_error",
  "idle_timeout",
  "write_timeout",
  "write_overflow",
  "refused_full",
  "forced",
  "abandoned",
] as const;

/**
 * The one word that says why a connection is over: the first thing that ended it.
 *
 * - `completed`: the handler settled and what it had written was handed to the peer's kernel
 * - `peer_closed_early`: the peer was gone while something was still to be sent to it
 * - `peer_reset`: the peer reset the connection
 * - `network_error`: the network failed in another way
 * - `handler_error`: the handler threw an error of its own
 * - `protocol_error`: the handler, or a codec, threw a {@linkcode ProtocolError}
 * - `idle_timeout`: no byte in either direction for `idleTimeout`
 * - `write_timeout`: the peer did not take enough of a write within `writeTimeout`
 * - `write_overflow`: more than `maxUnsent` was waiting to be sent
 * - `refused_full`: no slot was free and `whenFull` said to refuse
 * - `forced`: the server closed it while stopping
 * - `abandoned`: closed while stopping, and its handler did not settle even then
 */
export type EndReason = typeof END_REASONS[number];
