/** Names what a server takes from the fleet that its thread works for. @module */

import type { AddressStores } from "../listener/address_set.ts";
import type { SharedQueues, ShutdownReport } from "./drain.ts";
import type { Limits, LimitSettings } from "./limits.ts";
import type { CompleteServeOptions } from "./options.ts";
import type { Server, ShutdownOptions } from "./server.ts";
import type { Statistics } from "./statistics.ts";

/**
 * The place of one server in a fleet. The fleet puts it where `fleetSeat()` finds it before the program
 * runs, so that a program without a fleet loads no file of one.
 */
export interface FleetSeat extends AddressStores, SharedQueues {
  /** Which copy of this library the fleet is of. */
  readonly library: string;
  /** What the server counts with: ids of connections are unique in the whole fleet. */
  readonly statistics: Statistics;

  /**
   * The options of this worker's share: its listeners are the fleet's.
   *
   * @throws {TypeError} If there is a server already, or an option that no fleet can have.
   */
  complete(options: CompleteServeOptions): CompleteServeOptions;

  /** The limits that all workers have in common. */
  limits(settings: LimitSettings): Limits;

  /** The server listens, and is paused until the fleet lets it accept. */
  joined(server: SeatedServer, options: CompleteServeOptions): void;

  /** It does not listen, since `serve()` has thrown this. */
  failed(error: unknown): void;

  /** Stops the fleet when a signal arrives, in place of the one server. */
  shutdownOnSignals(stop: SignalStop): Disposable;
}

/** A server as its fleet sees it. */
export interface SeatedServer extends Server {
  /**
   * Stops it alone: what waits in the kernel's queue is the other workers', and is not swept.
   *
   * @returns Its report.
   */
  leave(options: ShutdownOptions): Promise<ShutdownReport>;
}

/** Options of `shutdownOnSignals()`, none left out. */
export interface SignalStop {
  readonly signals: readonly Deno.Signal[];
  readonly shutdown: ShutdownOptions;
  readonly exit: boolean;
}

/** The property of `globalThis` that holds the seat of this thread. */
export const SEAT: unique symbol = Symbol.for("usher.fleet") as never;

/** This copy of the library: each has an address of its own. */
export const LIBRARY: string = new URL("../../", import.meta.url).href;

/**
 * The seat of this thread in a fleet, if it is in one.
 *
 * @throws {TypeError} If the fleet is of another copy of this library, whose limits would not be these.
 */
export function fleetSeat(attempt: string): FleetSeat | undefined {
  const seat = (globalThis as { [SEAT]?: FleetSeat })[SEAT];
  if (seat === undefined || seat.library === LIBRARY) return seat;
  throw new TypeError(
    `Cannot ${attempt} with the usher of ${LIBRARY} in a fleet of that of ${seat.library}: import ` +
      "both from one place, in one version",
  );
}
