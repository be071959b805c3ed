/** Makes the server of a worker one of a fleet. @module */

import { getHeapStatistics } from "node:v8";
import type { MessagePort } from "node:worker_threads";
import type { AddressStore } from "../listener/address_set.ts";
import type { FleetSeat, SeatedServer, SignalStop } from "../server/fleet_seat.ts";
import type { Limits, LimitSettings } from "../server/limits.ts";
import type { CompleteServeOptions } from "../server/options.ts";
import { listConnections } from "../watch/connections.ts";
import { Board } from "./board.ts";
import { FleetStatistics } from "./fleet_statistics.ts";
import type { FromWorker, Question, Seating, SharedAddress, Stop, ToWorker } from "./messages.ts";
import { packError } from "./sent_error.ts";
import { sharedAddresses } from "./shared_addresses.ts";
import { SharedAddressSets } from "./shared_address_sets.ts";
import { SharedClock } from "./shared_clock.ts";
import { type LimitsMemory, SharedLimits } from "./shared_limits.ts";
import { SharedStats } from "./shared_stats.ts";
import { Spread } from "./spread.ts";

/** Turns of 1 ms or more after which a thread has ended that has thrown in the first of them. */
const TURNS = 5;

/** Ms between two signs of life. */
const BEAT = 50;

/** Of how many one looks at more: the bytes of each connection, and the heap. */
const LOOK_EVERY = 2;

/** The seat of a worker: what `serve()` and the fleet's main thread want of each other. */
export class Seat implements FleetSeat {
  readonly library: string;
  readonly statistics: FleetStatistics;
  readonly #seating: Seating;
  readonly #port: MessagePort;
  readonly #board: Board;
  readonly #clock: SharedClock;
  readonly #addressSets: SharedAddressSets;
  readonly #stats: SharedStats;
  #limits: LimitsMemory | undefined;
  #addresses: SharedAddress[] | undefined;
  #server: SeatedServer | undefined;
  /** Resolves when no worker listens; there once the fleet stops. */
  #allClosed: PromiseWithResolvers<void> | undefined;
  #announcement: ReturnType<typeof setTimeout> | undefined;
  #beats = 0;
  /** How many the fleet has been told of. */
  #dismissed = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #exits = false;
  readonly #heapLimit = getHeapStatistics().heap_size_limit;

  constructor(seating: Seating, port: MessagePort) {
    this.library = seating.library;
    this.#seating = seating;
    this.#port = port;
    const { board, clock, addressSets } = seating.memory;
    this.#board = new Board(board);
    this.#clock = new SharedClock(clock);
    this.#addressSets = new SharedAddressSets(addressSets, seating.row, this.#clock);
    this.#stats = new SharedStats(seating.memory.stats);
    this.statistics = new FleetStatistics(this.#board, this.#stats, seating.row);
    port.on("message", (message: ToWorker) => this.#receive(message));
  }

  complete(options: CompleteServeOptions): CompleteServeOptions {
    if (this.#addresses !== undefined) {
      throw new TypeError(
        "Cannot serve a second time in a worker of a fleet: give all addresses to one serve() as " +
          "'listeners', or start another fleet",
      );
    }
    const addresses = sharedAddresses(options.listeners, this.#seating.addresses);
    this.#addresses = addresses;
    const listeners = options.listeners.map((listener, i) => ({
      ...listener,
      port: addresses[i]!.port,
      loadBalanced: true,
    }));
    return { ...options, listeners: listeners as CompleteServeOptions["listeners"] };
  }

  limits(settings: LimitSettings): Limits {
    const { row, workers, memory } = this.#seating;
    // The main thread has a row of its own.
    this.#limits = memory.limits ??
      SharedLimits.allocate(this.#board.rows + 1, settings.maxConnections);
    const limits = new SharedLimits(this.#limits, row, workers, this.#clock, settings);
    limits.begin(row); // the main thread knows nothing of them before the first worker has begun
    const spread = this.statistics.spread = new Spread(this.#board, row);
    return { ...limits, turn: () => spread.turn() };
  }

  addressStore(name: string): AddressStore {
    return this.#addressSets.addressStore(name);
  }

  joined(server: SeatedServer, { shutdownTimeout }: CompleteServeOptions): void {
    this.#server = server;
    const addresses = this.#addresses!;
    const addrs = server.addrs as readonly Deno.NetAddr[];
    const listening = { addresses, addrs, limits: this.#limits!, shutdownTimeout };
    this.#announce({ type: "listening", ...listening }, TURNS);
    server.finished.then(() => this.#finished(), (error) => this.#finished(error));
  }

  /** Not before the program has gone on: what it throws next is a failure to start. */
  #announce(message: FromWorker, turns: number): void {
    this.#announcement = setTimeout(() => {
      if (turns > 0) return this.#announce(message, turns - 1);
      this.#send(message);
      this.#beat();
      this.#timer = setInterval(() => this.#beat(), BEAT);
      Deno.unrefTimer(this.#timer as unknown as number);
    });
  }

  failed(error: unknown): void {
    clearTimeout(this.#announcement);
    this.#send({ type: "failed", error: packError(error) });
  }

  closed(): Promise<void> | undefined {
    this.#send({ type: "closed" });
    return this.#allClosed?.promise;
  }

  shutdownOnSignals(stop: SignalStop): Disposable {
    this.#send({ type: "signals", stop });
    this.#exits = stop.exit;
    return {
      [Symbol.dispose]: () => {
        this.#exits = false;
        this.#send({ type: "signals disposed" });
      },
    };
  }

  #send(message: FromWorker): void {
    this.#port.postMessage(message);
  }

  #receive(message: ToWorker): void {
    const server = this.#server!; // the fleet is silent before it listens
    switch (message.type) {
      case "pause":
        return server.pause();
      case "resume":
        return server.resume();
      case "stop":
        return this.#stop(server, message);
      case "all closed":
        return this.#allClosed?.resolve();
      case "ask":
        this.#answer(server, message.id, message.question);
        return;
    }
  }

  #stop(server: SeatedServer, { lameDuck, timeout, spread, sweep }: Stop): void {
    const options = { spread, ...(timeout !== undefined && { timeout }) };
    if (!sweep) return void server.leave(options);
    this.#allClosed ??= Promise.withResolvers();
    server.shutdown({ lameDuck, ...options });
  }

  async #answer(server: SeatedServer, id: number, question: Question): Promise<void> {
    try {
      this.#send({ type: "answer", id, answer: await answer(server, question) });
    } catch (error) {
      this.#send({ type: "refusal", id, error: packError(error) });
    }
  }

  #beat(): void {
    const server = this.#server!;
    this.#clock.look();
    this.#board.live(this.#seating.row, server.waitingFor);
    if (this.#beats++ % LOOK_EVERY !== 0) return;
    this.#count(server);
    if (getHeapStatistics().heap_size_limit > this.#heapLimit) this.#endOfHeap();
  }

  /** Has the fleet know what is not counted as it happens. */
  #count(server: SeatedServer): void {
    const stats = server.stats();
    this.#stats.write(this.#seating.row, stats);
    if (stats.ended.dismissed === this.#dismissed) return;
    this.#dismissed = stats.ended.dismissed;
    this.#send({ type: "dismissed", dismissed: stats.dismissed });
  }

  /**
   * V8 has raised the limit, since the heap was full. Deno ends a thread whose timer or message filled it,
   * but of one that was in a promise job only that job: its handler never settles, and nothing says so.
   */
  #endOfHeap(): void {
    const message = "Worker terminated due to reaching memory limit: JS heap out of memory";
    const code = "ERR_WORKER_OUT_OF_MEMORY";
    this.#send({ type: "fatal", error: { name: "Error", message, code, stack: undefined } });
    Deno.exit(1);
  }

  /** Nothing of the fleet keeps the thread from its end any more. */
  #finished(failure?: unknown): void {
    clearInterval(this.#timer);
    this.#count(this.#server!);
    const { report } = this.#server!;
    const error = failure === undefined ? undefined : packError(failure);
    this.#send({ type: "stopped", report, error });
    this.#port.unref();
    // As shutdownOnSignals() does without a fleet: whatever else goes on in the program.
    if (this.#exits) setImmediate(() => Deno.exit());
  }
}

function answer(server: SeatedServer, question: Question): unknown {
  switch (question.type) {
    case "reloadTls":
      return server.reloadTls(question.options, question.addr);
    case "list":
      return listConnections(server, new URLSearchParams(question.query), true);
    case "close": {
      const conn = server.connections.values().find(({ id }) => id === question.id);
      conn?.close(question.detail);
      return conn !== undefined;
    }
  }
}
