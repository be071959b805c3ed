/** What can be done with a server that runs. @module */

import type { Connection } from "../connection/connection.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import type { ShutdownReport } from "./drain.ts";
import type { ServerStats } from "./statistics.ts";

/**
 * How to stop.
 *
 * @example Give handlers five seconds
 * ```ts
 * import { serve, type ShutdownOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const gracePeriod: ShutdownOptions = { timeout: 5_000 };
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await server.shutdown(gracePeriod);
 * assertEquals(server.state, "stopped");
 * ```
 *
 * @category Stopping
 */
export interface ShutdownOptions {
  /**
   * Ms to go on accepting and serving as before, while `state` is `"draining"` already: balancers and
   * Kubernetes need them to notice, and send new clients elsewhere. 0 unless given.
   */
  lameDuck?: number;
  /**
   * Ms after that to wait for handlers before their connections are closed; 0 closes them at once,
   * `Infinity` waits for as long as they take. The option `shutdownTimeout` unless given.
   */
  timeout?: number;
  /**
   * Ms over which connections are drained one after the other, the oldest first, so that thousands of
   * clients do not connect elsewhere in the same moment; half of `timeout` at most, as the last ones
   * need time, too. 0 unless given.
   */
  spread?: number;
}

/**
 * What a server and a fleet have in common: all of a {@linkcode Server} but its `connections`, which
 * live in the threads of a fleet. `watch()`, `instrument()` and `shutdownOnSignals()` take either.
 *
 * @typeParam A The kind of address it listens on.
 *
 * @example Look at either from outside
 * ```ts
 * import { serve, type ServerControl } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function health(server: ServerControl): string {
 *   const { state, maxConnections } = server;
 *   return `${state}, ${server.stats().active} of ${maxConnections}`;
 * }
 *
 * const options = { port: 0, hostname: "127.0.0.1" };
 * await using server = serve(options, async () => {});
 * assertEquals(health(server), "running, 0 of 10000");
 * ```
 *
 * @category Servers
 */
export interface ServerControl<A extends Deno.Addr = Deno.Addr> extends Deno.HttpServer<A> {
  /** The first address that it listens on, with the port that was chosen for port 0. */
  readonly addr: A;
  /** Every address that it listens on, in the order of `listeners`. */
  readonly addrs: readonly A[];
  /**
   * Resolves when the server has stopped and holds nothing any more. Rejects if it gave up: every
   * listener was closed from outside, or accepting failed for 30 s for an unknown cause.
   */
  readonly finished: Promise<void>;
  /** Whether it serves, is stopping (as a lame duck it serves on), or has stopped. */
  readonly state: "running" | "draining" | "stopped";
  /** Whether a client that connects now would be accepted at once. */
  readonly accepting: boolean;
  /**
   * What accepting waits for: a free slot, a token of `maxRate`, descriptors or memory, `resume()`, or
   * nothing.
   */
  readonly waitingFor: "slot" | "rate" | "resources" | "resume" | null;
  /** As the option; takes effect at once. Lowering it closes nothing. */
  maxConnections: number;
  /**
   * Aborts when the server begins to drain its connections, after the lame duck: for
   * timers and other work that serves all of them.
   *
   * @example A ticker that stops in time
   * ```ts
   * import { serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
   *   for await (const _ of conn);
   * });
   * const tick = () =>
   *   server.connections.forEach((conn) => conn.write(new Uint8Array([10])));
   * const ticker = setInterval(tick, 50);
   * server.drainSignal.addEventListener("abort", () => clearInterval(ticker));
   *
   * await server.shutdown();
   * assertEquals(server.drainSignal.aborted, true);
   * ```
   */
  readonly drainSignal: AbortSignal;
  /** What became of the connections while stopping, once the server has stopped. */
  readonly report: ShutdownReport | undefined;

  /** Stops accepting and keeps the address: clients wait in the kernel's queue. */
  pause(): void;
  /** Accepts again. */
  resume(): void;
  /** What was counted so far. */
  stats(): ServerStats;
  /**
   * Stops: goes on for `lameDuck` ms; accepts every client that has connected by then, so that none is
   * reset in the kernel's queue, and closes the listeners; asks handlers to finish by `conn.draining`,
   * upon which loops over chunks and frames end: when nothing was received for 100 ms, whatever is sent,
   * or at the next boundary after a third of the time; waits for handlers, and closes what is left when
   * the time is up. Safe to call again; a later call can only shorten the wait.
   *
   * @returns `finished`.
   * @throws {TypeError} If an option is not a number or not known; as a rejection.
   * @throws {RangeError} If an option is not a whole number from 0 up, or Infinity; as a rejection.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Exchanges certificates: the next handshake uses the new ones, connections go on. What is not
   * given stays as it is. When this throws, nothing has changed.
   *
   * @param options What is new.
   * @param addr The address that it is for, one of `addrs`; without it, every one with TLS.
   * @returns Of a fleet a promise, which rejects with what a server throws.
   * @throws {TypeError} If an option is unknown or wrong, a certificate cannot be used, or there is no
   * TLS at that address.
   * @throws {RangeError} If an option is out of range.
   */
  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): void | Promise<void>;
  /** Keeps the process alive, which a server does by itself. */
  ref(): void;
  /**
   * Lets the process end while the server runs and nothing else is left to do. Deno ignores it for a
   * listener of `Deno.listenTls`.
   */
  unref(): void;
  /** `shutdown()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * A running server.
 *
 * It can be passed wherever a `Deno.HttpServer` is expected for its lifecycle.
 *
 * @typeParam A The kind of address it listens on.
 *
 * @example Look at a server from outside
 * ```ts
 * import { serve, type Server } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function health(server: Server): string {
 *   const { state, connections, maxConnections } = server;
 *   return `${state}, ${connections.size} of ${maxConnections}`;
 * }
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * assertEquals(health(server), "running, 0 of 10000");
 * await server.shutdown();
 * assertEquals(health(server), "stopped, 0 of 10000");
 * ```
 *
 * @category Servers
 */
export interface Server<A extends Deno.Addr = Deno.Addr> extends ServerControl<A> {
  /** The connections that are open, those that wait for a slot included. */
  readonly connections: ReadonlySet<Connection<A>>;
  /**
   * As {@linkcode ServerControl} has it, and done when it returns.
   *
   * @param options What is new.
   * @param addr The address that it is for, one of `addrs`; without it, every one with TLS.
   */
  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): void;
}
