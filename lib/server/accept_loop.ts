/** Takes connections from one listener and hands each over once, to be served. @module */

import { formatAddress } from "../format_address.ts";
import { Acceptor } from "../listener/accept.ts";
import type { Bound } from "../listener/bind.ts";
import { disarmCompilerPanic } from "../listener/descriptor_panics.ts";
import { ServedConnection } from "./served_connection.ts";
import { serveConnection, type Service } from "./serve_connection.ts";

/** Open connections from which on a server prepares for running out of descriptors. */
const PREPARE_AT = 4;

/**
 * Accepts in a row that found a connection waiting, after which the loop yields to the sockets unless
 * Deno has looked at them meanwhile, by what is done for each. As long as the kernel's queue is not
 * empty, accept() resolves within microtasks, and Deno looks for what has arrived elsewhere once in
 * thousands of them: an established connection waited 9 s under a flood. A yield costs 0.1 ms of CPU
 * and lasts 1 ms or more: one after each row was 7 % of the connects per second.
 */
const ROW = { plain: 64, tls: 16 };

/**
 * Ms from which on an accept counts as one that had to wait. With TLS it is never clear that it had: a
 * turn of the event loop takes longer than that; but accepting takes so small a part of the time there
 * that it may always yield.
 */
const WAITED = { plain: 0.2, tls: Infinity };

/** Ms that a timer can take; one of more would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** A connection that was accepted while the server closes its listeners, and is not served yet. */
export interface Held {
  readonly conn: ServedConnection;
  readonly bound: Bound;
  readonly service: Service;
}

/** The accept loop of one listener. */
export class AcceptLoop {
  readonly bound: Bound;
  readonly addr: Deno.Addr;
  readonly acceptor: Acceptor;
  /** Resolves when the listener is closed, rejects when accepting has failed for good. */
  readonly ended: Promise<void>;
  readonly #name: string;
  readonly #service: Service;
  #held: Held[] | undefined;
  /** Keeps the process alive while it waits for a slot or a token, as no pending accept does then. */
  #waiting: ReturnType<typeof setTimeout> | undefined;
  /** Ends the wait for a token. */
  #wake: (() => void) | undefined;
  #unref = false;

  constructor(bound: Bound, name: string | undefined, service: Service) {
    this.bound = bound;
    this.addr = bound.listener.addr;
    this.#name = name ?? formatAddress(this.addr);
    this.#service = service;
    const { statistics, reporter } = service;
    this.acceptor = new Acceptor(bound.listener, {
      aborted: () => void statistics.aborted++,
      resources: (error) => {
        statistics.resources++;
        reporter.starved(error, this.addr);
      },
    });
    this.ended = this.#run();
  }

  /** From now on accepts without regard to slots, and keeps what comes for later in `held`. */
  hold(held: Held[]): void {
    this.#held = held;
    this.#wake?.();
  }

  ref(): void {
    this.#unref = false;
    this.acceptor.ref();
    if (this.#waiting !== undefined) Deno.refTimer(this.#waiting as unknown as number);
  }

  unref(): void {
    this.#unref = true;
    this.acceptor.unref();
    if (this.#waiting !== undefined) Deno.unrefTimer(this.#waiting as unknown as number);
  }

  async #run(): Promise<void> {
    const { bound } = this;
    const { limits } = this.#service;
    const kind = bound.tls === undefined ? "plain" : "tls";
    let row = 0;
    /** The first connection of the row. */
    let first: ServedConnection | undefined;
    for (;;) {
      while (!this.#mayAccept) await this.#change();
      if (limits.turn !== undefined) await this.#turn(limits.turn());
      const since = performance.now();
      const socket = await this.acceptor.next();
      if (socket === null) return;
      const conn = this.#enter(socket);
      if (performance.now() - since > WAITED[kind]) row = 0;
      if (row === 0) first = conn;
      row++;
      if (this.#held === undefined) {
        limits.rate?.take();
        serveConnection(conn, bound, this.#service);
      } else this.#held.push({ conn, bound, service: this.#service });
      if (row >= ROW[kind] && this.#held === undefined) {
        row = 0;
        if (kind === "tls" || !hasReceived(first!)) await yieldToSockets();
      }
    }
  }

  #enter(socket: Deno.Conn): ServedConnection {
    const { statistics, clock, options, rooms, live } = this.#service;
    // A Unix socket was bound under a temporary name, which the kernel goes on calling it.
    const localAddr = "path" in this.addr ? this.addr : socket.localAddr;
    const conn = new ServedConnection(
      statistics.enter(),
      socket,
      localAddr,
      clock,
      options,
      rooms,
    );
    conn.listener = this.#name;
    conn.life.noDelayDue = this.bound.noDelay;
    conn.life.keepAliveDue = this.bound.keepAlive;
    if (options.maxAge !== Infinity) conn.limitAge(options.maxAge, options.shutdownTimeout);
    live.enter(conn);
    if (live.all.size >= PREPARE_AT) disarmCompilerPanic();
    return conn;
  }

  /** A slot is free, or clients without one are refused. */
  get #hasRoom(): boolean {
    const { slots, options } = this.#service;
    return slots.free || (options.whenFull !== "wait" && !slots.paused);
  }

  /** There is a token for the next connection, or no limit to their rate. */
  get #hasToken(): boolean {
    const { rate } = this.#service.limits;
    return rate === undefined || rate.wait() === 0;
  }

  /** Whatever the limits say, what comes during a stop is held. */
  get #mayAccept(): boolean {
    return this.#held !== undefined || (this.#hasRoom && this.#hasToken);
  }

  /** Waits for a change of what keeps it from accepting, unless another thread has made one already. */
  async #change(): Promise<void> {
    if (this.#hasRoom) return await this.#token();
    this.#keepAlive(() => {}, LONGEST_TIMER);
    await this.#service.slots.changed();
    clearTimeout(this.#waiting);
    this.#waiting = undefined;
  }

  /** Waits until there may be a token, or for `hold()`. */
  async #token(): Promise<void> {
    const wait = this.#service.limits.rate?.wait() ?? 0;
    if (wait === 0) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      // Timers leave fractions out, and would fire too early.
      this.#keepAlive(resolve, Math.min(Math.ceil(wait), LONGEST_TIMER));
    });
    clearTimeout(this.#waiting);
    this.#waiting = this.#wake = undefined;
  }

  #keepAlive(wake: () => void, ms: number): void {
    this.#waiting = setTimeout(wake, ms);
    if (this.#unref) Deno.unrefTimer(this.#waiting as unknown as number);
  }

  /** Waits for this thread's turn, after which the last slot or token may be gone. */
  async #turn(turn: Promise<void> | undefined): Promise<void> {
    if (turn === undefined) return;
    await turn;
    while (!this.#mayAccept) await this.#change();
  }
}

/**
 * Whether anything was read from a connection that was accepted in this row: then Deno has looked at every
 * socket since, as a new one is read only when the kernel has said that something has come.
 */
function hasReceived({ life }: ServedConnection): boolean {
  return life.bytesRead > 0 || life.peerFinished;
}

/** A timer, since only when nothing else is left to do does Deno wait, and looks at every socket. */
function yieldToSockets(): Promise<void> {
  return new Promise((resolve) => startTimer(resolve, 0));
}

/** The kernel knows nothing of a test that has put a fake clock in its place. */
const startTimer = setTimeout;
