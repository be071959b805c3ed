/** The reasons for which a connection ends. @module */

/**
 * The one word that says why a connection is over: the first thing that ended it.
 *
 * - `completed`: the handler settled and what it had written was handed to the peer's kernel
 * - `peer_closed_early`: the peer was gone while something was still to be sent to it, or in the
 *   middle of what it was sending
 * - `peer_reset`: the peer reset the connection
 * - `network_error`: the network failed in another way
 * - `handler_error`: the handler threw an error of its own
 * - `protocol_error`: the handler, or a codec, threw a {@linkcode ProtocolError}
 * - `idle_timeout`: no byte in either direction for `idleTimeout`
 * - `receive_timeout`: no byte received for `receiveTimeout`, whatever was sent
 * - `frame_timeout`: a frame had begun and was not complete within `frameTimeout`
 * - `read_timeout`: a read gave up after its own `timeout`, and the handler passed that on
 * - `read_aborted`: a read gave up by its own `signal`, and the handler passed that on
 * - `write_timeout`: the peer did not take enough of a write within `writeTimeout`
 * - `write_overflow`: something was to be written while `maxUnsent` was waiting already
 * - `deadline`: what `deadline()` had begun was not disposed in time
 * - `dismissed`: the program called `end()` or `close()` with a text that says why, the record's `detail`
 * - `memory_limit`: buffers occupied more than `maxBuffered`, its peer's the most, and it made no progress
 * - `relay_failed`: the other side of a `relay()` failed, with the error that says how
 * - `max_age`: it was as old as `maxAge` allows, and its handler did not return within
 *   `shutdownTimeout`
 * - `handshake_timeout`: PROXY header and TLS handshake took longer than `handshakeTimeout`
 * - `handshake_failed`: client and server did not agree on TLS, or the client left before
 * - `proxy_header_invalid`: what came first was no PROXY header, or a broken one
 * - `health_check`: on an address with PROXY headers or behind one, a client connected and left
 *   without sending anything
 * - `refused_full`: no slot was free and `whenFull` refuses
 * - `refused_peer_limit`: its peer had `maxConnectionsPerPeer` already
 * - `refused_address`: the rules in `allow` and `deny` keep its address out, or no such peer may send
 *   a PROXY header
 * - `refused_handshaking`: it made room for another one at `maxHandshaking`
 * - `refused_rate`: its peer had opened as many as `maxRatePerPeer` allows in the time
 * - `refused_admit`: the hook `admit` said `false`, failed, or did not settle within `handshakeTimeout`
 * - `worker_lost`: the worker of a fleet that it was in has ended; it has no record
 * - `forced`: the server closed it while stopping
 * - `abandoned`: closed while stopping, and its handler, or `admit`, did not settle even then
 *
 * @example Learn why connections ended
 * ```ts
 * import { type EndReason, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const reasons: EndReason[] = [];
 * const server = serve({
 *   port: 0,
 *   hostname: "127.0.0.1",
 *   onEnd: ({ reason }) => reasons.push(reason),
 * }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("bye"));
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "bye");
 * await server.shutdown();
 * assertEquals(reasons, ["completed"]);
 * ```
 *
 * @category Errors and records
 */
export type EndReason =
  | "completed"
  | "peer_closed_early"
  | "peer_reset"
  | "network_error"
  | "handler_error"
  | "protocol_error"
  | "idle_timeout"
  | "receive_timeout"
  | "frame_timeout"
  | "read_timeout"
  | "read_aborted"
  | "write_timeout"
  | "write_overflow"
  | "deadline"
  | "dismissed"
  | "memory_limit"
  | "relay_failed"
  | "max_age"
  | "handshake_timeout"
  | "handshake_failed"
  | "proxy_header_invalid"
  | "health_check"
  | "refused_full"
  | "refused_peer_limit"
  | "refused_address"
  | "refused_handshaking"
  | "refused_rate"
  | "refused_admit"
  | "worker_lost"
  | "forced"
  | "abandoned";

/** Each reason once, which the type sees to. */
const EVERY: Record<EndReason, true> = {
  completed: true,
  peer_closed_early: true,
  peer_reset: true,
  network_error: true,
  handler_error: true,
  protocol_error: true,
  idle_timeout: true,
  receive_timeout: true,
  frame_timeout: true,
  read_timeout: true,
  read_aborted: true,
  write_timeout: true,
  write_overflow: true,
  deadline: true,
  dismissed: true,
  memory_limit: true,
  relay_failed: true,
  max_age: true,
  handshake_timeout: true,
  handshake_failed: true,
  proxy_header_invalid: true,
  health_check: true,
  refused_full: true,
  refused_peer_limit: true,
  refused_address: true,
  refused_handshaking: true,
  refused_rate: true,
  refused_admit: true,
  worker_lost: true,
  forced: true,
  abandoned: true,
};

/** Every end reason, in the order in which the README explains them. */
export const END_REASONS = Object.keys(EVERY) as readonly EndReason[];
