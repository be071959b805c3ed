/** Stops all workers of a fleet together, and adds up what became of their connections. @module */

import type { ShutdownReport } from "../server/drain.ts";
import type { Place } from "./place.ts";
import type { Thread } from "./thread.ts";
import type { Threads } from "./threads.ts";

/** Ms after the time is up in which a worker must have said so, its own last second included. */
const GRACE = 2000;

/** The longest time that a timer takes. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** The end of a fleet, from the first call of `shutdown()` to its report. */
export class FleetDrain {
  /** Resolves when every worker has ended. */
  readonly report: Promise<ShutdownReport>;
  readonly #threads: Threads;
  readonly #places: readonly Place[];
  readonly #drainer: AbortController;
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  readonly #since = performance.now();
  #isLameDuck = true;
  #stopping: Promise<(ShutdownReport | number)[]> | undefined;
  readonly #done: (report: ShutdownReport) => void;

  /** @param drainer Tells the program of the main thread that connections are drained. */
  constructor(places: readonly Place[], threads: Threads, drainer: AbortController) {
    this.#places = places;
    this.#threads = threads;
    this.#drainer = drainer;
    ({ promise: this.report, resolve: this.#done } = Promise.withResolvers<ShutdownReport>());
  }

  /** The workers accept as before. */
  get isLameDuck(): boolean {
    return this.#isLameDuck;
  }

  /** As of one server, in each worker. */
  within(lameDuck: number, timeout: number, spread: number): void {
    const stop = { lameDuck, timeout, spread, sweep: true };
    if (this.#stopping === undefined) {
      this.#threads.stopping = true;
      for (const place of this.#places) place.close();
      const stopped = this.#places.flatMap((place) =>
        [...place.threads].map((thread) => this.#stop(place, thread, stop))
      );
      this.#stopping = Promise.all(stopped);
      this.#stopping.then((reports) => this.#finish(reports));
      this.#release();
    } else {
      for (const thread of this.#threads.all) {
        if (thread.isListening) thread.send({ type: "stop", ...stop });
      }
    }
    this.#in(lameDuck, () => this.#closeDoor());
    this.#in(lameDuck + timeout + GRACE, () => {
      for (const thread of this.#threads.all) thread.terminate();
    });
  }

  /** Its report, or how many connections it had left if it ends without one. */
  async #stop(
    place: Place,
    thread: Thread,
    stop: Parameters<Place["drain"]>[1],
  ): Promise<ShutdownReport | number> {
    if (thread.hung) thread.terminate();
    if (thread.isListening) {
      const report = await place.drain(thread, stop);
      if (report !== undefined) return report;
    } else await thread.ended;
    return thread.lost;
  }

  /** Has the workers serve what they hold once no thread listens, since those clients may connect again. */
  async #release(): Promise<void> {
    const closed = this.#threads.all.map(({ closed, ended }) => Promise.race([closed, ended]));
    await Promise.all(closed);
    this.#closeDoor();
    for (const thread of this.#threads.all) thread.send({ type: "all closed" });
  }

  /** Before the last worker closes its own, as the queue must end with a sweep. */
  #closeDoor(): void {
    this.#isLameDuck = false;
    this.#drainer.abort(new DOMException("The fleet is stopping", "AbortError"));
    this.#threads.closeDoor();
  }

  #finish(reports: readonly (ShutdownReport | number)[]): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#closeDoor();
    const total = { completed: 0, forced: 0, abandoned: 0, swept: 0 };
    for (const report of reports) {
      if (typeof report === "number") total.abandoned += report;
      else {
        total.completed += report.completed;
        total.forced += report.forced;
        total.abandoned += report.abandoned;
        total.swept += report.swept;
      }
    }
    this.#done({ ...total, ms: performance.now() - this.#since });
  }

  #in(ms: number, step: () => void): void {
    if (ms <= 0) return step();
    if (ms < LONGEST_TIMER) this.#timers.add(setTimeout(step, ms));
  }
}
