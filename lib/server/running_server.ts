/** What does a server do? @module */

import { checkKeys } from "../check.ts";
import { CoarseClock } from "../connection/coarse_clock.ts";
import type { Connection } from "../connection/connection.ts";
import { SocketConnection } from "../connection/socket_connection.ts";
import type { EndReason } from "../connection/end_reason.ts";
import { formatAddress } from "../format_address.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import { Acceptor } from "../listener/accept.ts";
import { Admission, type Slot } from "./slots.ts";
import { bind, type Bound, setSocketOptions } from "../listener/bind.ts";
import { disarmCompilerPanic } from "../listener/descriptor_panics.ts";
import { Drain, type ShutdownReport } from "./drain.ts";
import { endObserversOf } from "./end_observers.ts";
import { extendMessage } from "../errors.ts";
import { Handshaking } from "./handshaking.ts";
import { HardenedListener } from "../listener/hardened_listener.ts";
import { type House, identify, isHealthCheck } from "./identify.ts";
import { LISTEN_DEFAULTS } from "../listener/listen_options.ts";
import { LiveConnections } from "./live_connections.ts";
import { checkLimit, checkTimeout, type CompleteServeOptions } from "./options.ts";
import { PeerLimit } from "./peer_limit.ts";
import { Refusals } from "./refusals.ts";
import { Reporter } from "./reporter.ts";
import { reloadTls } from "../listener/reload_tls.ts";
import { type Handler, serveConnection, type Service } from "./serve_connection.ts";
import type { Server, ShutdownOptions } from "./server.ts";
import { refusalCause, type ServerStats, Statistics } from "./statistics.ts";
import { Sweep } from "./sweep.ts";

/** Refused connections that are still being told why; more than these are closed without a word. */
const MAX_LINGERING_REFUSED = 64;

/** Connections at once, or one that is over, with which a server prepares for a shortage. */
const FEW = 4;

/** One address of a server. */
interface Entrance {
  readonly bound: Bound;
  readonly addr: Deno.Addr;
  readonly acceptor: Acceptor;
}

/** The server behind `serve()`: it joins all the others in this folder. */
export class RunningServer<A extends Deno.Addr> implements Server<A> {
  readonly addrs: readonly A[];
  readonly finished: Promise<void>;
  readonly #options: CompleteServeOptions;
  readonly #service: Service;
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
  readonly #onAbort = () => this.#stop(0, 0);
  readonly #sweep: Sweep;
  /** Who came while the door was being closed, and is served when it is. */
  readonly #held: (() => unknown)[] = [];
  /** Lets the accept loops go on that wait with a surplus. */
  readonly #hurry = new Set<() => void>();
  #state: "running" | "draining" | "stopped" = "running";
  /** Whoever comes is served or refused, rather than held. */
  #open = true;
  #drain: Drain | undefined;
  #report: ShutdownReport | undefined;
  #gaveUp: { readonly error: unknown } | undefined;
  #ids = 0;
  #lingeringRefused = 0;
  #unref = false;

  constructor(options: CompleteServeOptions, handler: Handler) {
    this.#options = options;
    this.#admission = new Admission(options.maxConnections);
    this.#house = {
      isWelcome: options.isWelcome,
      peerLimit: new PeerLimit(options.maxConnectionsPerPeer),
      handshaking: new Handshaking(
        this.#clock,
        options.handshakeTimeout,
        () => options.maxHandshaking ?? Math.max(1, Math.floor(this.maxConnections / 4)),
      ),
      report: (error, conn) => this.#reporter.report(error, conn),
    };
    this.#reporter = new Reporter(options.onError, this.#clock);
    this.#service = { handler, reporter: this.#reporter, over: this.#over };
    this.#refusals = new Refusals(this.#clock, this.#reporter);
    this.#entrances = this.#bindAll();
    this.addrs = this.#entrances.map(({ addr }) => addr as A);
    const acceptors = this.#entrances.map(({ acceptor }) => acceptor);
    this.#sweep = new Sweep(acceptors, () => this.#statistics.accepted);
    this.#loops = Promise.all(this.#entrances.map((entrance) => this.#accept(entrance)))
      .then(() => {});
    this.finished = this.#run();
    this.finished.catch(() => {}); // who gave up was reported; nobody has to await this
    const { signal, onListen } = options;
    if (signal?.aborted) this.#stop(0, 0);
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
    return this.#open && this.waitingFor === null;
  }

  get waitingFor(): "slot" | "resources" | "resume" | null {
    if (!this.#open) return null;
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
    if (this.#open) this.#admission.pause();
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
      checkKeys("shut down", options, ["lameDuck", "timeout"]);
      const { lameDuck = 0, timeout = this.#options.shutdownTimeout } = options;
      this.#stop(
        checkTimeout("shut down", "lameDuck", lameDuck),
        checkTimeout("shut down", "timeout", timeout),
      );
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
  #bindAll(): Entrance[] {
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
        const conn = this.#arrive(socket, addr);
        if (this.#open) {
          const waiting = this.#admit(conn, bound);
          if (waiting !== undefined) await this.#unlessStopping(waiting);
        } else this.#held.push(() => this.#admit(conn, bound));
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
    return open || !this.#open || (this.#options.whenFull !== "wait" && !paused);
  }

  /** Waits for something that decides whether accept may be called. */
  async #change(): Promise<void> {
    using _awake = this.#stayAwake();
    await this.#admission.changed();
  }

  /** Waits for a surplus to get its slot, or for the moment when all who come are held anyway. */
  async #unlessStopping(waiting: Promise<void>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hurry.add(resolve);
    waiting.then(resolve);
    await promise;
    this.#hurry.delete(resolve);
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
    if (this.#live.all.size >= FEW) disarmCompilerPanic();
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
    conn.slot = slot;
    serveConnection(conn, identifying, this.#service);
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
    conn.life.setReason("refused_full");
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

  readonly #over = (conn: SocketConnection, said: EndReason): void => {
    if (!this.#live.leave(conn)) return;
    const reason = isHealthCheck(conn, said) ? "health_check" : said;
    disarmCompilerPanic();
    this.#statistics.end(reason, conn);
    this.#house.peerLimit.leave(conn);
    const cause = refusalCause(reason);
    if (cause !== undefined) this.#refusals.add(cause);
    const { onEnd } = this.#options;
    const observers = endObserversOf(this);
    if (onEnd === undefined && observers === undefined) return;
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
    const told = error === undefined ? record : { ...record, error };
    for (const tell of observers ?? []) this.#reporter.call("instrument", () => tell(told));
    if (onEnd !== undefined) this.#reporter.call("onEnd", () => onEnd(told));
  };

  readonly #abandon = (conn: SocketConnection): void => {
    conn.abandoned = true;
    this.#over(conn, "abandoned");
    conn.slot?.[Symbol.dispose]();
  };

  /** From the first accept to the moment when nothing is held any more. */
  async #run(): Promise<void> {
    await this.#loops;
    await this.#drain!.closed;
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

  #stop(lameDuck: number, timeout: number): void {
    if (this.#state === "stopped") return;
    if (this.#drain === undefined) {
      this.#state = "draining";
      const accepting = {
        stop: () => this.#close(),
        cut: () => this.#sweep.cut(),
        // Not before the last accept has settled: who is served may come again at once.
        letIn: () => this.#held.forEach((admit) => admit()),
        sendAway: () => this.#admission.sendAway(),
      };
      this.#drain = new Drain(this.#live, accepting, this.#abandon);
    }
    this.#drain.within(lameDuck, timeout);
  }

  /** Takes in whoever has connected, and closes the door behind them; how many they were. */
  async #close(): Promise<number> {
    this.#open = false;
    // Who was accepted is served, also when the server was paused; and the loops look up.
    this.#admission.resume();
    for (const goOn of this.#hurry) goOn();
    await this.#sweep.run();
    await this.#loops;
    return this.#held.length;
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
    this.#stop(0, this.#options.shutdownTimeout);
  }
}

/** Where sockets come from, for each way to say it. */
function boundOf(listener: CompleteServeOptions["listeners"][number]): Bound {
  if (listener instanceof HardenedListener) return listener.bound;
  const { noDelay, keepAlive } = LISTEN_DEFAULTS;
  return "accept" in listener ? { listener, noDelay, keepAlive } : bind(listener);
}
