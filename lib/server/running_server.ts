/** Runs a server: binds its listeners, starts their accept loops and stops them once. @module */

import { CoarseClock } from "../connection/coarse_clock.ts";
import type { Connection } from "../connection/connection.ts";
import { Rooms } from "../connection/rooms.ts";
import { extendMessage } from "../errors.ts";
import { formatAddress } from "../format_address.ts";
import { bind, type Bound } from "../listener/bind.ts";
import { HardenedListener } from "../listener/hardened_listener.ts";
import { LISTEN_DEFAULTS } from "../listener/listen_options.ts";
import { reloadTls } from "../listener/reload_tls.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import { AcceptLoop } from "./accept_loop.ts";
import { Admission } from "./admission.ts";
import { AccessRules } from "./access_rules.ts";
import { affordableConnections } from "./affordable_connections.ts";
import { Drain, type ShutdownReport } from "./drain.ts";
import { EndRecords } from "./end_records.ts";
import { Handshaking } from "./handshaking.ts";
import type { Limits } from "./limits.ts";
import { Lingering } from "./lingering.ts";
import { LiveConnections } from "./live_connections.ts";
import { MemoryBudget } from "./memory_budget.ts";
import { checkLimit, type CompleteServeOptions } from "./options.ts";
import { privateLimits } from "./private_limits.ts";
import { Refusals } from "./refusals.ts";
import { Reporter } from "./reporter.ts";
import type { FleetSeat, SeatedServer } from "./fleet_seat.ts";
import type { Handler } from "./handler.ts";
import type { Service } from "./serve_connection.ts";
import type { Server, ShutdownOptions } from "./server.ts";
import { completeShutdownOptions } from "./shutdown_options.ts";
import { Slots } from "./slots.ts";
import { type ServerStats, Statistics } from "./statistics.ts";

/** The server behind `serve()`: its interface and its lifecycle. */
export class RunningServer<A extends Deno.Addr> implements Server<A>, Pick<SeatedServer, "leave"> {
  readonly addrs: readonly A[];
  readonly finished: Promise<void>;
  readonly #options: CompleteServeOptions;
  readonly #service: Service;
  readonly #seat: FleetSeat | undefined;
  readonly #loops: readonly AcceptLoop[];
  readonly #finished = Promise.withResolvers<void>();
  readonly #drainer = new AbortController();
  readonly #onAbort = () => this.#stop(0, 0, 0);
  #state: "running" | "draining" | "stopped" = "running";
  #drain: Drain | undefined;
  #report: ShutdownReport | undefined;
  #gaveUp: { readonly error: unknown } | undefined;

  /**
   * @param handler Serves connections of listeners that have no handler of their own.
   * @param seat Its place in a fleet, if it is in one.
   */
  constructor(options: CompleteServeOptions, handler: Handler | undefined, seat?: FleetSeat) {
    this.#options = options;
    const bound = bindAll(options.listeners);
    const limits = seat?.limits(options) ?? privateLimits(options);
    const service = serviceOf(options, handler ?? options.entries[0]!.handler!, limits, seat);
    // Not before the fleet knows that every address is its own.
    if (seat !== undefined) service.slots.pause();
    this.#service = service;
    this.#seat = seat;
    this.#loops = bound.map((bound, i) => {
      const { name, handler = service.handler } = options.entries[i]!;
      return new AcceptLoop(bound, name, { ...service, handler });
    });
    this.addrs = this.#loops.map(({ addr }) => addr as A);
    for (const loop of this.#loops) {
      loop.ended.then(() => this.#ended(loop), (error) => this.#failed(loop, error));
    }
    this.finished = this.#finished.promise;
    this.finished.catch(() => {}); // giving up was reported; nothing has to await this
    const { signal, onListen } = options;
    if (signal?.aborted) this.#stop(0, 0, 0);
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
    // After serve() has returned, so that hooks may use the server.
    queueMicrotask(() => {
      reportShortage(options.maxConnections, service.reporter);
      if (onListen === undefined) return;
      for (const addr of this.addrs) service.reporter.call("onListen", () => onListen(addr));
    });
  }

  get addr(): A {
    return this.addrs[0]!;
  }

  get state(): "running" | "draining" | "stopped" {
    return this.#state;
  }

  get accepting(): boolean {
    return this.#accepts && this.waitingFor === null;
  }

  get waitingFor(): "slot" | "rate" | "resources" | "resume" | null {
    const { slots, limits, options } = this.#service;
    if (!this.#accepts) return null;
    if (slots.paused) return "resume";
    if (this.#loops.some(({ acceptor }) => acceptor.backingOff)) return "resources";
    if (options.whenFull === "wait" && slots.saturated) return "slot";
    return (limits.rate?.wait() ?? 0) > 0 ? "rate" : null;
  }

  get connections(): ReadonlySet<Connection<A>> {
    return this.#service.live.all as ReadonlySet<unknown> as ReadonlySet<Connection<A>>;
  }

  get maxConnections(): number {
    return this.#service.slots.limit;
  }

  set maxConnections(limit: number) {
    this.#service.slots.limit = checkLimit("maxConnections", limit);
  }

  /** Where every end can be observed, beside `onEnd`. */
  get records(): EndRecords {
    return this.#service.records;
  }

  get drainSignal(): AbortSignal {
    return this.#drainer.signal;
  }

  get report(): ShutdownReport | undefined {
    return this.#report;
  }

  pause(): void {
    if (this.#accepts) this.#service.slots.pause();
  }

  resume(): void {
    this.#service.slots.resume();
  }

  stats(): ServerStats {
    const { statistics, live, handshaking, slots, rooms } = this.#service;
    return statistics.snapshot(live.all, handshaking.size, slots.saturatedFor, rooms.occupied);
  }

  shutdown(options: ShutdownOptions = {}): Promise<void> {
    try {
      const complete = completeShutdownOptions(options, this.#options.shutdownTimeout);
      this.#stop(complete.lameDuck, complete.timeout, complete.spread);
    } catch (error) {
      return Promise.reject(error);
    }
    // The promise itself, not one of an `async` function: its rejection counts as handled.
    return this.finished;
  }

  async leave({ timeout = this.#options.shutdownTimeout, spread = 0 }: ShutdownOptions): Promise<
    ShutdownReport
  > {
    this.#stop(0, timeout, spread, false);
    await this.finished;
    return this.#report!;
  }

  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): void {
    reloadTls(this.#loops, options, addr);
  }

  ref(): void {
    for (const loop of this.#loops) loop.ref();
  }

  unref(): void {
    for (const loop of this.#loops) loop.unref();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** What comes is served or refused, rather than held or not accepted any more. */
  get #accepts(): boolean {
    return this.#drain?.isLameDuck ?? true;
  }

  #stop(lameDuck: number, timeout: number, spread: number, sweeps = true): void {
    if (this.#state === "stopped") return;
    if (this.#drain === undefined) {
      this.#state = "draining";
      this.#drain = new Drain(this.#loops, this.#service, this.#drainer, sweeps, this.#seat);
      this.#drain.report.then((report) => this.#stopped(report));
    }
    this.#drain.within(lameDuck, timeout, spread);
  }

  #stopped(report: ShutdownReport): void {
    const { refusals, reporter, clock } = this.#service;
    this.#report = report;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    refusals.report();
    reporter.end();
    clock.stop();
    this.#state = "stopped";
    if (this.#gaveUp === undefined) this.#finished.resolve();
    else this.#finished.reject(this.#gaveUp.error);
  }

  #ended({ acceptor, addr }: AcceptLoop): void {
    if (acceptor.closed) return;
    const error = new Deno.errors.BadResource(
      `Cannot accept on ${formatAddress(addr)} any more: the listener was closed from outside`,
    );
    if (this.#loops.some(({ acceptor }) => !acceptor.over)) this.#service.reporter.report(error);
    else this.#giveUp(error);
  }

  #failed({ addr }: AcceptLoop, error: unknown): void {
    const where = `Cannot accept on ${formatAddress(addr)}: `;
    extendMessage(error, where, "; the server has given up");
    this.#giveUp(error);
  }

  #giveUp(error: unknown): void {
    if (this.#gaveUp !== undefined) return;
    this.#gaveUp = { error };
    this.#service.reporter.report(error);
    this.#stop(0, this.#options.shutdownTimeout, 0);
  }
}

/** Binds every address; none stays bound if one of them cannot be. */
function bindAll(listeners: CompleteServeOptions["listeners"]): Bound[] {
  const all: Bound[] = [];
  try {
    for (const listener of listeners) all.push(boundOf(listener, all));
    return all;
  } catch (error) {
    for (const [i, { listener }] of all.entries()) {
      // A listener that was passed in is its owner's until serve() has returned.
      if (!("accept" in listeners[i]!)) listener.close();
    }
    throw error;
  }
}

/** The bound form of each way to give a listener. */
function boundOf(
  listener: CompleteServeOptions["listeners"][number],
  earlier: readonly Bound[],
): Bound {
  if (listener instanceof HardenedListener) return listener.bound;
  const { noDelay, keepAlive } = LISTEN_DEFAULTS;
  return "accept" in listener ? { listener, noDelay, keepAlive } : bind(listener, earlier);
}

/** Reports a limit that is no limit, since descriptors would run out before. */
function reportShortage(maxConnections: number, reporter: Reporter): void {
  if (maxConnections === Infinity) return;
  const affordable = affordableConnections() ?? Infinity;
  if (maxConnections <= affordable) return;
  reporter.report(
    new RangeError(
      `Cannot hold 'maxConnections' of ${maxConnections} with the descriptors of this process: ` +
        `raise its hard limit ('ulimit -Hn', 'LimitNOFILE'), or use ${affordable}`,
    ),
  );
}

function serviceOf(
  options: CompleteServeOptions,
  handler: Handler,
  limits: Limits,
  seat: FleetSeat | undefined,
): Service {
  const clock = new CoarseClock(true);
  const slots = new Slots(limits.slots);
  const statistics = seat?.statistics ?? new Statistics();
  const reporter = new Reporter(options.onError, clock);
  const refusals = new Refusals(clock, reporter);
  const maxHandshaking = () =>
    Math.max(1, Math.floor((options.maxHandshaking ?? slots.limit / 4) / limits.threads));
  const live = new LiveConnections(clock);
  const rooms = new Rooms();
  rooms.bound(options.maxBuffered / limits.threads, new MemoryBudget(rooms, live, clock));
  return {
    handler,
    options,
    clock,
    rooms,
    limits,
    slots,
    lingering: new Lingering(slots),
    statistics,
    reporter,
    refusals,
    live,
    access: new AccessRules(options, slots, limits),
    handshaking: new Handshaking(clock, options.handshakeTimeout, maxHandshaking),
    records: new EndRecords(statistics, refusals, reporter, options.onEnd),
    admission: options.admit && new Admission(options.admit, reporter),
  };
}
