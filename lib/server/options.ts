/** The options of `serve()`, checked and completed. @module */

import { bad, checkKeys, checkNumber, checkObject, checkTime, isObject } from "../check.ts";
import type { Connection } from "../connection/connection.ts";
import {
  type ConnectionLimits,
  DEFAULT_HANDSHAKE_TIMEOUT,
  DEFAULT_LIMITS,
} from "../connection/limits.ts";
import type { Admit } from "./admission.ts";
import { affordableConnections } from "./affordable_connections.ts";
import type { EndRecord } from "./end_records.ts";
import type { Handler } from "./handler.ts";
import { type CompleteRate, completeRate, type RateLimitOptions } from "./rate_limit.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import { type AddressTest, completeAddressRules } from "../listener/address_rules.ts";
import type { AddressSet } from "../listener/address_set.ts";
import {
  ADDRESS_KEYS,
  type CompleteAddress,
  completeAddress,
  type FdListenOptions,
  type ServeAddress,
  type ServeAddressOptions,
  type TcpListenOptions,
  type UnixListenOptions,
} from "../listener/listen_options.ts";

/**
 * What `serve()` takes besides the address.
 *
 * @typeParam A The kind of address the server listens on.
 *
 * @example The same limits for two servers
 * ```ts
 * import { serve, type ServeSettings } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const settings: ServeSettings = {
 *   maxConnections: 100,
 *   idleTimeout: 60_000,
 *   whenFull: "refuse",
 * };
 * const hostname = "127.0.0.1";
 * await using one = serve({ ...settings, port: 0, hostname }, async () => {});
 * await using two = serve({ ...settings, port: 0, hostname }, async () => {});
 * assertEquals([one.maxConnections, two.maxConnections], [100, 100]);
 * ```
 *
 * @category Servers
 */
export interface ServeSettings<A extends Deno.Addr = Deno.Addr> {
  /**
   * How many connections may be open at once. At the limit nothing more is accepted: the kernel's
   * queue holds the rest. `Infinity` for no limit. Can be changed on the running server. Where the
   * process may open too few descriptors for the default, and that can be found out (on Linux with
   * `--allow-all`), it is as many as they are enough for; a given number that is too high for them is
   * reported once.
   *
   * @default {10_000}
   */
  maxConnections?: number;
  /**
   * How many connections of one peer may be open at once: of an IPv4 address, and in IPv6 of a /64.
   * More are refused (`refused_peer_limit`). Behind a proxy that sends PROXY headers the client counts,
   * not the proxy; peers of a Unix socket never count.
   *
   * Unless given, half of `maxConnections` where that is 1,000 or more, so that one address cannot keep
   * all others out, and else `Infinity`. Where many clients share an address, behind a balancer or NAT,
   * use `proxyProtocol` or give a higher limit.
   */
  maxConnectionsPerPeer?: number;
  /**
   * How many new connections are accepted, as a number per second or as `{ rate, per, burst }`. More are
   * not accepted yet: the kernel's queue holds them, `waitingFor` is `"rate"`, and the server goes on
   * counting as ready. While it stops, the queue is emptied at any rate. `Infinity` for no limit, as if
   * not given.
   */
  maxRate?: number | RateLimitOptions;
  /**
   * How many new connections of one peer are let in, as a number per second or as
   * `{ rate, per, burst }`: of an IPv4 address, and in IPv6 of a /64. More are refused (`refused_rate`),
   * after the PROXY header, as it is the client's address that counts, and before the TLS handshake.
   * Peers of a Unix socket are never refused. The 65,536 peers that have used most of their rate are
   * remembered. `Infinity` for no limit, as if not given.
   */
  maxRatePerPeer?: number | RateLimitOptions;
  /**
   * How many connections may be in their PROXY header or TLS handshake at once; each holds a slot,
   * too. When one more comes, one is closed (`refused_handshaking`): the oldest that has sent nothing,
   * else the oldest of the peer that has most; one that has sent something is safe for 2 s from peers
   * that have as many. So peers that only connect displace each other and no other. Plain connections
   * never count. A quarter of `maxConnections` unless given.
   */
  maxHandshaking?: number;
  /**
   * The addresses and CIDR ranges that may connect, and `"unix"` for the peers of a Unix socket; or an
   * {@linkcode addressSet}, which can be changed meanwhile. All others are refused
   * (`refused_address`). Behind a proxy it is the client's address that counts. Every address unless
   * given.
   */
  allow?: readonly string[] | AddressSet;
  /** The same for those that may not connect, even if `allow` has them. None unless given. */
  deny?: readonly string[] | AddressSet;
  /**
   * Says whether an identified client may come in: called once for each with what is known of its
   * connection, after PROXY header, address rules and TLS. `false` refuses it (`refused_admit`); so does
   * what it throws, which `onError` receives. Nothing, `true`, and what is to be disposed when the
   * connection is over, once and before its record, admit it; what it is disposed with may be
   * asynchronous, and `finished` waits for it, but only a second once the server forces its end.
   *
   * A promise has until `handshakeTimeout`: a connection that waits for it holds its slot, and no other
   * displaces it. What it gives later is disposed at once. `conn.signal` aborts when the peer resets
   * the connection meanwhile, and when the time is over. Health checks of a proxy (`LOCAL`) are not
   * asked about. Every client may come in unless given.
   */
  admit?: Admit<A>;
  /**
   * What becomes of clients while every slot is taken: `"wait"` leaves them in the kernel's queue,
   * `"refuse"` accepts and closes them, and bytes are sent to them before that (which is not
   * possible with TLS).
   *
   * @default {"wait"}
   */
  whenFull?: "wait" | "refuse" | Uint8Array;
  /**
   * Ms for everything before the handler: the PROXY header, the TLS handshake and `admit` together.
   * What takes longer is closed (`handshake_timeout`, and `refused_admit` if it waits for `admit`).
   *
   * @default {10_000}
   */
  handshakeTimeout?: number;
  /**
   * Ms without a byte in either direction while a read or write is pending, after which the
   * connection is closed. The time in which the handler does other work does not count.
   *
   * @default {300_000}
   */
  idleTimeout?: number;
  /**
   * Ms without a byte received while a read is pending, whatever is sent meanwhile, after which the
   * connection is closed (`receive_timeout`). For protocols whose clients send keep-alives.
   *
   * @default {Infinity}
   */
  receiveTimeout?: number;
  /**
   * Ms within which a frame or a record that has begun must be complete, counted while a read waits for
   * it; otherwise the connection is closed (`frame_timeout`). `framed()` and each read of a record, such
   * as `readLine()`, may say otherwise.
   *
   * @default {30_000}
   */
  frameTimeout?: number;
  /**
   * Ms within which a write must advance by 1 KiB, or by its rest if that is less; otherwise the
   * connection is closed.
   *
   * @default {30_000}
   */
  writeTimeout?: number;
  /**
   * Bytes that may wait behind a write in progress, counted with what it takes to hold them. A write
   * that finds so many waiting rejects and closes the connection (`write_overflow`): its peer does not
   * read, and memory is not its to fill. One large write is always taken.
   *
   * @default {1_048_576}
   */
  maxUnsent?: number;
  /**
   * Bytes of memory that the buffers of all connections may occupy beyond those of idle ones: what has
   * arrived and is not read, what waits to be sent, and what TLS holds of it, with what it takes to hold
   * it. Above that, of the connections that have stood still for long, the peer that holds most loses
   * the one that has for longest (`memory_limit`). `stats()` has how much it is. Chunks and records that the handler has got are not counted.
   *
   * @default {268_435_456}
   */
  maxBuffered?: number;
  /**
   * Ms after which a connection is drained as by a stop, give or take 10 %, and after
   * `shutdownTimeout` ended (`max_age`): for long connections that a balancer is to spread anew.
   *
   * @default {Infinity}
   */
  maxAge?: number;
  /**
   * Ms that `shutdown()` waits for handlers to finish before it closes their connections.
   *
   * @default {15_000}
   */
  shutdownTimeout?: number;
  /** Aborting it stops the server at once, as in `Deno.serve`. */
  signal?: AbortSignal;
  /** Called once for each address, when `serve()` has returned. */
  onListen?: (addr: A) => unknown;
  /**
   * Called with errors of handlers and hooks, and with what keeps the server from accepting. What a
   * peer can cause at will is not among them: see `stats()` and `onEnd`. Only refusals are reported, all
   * together and every ten seconds at most, as a {@linkcode RefusedError}. By default one line on
   * stderr, at most ten a second.
   */
  onError?: (error: unknown, conn?: Connection) => unknown;
  /** Called exactly once for each accepted connection, when it is over. */
  onEnd?: (record: EndRecord) => unknown;
}

/**
 * Options of a server on one TCP address. They are documented by group:
 *
 * - {@linkcode TcpListenOptions}: `port`, `hostname`, `tcpBacklog`, `reusePort`, `noDelay`,
 *   `keepAlive`
 * - {@linkcode TlsListenOptions}: `cert`, `key`, `passphrase`, `alpnProtocols`, `tls`
 * - {@linkcode ServeAddressOptions}: `proxyProtocol`
 * - {@linkcode ServeSettings}: limits, timeouts and hooks, which every server has:
 *   `maxConnections`, `maxConnectionsPerPeer`, `maxRate`, `maxRatePerPeer`, `maxHandshaking`,
 *   `allow`, `deny`, `admit`, `whenFull`, `handshakeTimeout`, `idleTimeout`, `receiveTimeout`,
 *   `frameTimeout`, `writeTimeout`, `maxUnsent`, `maxBuffered`, `maxAge`, `shutdownTimeout`,
 *   `signal`, `onListen`, `onError`, `onEnd`
 *
 * @example Options from somewhere else
 * ```ts
 * import { serve, type ServeTcpOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ServeTcpOptions = {
 *   port: 0,
 *   hostname: "127.0.0.1",
 *   maxConnections: 100,
 * };
 * await using server = serve(options, async (conn) => {
 *   await conn.write(new TextEncoder().encode(conn.remoteAddr.hostname));
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "127.0.0.1");
 * ```
 *
 * @category Servers
 */
export interface ServeTcpOptions
  extends TcpListenOptions, TlsListenOptions, ServeAddressOptions, ServeSettings<Deno.NetAddr> {}

/**
 * Options of a server on one Unix socket: those of the socket ({@linkcode UnixListenOptions}: `path`
 * and `mode`), `proxyProtocol` ({@linkcode ServeAddressOptions}), and the limits, timeouts and hooks of
 * {@linkcode ServeSettings}.
 *
 * @example Options from somewhere else
 * ```ts
 * import { serve, type ServeUnixOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = await Deno.makeTempDir();
 * const options: ServeUnixOptions = {
 *   path: `${directory}/app.sock`,
 *   mode: 0o600,
 * };
 * if (Deno.build.os !== "windows") { // where Deno has no Unix sockets
 *   await using server = serve(options, async () => {});
 *   assertEquals(server.addr.path, options.path);
 * }
 * await Deno.remove(directory);
 * ```
 *
 * @category Servers
 */
export interface ServeUnixOptions
  extends UnixListenOptions, ServeAddressOptions, ServeSettings<Deno.UnixAddr> {}

/**
 * Options of a server on one socket that the process was started with: `fd`, `noDelay` and `keepAlive`
 * ({@linkcode FdListenOptions}), those of TLS ({@linkcode TlsListenOptions}), `proxyProtocol`
 * ({@linkcode ServeAddressOptions}), and the limits, timeouts and hooks of {@linkcode ServeSettings}.
 *
 * @example Options from somewhere else
 * ```ts
 * import { inheritedListeners, serve, type ServeFdOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const [inherited] = inheritedListeners();
 * if (inherited !== undefined) {
 *   const options: ServeFdOptions = { fd: inherited.fd, maxConnections: 100 };
 *   await using server = serve(options, async () => {});
 *   assertEquals(server.addrs.length, 1);
 * }
 * ```
 *
 * @category Servers
 */
export interface ServeFdOptions
  extends FdListenOptions, TlsListenOptions, ServeAddressOptions, ServeSettings {}

/**
 * Options of a server on several addresses, under one set of limits: `listeners`, and the limits,
 * timeouts and hooks of {@linkcode ServeSettings}.
 *
 * @example TCP and a listener of another make
 * ```ts
 * import { listen, serve, type ServeListenersOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * const options: ServeListenersOptions = {
 *   listeners: [{ port: 0, hostname }, listen({ port: 0, hostname })],
 *   maxConnections: 100,
 * };
 * await using server = serve(options, async () => {});
 * assertEquals(server.addrs.length, 2);
 * ```
 *
 * @category Servers
 */
export interface ServeListenersOptions extends ServeSettings {
  /**
   * Where to listen: options of addresses, or anything of `Deno.Listener`'s shape, which then belongs
   * to the server.
   */
  listeners: readonly (ServeAddress & ServeEntryOptions | Deno.Listener)[];
}

/**
 * Options of a server on several addresses that are all TCP, so that its handler gets `Deno.NetAddr`:
 * `listeners`, and the limits, timeouts and hooks of {@linkcode ServeSettings}.
 *
 * @example Two ports
 * ```ts
 * import { serve, type ServeTcpListenersOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const hostname = "127.0.0.1";
 * const options: ServeTcpListenersOptions = {
 *   listeners: [{ port: 0, hostname }, { port: 0, hostname }],
 * };
 * await using server = serve(options, async () => {});
 * assertEquals(server.addrs.map((addr) => addr.hostname), [hostname, hostname]);
 * ```
 *
 * @category Servers
 */
export interface ServeTcpListenersOptions extends ServeSettings<Deno.NetAddr> {
  /** Where to listen, as in {@linkcode ServeListenersOptions}. */
  listeners: readonly (
    | TcpListenOptions & TlsListenOptions & ServeAddressOptions & ServeEntryOptions
    | Deno.Listener<Deno.Conn, Deno.NetAddr>
  )[];
}

/**
 * What an entry of `listeners` may say besides its address.
 *
 * @example Two names
 * ```ts
 * import { serve, type ServeEntryOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const mail: ServeEntryOptions = { name: "mail" };
 * const names: string[] = [];
 * await using server = serve({
 *   listeners: [{ port: 0, hostname: "127.0.0.1", ...mail }],
 * }, (conn) => {
 *   names.push(conn.listenerName);
 *   return Promise.resolve();
 * });
 * const client = await Deno.connect({ port: (server.addr as Deno.NetAddr).port });
 * await new Response(client.readable).text();
 * assertEquals(names, ["mail"]);
 * ```
 *
 * @category Servers
 */
export interface ServeEntryOptions {
  /** What connections through it have as their `listenerName`; its address unless given. */
  name?: string;
  /** Serves connections through it; the handler of `serve()` unless given. */
  handler?: Handler;
}

/**
 * Options of a server each of whose listeners has a handler of its own: `listeners`, and the limits,
 * timeouts and hooks of {@linkcode ServeSettings}.
 *
 * @example The same protocol on a port and for the machine itself
 * ```ts
 * import { type Handler, serve, type ServeHandledOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const handler: Handler = (conn) =>
 *   conn.write(new TextEncoder().encode("hello"));
 * const options: ServeHandledOptions = {
 *   listeners: [{ port: 0, hostname: "127.0.0.1", handler }],
 * };
 * await using server = serve(options);
 * assertEquals(server.addrs.length, 1);
 * ```
 *
 * @category Servers
 */
export interface ServeHandledOptions extends ServeSettings {
  /** Where to listen, each with its handler. */
  listeners: readonly (ServeAddress & ServeEntryOptions & { handler: Handler })[];
}

/**
 * Everything `serve()` takes.
 *
 * @example Find out what is asked for
 * ```ts
 * import type { ServeOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function needsWriteAccess(options: ServeOptions): boolean {
 *   return "path" in options;
 * }
 *
 * assertEquals(needsWriteAccess({ port: 7000 }), false);
 * assertEquals(needsWriteAccess({ path: "/run/app.sock" }), true);
 * ```
 *
 * @category Servers
 */
export type ServeOptions =
  | ServeTcpOptions
  | ServeUnixOptions
  | ServeFdOptions
  | ServeListenersOptions;

/** The one home of every default that is not about an address. */
export const DEFAULTS: Pick<
  CompleteServeOptions,
  | "maxConnections"
  | "whenFull"
  | "handshakeTimeout"
  | "maxBuffered"
  | "maxAge"
  | "shutdownTimeout"
  | keyof ConnectionLimits
> = Object.freeze({
  maxConnections: 10_000,
  whenFull: "wait",
  handshakeTimeout: DEFAULT_HANDSHAKE_TIMEOUT,
  ...DEFAULT_LIMITS,
  maxBuffered: 268_435_456,
  maxAge: Infinity,
  shutdownTimeout: 15_000,
});

/** Options of `serve()` with every default filled in. */
export interface CompleteServeOptions extends ConnectionLimits {
  readonly listeners: readonly (CompleteAddress | Deno.Listener)[];
  /** What belongs to each of them besides its address. */
  readonly entries: readonly ServeEntryOptions[];
  readonly maxConnections: number;
  /** Follows `maxConnections` if not given. */
  readonly maxConnectionsPerPeer: number | undefined;
  /** No limit without it. */
  readonly maxRate: CompleteRate | undefined;
  /** No limit without it. */
  readonly maxRatePerPeer: CompleteRate | undefined;
  /** A quarter of `maxConnections`, whatever that is at the time, if not given. */
  readonly maxHandshaking: number | undefined;
  /** Whether an address may connect; every one may without it. */
  readonly isAllowed: AddressTest | undefined;
  readonly handshakeTimeout: number;
  readonly admit: Admit | undefined;
  readonly whenFull: "wait" | "refuse" | Uint8Array;
  readonly maxBuffered: number;
  readonly maxAge: number;
  readonly shutdownTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly onListen: ((addr: Deno.Addr) => unknown) | undefined;
  readonly onError: ((error: unknown, conn?: Connection) => unknown) | undefined;
  readonly onEnd: ((record: EndRecord) => unknown) | undefined;
}

const SETTINGS_KEYS = [
  "maxConnections",
  "maxConnectionsPerPeer",
  "maxRate",
  "maxRatePerPeer",
  "maxHandshaking",
  "allow",
  "deny",
  "admit",
  "whenFull",
  "handshakeTimeout",
  "idleTimeout",
  "receiveTimeout",
  "frameTimeout",
  "writeTimeout",
  "maxUnsent",
  "maxBuffered",
  "maxAge",
  "shutdownTimeout",
  "signal",
  "onListen",
  "onError",
  "onEnd",
];

/** Checks and completes the options of `serve()`. */
export function completeServeOptions(options: ServeOptions): CompleteServeOptions {
  const verb = "serve";
  checkObject(verb, options);
  const given = options as unknown as Record<string, unknown>;
  const listeners = given["listeners"] !== undefined
    ? completeListeners(verb, given)
    : [completeAddress(verb, given, SETTINGS_KEYS)];
  const { whenFull = DEFAULTS.whenFull as "wait", signal, admit, onListen, onError, onEnd } =
    given as ServeSettings;
  if (whenFull !== "wait" && whenFull !== "refuse" && !(whenFull instanceof Uint8Array)) {
    throw new TypeError(
      bad(verb, "whenFull", whenFull, '"wait", "refuse" or the bytes to send, as a Uint8Array'),
    );
  }
  const isTls = listeners.some((entry) => "tls" in entry);
  if (isTls && whenFull instanceof Uint8Array) {
    throw new TypeError(
      `Cannot ${verb} with bytes as 'whenFull' and TLS: no handshake is made to send them; use ` +
        '"wait" or "refuse"',
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(bad(verb, "signal", signal, "an AbortSignal"));
  }
  for (const [name, hook] of Object.entries({ admit, onListen, onError, onEnd })) {
    if (hook !== undefined && typeof hook !== "function") {
      throw new TypeError(bad(verb, name, hook, "a function"));
    }
  }
  const number = (name: keyof typeof DEFAULTS, least: number) =>
    checkNumber(
      verb,
      name,
      given[name] === undefined ? DEFAULTS[name] : given[name],
      least,
      Infinity,
      true,
    );
  const time = (name: keyof typeof DEFAULTS) =>
    checkTime(verb, name, given[name] === undefined ? DEFAULTS[name] : given[name]);
  return Object.freeze({
    listeners,
    entries: given["listeners"] === undefined ? [{}] : completeEntries(verb, given["listeners"]),
    maxConnections: given["maxConnections"] === undefined
      ? Math.min(DEFAULTS.maxConnections, affordableConnections() ?? Infinity)
      : checkLimit("maxConnections", given["maxConnections"]),
    maxConnectionsPerPeer: given["maxConnectionsPerPeer"] === undefined
      ? undefined
      : checkLimit("maxConnectionsPerPeer", given["maxConnectionsPerPeer"]),
    maxRate: completeMaxRate(verb, "maxRate", given["maxRate"]),
    maxRatePerPeer: completeMaxRate(verb, "maxRatePerPeer", given["maxRatePerPeer"]),
    maxHandshaking: given["maxHandshaking"] === undefined
      ? undefined
      : checkLimit("maxHandshaking", given["maxHandshaking"]),
    isAllowed: completeAddressRules(verb, given),
    admit,
    whenFull,
    handshakeTimeout: time("handshakeTimeout"),
    idleTimeout: time("idleTimeout"),
    receiveTimeout: time("receiveTimeout"),
    frameTimeout: time("frameTimeout"),
    writeTimeout: time("writeTimeout"),
    maxUnsent: number("maxUnsent", 0),
    maxBuffered: number("maxBuffered", 1),
    maxAge: time("maxAge"),
    shutdownTimeout: time("shutdownTimeout"),
    signal,
    onListen,
    onError,
    onEnd,
  });
}

/** Checks a limit, given at the start or to a running server. */
export function checkLimit(name: string, value: unknown): number {
  return checkNumber("serve", name, value, 1, Infinity, true);
}

/** A rate that is given as a number per second, or in full; `undefined` for no limit. */
function completeMaxRate(verb: string, name: string, value: unknown): CompleteRate | undefined {
  if (value === undefined || value === Infinity) return undefined;
  if (isObject(value)) return completeRate(verb, value, name);
  const wanted = "a number per second above 0, or { rate, per, burst }";
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(verb, name, value, wanted));
  }
  if (value <= 0) throw new RangeError(bad(verb, name, value, wanted));
  return completeRate(verb, { rate: value });
}

function completeListeners(verb: string, given: Record<string, unknown>) {
  for (const key of ADDRESS_KEYS) {
    if (given[key] === undefined) continue;
    throw new TypeError(
      `Cannot ${verb} with '${key}' beside 'listeners': put it into an entry of 'listeners'`,
    );
  }
  checkKeys(verb, given, ["listeners", ...SETTINGS_KEYS]);
  const { listeners } = given;
  if (!Array.isArray(listeners) || listeners.length === 0) {
    throw new TypeError(
      bad(verb, "listeners", listeners, "an array of at least one listener or its options"),
    );
  }
  return listeners.map((entry: unknown, i) => {
    if (isListener(entry)) {
      const first = listeners.indexOf(entry);
      if (first === i) return entry;
      // Each would find the other's accept pending, and wait for it to end.
      throw new TypeError(
        `Cannot ${verb} with one listener as 'listeners[${first}]' and 'listeners[${i}]': ` +
          "give it once",
      );
    }
    if (!isObject(entry)) {
      throw new TypeError(bad(verb, `listeners[${i}]`, entry, "a listener, or options to listen"));
    }
    return completeAddress(`${verb} listeners[${i}]`, entry, ENTRY_KEYS);
  });
}

/** Keys of an entry of `listeners` that are not about its address. */
const ENTRY_KEYS = ["name", "handler"];

function completeEntries(verb: string, listeners: unknown): ServeEntryOptions[] {
  return (listeners as unknown[]).map((entry, i) => {
    if (isListener(entry)) return {};
    const attempt = `${verb} listeners[${i}]`;
    const { name, handler } = entry as ServeEntryOptions;
    if (name !== undefined && (typeof name !== "string" || name === "")) {
      throw new TypeError(bad(attempt, "name", name, "a text that is not empty"));
    }
    if (handler !== undefined && typeof handler !== "function") {
      throw new TypeError(bad(attempt, "handler", handler, "a function"));
    }
    return { ...(name !== undefined && { name }), ...(handler !== undefined && { handler }) };
  });
}

function isListener(value: unknown): value is Deno.Listener {
  return isObject(value) && typeof value["accept"] === "function" &&
    typeof value["close"] === "function" && isObject(value["addr"]);
}
