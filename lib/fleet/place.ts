/** Keeps one place of a fleet occupied by a worker that serves. @module */

import { extendMessage } from "../errors.ts";
import type { ShutdownReport } from "../server/drain.ts";
import type { FleetWorker } from "./control.ts";
import type { Stop } from "./messages.ts";
import type { Thread, ThreadEnd } from "./thread.ts";
import type { Threads } from "./threads.ts";

/** Ms before a failed worker is started again, for the first time. */
const FIRST_BACKOFF = 100;

/** Ms at most. */
const LONGEST_BACKOFF = 10_000;

/** Ms that a worker gets for its end when its server has stopped. */
const LAST_CHANCE = 1000;

/** One of the places of a fleet, and what is in it. */
export class Place {
  readonly worker: number;
  restarts = 0;
  readonly #all: Threads;
  /** The one that serves. */
  #thread: Thread | undefined;
  /** Every one that has not ended: besides that one some that start, drain or have hung. */
  readonly #threads = new Set<Thread>();
  /** On the clock of `performance.now()`. */
  #servingSince = Infinity;
  #backoff = FIRST_BACKOFF;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #replacing = false;

  constructor(worker: number, all: Threads) {
    this.worker = worker;
    this.#all = all;
  }

  get state(): FleetWorker["state"] {
    if (this.#threads.values().some(({ hung }) => hung)) return "hung";
    if (this.#all.stopping) return this.#threads.size > 0 ? "draining" : "stopped";
    if (this.#thread !== undefined) return "serving";
    return this.#timer === undefined ? "starting" : "waiting";
  }

  /** Its connections, those of threads that are draining included. */
  get connections(): number {
    return [...this.#threads].reduce((sum, { row }) => sum + this.#all.board.active(row), 0);
  }

  /** Every thread that has not ended. */
  get threads(): ReadonlySet<Thread> {
    return this.#threads;
  }

  /** The thread that serves, if one does. */
  get serving(): Thread | undefined {
    return this.#thread;
  }

  /** Ms for which it has served. */
  get servingFor(): number {
    return this.#thread === undefined ? 0 : performance.now() - this.#servingSince;
  }

  /**
   * Starts a worker here. Resolves when it serves.
   *
   * @throws What its program has thrown.
   */
  async start(): Promise<void> {
    const thread = this.#all.spawn();
    this.#threads.add(thread);
    thread.ended.then((end) => this.#ended(thread, end));
    try {
      this.#all.admit(thread, await thread.listening);
    } catch (error) {
      // No worker of the fleet yet, so its end is no loss.
      thread.terminate();
      await thread.ended;
      throw error;
    }
    this.#thread = thread;
    this.#servingSince = performance.now();
  }

  /**
   * Starts another worker, and drains this one once that serves. Resolves when this one has ended.
   *
   * @throws What the new program has thrown; the present worker goes on then.
   */
  async replace(stop: Stop): Promise<void> {
    const old = this.#thread;
    this.#replacing = true;
    this.#cancel();
    try {
      await this.start();
    } catch (error) {
      if (this.#thread === undefined) this.#again(FIRST_BACKOFF);
      throw error;
    } finally {
      this.#replacing = false;
    }
    if (old !== undefined && this.#threads.has(old)) await this.drain(old, stop);
  }

  /** Stops a thread. Resolves with its report when it has ended; with none if it ended by itself. */
  async drain(thread: Thread, stop: Stop): Promise<ShutdownReport | undefined> {
    this.#all.board.setStage(thread.row, "draining");
    thread.isStopping = true;
    thread.send({ type: "stop", ...stop });
    const stopped = await Promise.race([thread.stopped, thread.ended.then(() => undefined)]);
    const timer = setTimeout(() => thread.terminate(), LAST_CHANCE);
    await thread.ended;
    clearTimeout(timer);
    return stopped?.report;
  }

  /** The worker does not respond: another one takes its place. */
  desert(thread: Thread): void {
    this.#all.passOver(thread);
    if (thread !== this.#thread) return;
    this.#thread = undefined;
    this.#again(FIRST_BACKOFF);
  }

  /** No worker is started here any more. */
  close(): void {
    this.#cancel();
    for (const thread of this.#threads) if (!thread.isListening) thread.terminate();
  }

  #ended(thread: Thread, end: ThreadEnd): void {
    this.#threads.delete(thread);
    this.#all.bury(thread);
    if (!thread.isAdmitted || this.#all.stopping) return;
    const wasAsked = thread.isStopping && thread.lost === 0;
    if (!wasAsked) this.#all.lost({ worker: this.worker, lost: thread.lost, ...end });
    if (thread !== this.#thread) return;
    // One that has served for a while is no program that cannot run.
    if (this.servingFor >= this.#backoff) this.#backoff = FIRST_BACKOFF;
    this.#thread = undefined;
    this.#later();
  }

  /** Starts a worker after the back-off, which grows. */
  #later(): void {
    this.#again(this.#backoff);
    this.#backoff = Math.min(2 * this.#backoff, LONGEST_BACKOFF);
  }

  #again(ms: number): void {
    if (this.#all.stopping || this.#replacing) return;
    this.#timer = setTimeout(() => this.#restart(), ms);
  }

  async #restart(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.start();
      this.restarts++;
    } catch (error) {
      if (this.#all.stopping) return;
      extendMessage(error, `Cannot start worker ${this.worker} of the fleet again: `);
      this.#all.failed(error);
      this.#later();
    }
  }

  #cancel(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
