/** What may be asked for, and what is the default? @module */

import { bad, checkKeys, checkNumber, checkObject, isObject } from "../connection/check_options.ts";
import type { Connection, ConnectionLimits } from "../connection/connection.ts";
import { DEFAULT_LIMITS } from "../connection/default_limits.ts";
import type { EndReason } from "../connection/end_reason.ts";

/**
 * Where to listen with TCP, and how its sockets are set.
 *
 * @example Any free port of this machine alone
 * ```ts
 * import { listen, type TcpListenOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: TcpListenOptions = { port: 0, hostname: "127.0.0.1", tcpBacklog: 128 };
 * using listener = listen(options);
 * assertEquals(listener.addr.hostname, "127.0.0.1");
 * ```
 */
export interface TcpListenOptions {
  /** The port, 0 to 65535; 0 takes any free one, which `addr` then tells. */
  port: number;
  /**
   * The IP address or host name to listen on. `"0.0.0.0"` is every IPv4 address; `"::"` is every
   * address, on Linux IPv4 included. Of a host name's addresses only the first is used.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * The queue length of `listen(2)`: how many clients the kernel holds connected while nobody
   * accepts them. The kernel caps it (Linux: `net.core.somaxconn`).
   *
   * @default {511}
   */
  tcpBacklog?: number;
  /**
   * Send small writes at once (`TCP_NODELAY`) instead of holding them back for up to 40 ms.
   *
   * @default {true}
   */
  noDelay?: boolean;
  /**
   * Let the kernel probe silent peers (`SO_KEEPALIVE`), so that one that vanished is noticed.
   *
   * @default {true}
   */
  keepAlive?: boolean;
}

/**
 * Where to listen with a Unix socket.
 *
 * @example A socket for its owner and group
 * ```ts
 * import { listen, type UnixListenOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = await Deno.makeTempDir();
 * const options: UnixListenOptions = { path: `${directory}/app.sock`, mode: 0o660 };
 * {
 *   using listener = listen(options);
 *   assertEquals(listener.addr.path, options.path);
 * }
 * await Deno.remove(directory);
 * ```
 */
export interface UnixListenOptions {
  /**
   * The file to create, at most 101 bytes long. While it is listened on there is also `path.lock`,
   * which tells a live server from a file that a dead one left: such a file is replaced, anything
   * else at this path is `AddrInUse`. Both files go when the listener closes. A leading NUL names a
   * socket in Linux's abstract namespace, which has neither file nor lock.
   *
   * Needs `--allow-read` and `--allow-write` for the directory, and `--allow-net`.
   */
  path: string;
  /**
   * The permission bits of the file, such as `0o660`; it never has more than these, not even for a
   * moment. What the process's umask leaves if not given.
   */
  mode?: number;
}

/**
 * Where to listen.
 *
 * @example An address from a setting
 * ```ts
 * import { type ListenOptions, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function place(setting: string): ListenOptions {
 *   return setting.startsWith("/") ? { path: setting } : { port: Number(setting) };
 * }
 *
 * assertEquals(place("/run/app.sock"), { path: "/run/app.sock" });
 * await using server = serve({ listeners: [place("0")] }, async () => {});
 * assertEquals(server.addrs.length, 1);
 * ```
 */
export type ListenOptions = TcpListenOptions | UnixListenOptions;

/**
 * What `onEnd` is told about a connection that is over.
 *
 * @example One line for each connection
 * ```ts
 * import { type EndRecord, formatAddress, serve } from "@usher/server";
 * import { assertMatch } from "@std/assert";
 *
 * const log: string[] = [];
 * const onEnd = ({ id, remoteAddr, reason, bytesWritten }: EndRecord) =>
 *   log.push(`${id} ${formatAddress(remoteAddr)} ${reason} ${bytesWritten}`);
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1", onEnd }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * const client = await Deno.connect({ port: server.addr.port });
 * await new Response(client.readable).text();
 * await server.shutdown();
 * assertMatch(log[0]!, /^1 tcp:\/\/127\.0\.0\.1:\d+ completed 5$/);
 * ```
 */
export interface EndRecord {
  /** The connection's `id`. */
  readonly id: number;
  /** Why it is over. */
  readonly reason: EndReason;
  /** The other end as the kernel saw it. */
  readonly peerAddr: Deno.Addr;
  /** The client's address. */
  readonly remoteAddr: Deno.Addr;
  /** Bytes received. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel. */
  readonly bytesWritten: number;
  /** When it was accepted, in ms since 1970. */
  readonly openedAt: number;
  /** How long it lasted, in ms. */
  readonly duration: number;
  /** The error that ended it, where there was one. */
  readonly error?: unknown;
}

/**
 * What `serve()` takes besides the address.
 *
 * @example The same limits for two servers
 * ```ts
 * import { serve, type ServeSettings } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const settings: ServeSettings = { maxConnections: 100, idleTimeout: 60_000, whenFull: "refuse" };
 * const hostname = "127.0.0.1";
 * await using one = serve({ ...settings, port: 0, hostname }, async () => {});
 * await using two = serve({ ...settings, port: 0, hostname }, async () => {});
 * assertEquals([one.maxConnections, two.maxConnections], [100, 100]);
 * ```
 */
export interface ServeSettings {
  /**
   * How many connections may be open at once. At the limit nothing more is accepted: the kernel's
   * queue holds the rest. `Infinity` for no limit. Can be changed on the running server.
   *
   * @default {10_000}
   */
  maxConnections?: number;
  /**
   * What becomes of clients while every slot is taken: `"wait"` leaves them in the kernel's queue,
   * `"refuse"` accepts and closes them, and bytes are said to them before that.
   *
   * @default {"wait"}
   */
  whenFull?: "wait" | "refuse" | Uint8Array;
  /**
   * Ms without a byte in either direction while a read or write is pending, after which the
   * connection is closed. The time in which the handler does other work does not count.
   *
   * @default {300_000}
   */
  idleTimeout?: number;
  /**
   * Ms within which a write must advance by 1 KiB, or by its rest if that is less; otherwise the
   * connection is closed.
   *
   * @default {30_000}
   */
  writeTimeout?: number;
  /**
   * Bytes that may wait behind a write in progress. A write past it rejects and closes the
   * connection: its peer does not read, and memory is not its to fill.
   *
   * @default {1_048_576}
   */
  maxUnsent?: number;
  /**
   * Ms that `shutdown()` waits for handlers to finish before it closes their connections.
   *
   * @default {15_000}
   */
  shutdownTimeout?: number;
  /** Aborting it stops the server at once, as in `Deno.serve`. */
  signal?: AbortSignal;
  /** Called once for each address, when `serve()` has returned. */
  onListen?: (addr: Deno.Addr) => unknown;
  /**
   * Told of errors of handlers and hooks, and of what keeps the server from accepting. What a peer
   * can cause at will is not among them: see `stats()` and `onEnd`. By default one line on stderr,
   * at most ten a second.
   */
  onError?: (error: unknown, conn?: Connection) => unknown;
  /** Told of each accepted connection exactly once, when it is over. */
  onEnd?: (record: EndRecord) => unknown;
}

/**
 * Options of a server on one TCP address.
 *
 * @example Options from somewhere else
 * ```ts
 * import { serve, type ServeTcpOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ServeTcpOptions = { port: 0, hostname: "127.0.0.1", maxConnections: 100 };
 * await using server = serve(options, async (conn) => {
 *   await conn.write(new TextEncoder().encode(conn.remoteAddr.hostname));
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "127.0.0.1");
 * ```
 */
export interface ServeTcpOptions extends TcpListenOptions, ServeSettings {}

/**
 * Options of a server on one Unix socket.
 *
 * @example Options from somewhere else
 * ```ts
 * import { serve, type ServeUnixOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = await Deno.makeTempDir();
 * const options: ServeUnixOptions = { path: `${directory}/app.sock`, mode: 0o600 };
 * const server = serve(options, async () => {});
 * assertEquals(server.addr.path, options.path);
 * await server.shutdown();
 * await Deno.remove(directory);
 * ```
 */
export interface ServeUnixOptions extends UnixListenOptions, ServeSettings {}

/**
 * Options of a server on several addresses, under one set of limits.
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
 */
export interface ServeListenersOptions extends ServeSettings {
  /**
   * Where to listen: options as for `listen()`, or anything of `Deno.Listener`'s shape, which then
   * belongs to the server.
   */
  listeners: readonly (ListenOptions | Deno.Listener)[];
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
 */
export type ServeOptions = ServeTcpOptions | ServeUnixOptions | ServeListenersOptions;

/** The one home of every default. */
export const DEFAULTS = Object.freeze({
  hostname: "0.0.0.0",
  tcpBacklog: 511,
  noDelay: true,
  keepAlive: true,
  maxConnections: 10_000,
  whenFull: "wait",
  ...DEFAULT_LIMITS,
  shutdownTimeout: 15_000,
});

/** Options to listen with TCP, none left out. */
export type CompleteTcp = Required<TcpListenOptions>;

/** Options of `serve()` with every default filled in. */
export interface CompleteServeOptions extends ConnectionLimits {
  readonly listeners: readonly (CompleteTcp | UnixListenOptions | Deno.Listener)[];
  readonly maxConnections: number;
  readonly whenFull: "wait" | "refuse" | Uint8Array;
  readonly shutdownTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly onListen: ((addr: Deno.Addr) => unknown) | undefined;
  readonly onError: ((error: unknown, conn?: Connection) => unknown) | undefined;
  readonly onEnd: ((record: EndRecord) => unknown) | undefined;
}

const TCP_KEYS = ["port", "hostname", "tcpBacklog", "noDelay", "keepAlive"];
const UNIX_KEYS = ["path", "mode"];
const SETTINGS_KEYS = [
  "maxConnections",
  "whenFull",
  "idleTimeout",
  "writeTimeout",
  "maxUnsent",
  "shutdownTimeout",
  "signal",
  "onListen",
  "onError",
  "onEnd",
];

/** The longest port, queue length and file mode that the kernel's own types hold. */
const MAX_PORT = 65535;
const MAX_BACKLOG = 2 ** 31 - 1;
const MAX_MODE = 0o777;

/**
 * Bytes of the longest path. Linux takes 107, macOS 103; the socket is made at `path.new/s` first
 * (see unix_listener.ts), which has to fit as well.
 */
const MAX_PATH_BYTES = Deno.build.os === "linux" ? 101 : 97;
const MAX_ABSTRACT_BYTES = 107;

/** Checks and completes the options of `serve()`. */
export function completeServeOptions(options: ServeOptions): CompleteServeOptions {
  const verb = "serve";
  checkObject(verb, options);
  const given = options as unknown as Record<string, unknown>;
  const listeners = given.listeners !== undefined
    ? completeListeners(verb, given)
    : [completeAddress(verb, given, SETTINGS_KEYS)];
  const { whenFull = DEFAULTS.whenFull as "wait", signal, onListen, onError, onEnd } =
    given as ServeSettings;
  if (whenFull !== "wait" && whenFull !== "refuse" && !(whenFull instanceof Uint8Array)) {
    throw new TypeError(
      bad(verb, "whenFull", whenFull, '"wait", "refuse" or the bytes to say, as a Uint8Array'),
    );
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(bad(verb, "signal", signal, "an AbortSignal"));
  }
  for (const [name, hook] of Object.entries({ onListen, onError, onEnd })) {
    if (hook !== undefined && typeof hook !== "function") {
      throw new TypeError(bad(verb, name, hook, "a function"));
    }
  }
  const duration = (name: keyof typeof DEFAULTS) => number(verb, given, name, 1, true);
  return Object.freeze({
    listeners,
    maxConnections: number(verb, given, "maxConnections", 1, true),
    whenFull,
    idleTimeout: duration("idleTimeout"),
    writeTimeout: duration("writeTimeout"),
    maxUnsent: number(verb, given, "maxUnsent", 0, true),
    shutdownTimeout: number(verb, given, "shutdownTimeout", 0, true),
    signal,
    onListen,
    onError,
    onEnd,
  });
}

/** Checks and completes the options of `listen()`. */
export function completeListenOptions(options: ListenOptions): CompleteTcp | UnixListenOptions {
  checkObject("listen", options);
  return completeAddress("listen", options as unknown as Record<string, unknown>, []);
}

/** Checks a limit, given at the start or to a running server. */
export function checkLimit(name: string, value: unknown): number {
  return checkNumber("serve", name, value, 1, Infinity, true);
}

/** Checks a time in ms that a running server is given. */
export function checkTimeout(verb: string, name: string, value: unknown): number {
  return checkNumber(verb, name, value, 0, Infinity, true);
}

function completeListeners(verb: string, given: Record<string, unknown>) {
  for (const key of [...TCP_KEYS, ...UNIX_KEYS]) {
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
    return completeAddress(`${verb} listeners[${i}]`, entry, []);
  });
}

function completeAddress(
  verb: string,
  given: Record<string, unknown>,
  furtherKeys: string[],
): CompleteTcp | UnixListenOptions {
  const hasPort = given.port !== undefined, hasPath = given.path !== undefined;
  if (hasPort && hasPath) {
    throw new TypeError(`Cannot ${verb} with both 'port' and 'path': use one of them`);
  }
  if (hasPath) {
    checkAddressKeys(verb, given, [...UNIX_KEYS, ...furtherKeys], TCP_KEYS);
    return completeUnix(verb, given);
  }
  if (!hasPort) {
    const several = furtherKeys.length === 0 ? [] : ["listeners"];
    // Every key: it is the address that may be misspelled.
    checkKeys(verb, given, [...TCP_KEYS, ...UNIX_KEYS, ...several, ...furtherKeys]);
    const choice = several.length === 0
      ? "'port' (0 takes any free one) or 'path'"
      : "'port' (0 takes any free one), 'path' or 'listeners'";
    throw new TypeError(`Cannot ${verb} without an address: give ${choice}`);
  }
  checkAddressKeys(verb, given, [...TCP_KEYS, ...furtherKeys], UNIX_KEYS);
  return completeTcp(verb, given);
}

function completeTcp(verb: string, given: Record<string, unknown>): CompleteTcp {
  const { hostname = DEFAULTS.hostname, noDelay = DEFAULTS.noDelay } = given;
  const { keepAlive = DEFAULTS.keepAlive } = given;
  if (typeof hostname !== "string" || hostname === "") {
    throw new TypeError(
      bad(verb, "hostname", hostname, 'an IP address or a host name, such as "127.0.0.1" or "::"'),
    );
  }
  for (const [name, value] of Object.entries({ noDelay, keepAlive })) {
    if (typeof value !== "boolean") throw new TypeError(bad(verb, name, value, "true or false"));
  }
  return {
    port: checkNumber(verb, "port", given.port, 0, MAX_PORT, false),
    hostname,
    tcpBacklog: number(verb, given, "tcpBacklog", 0, false, MAX_BACKLOG),
    noDelay: noDelay as boolean,
    keepAlive: keepAlive as boolean,
  };
}

function completeUnix(verb: string, given: Record<string, unknown>): UnixListenOptions {
  const { path, mode } = given;
  if (typeof path !== "string" || path === "" || path.includes("\0", 1)) {
    throw new TypeError(bad(verb, "path", path, "a file name without NUL, such as /run/app.sock"));
  }
  const abstract = path.startsWith("\0");
  const most = abstract ? MAX_ABSTRACT_BYTES : MAX_PATH_BYTES;
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > most) {
    throw new RangeError(`Cannot ${verb} with a 'path' of ${bytes} bytes: use at most ${most}`);
  }
  if (mode === undefined) return { path };
  if (abstract) {
    throw new TypeError(`Cannot ${verb} with 'mode' on an abstract socket: it has no file`);
  }
  return { path, mode: checkNumber(verb, "mode", mode, 0, MAX_MODE, false) };
}

function number(
  verb: string,
  given: Record<string, unknown>,
  name: keyof typeof DEFAULTS,
  least: number,
  orInfinity: boolean,
  most = Infinity,
): number {
  const value = given[name] === undefined ? DEFAULTS[name] : given[name];
  return checkNumber(verb, name, value, least, most, orInfinity);
}

/** `others` are keys that exist, but not together with what was given. */
function checkAddressKeys(
  verb: string,
  given: Record<string, unknown>,
  known: string[],
  others: string[],
): void {
  for (const key of others) {
    if (given[key] === undefined) continue;
    throw new TypeError(`Cannot ${verb} with '${key}' here: it goes with ${placeOf(key)}`);
  }
  checkKeys(verb, given, known);
}

function placeOf(key: string): string {
  if (key === "tcpBacklog") {
    return "'port', in the same object (a Unix socket's queue is fixed at 1024 by Deno)";
  }
  return TCP_KEYS.includes(key) ? "'port', in the same object" : "'path', in the same object";
}

function isListener(value: unknown): value is Deno.Listener {
  return isObject(value) && typeof value.accept === "function" &&
    typeof value.close === "function" && isObject(value.addr);
}
