/** Checks and completes the options of one address. @module */

import { bad, checkBoolean, checkKeys, checkNumber, checkObject, isObject } from "../check.ts";
import {
  type CompleteTls,
  completeTls,
  TLS_KEYS,
  type TlsListenOptions,
} from "../tls/tls_options.ts";
import { compileAddressList } from "./address_rules.ts";
import type { AddressSet } from "./address_set.ts";

/**
 * Where to listen with TCP, and how its sockets are set.
 *
 * @example Any free port, on the loopback address only
 * ```ts
 * import { listen, type TcpListenOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: TcpListenOptions = {
 *   port: 0,
 *   hostname: "127.0.0.1",
 *   tcpBacklog: 128,
 * };
 * using listener = listen(options);
 * assertEquals(listener.addr.hostname, "127.0.0.1");
 * ```
 *
 * @category Listeners
 */
export interface TcpListenOptions {
  /** The port, 0 to 65535; 0 takes any free one, which `addr` then gives. */
  port: number;
  /**
   * The IP address or host name to listen on. `"0.0.0.0"` is every IPv4 address; `"::"` is every
   * address, on Linux IPv4 included. Of a host name's addresses only the first is used.
   *
   * @default {"0.0.0.0"}
   */
  hostname?: string;
  /**
   * The queue length of `listen(2)`: how many connections the kernel holds that are not
   * accepted yet. The kernel caps it (Linux: `net.core.somaxconn`).
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
  /**
   * Let several processes listen on the same address at once (`SO_REUSEPORT`), so that a new version
   * is up before the old one stops. On Linux the kernel spreads new clients over them; those in the
   * queue of the one that stops are served by its sweep, and none at all is lost where
   * `net.ipv4.tcp_migrate_req` is 1.
   *
   * Needs `--unstable-net`, or `"unstable": ["net"]` in `deno.json`.
   *
   * @default {false}
   */
  reusePort?: boolean;
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
 * const options: UnixListenOptions = {
 *   path: `${directory}/app.sock`,
 *   mode: 0o660,
 * };
 * if (Deno.build.os !== "windows") { // where Deno has no Unix sockets
 *   using listener = listen(options);
 *   assertEquals(listener.addr.path, options.path);
 * }
 * await Deno.remove(directory);
 * ```
 *
 * @category Listeners
 */
export interface UnixListenOptions {
  /**
   * The file to create, at most 101 bytes long. While it is listened on there is also `path.lock`,
   * which tells a live server from a file that a dead one left: such a file is replaced, anything
   * else at this path is `AddrInUse`. Both files go when the listener closes, also after the process
   * has changed its directory: `addr` has the absolute path. A leading NUL names a socket in Linux's
   * abstract namespace, which has neither file nor lock.
   *
   * Needs `--allow-read` and `--allow-write` for the directory, and `--allow-net`.
   */
  path: string;
  /**
   * The permission bits of the file, such as `0o660`; it never has more than these, not even for a
   * moment, as they are set by the umask while the socket is bound. What the process's umask leaves
   * if not given.
   *
   * Needs `--allow-sys`, as Deno has no narrower flag for the umask.
   */
  mode?: number;
}

/**
 * A socket to listen on that this process was started with, as systemd does it (`.socket` units):
 * it outlives the process, so clients wait in its queue while a new version starts.
 *
 * Accepting through it takes more CPU than through a port of one's own. Up to a whole queue of
 * clients may be accepted before there are slots for them; they wait in the process then. The `addr`
 * of a Unix socket is `/dev/fd/3` or the like, since Deno cannot tell its path.
 *
 * @example The first socket of a systemd unit, or else a port
 * ```ts
 * import { type FdListenOptions, inheritedListeners, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const inherited: FdListenOptions[] = inheritedListeners();
 * const listeners = inherited.length > 0
 *   ? inherited
 *   : [{ port: 0, hostname: "127.0.0.1" }];
 * await using server = serve({ listeners }, async () => {});
 * assertEquals(server.addrs.length, listeners.length);
 * ```
 *
 * @category Listeners
 */
export interface FdListenOptions extends Pick<TcpListenOptions, "noDelay" | "keepAlive"> {
  /** The descriptor: the first one that systemd passes is 3. See {@linkcode inheritedListeners}. */
  fd: number;
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
 *   return setting.startsWith("/")
 *     ? { path: setting }
 *     : { port: Number(setting) };
 * }
 *
 * assertEquals(place("/run/app.sock"), { path: "/run/app.sock" });
 * await using server = serve({ listeners: [place("0")] }, async () => {});
 * assertEquals(server.addrs.length, 1);
 * ```
 *
 * @category Listeners
 */
export type ListenOptions = TcpListenOptions | UnixListenOptions | FdListenOptions;

/**
 * How a balancer or another proxy in front says which client a connection comes from.
 *
 * @example Behind HAProxy
 * ```ts
 * import { connection, type ProxyProtocolOptions, serve } from "@usher/server";
 * import { encodeProxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const proxyProtocol: ProxyProtocolOptions = { trust: ["127.0.0.1"] };
 * const options = { port: 0, hostname: "127.0.0.1", proxyProtocol };
 * await using server = serve(options, async (conn) => {
 *   await conn.write(new TextEncoder().encode(conn.remoteAddr.hostname));
 * });
 *
 * await using client = connection(await Deno.connect({ port: server.addr.port }));
 * const source = { transport: "tcp", hostname: "192.0.2.7", port: 4711 } as const;
 * const header = {
 *   version: 2,
 *   command: "PROXY",
 *   source,
 *   destination: server.addr,
 * } as const;
 * await client.write(encodeProxyHeader(header));
 * assertEquals(new TextDecoder().decode(await client.peek(9)), "192.0.2.7");
 * ```
 *
 * @category PROXY protocol
 */
export interface ProxyProtocolOptions {
  /**
   * The peers that may send a header: addresses and CIDR ranges of the balancers, and `"unix"` for every
   * peer of a Unix socket; or an {@linkcode addressSet}, which can be changed meanwhile. All others are refused (`refused_address`): with a header they could claim any
   * address, and without one their own would be unknown.
   */
  trust: readonly string[] | AddressSet;
  /**
   * `"allow"` lets clients pass `allow`, `deny`, `maxConnectionsPerPeer` and `maxRatePerPeer` whose
   * address the header does not give: of the command UNKNOWN, of no or an unspecified family, or behind
   * a Unix socket. They are refused (`refused_address`) unless given, where one of these options is.
   */
  unknown?: "allow";
}

/**
 * What is expected of every client that connects to an address.
 *
 * @example The same balancer in front of two ports
 * ```ts
 * import { serve, type ServeAddressOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const behind: ServeAddressOptions = {
 *   proxyProtocol: { trust: ["10.0.0.0/8"] },
 * };
 * const hostname = "127.0.0.1";
 * const listeners = [
 *   { port: 0, hostname, ...behind },
 *   { port: 0, hostname, ...behind },
 * ];
 * await using server = serve({ listeners }, async () => {});
 * assertEquals(server.addrs.length, 2);
 * ```
 *
 * @category Servers
 */
export interface ServeAddressOptions {
  /**
   * Each connection begins with a PROXY header of version 1 or 2, which names the client:
   * `conn.remoteAddr` is the client then, `conn.peerAddr` the balancer. Off unless given.
   */
  proxyProtocol?: ProxyProtocolOptions;
}

/**
 * An address of a server, with all that belongs to it.
 *
 * @example Plain and TLS
 * ```ts
 * import { serve, type ServeAddress } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function addresses(
 *   certificate?: { cert: string; key: string },
 * ): ServeAddress[] {
 *   const hostname = "127.0.0.1";
 *   const plain = { port: 0, hostname };
 *   return certificate === undefined
 *     ? [plain]
 *     : [plain, { port: 0, hostname, ...certificate }];
 * }
 *
 * await using server = serve({ listeners: addresses() }, async () => {});
 * assertEquals(server.addrs.length, 1);
 * ```
 *
 * @category Servers
 */
export type ServeAddress =
  | TcpListenOptions & TlsListenOptions & ServeAddressOptions
  | FdListenOptions & TlsListenOptions & ServeAddressOptions
  | UnixListenOptions & ServeAddressOptions;

/** The defaults of an address. */
export const LISTEN_DEFAULTS: Readonly<Required<Omit<TcpListenOptions, "port">>> = Object.freeze({
  hostname: "0.0.0.0",
  tcpBacklog: 511,
  noDelay: true,
  keepAlive: true,
  reusePort: false,
});

/** The peers that an address expects, checked. */
export interface CompleteServeAddress {
  /** Whether a peer may send a PROXY header; there is none where this is not there. */
  readonly isTrusted?: (peer: Deno.Addr) => boolean;
  readonly allowsUnknown?: boolean;
}

/** Options to listen with TCP, none left out. */
export interface CompleteTcp extends Required<TcpListenOptions>, CompleteServeAddress {
  readonly tls?: CompleteTls;
  /** Whether other threads of this process listen on the same socket. */
  readonly loadBalanced?: boolean;
}

/** Options to listen with a Unix socket. */
export interface CompleteUnix extends UnixListenOptions, CompleteServeAddress {}

/** Options to listen on an inherited socket, none left out. */
export interface CompleteFd extends Required<FdListenOptions>, CompleteServeAddress {
  readonly tls?: CompleteTls;
}

export type CompleteAddress = CompleteTcp | CompleteUnix | CompleteFd;

/** What each kind of address is known by. */
const PLACES = ["port", "path", "fd"] as const;

const SOCKET_KEYS = ["noDelay", "keepAlive"];
const TCP_KEYS = ["port", "hostname", "tcpBacklog", ...SOCKET_KEYS, "reusePort"];
const UNIX_KEYS = ["path", "mode"];
const FD_KEYS = ["fd", ...SOCKET_KEYS];
/** Options of `serve()` only. */
const SERVED_KEYS = [...TLS_KEYS, "proxyProtocol"];

/** Everything that belongs to an address of a server. */
export const ADDRESS_KEYS: readonly string[] = [...TCP_KEYS, ...UNIX_KEYS, "fd", ...SERVED_KEYS];

/** The highest port, queue length, descriptor and file mode that the kernel's own types hold. */
const MAX_PORT = 65535;
const MAX_BACKLOG = 2 ** 31 - 1;
const MAX_FD = 2 ** 31 - 1;
const MAX_MODE = 0o777;

/**
 * Bytes of the longest path. Linux takes 107, macOS 103; the socket is made at `path.new/s` first
 * (see unix_listener.ts), which has to fit as well.
 */
const MAX_PATH_BYTES = Deno.build.os === "linux" ? 101 : 97;
const MAX_ABSTRACT_BYTES = 107;

/** Checks and completes the options of `listen()`. */
export function completeListenOptions(options: ListenOptions): CompleteAddress {
  checkObject("listen", options);
  const given = options as unknown as Record<string, unknown>;
  for (const key of SERVED_KEYS) {
    if (given[key] === undefined) continue;
    throw new TypeError(
      `Cannot listen with '${key}': use serve(), as listen() gives sockets as they come`,
    );
  }
  return completeEither("listen", given, []);
}

/** Checks and completes an address of a server, among options that may have `settings`. */
export function completeAddress(
  verb: string,
  given: Record<string, unknown>,
  settings: readonly string[],
): CompleteAddress {
  return completeEither(verb, given, [...SERVED_KEYS, ...settings]);
}

function completeEither(
  verb: string,
  given: Record<string, unknown>,
  furtherKeys: readonly string[],
): CompleteAddress {
  const [place, another] = PLACES.filter((key) => given[key] !== undefined);
  if (another !== undefined) {
    throw new TypeError(`Cannot ${verb} with both '${place}' and '${another}': use one of them`);
  }
  if (place === "path") {
    const known = [...UNIX_KEYS, ...furtherKeys.filter((key) => !TLS_KEYS.includes(key))];
    checkAddressKeys(verb, given, known, [...TCP_KEYS, ...TLS_KEYS]);
    return completeUnix(verb, given);
  }
  if (place === "fd") {
    const others = [...TCP_KEYS, ...UNIX_KEYS].filter((key) => !FD_KEYS.includes(key));
    checkAddressKeys(verb, given, [...FD_KEYS, ...furtherKeys], others);
    return completeFd(verb, given);
  }
  if (place === undefined) {
    const several = furtherKeys.includes("maxConnections") ? ["listeners"] : [];
    // Every key: it is the address that may be misspelled.
    checkKeys(verb, given, [...TCP_KEYS, ...UNIX_KEYS, "fd", ...several, ...furtherKeys]);
    const choice = several.length === 0 ? "'path' or 'fd'" : "'path', 'fd' or 'listeners'";
    throw new TypeError(
      `Cannot ${verb} without an address: give 'port' (0 takes any free one), ${choice}`,
    );
  }
  checkAddressKeys(verb, given, [...TCP_KEYS, ...furtherKeys], UNIX_KEYS);
  return completeTcp(verb, given);
}

function completeTcp(verb: string, given: Record<string, unknown>): CompleteTcp {
  const { hostname = LISTEN_DEFAULTS.hostname, tcpBacklog } = given;
  const { reusePort = LISTEN_DEFAULTS.reusePort } = given;
  if (typeof hostname !== "string" || hostname === "") {
    throw new TypeError(
      bad(verb, "hostname", hostname, 'an IP address or a host name, such as "127.0.0.1" or "::"'),
    );
  }
  checkBoolean(verb, "reusePort", reusePort);
  return {
    port: checkNumber(verb, "port", given["port"], 0, MAX_PORT, false),
    hostname,
    tcpBacklog: tcpBacklog === undefined
      ? LISTEN_DEFAULTS.tcpBacklog
      : checkNumber(verb, "tcpBacklog", tcpBacklog, 0, MAX_BACKLOG, false),
    reusePort: reusePort as boolean,
    ...completeSocketOptions(verb, given),
    ...completeTrust(verb, given),
    ...completeTlsOf(verb, given),
  };
}

function completeFd(verb: string, given: Record<string, unknown>): CompleteFd {
  return {
    fd: checkNumber(verb, "fd", given["fd"], 0, MAX_FD, false),
    ...completeSocketOptions(verb, given),
    ...completeTrust(verb, given),
    ...completeTlsOf(verb, given),
  };
}

function completeSocketOptions(
  verb: string,
  given: Record<string, unknown>,
): { noDelay: boolean; keepAlive: boolean } {
  const { noDelay = LISTEN_DEFAULTS.noDelay, keepAlive = LISTEN_DEFAULTS.keepAlive } = given;
  for (const [name, value] of Object.entries({ noDelay, keepAlive })) {
    checkBoolean(verb, name, value);
  }
  return { noDelay: noDelay as boolean, keepAlive: keepAlive as boolean };
}

function completeUnix(verb: string, given: Record<string, unknown>): CompleteUnix {
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
  if (mode !== undefined && abstract) {
    throw new TypeError(`Cannot ${verb} with 'mode' on an abstract socket: it has no file`);
  }
  return {
    path,
    ...(mode !== undefined && { mode: checkNumber(verb, "mode", mode, 0, MAX_MODE, false) }),
    ...completeTrust(verb, given),
  };
}

function completeTrust(
  verb: string,
  { proxyProtocol }: Record<string, unknown>,
): CompleteServeAddress {
  if (proxyProtocol === undefined) return {};
  if (!isObject(proxyProtocol)) {
    const wanted = '{ trust: [...] } with the addresses of the balancers, such as "10.0.0.0/8"';
    throw new TypeError(bad(verb, "proxyProtocol", proxyProtocol, wanted));
  }
  checkKeys(`${verb} 'proxyProtocol'`, proxyProtocol, ["trust", "unknown"]);
  const { trust, unknown } = proxyProtocol;
  if (unknown !== undefined && unknown !== "allow") {
    throw new TypeError(bad(verb, "proxyProtocol.unknown", unknown, '"allow", or leave it out'));
  }
  const isTrusted = compileAddressList(verb, "proxyProtocol.trust", trust);
  return { isTrusted, ...(unknown === "allow" && { allowsUnknown: true }) };
}

function completeTlsOf(verb: string, given: Record<string, unknown>): { tls?: CompleteTls } {
  const tls = completeTls(verb, given);
  return tls === undefined ? {} : { tls };
}

/** `others` are keys that exist, but not together with what was given. */
function checkAddressKeys(
  verb: string,
  given: Record<string, unknown>,
  known: readonly string[],
  others: readonly string[],
): void {
  for (const key of others) {
    if (given[key] === undefined) continue;
    throw new TypeError(`Cannot ${verb} with '${key}' here: it goes with ${placeOf(key, given)}`);
  }
  checkKeys(verb, given, known);
}

function placeOf(key: string, given: Record<string, unknown>): string {
  if (key === "tcpBacklog" && given["path"] !== undefined) {
    return "'port', in the same object (a Unix socket's queue is fixed at 1024 by Deno)";
  }
  return [...TCP_KEYS, ...TLS_KEYS].includes(key)
    ? "'port', in the same object"
    : "'path', in the same object";
}
