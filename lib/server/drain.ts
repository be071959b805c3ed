/** Stops a server step by step: lame duck, sweep, drain, force. @module */

import { abandon, serveConnection, type Service } from "./serve_connection.ts";
import type { AcceptLoop, Held } from "./accept_loop.ts";
import { Sweep } from "./sweep.ts";

/** Ms that handlers get to settle after their connections were closed under them. */
const LAST_CHANCE = 1000;

/** Ms between two steps of `spread`. */
const STEP = 100;

/** The part of the time left after which loops end although their peer never pauses. */
const LET_GO = 1 / 3;

/** How much of the timeout `spread` may be, so that every connection has time to end. */
const LONGEST_SPREAD = 1 / 2;

/**
 * Ms for which a server whose listeners are closed waits for those of other threads. Their sweeps take
 * 250 ms at most, unless a thread hangs or gets little of the processor.
 */
const LONGEST_WAIT = 500;

/**
 * What became of the connections that were open when the server began to stop, or came after.
 *
 * @example What became of the last connections
 * ```ts
 * import { serve, type ShutdownReport } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * await server.shutdown();
 *
 * const { forced, abandoned }: ShutdownReport = server.report!;
 * assertEquals({ forced, abandoned }, { forced: 0, abandoned: 0 });
 * ```
 *
 * @category Stopping
 */
export interface ShutdownReport {
  /** Ended by themselves. */
  readonly completed: number;
  /** Closed when the time was up. */
  readonly forced: number;
  /** Closed when the time was up, and their handlers had not settled a second later. */
  readonly abandoned: number;
  /** Taken out of the kernel's queue, connected and not yet accepted, when the listener closed. */
  readonly swept: number;
  /** How long stopping took, in ms. */
  readonly ms: number;
}

/** The kernel's queues, where other threads listen on them too. */
export interface SharedQueues {
  /**
   * Called once when the listeners of this server are closed.
   *
   * @returns Resolves when those of every thread that stops with this one are; `undefined` if it stops alone.
   */
  closed(): Promise<void> | undefined;
}

/** The end of a server's work, from the first call of `shutdown()` to its report. */
export class Drain {
  /** Resolves when no connection is left. */
  readonly report: Promise<ShutdownReport>;
  readonly #loops: readonly AcceptLoop[];
  readonly #service: Service;
  readonly #sweep: Sweep;
  readonly #sweeps: boolean;
  readonly #queues: SharedQueues | undefined;
  readonly #done: (report: ShutdownReport) => void;
  readonly #drainer: AbortController;
  /** The least that was asked for. */
  #timeout = Infinity;
  #spread = Infinity;
  /** Accepted during the sweep. They are served after it, since a client that is served may come again at once. */
  readonly #held: Held[] = [];
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #since = performance.now();
  /** Connections that were over before; all others are in the report. */
  readonly #before: number;
  #step: "lame duck" | "sweeping" | "draining" | "done" = "lame duck";
  #forced = false;
  /** Ends the wait for other threads. */
  #wake: (() => void) | undefined;

  /**
   * @param drainer Tells the program, apart from the connections, that they are drained.
   * @param sweeps Whether the queue is emptied before it closes, rather than left to others.
   * @param queues The queues, where other threads listen on them too.
   */
  constructor(
    loops: readonly AcceptLoop[],
    service: Service,
    drainer: AbortController,
    sweeps: boolean,
    queues?: SharedQueues,
  ) {
    const { live, statistics } = service;
    this.#loops = loops;
    this.#drainer = drainer;
    this.#service = service;
    const besideOthers = loops.some(({ bound }) => bound.reusePort === true);
    this.#sweep = new Sweep(loops.map(({ acceptor }) => acceptor), statistics, besideOthers);
    this.#sweeps = sweeps;
    this.#queues = queues;
    this.#before = statistics.accepted - live.all.size;
    ({ promise: this.report, resolve: this.#done } = Promise.withResolvers<ShutdownReport>());
  }

  /** The listeners accept as before. */
  get isLameDuck(): boolean {
    return this.#step === "lame duck";
  }

  /**
   * Begins to drain in `lameDuck` ms, over `spread` ms, and forces `timeout` ms later, at the latest. Of
   * several calls the one that is due first counts.
   */
  within(lameDuck: number, timeout: number, spread: number): void {
    if (lameDuck + timeout <= 0) return this.#force();
    this.#timeout = Math.min(this.#timeout, timeout);
    this.#spread = Math.min(this.#spread, spread, this.#timeout * LONGEST_SPREAD);
    if (this.#step === "draining") this.#drainAll();
    if (lameDuck + timeout !== Infinity) this.#in(lameDuck + timeout, () => this.#force());
    if (lameDuck <= 0) this.#begin();
    else if (lameDuck !== Infinity) this.#in(lameDuck, () => this.#begin());
  }

  async #begin(): Promise<void> {
    if (!this.isLameDuck) return;
    this.#step = "sweeping";
    const { slots, live } = this.#service;
    for (const loop of this.#loops) loop.hold(this.#held);
    // Serves what was already accepted, even if paused; this also wakes the accept loops.
    slots.resume();
    if (!this.#sweeps) this.#sweep.cut();
    await this.#sweep.run();
    await Promise.allSettled(this.#loops.map(({ ended }) => ended));
    await this.#othersClosed();
    this.#step = "draining";
    this.#drainAll();
    for (const { conn, bound, service } of this.#held) serveConnection(conn, bound, service);
    await live.empty();
    this.#finish();
  }

  /** Waits, since a client that is served may connect again, to a queue that another thread is about to close. */
  async #othersClosed(): Promise<void> {
    const closed = this.#queues?.closed();
    if (closed === undefined || this.#forced) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      closed.then(resolve);
      this.#in(LONGEST_WAIT, resolve);
    });
  }

  /** Drains the connections one after the other, and after the force closes them all. */
  #drainAll(undrained = [...this.#service.live.all], passed = 0): void {
    this.#drainer.abort(new DOMException("The server is stopping", "AbortError"));
    const { reason } = this.#drainer.signal;
    const left = this.#forced ? 0 : this.#spread - passed;
    const due = left < STEP ? undrained.length : Math.ceil(undrained.length * STEP / left);
    for (const conn of undrained.splice(0, due)) {
      conn.drain(reason, (this.#timeout - passed) * LET_GO);
      if (this.#forced) conn.life.end("forced", new Deno.errors.Interrupted(FORCED));
    }
    if (undrained.length > 0) this.#in(STEP, () => this.#drainAll(undrained, passed + STEP));
  }

  #force(): void {
    if (this.#forced) return;
    this.#forced = true;
    this.#sweep.cut();
    this.#begin();
    this.#wake?.();
    this.#drainAll();
    this.#service.slots.dismiss();
    this.#in(LAST_CHANCE, () => this.#abandonAll());
  }

  /** What is left after this is a lease on its way back, which gets as long. */
  #abandonAll(): void {
    for (const conn of this.#service.live.all) abandon(conn, this.#service);
    if (this.#service.live.all.size > 0) this.#in(LAST_CHANCE, () => this.#abandonAll());
  }

  #finish(): void {
    this.#step = "done";
    for (const timer of this.#timers) clearTimeout(timer);
    const { accepted, ended: { forced, abandoned } } = this.#service.statistics;
    const completed = accepted - this.#before - forced - abandoned;
    const ms = performance.now() - this.#since;
    this.#done({ completed, forced, abandoned, swept: this.#held.length, ms });
  }

  #in(ms: number, step: () => void): void {
    // setTimeout takes 2 ** 31 - 1 ms at most and fires at once for more.
    const timer = setTimeout(step, Math.min(ms, 2 ** 31 - 1));
    // The first timer of a process runs microtasks while it is made, in `deno test` at least: without
    // connections the drain may have finished meanwhile, and the timer would outlive the server.
    if (this.#step === "done") clearTimeout(timer);
    else this.#timers.add(timer);
  }
}

const FORCED = "The server closed the connection because it is stopping";
