/** What is a server? @module */

import { checkKeys, checkObject } from "../connection/check_options.ts";
import { CoarseClock } from "../connection/coarse_clock.ts";
import { type Connection, SocketConnection } from "../connection/connection.ts";
import type { EndReason } from "../connection/end_reason.ts";
import { formatAddress } from "../connection/format_address.ts";
import type { TlsListenOptions } from "../connection/tls_options.ts";
import { Acceptor } from "./accept.ts";
import { Admission, type Slot } from "./admit.ts";
import { bind, type Bound } from "./bind.ts";
import { disarmDescriptorPanics } from "./descriptor_panics.ts";
import { Drain, type ShutdownReport } from "./drain.ts";
import { extendMessage } from "./extend_message.ts";
import { Handshaking } from "./handshaking.ts";
import { HardenedListener } from "./hardened_listener.ts";
import { type House, identify } from "./identify.ts";
import { LISTEN_DEFAULTS } from "./listen_options.ts";
import { LiveConnections } from "./live_connections.ts";
import {
  checkLimit,
  checkTimeout,
  type CompleteServeOptions,
  completeServeOptions,
  type ServeListenersOptions,
  type ServeOptions,
  type ServeTcpOptions,
  type ServeUnixOptions,
} from "./options.ts";
import { PeerLimit } from "./peer_limit.ts";
import { Refusals } from "./refusals.ts";
import { Reporter } from "./reporter.ts";
import { type Handler, serveConnection } from "./serve_connection.ts";
import { setSocketOptions } from "./socket_options.ts";
import { reloadTls } from "./reload_tls.ts";
import { refusalCause, type ServerStats, Statistics } from "./statistics.ts";

/** Refused connections that are still being told why; more than these are closed without a word. */
const MAX_LINGERING_REFUSED = 64;

/**
 * How to stop.
 *
 * @example Give handlers five seconds
 * ```ts
 * import { serve, type ShutdownOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const patience: ShutdownOptions = { timeout: 5_000 };
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await server.shutdown(patience);
 * assertEquals(server.state, "stopped");
 * ```
 */
export interface ShutdownOptions {
  /**
   * Ms to wait for handlers before their connections are closed; 0 closes them at once, `Infinity`
   * waits for as long as they take. Default: the option `shutdownTimeout`.
   */
  timeout?: number;
}

/**
 * A running server.
 *
 * It can be passed wherever a `Deno.HttpServer` is expected for its lifecycle.
 *
 * @typeParam A The kind of address it listens on.
 *
 * @example Look at a server from outside
 * ```ts
 * import { serve, type Server } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function health(server: Server): string {
 *   return `${server.state}, ${server.connections.size} of ${server.maxConnections}`;
 * }
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * assertEquals(health(server), "running, 0 of 10000");
 * await server.shutdown();
 * assertEquals(health(server), "stopped, 0 of 10000");
 * ```
 */
export interface Server<A extends Deno.Addr = Deno.Addr> extends Deno.HttpServer<A> {
  /** The first address that it listens on, with the port that was chosen for port 0. */
  readonly addr: A;
  /** Every address that it listens on, in the order of `listeners`. */
  readonly addrs: readonly A[];
  /**
   * Resolves when the server has stopped and holds nothing any more. Rejects if it gave up: every
   * listener was closed by somebody else, or accepting failed for 30 s for an unknown cause.
   */
  readonly finished: Promise<void>;
  /** Whether it serves, is stopping, or has stopped. */
  readonly state: "running" | "draining" | "stopped";
  /** Whether a client that connects now would be accepted now. */
  readonly accepting: boolean;
  /**
   * What accepting waits for: a free slot, descriptors or memory, `resume()`, or nothing.
   */
  readonly waitingFor: "slot" | "resources" | "resume" | null;
  /** The connections that are open, those that wait for a slot included. */
  readonly connections: ReadonlySet<Connection<A>>;
  /** As the option; takes effect at once. Lowering it closes nothing. */
  maxConnections: number;
  /** What became of the connections while stopping, once the server has stopped. */
  readonly report: ShutdownReport | undefined;

  /** Stops accepting and keeps the address: clients wait in the kernel's queue. */
  pause(): void;
  /** Accepts again. */
  resume(): void;
  /** What was counted so far. */
  stats(): ServerStats;
  /**
   * Stops: accepts nothing more, tells handlers by `conn.draining`, waits for them, and closes what
   * is left when the time is up. Safe to call again; a later call can only shorten the wait.
   *
   * @returns `finished`.
   * @throws {TypeError} If `timeout` is not a number, or there is another option; as a rejection.
   * @throws {RangeError} If `timeout` is not a whole number from 0 up, or Infinity; as a rejection.
   */
  shutdown(options?: ShutdownOptions): Promise<void>;
  /**
   * Exchanges certificates: the next handshake uses the new ones, connections go on. What is not
   * given stays as it is. When this throws, nothing has changed.
   *
   * @param options What is new.
   * @param addr The address that it is for, one of `addrs`; without it, every one with TLS.
   * @throws {TypeError} If an option is unknown or wrong, a certificate cannot be used, or there is no
   * TLS at that address.
   * @throws {RangeError} If an option is out of range.
   * @throws {Deno.errors.NotSupported} If Deno's own TLS listens there, which knows one certificate
   * for ever: the route `"flexible"` can exchange it.
   */
  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): void;
  /** Keeps the process alive, which a server does by itself. */
  ref(): void;
  /**
   * Lets the process end while the server runs and nothing else is left to do.
   *
   * @throws {Deno.errors.NotSupported} With TLS of the route `"native"`, where Deno ignores it.
   */
  unref(): void;
  /** `shutdown()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Serves each connection on a TCP address with `handler`. It listens when it returns.
 *
 * When the handler's promise settles, what it wrote is delivered and the connection closed. A
 * handler that throws ends its own connection and nothing else.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 * @throws {TypeError} If an option is unknown or of the wrong type, before anything is opened.
 * @throws {RangeError} If a number is out of range, before anything is opened.
 * @throws {Deno.errors.AddrInUse} If something listens there already; what else binding may throw
 * is listed at {@linkcode listen}.
 *
 * @example An echo server
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 *
 * using client = await Deno.connect({ port: server.addr.port });
 * await client.write(new Uint8Array([1, 2, 3]));
 * const p = new Uint8Array(3);
 * await client.read(p);
 * assertEquals(p, new Uint8Array([1, 2, 3]));
 * ```
 */
export function serve(
  options: ServeTcpOptions,
  handler: Handler<Deno.NetAddr>,
): Server<Deno.NetAddr>;
/**
 * Serves each connection on a Unix socket with `handler`.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 * @throws {Deno.errors.AddrInUse} If a live server has the path.
 *
 * @example Tell the time on a Unix socket
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertMatch } from "@std/assert";
 *
 * const path = `${await Deno.makeTempDir()}/time.sock`;
 * await using _server = serve({ path, mode: 0o600 }, async (conn) => {
 *   await conn.write(new TextEncoder().encode(new Date().toISOString()));
 * });
 *
 * const client = await Deno.connect({ transport: "unix", path });
 * assertMatch(await new Response(client.readable).text(), /^\d{4}-/);
 * ```
 */
export function serve(
  options: ServeUnixOptions,
  handler: Handler<Deno.UnixAddr>,
): Server<Deno.UnixAddr>;
/**
 * Serves several addresses, or listeners of other makes, with one handler and one set of limits.
 *
 * @param options The listeners and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 *
 * @example Two ports, one limit
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * await using server = serve({
 *   listeners: [{ port: 0, hostname }, { port: 0, hostname }],
 *   maxConnections: 100,
 * }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 *
 * for (const { port } of server.addrs as Deno.NetAddr[]) {
 *   const client = await Deno.connect({ port });
 *   assertEquals(await new Response(client.readable).text(), "hello");
 * }
 * ```
 */
export function serve(options: ServeListenersOptions, handler: Handler): Server;
/**
 * Serves whatever the options say, for programs that put them together at run time.
 *
 * @param options Where to listen, and the limits.
 * @param handler Serves one connection; must return a promise.
 * @returns The server.
 *
 * @example An address from a setting
 * ```ts
 * import { serve, type ServeOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const setting = "0";
 * const options: ServeOptions = setting.startsWith("/")
 *   ? { path: setting }
 *   : { port: Number(setting), hostname: "127.0.0.1" };
 * await using server = serve(options, async () => {});
 * assertEquals(server.addr.transport, "tcp");
 * ```
 */
export function serve(options: ServeOptions, handler: Handler): Server;
export function serve<A extends Deno.Addr>(options: ServeOptions, handler: Handler<A>): Server<A> {
  const complete = completeServeOptions(options);
  if (typeof handler !== "function") {
    throw new TypeError("Cannot serve without a handler: give a function as the second argument");
  }
  disarmDescriptorPanics();
  return new RunningServer<A>(complete, handler as Handler);
}

/** One address of a server. */
interface Entrance {
  readonly bound: Bound;
  readonly addr: Deno.Addr;
  readonly acceptor: Acceptor;
}

class RunningServer<A extends Deno.Addr> implements Server<A> {
  readonly addrs: readonly A[];
  readonly finished: Promise<void>;
  readonly #options: CompleteServeOptions;
  readonly #handler: Handler;
  readonly #entrances: Entrance[];
  readonly #admission: Admission;
  readonly #clock = new CoarseClock(true);
  readonly #live = new LiveConnections(this.#clock);
  readonly #statistics = new Statistics();
  readonly #house: House;
  readonly #reporter: Reporter;
  readonly #refusals: Refusals;
  readonly #loops: Promise<void>;
  readonly #awake = new Set<ReturnType<typeof setTimeout>>();
  readonly #onAbort = () => this.#stop(0);
  #state: "running" | "draining" | "stopped" = "running";
  #drain: Drain | undefined;
  #report: ShutdownReport | undefined;
  #gaveUp: { readonly error: unknown } | undefined;
  #ids = 0;
  #lingeringRefused = 0;
  #unref = false;

  constructor(options: CompleteServeOptions, handler: Handler) {
    this.#options = options;
    this.#handler = handler;
    this.#admission = new Admission(options.maxConnections);
    this.#house = {
      isWelcome: options.isWelcome,
      peerLimit: new PeerLimit(options.maxConnectionsPerPeer),
      handshaking: new Handshaking(this.#clock, options.handshakeTimeout, () =>
        options.maxHandshaking ?? Math.max(1, Math.floor(this.maxConnections / 4))),
      report: (error, conn) => this.#reporter.report(error, conn),
    };
    this.#reporter = new Reporter(options.onError, this.#clock);
    this.#refusals = new Refusals(this.#clock, this.#reporter);
    this.#entrances = this.#open();
    this.addrs = this.#entrances.map(({ addr }) => addr as A);
    this.#loops = Promise.all(this.#entrances.map((entrance) => this.#accept(entrance)))
      .then(() => {});
    this.finished = this.#run();
    this.finished.catch(() => {}); // who gave up was reported; nobody has to await this
    const { signal, onListen } = options;
    if (signal?.aborted) this.#stop(0);
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
    if (onListen !== undefined) {
      // After serve() has returned, so that the hook may use the server.
      queueMicrotask(() => {
        for (const addr of this.addrs) this.#reporter.call("onListen", () => onListen(addr));
      });
    }
  }

  get addr(): A {
    return this.addrs[0]!;
  }

  get state(): "running" | "draining" | "stopped" {
    return this.#state;
  }

  get accepting(): boolean {
    return this.#state === "running" && this.waitingFor === null;
  }

  get waitingFor(): "slot" | "resources" | "resume" | null {
    if (this.#state !== "running") return null;
    if (this.#admission.paused) return "resume";
    if (this.#entrances.some(({ acceptor }) => acceptor.backingOff)) return "resources";
    return this.#options.whenFull === "wait" && this.#admission.full ? "slot" : null;
  }

  get connections(): ReadonlySet<Connection<A>> {
    return this.#live.all as ReadonlySet<unknown> as ReadonlySet<Connection<A>>;
  }

  get maxConnections(): number {
    return this.#admission.limit;
  }

  set maxConnections(limit: number) {
    this.#admission.limit = checkLimit("maxConnections", limit);
  }

  get report(): ShutdownReport | undefined {
    return this.#report;
  }

  pause(): void {
    if (this.#state === "running") this.#admission.pause();
  }

  resume(): void {
    this.#admission.resume();
  }

  stats(): ServerStats {
    const handshaking = this.#house.handshaking.size;
    return this.#statistics.snapshot(this.#live.all, handshaking, this.#admission.fullFor);
  }

  shutdown(options: ShutdownOptions = {}): Promise<void> {
    try {
      checkObject("shut down", options);
      checkKeys("shut down", options, ["timeout"]);
      const { timeout = this.#options.shutdownTimeout } = options;
      this.#stop(checkTimeout("shut down", "timeout", timeout));
    } catch (error) {
      return Promise.reject(error);
    }
    // The promise itself, not one of an `async` function: its rejection counts as handled.
    return this.finished;
  }

  reloadTls(options: TlsListenOptions, addr?: Deno.Addr): void {
    reloadTls(this.#entrances, options, addr);
  }

  ref(): void {
    this.#unref = false;
    for (const { acceptor } of this.#entrances) acceptor.ref();
    for (const timer of this.#awake) Deno.refTimer(timer as unknown as number);
  }

  unref(): void {
    if (this.#entrances.some(({ bound }) => bound.tls === "native")) {
      throw new Deno.errors.NotSupported(
        'Cannot unref a server with TLS of the route "native", where Deno ignores it: use ' +
          'tls: { route: "flexible" }',
      );
    }
    this.#unref = true;
    for (const { acceptor } of this.#entrances) acceptor.unref();
    for (const timer of this.#awake) Deno.unrefTimer(timer as unknown as number);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  /** Binds every address; none stays bound if one of them cannot be. */
  #open(): Entrance[] {
    const entrances: Entrance[] = [];
    try {
      for (const listener of this.#options.listeners) {
        const bound = boundOf(listener);
        entrances.push({
          bound,
          addr: bound.listener.addr,
          acceptor: new Acceptor(bound.listener, {
            lost: () => void this.#statistics.lost++,
            starved: (error) => {
              this.#statistics.starved++;
              this.#reporter.starved(error, bound.listener.addr);
            },
          }),
        });
      }
      return entrances;
    } catch (error) {
      for (const [i, { acceptor }] of entrances.entries()) {
        // A listener that was passed in is its owner's until serve() has returned.
        if (!("accept" in this.#options.listeners[i]!)) acceptor.close();
      }
      throw error;
    }
  }

  async #accept({ bound, addr, acceptor }: Entrance): Promise<void> {
    try {
      for (;;) {
        while (!this.#mayAccept) await this.#change();
        const socket = await acceptor.next();
        if (socket === null) break;
        setSocketOptions(socket, bound);
        const waiting = this.#admit(this.#arrive(socket, addr), bound);
        if (waiting !== undefined) await waiting;
      }
      if (!acceptor.closed) this.#closedBySomebodyElse(addr);
    } catch (error) {
      const where = `Cannot accept on ${formatAddress(addr)}: `;
      extendMessage(error, where, "; the server has given up");
      this.#giveUp(error);
    }
  }

  /** A slot is free, or clients are refused for want of one; or nothing is left to wait for. */
  get #mayAccept(): boolean {
    const { open, paused } = this.#admission;
    return open || this.#state !== "running" || (this.#options.whenFull !== "wait" && !paused);
  }

  /** Waits for something that decides whether accept may be called. */
  async #change(): Promise<void> {
    using _awake = this.#stayAwake();
    await this.#admission.changed();
  }

  /** With no accept pending nothing keeps the process alive, and a server that waits is not done. */
  #stayAwake(): Disposable {
    const timer = setTimeout(() => {}, 2 ** 31 - 1);
    if (this.#unref) Deno.unrefTimer(timer as unknown as number);
    this.#awake.add(timer);
    return {
      [Symbol.dispose]: () => {
        this.#awake.delete(timer);
        clearTimeout(timer);
      },
    };
  }

  #arrive(socket: Deno.Conn, addr: Deno.Addr): SocketConnection {
    this.#statistics.accepted++;
    // A Unix socket was made under a temporary name, which is what the kernel calls it for ever.
    const localAddr = "path" in addr ? addr : socket.localAddr;
    const conn = new SocketConnection(++this.#ids, socket, localAddr, this.#clock, this.#options);
    this.#live.enter(conn);
    this.#drain?.join(conn);
    return conn;
  }

  /** Starts to serve a connection; only one without a slot is worth the frame of an async function. */
  #admit(conn: SocketConnection, bound: Bound): Promise<void> | undefined {
    // Forced as it came: a handler could do nothing with it, and nobody is left to end its wait.
    if (conn.life.closed) this.#over(conn, "forced");
    else {
      const slot = this.#admission.take();
      if (slot === null) return this.#admitLater(conn, bound);
      this.#serve(conn, bound, slot);
    }
    return undefined;
  }

  /** Waits only while the connection is a surplus, first in line for a slot. */
  async #admitLater(conn: SocketConnection, bound: Bound): Promise<void> {
    let slot: Slot | null = null;
    if (this.#admission.paused || this.#options.whenFull === "wait") {
      using _awake = this.#stayAwake();
      slot = await this.#turnOf(conn);
      if (conn.life.closed) {
        slot?.[Symbol.dispose]();
        return this.#over(conn, "forced");
      }
    }
    if (slot !== null) this.#serve(conn, bound, slot);
    // Not awaited: a peer that is told why gets a moment to hear it, the others need not wait.
    else this.#refuse(conn);
  }

  #serve(conn: SocketConnection, bound: Bound, slot: Slot): void {
    const identifying = identify(conn, bound, this.#house);
    serveConnection(conn, identifying, this.#handler, slot, this.#reporter, this.#over);
  }

  /** The slot of a surplus; where clients are refused, it only waits for the end of a pause. */
  async #turnOf(conn: SocketConnection): Promise<Slot | null> {
    const admission = this.#admission;
    if (this.#options.whenFull === "wait") return await admission.wait();
    while (admission.paused && !conn.life.closed) await admission.changed();
    return conn.life.closed ? null : admission.take();
  }

  async #refuse(conn: SocketConnection): Promise<void> {
    const { whenFull } = this.#options;
    conn.life.settle("refused_full");
    if (typeof whenFull === "string" || this.#lingeringRefused >= MAX_LINGERING_REFUSED) {
      conn.close();
    } else {
      this.#lingeringRefused++;
      conn.write(whenFull);
      await conn.end();
      this.#lingeringRefused--;
    }
    this.#over(conn, "refused_full");
  }

  readonly #over = (conn: SocketConnection, reason: EndReason): void => {
    if (!this.#live.leave(conn)) return;
    this.#statistics.end(reason, conn);
    this.#house.peerLimit.leave(conn);
    const cause = refusalCause(reason);
    if (cause !== undefined) this.#refusals.add(cause);
    const { onEnd } = this.#options;
    if (onEnd === undefined) return;
    const { id, peerAddr, remoteAddr, bytesRead, bytesWritten, openedAt, duration } = conn;
    const record = {
      id,
      reason,
      peerAddr,
      remoteAddr,
      bytesRead,
      bytesWritten,
      openedAt,
      duration,
    };
    const { error } = conn.life;
    this.#reporter.call(
      "onEnd",
      () => onEnd(error === undefined ? record : { ...record, error }),
    );
  };

  readonly #abandon = (conn: SocketConnection): void => {
    conn.abandoned = true;
    this.#over(conn, "abandoned");
    conn.slot?.[Symbol.dispose]();
  };

  /** From the first accept to the moment when nothing is held any more. */
  async #run(): Promise<void> {
    await this.#loops;
    await this.#live.nobody();
    const { forced, abandoned } = this.#statistics.ended;
    this.#report = this.#drain!.finish(forced, abandoned);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#refusals.tell();
    this.#reporter.end();
    this.#clock.stop();
    this.#state = "stopped";
    if (this.#gaveUp !== undefined) throw this.#gaveUp.error;
  }

  #stop(timeout: number): void {
    if (this.#state === "stopped") return;
    if (this.#drain === undefined) {
      this.#state = "draining";
      for (const { acceptor } of this.#entrances) acceptor.close();
      this.#drain = new Drain(this.#live, () => this.#admission.sendAway(), this.#abandon);
      // Who was accepted is served, also when the server was paused; and the loops look up.
      this.#admission.resume();
    }
    this.#drain.forceWithin(timeout);
  }

  #closedBySomebodyElse(addr: Deno.Addr): void {
    const error = new Deno.errors.BadResource(
      `Cannot accept on ${formatAddress(addr)} any more: somebody else has closed the listener`,
    );
    const others = this.#entrances.some(({ acceptor }) => !acceptor.over);
    if (others) this.#reporter.report(error);
    else this.#giveUp(error);
  }

  #giveUp(error: unknown): void {
    if (this.#gaveUp !== undefined) return;
    this.#gaveUp = { error };
    this.#reporter.report(error);
    this.#stop(this.#options.shutdownTimeout);
  }
}

/** Where sockets come from, for each way to say it. */
function boundOf(listener: CompleteServeOptions["listeners"][number]): Bound {
  if (listener instanceof HardenedListener) return listener.bound;
  const { noDelay, keepAlive } = LISTEN_DEFAULTS;
  return "accept" in listener ? { listener, noDelay, keepAlive } : bind(listener);
}
