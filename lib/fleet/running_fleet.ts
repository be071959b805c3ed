/** Runs a fleet: starts its workers, speaks for all of them and stops them once. @module */

import { checkKeys, checkTime } from "../check.ts";
import { CoarseClock } from "../connection/coarse_clock.ts";
import type { ShutdownReport } from "../server/drain.ts";
import type { SignalStop } from "../server/fleet_seat.ts";
import { checkLimit } from "../server/options.ts";
import { Reporter } from "../server/reporter.ts";
import type { ShutdownOptions } from "../server/server.ts";
import { shutdownOnSignals } from "../server/shutdown_on_signals.ts";
import { completeShutdownOptions } from "../server/shutdown_options.ts";
import type { ServerStats } from "../server/statistics.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import { type ConnectionPage, mergeConnections } from "../watch/connections.ts";
import type { Wait } from "./board.ts";
import type { Fleet, FleetWorker } from "./control.ts";
import { FleetDrain } from "./fleet_drain.ts";
import type { CompleteFleetOptions } from "./fleet_options.ts";
import type { Question } from "./messages.ts";
import { Place } from "./place.ts";
import { Pulse } from "./pulse.ts";
import type { Thread } from "./thread.ts";
import { Threads } from "./threads.ts";

/** Ms of nothing but failures after which a fleet gives up, as a server does that cannot accept. */
const HOPELESS = 30_000;

/** Ms that a worker must have served for its start to count as a success. */
const SUCCESS = 1000;

/** Ms for which a question waits for a worker: the page of `watch()` shows what it has got by then. */
const PATIENCE = 1000;

const NO_CONNECTIONS: ConnectionPage = { total: 0, matching: 0, offset: 0, connections: [] };

/** The fleet behind `fleet()`. */
export class RunningFleet implements Fleet {
  readonly finished: Promise<void>;
  readonly #options: CompleteFleetOptions;
  readonly #reporter: Reporter;
  readonly #clock = new CoarseClock(true);
  readonly #threads: Threads;
  readonly #places: readonly Place[];
  readonly #pulse: Pulse;
  readonly #finished = Promise.withResolvers<void>();
  readonly #drainer = new AbortController();
  readonly #onAbort = () => this.#stop(0, 0, 0);
  #state: "running" | "draining" | "stopped" = "running";
  #drain: FleetDrain | undefined;
  #report: ShutdownReport | undefined;
  #signals: Disposable | undefined;
  /** The end of the replacements that were asked for so far. */
  #restarted: Promise<unknown> = Promise.resolve();
  #lastSuccess = performance.now();
  #gaveUp: { readonly error: unknown } | undefined;

  constructor(program: URL, options: CompleteFleetOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options.onError, this.#clock);
    this.#threads = new Threads(program, options, this.#reporter, (stop) => this.#tie(stop));
    this.#places = Array.from({ length: options.workers }, (_, i) => new Place(i, this.#threads));
    this.#pulse = new Pulse(
      this.#threads,
      this.#places,
      options.hangTimeout,
      () => this.#giveUpIfHopeless(),
    );
    this.finished = this.#finished.promise;
    this.finished.catch(() => {}); // giving up was reported; nothing has to await this
  }

  /** Starts the workers; rejects, with none left, if one of them does not serve. */
  async start(): Promise<void> {
    const [first, ...others] = this.#places;
    try {
      // Alone: it finds the ports that the others share, and says what the limits are.
      await first!.start();
      await Promise.all(others.map((place) => place.start()));
    } catch (error) {
      this.#stop(0, 0, 0);
      await this.finished;
      throw error;
    }
    this.#lastSuccess = performance.now();
    const { signal } = this.#options;
    if (signal?.aborted) this.#stop(0, 0, 0);
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get addr(): Deno.NetAddr {
    return this.addrs[0]!;
  }

  get addrs(): readonly Deno.NetAddr[] {
    return this.#threads.listening!.addrs;
  }

  get state(): "running" | "draining" | "stopped" {
    return this.#state;
  }

  get workers(): readonly FleetWorker[] {
    return this.#places.map(({ state, connections, restarts }) => ({
      state: this.#state === "stopped" ? "stopped" : state,
      connections,
      restarts,
    }));
  }

  get accepting(): boolean {
    return this.#accepts && this.waitingFor === null &&
      this.#places.some(({ serving }) => serving !== undefined);
  }

  get waitingFor(): Wait {
    if (!this.#accepts) return null;
    if (this.#threads.paused) return "resume";
    const waits = this.#serving.map(({ row }) => this.#threads.board.wait(row));
    return waits.includes(null) ? null : waits[0] ?? null;
  }

  get maxConnections(): number {
    return this.#threads.maxConnections;
  }

  set maxConnections(limit: number) {
    this.#threads.maxConnections = checkLimit("maxConnections", limit);
  }

  get drainSignal(): AbortSignal {
    return this.#drainer.signal;
  }

  get report(): ShutdownReport | undefined {
    return this.#report;
  }

  pause(): void {
    if (!this.#accepts) return;
    this.#threads.paused = true;
    for (const thread of this.#serving) thread.send({ type: "pause" });
  }

  resume(): void {
    if (!this.#accepts) return;
    this.#threads.paused = false;
    for (const thread of this.#serving) thread.send({ type: "resume" });
  }

  stats(): ServerStats {
    return this.#threads.stats;
  }

  async reloadTls(options: TlsListenOptions, addr?: Deno.Addr): Promise<void> {
    const [first, ...others] = this.#serving;
    const question = { type: "reloadTls", options, addr } as const;
    // What the first one refuses every one would.
    await first?.ask(question);
    await Promise.all(others.map((thread) => thread.ask(question)));
  }

  /** For `watch()`: the connections of all workers; of those that do not answer none. */
  async listConnections(parameters: URLSearchParams): Promise<ConnectionPage> {
    const query = String(parameters);
    const pages = await Promise.all(
      this.#places.map(async ({ serving }) =>
        serving === undefined
          ? NO_CONNECTIONS
          : await this.#answer(serving, { type: "list", query }) as ConnectionPage ?? NO_CONNECTIONS
      ),
    );
    return mergeConnections(pages, parameters);
  }

  /** For `watch()`: closes a connection of whichever worker. */
  async closeConnection(id: number, detail: string): Promise<boolean> {
    const question = { type: "close", id, detail } as const;
    const answers = this.#serving.map((thread) => this.#answer(thread, question));
    return (await Promise.all(answers)).includes(true);
  }

  /** What a worker says; `undefined` if it is busy for a while, or ends. */
  #answer(thread: Thread, question: Question): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, PATIENCE, undefined);
    });
    const answer = thread.ask(question).catch((error) => {
      if (error instanceof RangeError) throw error; // about the question
    });
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  }

  restart(options: Omit<ShutdownOptions, "lameDuck"> = {}): Promise<void> {
    try {
      checkKeys("restart", options, ["timeout", "spread"]);
      const { timeout, spread = 0 } = options;
      if (timeout !== undefined) checkTime("restart", "timeout", timeout);
      const stop = {
        lameDuck: 0,
        timeout,
        spread: checkTime("restart", "spread", spread),
        sweep: false,
      };
      const restarted = this.#restarted.then(async () => {
        for (const place of this.#places) {
          if (this.#drain !== undefined) {
            throw new Deno.errors.Interrupted("Cannot restart a fleet that is stopping");
          }
          await place.replace(stop);
        }
      });
      this.#restarted = restarted.catch(() => {});
      return restarted;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  shutdown(options: ShutdownOptions = {}): Promise<void> {
    try {
      const complete = completeShutdownOptions(options, this.#threads.listening!.shutdownTimeout);
      this.#stop(complete.lameDuck, complete.timeout, complete.spread);
    } catch (error) {
      return Promise.reject(error);
    }
    // The promise itself, not one of an `async` function: its rejection counts as handled.
    return this.finished;
  }

  ref(): void {
    for (const thread of this.#threads.all) thread.ref();
  }

  unref(): void {
    for (const thread of this.#threads.all) thread.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  get #accepts(): boolean {
    return this.#drain?.isLameDuck ?? true;
  }

  get #serving() {
    return this.#places.flatMap(({ serving }) => serving ?? []);
  }

  #stop(lameDuck: number, timeout: number, spread: number): void {
    if (this.#state === "stopped") return;
    if (this.#drain === undefined) {
      this.#state = "draining";
      this.#drain = new FleetDrain(this.#places, this.#threads, this.#drainer);
      this.#drain.report.then((report) => this.#stopped(report));
    }
    this.#drain.within(lameDuck, timeout, spread);
  }

  #stopped(report: ShutdownReport): void {
    this.#report = report;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#pulse.stop();
    this.#reporter.end();
    this.#clock.stop();
    this.#state = "stopped";
    if (this.#gaveUp === undefined) this.#finished.resolve();
    else this.#finished.reject(this.#gaveUp.error);
  }

  /** The program in the workers has asked for it, each of them. */
  #tie(stop: SignalStop | undefined): void {
    if (stop === undefined) {
      this.#signals?.[Symbol.dispose]();
      this.#signals = undefined;
    } else {
      const { signals, shutdown, exit } = stop;
      this.#signals ??= shutdownOnSignals(this, { signals, ...shutdown, exit });
    }
  }

  #giveUpIfHopeless(): void {
    const now = performance.now();
    if (this.#places.some(({ servingFor }) => servingFor >= SUCCESS)) {
      this.#lastSuccess = now;
      this.#threads.failure = undefined;
    }
    const { failure } = this.#threads;
    if (failure === undefined || now - this.#lastSuccess < HOPELESS) return;
    if (this.#gaveUp !== undefined || this.#drain !== undefined) return;
    this.#gaveUp = { error: failure };
    this.#stop(0, 0, 0);
  }
}
