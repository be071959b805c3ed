/** Stops a server when a signal of the system arrives. @module */

import { bad, checkBoolean, checkKeys, checkTime, isObject } from "../check.ts";
import { fleetSeat, type SignalStop } from "./fleet_seat.ts";
import type { ServerControl, ShutdownOptions } from "./server.ts";

/**
 * Which signals stop a server, how, and what becomes of the process.
 *
 * @example Time for Kubernetes to send new clients elsewhere
 * ```ts
 * import {
 *   serve,
 *   shutdownOnSignals,
 *   type ShutdownOnSignalsOptions,
 * } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ShutdownOnSignalsOptions = {
 *   signals: ["SIGINT"],
 *   lameDuck: 10_000,
 * };
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * shutdownOnSignals(server, options);
 *
 * await server.shutdown(); // by itself, and so the process goes on
 * assertEquals(server.state, "stopped");
 * ```
 *
 * @category Stopping
 */
export interface ShutdownOnSignalsOptions extends ShutdownOptions {
  /**
   * The signals. SIGTERM and SIGINT, which is Ctrl-C, unless given; on Windows, where nothing can send
   * SIGTERM, SIGINT and SIGBREAK.
   */
  signals?: readonly Deno.Signal[];
  /**
   * Whether the process ends when the server has stopped, whatever else is still going on in it: a
   * handler that never returns, a timer, an HTTP server beside it. With `false` only `Deno.exitCode` is set, and
   * the process ends when nothing is left to do.
   *
   * @default {true}
   */
  exit?: boolean;
}

/** What holds unless given. */
export const SIGNAL_DEFAULTS: { readonly exit: boolean } = Object.freeze({ exit: true });

/**
 * Stops a server when the system says so. The first signal calls `server.shutdown()` with `lameDuck`,
 * `timeout` and `spread`, any further one closes everything at once. When the server has stopped, the process
 * ends: with code 0 if every connection ended by itself; with 1 if one had to be forced, if there was
 * more than one signal, or if the server gave up. A code that is in `Deno.exitCode` already stays.
 *
 * Of several servers each is given to a call of its own. All of them stop, and the process ends with
 * the last one. What follows `await server.finished` is done before, as far as it waits for nothing;
 * a program that has more to do at its end uses `exit: false`.
 *
 * A server that was stopped by anything else takes its listeners for signals with it, and the process
 * goes on. No permission is needed. Without this call usher does nothing about signals.
 *
 * @param server The server.
 * @param options Which signals, and how to stop.
 * @returns Disposing of it takes the signals away from the server, whose fate is then the caller's.
 * @throws {TypeError} If it is no server, an option is unknown or of the wrong type, or a signal cannot
 * be listened to.
 * @throws {RangeError} If a time is not a whole number from 0 up, or Infinity.
 *
 * @example A server that Ctrl-C stops
 * ```ts
 * import { serve, shutdownOnSignals } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 * shutdownOnSignals(server, { timeout: 5_000 });
 *
 * await server.shutdown(); // in place of Ctrl-C, which ends the process
 * assertEquals(server.state, "stopped");
 * ```
 *
 * @category Stopping
 */
export function shutdownOnSignals(
  server: ServerControl,
  options: ShutdownOnSignalsOptions = {},
): Disposable {
  if (!isObject(server) || typeof server.shutdown !== "function" || !("report" in server)) {
    throw new TypeError(`Cannot ${VERB} what is no server: use what serve() returns`);
  }
  const stop = complete(options);
  const seat = fleetSeat(VERB);
  return seat === undefined ? new Tie(server, stop) : seat.shutdownOnSignals(stop);
}

const VERB = "shut down on signals";

/** Options that are passed on to `shutdown()`. */
const PASSED_ON = ["lameDuck", "timeout", "spread"] as const;

function complete(options: ShutdownOnSignalsOptions): SignalStop {
  checkKeys(VERB, options, ["signals", ...PASSED_ON, "exit"]);
  const { signals = usualSignals(), exit = SIGNAL_DEFAULTS.exit } = options;
  if (!Array.isArray(signals) || signals.length === 0) {
    throw new TypeError(bad(VERB, "signals", signals, 'an array such as ["SIGTERM"]'));
  }
  checkBoolean(VERB, "exit", exit);
  // Those that are not given are left to `shutdown()`.
  const shutdown: ShutdownOptions = {};
  for (const name of PASSED_ON) {
    if (options[name] !== undefined) shutdown[name] = checkTime(VERB, name, options[name]);
  }
  return { signals: [...signals], shutdown, exit };
}

function usualSignals(): Deno.Signal[] {
  return Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGTERM", "SIGINT"];
}

/** The servers that the process may end with. */
const tied = new Set<Tie>();

/** Whether it ends with the last of them. */
let ending = false;

/** What ties a server to the signals and the end of the process. */
class Tie implements Disposable {
  readonly #server: ServerControl;
  readonly #options: SignalStop;
  readonly #listening: Deno.Signal[] = [];
  #signals = 0;

  constructor(server: ServerControl, options: SignalStop) {
    this.#server = server;
    this.#options = options;
    this.#listen();
    tied.add(this);
    server.finished.then(() => this.#over(false), () => this.#over(true));
  }

  /** Leaves no listener behind if one of the signals cannot be listened to. */
  #listen(): void {
    for (const [i, signal] of this.#options.signals.entries()) {
      try {
        Deno.addSignalListener(signal, this.#onSignal);
      } catch (cause) {
        this.#unlisten();
        const wanted = `a signal that can be listened to on ${Deno.build.os}`;
        throw new TypeError(bad(VERB, `signals[${i}]`, signal, wanted), { cause });
      }
      this.#listening.push(signal);
    }
  }

  #unlisten(): void {
    for (const signal of this.#listening) Deno.removeSignalListener(signal, this.#onSignal);
  }

  readonly #onSignal = (): void => {
    this.#signals++;
    this.#server.shutdown(this.#signals === 1 ? this.#options.shutdown : { timeout: 0 });
  };

  #over(gaveUp: boolean): void {
    if (!tied.delete(this)) return;
    if (gaveUp || this.#signals > 0) {
      const { forced = 0, abandoned = 0 } = this.#server.report ?? {};
      if (gaveUp || this.#signals > 1 || forced + abandoned > 0) Deno.exitCode ||= 1;
      ending ||= this.#options.exit;
    }
    if (!ending || tied.size > 0) return this.#unlisten();
    // Not before code that awaits `finished` had its turn. The listeners stay until then: without
    // them a further signal would end the process in its own way.
    setImmediate(() => Deno.exit());
  }

  [Symbol.dispose](): void {
    if (!tied.delete(this)) return;
    this.#unlisten();
    // What takes the server over decides about the process, too.
    if (tied.size === 0) ending = false;
  }
}
