/** Says what can be done with a fleet that runs. @module */

import type { ServerControl, ShutdownOptions } from "../server/server.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";

/**
 * One worker of a fleet.
 *
 * @example How even the spread is
 * ```ts
 * import type { FleetWorker } from "@usher/server/fleet";
 * import { assertEquals } from "@std/assert";
 *
 * function unevenness(workers: readonly FleetWorker[]): number {
 *   const counts = workers.map(({ connections }) => connections);
 *   return Math.max(...counts) - Math.min(...counts);
 * }
 *
 * const worker = { state: "serving", restarts: 0 } as const;
 * const workers = [25, 24].map((connections) => ({ ...worker, connections }));
 * assertEquals(unevenness(workers), 1);
 * ```
 *
 * @category Fleet
 */
export interface FleetWorker {
  /**
   * `starting`: its program has not called `serve()` yet; `serving`; `draining`: it stops; `hung`: it does
   * not respond, and another one serves in its place; `waiting`: it failed, and is started again after a
   * while; `stopped`.
   */
  readonly state: "starting" | "serving" | "draining" | "hung" | "waiting" | "stopped";
  /** Its connections that have not ended, those of predecessors that are draining included. */
  readonly connections: number;
  /** How often one was started in the place of one that had failed. */
  readonly restarts: number;
}

/**
 * A running fleet: one server on several threads.
 *
 * It has what a {@linkcode ServerControl} has, for all workers together, so `watch()`, `instrument()` and
 * `shutdownOnSignals()` take it. Its connections live in the workers.
 *
 * @example Replace the program while it runs
 * ```ts
 * import { type Fleet, fleet } from "@usher/server/fleet";
 * import { assertEquals } from "@std/assert";
 *
 * const library = import.meta.resolve("@usher/server");
 * const program = new URL(`data:application/typescript,
 *   import { serve } from "${library}";
 *   serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *     await conn.write(new TextEncoder().encode("hello"));
 *   });
 * `);
 * await using running: Fleet = await fleet(program, { workers: 1 });
 * await running.restart();
 *
 * const client = await Deno.connect({ port: running.addr.port });
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 *
 * @category Fleet
 */
export interface Fleet extends ServerControl<Deno.NetAddr> {
  /** Its workers: as many as the option says, in an order that stays. */
  readonly workers: readonly FleetWorker[];
  /**
   * As of a server, over all workers: of several that are given certificates at once none takes a wrong
   * one. A worker that starts later has the certificates that the program gives it.
   *
   * @param options What is new.
   * @param addr The address that it is for, one of `addrs`; without it, every one with TLS.
   */
  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): Promise<void>;
  /**
   * Replaces the workers one after the other by new ones, which run the program and what it imports as
   * they are on disk now. An old one is drained only when the new one serves, and nobody is refused or
   * reset. If the new program does not serve, the old workers go on.
   *
   * Not for a new version of Deno or of the program that has called `fleet()`.
   *
   * @param options How the old workers are drained, each by itself.
   * @returns Resolves when the last old worker has ended. Rejects with what the new program has thrown.
   */
  restart(options?: Omit<ShutdownOptions, "lameDuck">): Promise<void>;
}
