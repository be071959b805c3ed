/**
 * Tests a handler without a network and without permissions.
 *
 * {@linkcode connect} runs a handler as `serve()` does and gives its client; {@linkcode pair} gives
 * just the two ends of a connection, {@linkcode scriptedListener} a listener that plays connections
 * and failures, and {@linkcode everySplit} the same bytes split in every way.
 *
 * @module
 */

export { type Client, connect, type ConnectOptions } from "./connect.ts";
export { everySplit, type SplitOptions } from "./every_split.ts";
export type { Faults } from "./faults.ts";
export { type End, pair, type PairOptions } from "./pair.ts";
export { type AcceptStep, type ScriptedListener, scriptedListener } from "./scripted_listener.ts";
export type { AcceptErrno } from "./system_error.ts";
