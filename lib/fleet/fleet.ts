/** Starts a fleet. @module */

import { extendMessage } from "../errors.ts";
import type { Fleet } from "./control.ts";
import { completeFleetOptions, type FleetOptions } from "./fleet_options.ts";
import { locateProgram } from "./program.ts";
import { RunningFleet } from "./running_fleet.ts";

/**
 * Runs a program that calls `serve()` once on several threads: one server on every core, with one set of
 * limits, one `stats()` and one `shutdown()`. The program needs no change, and runs alone as well; in a
 * worker, too, `import.meta.main` is true in it.
 *
 * The workers share one port and one queue of the kernel, from which each takes as many connections as
 * the others. This thread holds the port open and serves nothing itself, so it has time for
 * `watch()` and for replacing what fails:
 *
 * - A worker that ends, by an uncaught error, a full heap or `Deno.exit()`, is started again after 0.1 s,
 *   or after twice as long as before if it did not serve even for that long, 10 s at most. Its connections
 *   are lost, and counted as `worker_lost`; nobody is refused.
 * - One that does nothing but compute is reported as hung, and another takes its place.
 * - When for 30 s no worker could be kept running, the fleet gives up, and `finished` rejects.
 * - A server that the program stops itself, with its own `shutdown()`, is replaced likewise.
 *
 * In a worker `shutdownOnSignals()` stops the whole fleet, `pause()` and `shutdown()` of the server
 * concern that worker alone, and `watch()` is refused: use it here. `path`, `fd`, `reusePort` and listeners
 * that are passed in are refused, since threads cannot share them.
 *
 * Besides what the program needs there must be `--allow-read` for the program's files. With `--allow-env`
 * for `DENO_TOKIO_MAX_IO_EVENTS_PER_TICK` it is set to 128 unless it is set, so that each worker serves
 * many busy connections evenly.
 *
 * @param program The module, as a URL, or as a path from the current directory.
 * @param options How many workers there are, and what becomes of one that fails.
 * @returns The fleet, when every worker listens.
 * @throws {TypeError} If an option is unknown or of the wrong type, before a worker starts.
 * @throws {RangeError} If a number is out of range, before a worker starts.
 * @throws {Deno.errors.NotCapable} If the program may not be read.
 * @throws What the program's `serve()` has thrown, such as `AddrInUse`, or the program itself.
 *
 * @example One server, two threads
 * ```ts
 * import { fleet } from "@usher/server/fleet";
 * import { assertEquals } from "@std/assert";
 *
 * // Usually a file: new URL("./server.ts", import.meta.url)
 * const program = new URL(`data:application/typescript,
 *   import { serve } from "${import.meta.resolve("@usher/server")}";
 *   serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *     await conn.write(new TextEncoder().encode("hello"));
 *   });
 * `);
 * await using server = await fleet(program, { workers: 2 });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "hello");
 * ```
 *
 * @category Fleet
 */
export async function fleet(program: string | URL, options: FleetOptions = {}): Promise<Fleet> {
  const complete = completeFleetOptions(options);
  const url = locateProgram(program);
  yieldToAll();
  const running = new RunningFleet(url, complete);
  try {
    await running.start();
  } catch (error) {
    const name = url.protocol === "data:" ? "a data: module" : url.href;
    extendMessage(error, `Cannot start a fleet of ${name}: `);
    throw error;
  }
  return running;
}

/** How many sockets a thread serves before it looks which others have something. */
const EVENTS_PER_TICK = "DENO_TOKIO_MAX_IO_EVENTS_PER_TICK";

/**
 * Above some 128 busy connections Deno's event loop serves a few of them a hundred times as often as
 * others. A thread takes the setting from the environment when it starts, so here it is not too late.
 */
function yieldToAll(): void {
  const { state } = Deno.permissions.querySync({ name: "env", variable: EVENTS_PER_TICK });
  if (state !== "granted" || Deno.env.has(EVENTS_PER_TICK)) return;
  Deno.env.set(EVENTS_PER_TICK, "128");
}
