/** Every error in options and addresses has a plain message. @module */

import {
  assertEquals,
  AssertionError,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  addressSet,
  type Codec,
  connection,
  framed,
  lines,
  listen,
  serve,
  type ServeTcpOptions,
  type TcpListenOptions,
} from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { serveNoting } from "../support/noting.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { type Caught, look } from "../support/caught.ts";
import { server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { granted, type Needs, netTest } from "../support/needs.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

/** Things that a call may refer to, each with its placeholder in the table. */
interface Place {
  /** `<port>`: something listens there. */
  readonly port: number;
  /** `<dir>`: an empty directory. */
  readonly dir: string;
}

/** One mistake. */
interface Row {
  /** The call, as it would be written. */
  readonly what: string;
  readonly call: (place: Place) => unknown;
  /** The class of the error. */
  readonly kind: string;
  /** The whole message; `<port>`, `<dir>` and `<abstract>` stand for what differs between runs. */
  readonly message: string;
  readonly code?: string;
  /** Empty if it is rejected before anything is opened. */
  readonly needs?: Needs;
}

const handler = () => Promise.resolve();

/** Options as they come from callers who do not check types. */
const untyped = <T>(value: unknown) => value as T;

/** A row per value: how a message shows it, and the class of the error. */
function each(
  values: [value: unknown, shown: string, kind?: string][],
  row: (value: unknown, shown: string, kind: string) => Row,
): Row[] {
  return values.map(([value, shown, kind = "TypeError"]) => row(value, shown, kind));
}

function written(options: unknown): string {
  return Deno.inspect(options, { compact: true, breakLength: Infinity, strAbbreviateSize: 24 });
}

/** `listen()` rejects these options before it opens anything. */
function listens(options: unknown, kind: string, message: string): Row {
  return {
    what: `listen(${written(options)})`,
    call: () => listen(untyped<TcpListenOptions>(options)).close(),
    kind,
    message,
  };
}

/** `serve()` rejects these options before it opens anything. */
function serves(options: unknown, kind: string, message: string): Row {
  return {
    what: `serve(${written(options)})`,
    call: () => serve(untyped<ServeTcpOptions>(options), handler).shutdown(),
    kind,
    message,
  };
}

/** The system refuses this; exact only where its own message is known. */
function binds(
  what: string,
  call: Row["call"],
  kind: string,
  code: string | undefined,
  message: string,
  needs: Needs = {},
): Row {
  const row = { what, call, kind, message, needs: { os: ["linux" as const], ...needs } };
  return code === undefined ? row : { ...row, code };
}

/** Runs `listen()` in a process of its own, and throws its error. */
async function elsewhere(how: string[], options: unknown, under: string[] = []): Promise<Caught> {
  await using program = new Program(new URL("./programs/refused.ts", import.meta.url), {
    how: ["run", "--quiet", "--no-config", "--no-prompt", ...how],
    under,
    args: [JSON.stringify(options)],
  });
  return JSON.parse(await program.line());
}

/** Deno with every permission, but none of the privileges that root has. */
function unprivileged(options: unknown): Promise<Caught> {
  return elsewhere(["-A"], options, isRoot ? ["setpriv", ...NO_PRIVILEGES] : []);
}

const isRoot = granted && Deno.uid() === 0;
const NO_PRIVILEGES = ["--bounding-set=-all", "--inh-caps=-all"];
const UNPRIVILEGED = { programs: isRoot ? ["setpriv"] : [] };

/** Puts something in the way of `<dir>/s` while `listen()` tries. */
function inTheWay(name: string, make: (path: string) => Disposable | void): Row["call"] {
  return ({ dir }) => {
    using _owner = make(`${dir}/${name}`) ?? null;
    listen({ path: `${dir}/s` }).close();
  };
}

const { cert: CERT, key: KEY } = certificate;
const TLS = { cert: CERT, key: KEY } as const;
const USE_AN_ADDRESS = 'use an address or a range, such as "10.0.0.0/8" or "2001:db8::/32"';

const MOST = Deno.build.os === "linux" ? 101 : 97;
const ABSTRACT = `usher-test-${crypto.randomUUID()}`;

const TCP_KEYS = "port, hostname, tcpBacklog, noDelay, keepAlive, reusePort";
const TLS_KEYS = "cert, key, passphrase, alpnProtocols, tls";
const SETTINGS_KEYS =
  "maxConnections, maxConnectionsPerPeer, maxRate, maxRatePerPeer, maxHandshaking, allow, deny, admit, whenFull, " +
  "handshakeTimeout, idleTimeout, receiveTimeout, frameTimeout, writeTimeout, maxUnsent, maxBuffered, maxAge, shutdownTimeout, signal, onListen, " +
  "onError, onEnd";
/** The options of an address of `serve()`, by the kind of address. */
const SERVED_TCP_KEYS = `${TCP_KEYS}, ${TLS_KEYS}, proxyProtocol`;
const SERVED_UNIX_KEYS = "path, mode, proxyProtocol";
const SERVED_KEYS = `${TCP_KEYS}, path, mode, fd, ${TLS_KEYS}, proxyProtocol`;
const NEEDS_PERMISSIONS =
  "a Unix socket needs --allow-net, --allow-read and --allow-write for its directory, and with " +
  "'mode' --allow-sys";

const TABLE: Row[] = [
  // Options as a whole.
  listens(null, "TypeError", "Cannot listen with null as options: use an object"),
  listens(undefined, "TypeError", "Cannot listen with undefined as options: use an object"),
  listens(80, "TypeError", "Cannot listen with 80 as options: use an object"),
  listens("::", "TypeError", 'Cannot listen with "::" as options: use an object'),
  listens(() => 80, "TypeError", "Cannot listen with a function as options: use an object"),
  serves(null, "TypeError", "Cannot serve with null as options: use an object"),
  {
    what: "serve({ port: 0 }) without a handler",
    call: () => serve({ port: 0 }, untyped(undefined)),
    kind: "TypeError",
    message: "Cannot serve without a handler: give a function as the second argument",
  },
  {
    what: "serve(handler, { port: 0 })",
    call: () => serve(untyped<ServeTcpOptions>(handler), untyped({ port: 0 })),
    kind: "TypeError",
    message: "Cannot serve with a function as options: use an object",
  },

  // Unknown keys.
  listens(
    { port: 0, hostnam: "::" },
    "TypeError",
    `Cannot listen with an unknown option 'hostnam': known here are ${TCP_KEYS}`,
  ),
  listens(
    { path: "s", mod: 0o600 },
    "TypeError",
    "Cannot listen with an unknown option 'mod': known here are path, mode",
  ),
  listens(
    { pth: "s" },
    "TypeError",
    `Cannot listen with an unknown option 'pth': known here are ${TCP_KEYS}, path, mode, fd`,
  ),
  listens(
    { port: 0, maxConnections: 10 },
    "TypeError",
    `Cannot listen with an unknown option 'maxConnections': known here are ${TCP_KEYS}`,
  ),
  serves(
    { port: 0, maxConnection: 10 },
    "TypeError",
    "Cannot serve with an unknown option 'maxConnection': " +
      `known here are ${SERVED_TCP_KEYS}, ${SETTINGS_KEYS}`,
  ),
  serves(
    { path: "s", maxConnection: 10 },
    "TypeError",
    "Cannot serve with an unknown option 'maxConnection': " +
      `known here are ${SERVED_UNIX_KEYS}, ${SETTINGS_KEYS}`,
  ),
  serves(
    { listener: [{ port: 0 }] },
    "TypeError",
    "Cannot serve with an unknown option 'listener': " +
      `known here are ${TCP_KEYS}, path, mode, fd, listeners, ${TLS_KEYS}, proxyProtocol, ` +
      SETTINGS_KEYS,
  ),
  serves(
    { listeners: [{ port: 0 }], maxConnection: 10 },
    "TypeError",
    `Cannot serve with an unknown option 'maxConnection': known here are listeners, ${SETTINGS_KEYS}`,
  ),

  // No address, or two.
  listens(
    {},
    "TypeError",
    "Cannot listen without an address: give 'port' (0 takes any free one), 'path' or 'fd'",
  ),
  listens(
    { hostname: "::", port: undefined },
    "TypeError",
    "Cannot listen without an address: give 'port' (0 takes any free one), 'path' or 'fd'",
  ),
  serves(
    { maxConnections: 10 },
    "TypeError",
    "Cannot serve without an address: give 'port' (0 takes any free one), 'path', 'fd' or 'listeners'",
  ),
  listens(
    { port: 0, path: "s" },
    "TypeError",
    "Cannot listen with both 'port' and 'path': use one of them",
  ),
  serves(
    { port: 0, path: "s" },
    "TypeError",
    "Cannot serve with both 'port' and 'path': use one of them",
  ),

  // The port.
  ...each([
    ["80", '"80"'],
    ["", '""'],
    [NaN, "NaN"],
    [null, "null"],
    [true, "true"],
    [80n, "80n"],
    [Symbol("80"), "Symbol(80)"],
    [() => 80, "a function"],
    [[80], "an array"],
    [[], "an empty array"],
    [{ port: 80 }, "an object"],
    [new Date(0), "an object"],
    [1.5, "1.5", "RangeError"],
    [-1, "-1", "RangeError"],
    [65536, "65536", "RangeError"],
    [Infinity, "Infinity", "RangeError"],
  ], (port, shown, kind) =>
    listens(
      { port },
      kind,
      `Cannot listen with 'port' of ${shown}: use a whole number from 0 to 65535`,
    )),
  serves(
    { port: "80" },
    "TypeError",
    `Cannot serve with 'port' of "80": use a whole number from 0 to 65535`,
  ),

  // The host name.
  ...each(
    [["", '""'], [null, "null"], [5, "5"], [["::"], "an array"]],
    (hostname, shown) =>
      listens(
        { port: 0, hostname },
        "TypeError",
        `Cannot listen with 'hostname' of ${shown}: ` +
          'use an IP address or a host name, such as "127.0.0.1" or "::"',
      ),
  ),

  // The queue length.
  ...each([
    ["5", '"5"'],
    [null, "null"],
    [NaN, "NaN"],
    [-1, "-1", "RangeError"],
    [1.5, "1.5", "RangeError"],
    [2 ** 31, "2147483648", "RangeError"],
    [Infinity, "Infinity", "RangeError"],
  ], (tcpBacklog, shown, kind) =>
    listens(
      { port: 0, tcpBacklog },
      kind,
      `Cannot listen with 'tcpBacklog' of ${shown}: use a whole number from 0 to 2147483647`,
    )),
  listens(
    { path: "s", tcpBacklog: 5 },
    "TypeError",
    "Cannot listen with 'tcpBacklog' here: it goes with 'port', in the same object " +
      "(a Unix socket's queue is fixed at 1024 by Deno)",
  ),
  serves(
    { path: "s", tcpBacklog: 5 },
    "TypeError",
    "Cannot serve with 'tcpBacklog' here: it goes with 'port', in the same object " +
      "(a Unix socket's queue is fixed at 1024 by Deno)",
  ),

  // Options of TCP sockets only.
  ...["noDelay", "keepAlive"].flatMap((name) => [
    listens(
      { port: 0, [name]: 1 },
      "TypeError",
      `Cannot listen with '${name}' of 1: use true or false`,
    ),
    listens(
      { path: "s", [name]: true },
      "TypeError",
      `Cannot listen with '${name}' here: it goes with 'port', in the same object`,
    ),
  ]),
  listens(
    { path: "s", hostname: "::" },
    "TypeError",
    "Cannot listen with 'hostname' here: it goes with 'port', in the same object",
  ),

  // The path and its mode.
  ...each([["", '""'], ["a\0b", String.raw`"a\u0000b"`], [5, "5"], [null, "null"], [
    {},
    "an object",
  ]], (path, shown) =>
    listens(
      { path },
      "TypeError",
      `Cannot listen with 'path' of ${shown}: ` +
        "use a file name without NUL, such as /run/app.sock",
    )),
  listens(
    { path: "x".repeat(MOST + 1) },
    "RangeError",
    `Cannot listen with a 'path' of ${MOST + 1} bytes: use at most ${MOST}`,
  ),
  listens(
    // Fewer characters than the limit, and more bytes.
    { path: "é".repeat(60) },
    "RangeError",
    `Cannot listen with a 'path' of 120 bytes: use at most ${MOST}`,
  ),
  listens(
    { path: `\0${"x".repeat(107)}` },
    "RangeError",
    "Cannot listen with a 'path' of 108 bytes: use at most 107",
  ),
  ...each([
    ["0o660", '"0o660"'],
    [null, "null"],
    [NaN, "NaN"],
    [-1, "-1", "RangeError"],
    [1.5, "1.5", "RangeError"],
    [0o1000, "512", "RangeError"],
  ], (mode, shown, kind) =>
    listens(
      { path: "s", mode },
      kind,
      `Cannot listen with 'mode' of ${shown}: use a whole number from 0 to 0o777`,
    )),
  listens(
    { port: 0, mode: 0o600 },
    "TypeError",
    "Cannot listen with 'mode' here: it goes with 'path', in the same object",
  ),
  listens(
    { path: "\0s", mode: 0o600 },
    "TypeError",
    "Cannot listen with 'mode' on an abstract socket: it has no file",
  ),

  // TLS; the rest is in tls_options_test.ts.
  serves(
    { port: 0, cert: CERT },
    "TypeError",
    "Cannot serve without 'key': give it beside 'cert'",
  ),
  serves(
    { listeners: [LOOPBACK, { ...LOOPBACK, key: KEY }] },
    "TypeError",
    "Cannot serve listeners[1] without 'cert': give it beside 'key'",
  ),
  serves(
    { port: 0, cert: CERT, key: KEY, tls: { route: "native" } },
    "TypeError",
    "Cannot serve with an unknown 'route' in 'tls': known there are serverNames, clientCa, " +
      "clientCertificate, minVersion, maxVersion",
  ),
  serves(
    { port: 0, cert: CERT, key: KEY, whenFull: new Uint8Array(3) },
    "TypeError",
    "Cannot serve with bytes as 'whenFull' and TLS: no handshake is made to send them; " +
      'use "wait" or "refuse"',
  ),
  serves(
    { listeners: [LOOPBACK, { port: 0, cert: CERT, key: KEY }], whenFull: new Uint8Array(3) },
    "TypeError",
    "Cannot serve with bytes as 'whenFull' and TLS: no handshake is made to send them; " +
      'use "wait" or "refuse"',
  ),
  ...Object.entries({ cert: CERT, key: KEY, alpnProtocols: ["mqtt"], tls: {} }).flatMap(
    ([name, value]) => [
      serves(
        { path: "s", [name]: value },
        "TypeError",
        `Cannot serve with '${name}' here: it goes with 'port', in the same object`,
      ),
      listens(
        { port: 0, [name]: value },
        "TypeError",
        `Cannot listen with '${name}': use serve(), as listen() gives sockets as they come`,
      ),
    ],
  ),

  // The PROXY protocol.
  ...each(
    [[true, "true"], [null, "null"], ["10.0.0.1", '"10.0.0.1"']],
    (proxyProtocol, shown) =>
      serves(
        { port: 0, proxyProtocol },
        "TypeError",
        `Cannot serve with 'proxyProtocol' of ${shown}: ` +
          'use { trust: [...] } with the addresses of the balancers, such as "10.0.0.0/8"',
      ),
  ),
  serves(
    { path: "s", proxyProtocol: { trusted: ["unix"] } },
    "TypeError",
    "Cannot serve 'proxyProtocol' with an unknown option 'trusted': known here are trust, unknown",
  ),
  serves(
    { port: 0, proxyProtocol: { trust: ["unix"], unknown: "yes" } },
    "TypeError",
    'Cannot serve with \'proxyProtocol.unknown\' of "yes": use "allow", or leave it out',
  ),
  serves(
    { listeners: [{ port: 0, proxyProtocol: {} }] },
    "TypeError",
    "Cannot serve listeners[0] with 'proxyProtocol.trust' of undefined: " +
      'use an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"], or an addressSet()',
  ),
  serves(
    { port: 0, proxyProtocol: { trust: ["unix", "balancer"] } },
    "RangeError",
    `Cannot serve with 'proxyProtocol.trust[1]' of "balancer": ${USE_AN_ADDRESS}`,
  ),
  ...[{ port: 0 }, { path: "s" }].map((place) =>
    listens(
      { ...place, proxyProtocol: { trust: ["unix"] } },
      "TypeError",
      "Cannot listen with 'proxyProtocol': use serve(), as listen() gives sockets as they come",
    )
  ),

  // Access rules.
  ...["allow", "deny"].flatMap((name) => [
    ...each(
      [["10.0.0.0/8", '"10.0.0.0/8"'], [null, "null"], [true, "true"], [{}, "an object"]],
      (list, shown) =>
        serves(
          { port: 0, [name]: list },
          "TypeError",
          `Cannot serve with '${name}' of ${shown}: ` +
            'use an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"], or an addressSet()',
        ),
    ),
    serves(
      { port: 0, [name]: ["10.0.0.0/8", 5] },
      "TypeError",
      `Cannot serve with '${name}[1]' of 5: ${USE_AN_ADDRESS}`,
    ),
    ...["localhost", "", "10.0.0", "10.0.0.0/", "10.0.0.0/x", "Unix"].map((text) =>
      serves(
        { port: 0, [name]: ["unix", text] },
        "RangeError",
        `Cannot serve with '${name}[1]' of "${text}": ${USE_AN_ADDRESS}`,
      )
    ),
    serves(
      { port: 0, [name]: ["10.0.0.1/8"] },
      "RangeError",
      `Cannot serve with '${name}[0]' of "10.0.0.1/8": use "10.0.0.0/8", or the address alone`,
    ),
    serves(
      { port: 0, [name]: ["10.0.0.1/33"] },
      "RangeError",
      `Cannot serve with '${name}[0]' of "10.0.0.1/33": use a prefix of at most 32 bits`,
    ),
    serves(
      { port: 0, [name]: ["fe80::1%eth0"] },
      "RangeError",
      `Cannot serve with '${name}[0]' of "fe80::1%eth0": ` +
        "use the address without its zone, which would be ignored",
    ),
  ]),
  serves(
    { port: 0, allow: [] },
    "TypeError",
    "Cannot serve with 'allow' of an empty array: " +
      'use an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"], or an addressSet()',
  ),

  // Several addresses.
  ...each(
    [[[], "an empty array"], [null, "null"], [{ port: 0 }, "an object"], ["::", '"::"']],
    (listeners, shown) =>
      serves(
        { listeners },
        "TypeError",
        `Cannot serve with 'listeners' of ${shown}: ` +
          "use an array of at least one listener or its options",
      ),
  ),
  ...Object.entries({
    port: 0,
    hostname: "::",
    tcpBacklog: 5,
    noDelay: true,
    keepAlive: true,
    path: "s",
    mode: 0o600,
    cert: CERT,
    key: KEY,
    alpnProtocols: ["mqtt"],
    tls: {},
    proxyProtocol: { trust: ["unix"] },
  }).map(([name, value]) =>
    serves(
      { listeners: [{ port: 0 }], [name]: value },
      "TypeError",
      `Cannot serve with '${name}' beside 'listeners': put it into an entry of 'listeners'`,
    )
  ),
  ...each(
    [[80, "80"], [null, "null"], ["s", '"s"'], [() => 80, "a function"]],
    (entry, shown) =>
      serves(
        { listeners: [{ port: 0 }, entry] },
        "TypeError",
        `Cannot serve with 'listeners[1]' of ${shown}: use a listener, or options to listen`,
      ),
  ),
  serves(
    { listeners: [{ port: 0 }, {}] },
    "TypeError",
    "Cannot serve listeners[1] without an address: give 'port' (0 takes any free one), 'path' or 'fd'",
  ),
  serves(
    { listeners: [{ port: 0 }, { port: "80" }] },
    "TypeError",
    `Cannot serve listeners[1] with 'port' of "80": use a whole number from 0 to 65535`,
  ),
  serves(
    { listeners: [{ port: 0, maxConnections: 10 }] },
    "TypeError",
    "Cannot serve listeners[0] with an unknown option 'maxConnections': " +
      `known here are ${SERVED_TCP_KEYS}, name, handler`,
  ),
  serves(
    { listeners: [{ port: 0, path: "s" }] },
    "TypeError",
    "Cannot serve listeners[0] with both 'port' and 'path': use one of them",
  ),
  serves(
    { listeners: [{ accept: () => {} }] },
    "TypeError",
    `Cannot serve listeners[0] with an unknown option 'accept': known here are ${SERVED_KEYS}, name, handler`,
  ),
  {
    what: "serve() with one listener given twice",
    call: () => {
      const listener = { accept: () => {}, close: () => {}, addr: {} };
      serve(untyped<ServeTcpOptions>({ listeners: [listener, { port: 0 }, listener] }), handler);
    },
    kind: "TypeError",
    message: "Cannot serve with one listener as 'listeners[0]' and 'listeners[2]': give it once",
  },

  // Limits.
  ...Object.entries({
    maxConnections: 1,
    maxConnectionsPerPeer: 1,
    maxHandshaking: 1,
    maxUnsent: 0,
  }).flatMap(([name, least]) =>
    each([
      ["10", '"10"'],
      [NaN, "NaN"],
      [null, "null"],
      [least - 1, `${least - 1}`, "RangeError"],
      [1.5, "1.5", "RangeError"],
      [-Infinity, "-Infinity", "RangeError"],
    ], (value, shown, kind) =>
      serves(
        { port: 0, [name]: value },
        kind,
        `Cannot serve with '${name}' of ${shown}: use a whole number from ${least} up, or Infinity`,
      ))
  ),
  ...["maxRate", "maxRatePerPeer"].flatMap((name) => [
    ...each([
      ["10", '"10"'],
      [NaN, "NaN"],
      [null, "null"],
      [0, "0", "RangeError"],
      [-Infinity, "-Infinity", "RangeError"],
    ], (value, shown, kind) =>
      serves(
        { port: 0, [name]: value },
        kind,
        `Cannot serve with '${name}' of ${shown}: ` +
          "use a number per second above 0, or { rate, per, burst }",
      )),
    serves(
      { port: 0, [name]: { rate: Infinity } },
      "RangeError",
      `Cannot serve with '${name}.rate' of Infinity: use a number above 0`,
    ),
    serves(
      { port: 0, [name]: { rate: 5, burst: 0 } },
      "RangeError",
      `Cannot serve with '${name}.burst' of 0: use a whole number from 1 to 9007199254740991`,
    ),
    serves(
      { port: 0, [name]: { max: 5 } },
      "TypeError",
      `Cannot serve with an unknown 'max' in '${name}': known there are rate, per, burst`,
    ),
  ]),
  ...[
    "handshakeTimeout",
    "idleTimeout",
    "receiveTimeout",
    "frameTimeout",
    "writeTimeout",
    "maxAge",
    "shutdownTimeout",
  ]
    .flatMap((name) =>
      each([
        ["10", '"10"'],
        [NaN, "NaN"],
        [null, "null"],
        [-0.5, "-0.5", "RangeError"],
        [-Infinity, "-Infinity", "RangeError"],
      ], (value, shown, kind) =>
        serves(
          { port: 0, [name]: value },
          kind,
          `Cannot serve with '${name}' of ${shown}: use milliseconds from 0 up, or Infinity`,
        ))
    ),
  ...each(
    [["drop", '"drop"'], [null, "null"], [[98], "an array"], [true, "true"]],
    (whenFull, shown) =>
      serves(
        { port: 0, whenFull },
        "TypeError",
        `Cannot serve with 'whenFull' of ${shown}: ` +
          'use "wait", "refuse" or the bytes to send, as a Uint8Array',
      ),
  ),

  // Address sets.
  ...each([["::1", '"::1"'], [null, "null"], [{}, "an object"]], (ranges, shown) => ({
    what: `addressSet(${shown})`,
    call: () => void addressSet(untyped(ranges)),
    kind: "TypeError",
    message: `Cannot make an address set with 'ranges' of ${shown}: ` +
      "use an array of addresses and ranges",
  })),
  ...each([["", '""'], [7, "7"]], (name, shown) => ({
    what: `addressSet() with ${shown} as its name`,
    call: () => void addressSet([], untyped({ name })),
    kind: "TypeError",
    message: `Cannot make an address set with 'name' of ${shown}: use a text that is not empty`,
  })),
  {
    what: "addressSet() with an unknown option",
    call: () => void addressSet([], untyped({ room: 7 })),
    kind: "TypeError",
    message: "Cannot make an address set with an unknown option 'room': known here are name",
  },
  {
    what: "addressSet() with a range that has bits behind its prefix",
    call: () => void addressSet(["::1", "10.0.0.1/8"]),
    kind: "RangeError",
    message: "Cannot make an address set with 'ranges[1]' of \"10.0.0.1/8\": " +
      'use "10.0.0.0/8", or the address alone',
  },
  ...each([["localhost", '"localhost"', "RangeError"], [7, "7"]], (range, shown, kind) => ({
    what: `addressSet().add() and delete() of ${shown}`,
    call: () => {
      const set = addressSet();
      const { message } = assertThrows(() => set.delete(untyped(range)), Error);
      assertStringIncludes(message, `Cannot delete from an address set with 'range' of ${shown}`);
      set.add(untyped(range));
    },
    kind,
    message: `Cannot add to an address set with 'range' of ${shown}: ` +
      'use an address or a range, such as "10.0.0.0/8" or "2001:db8::/32"',
  })),
  ...each([["1 h", '"1 h"'], [-1, "-1", "RangeError"]], (expireIn, shown, kind) => ({
    what: `addressSet().add() for ${shown}`,
    call: () => addressSet().add("::1", untyped({ expireIn })),
    kind,
    message: `Cannot add to an address set with 'expireIn' of ${shown}: ` +
      "use milliseconds from 0 up, or Infinity",
  })),

  // The signal and the hooks.
  ...each(
    [[true, "true"], [null, "null"], [new AbortController(), "an object"]],
    (signal, shown) => ({
      ...serves(
        { port: 0, signal },
        "TypeError",
        `Cannot serve with 'signal' of ${shown}: use an AbortSignal`,
      ),
      what: `serve({ port: 0, signal }) with ${shown} as the signal`,
    }),
  ),
  ...["onListen", "onError", "onEnd"].flatMap((name) =>
    each([["log", '"log"'], [null, "null"], [{}, "an object"]], (hook, shown) =>
      serves(
        { port: 0, [name]: hook },
        "TypeError",
        `Cannot serve with '${name}' of ${shown}: use a function`,
      ))
  ),

  // Changes on a running server.
  ...each([
    [0, "0", "RangeError"],
    [1.5, "1.5", "RangeError"],
    ["10", '"10"'],
    [NaN, "NaN"],
  ], (limit, shown, kind) => ({
    what: `server.maxConnections = ${shown}`,
    call: async () => {
      await using server = serve(LOOPBACK, handler);
      server.maxConnections = untyped(limit);
    },
    kind,
    message:
      `Cannot serve with 'maxConnections' of ${shown}: use a whole number from 1 up, or Infinity`,
    needs: {},
  })),
  ...each([
    [-1, "-1", "RangeError"],
    ["10", '"10"'],
    [null, "null"],
  ], (timeout, shown, kind) => ({
    what: `server.shutdown({ timeout: ${shown} })`,
    call: async () => {
      await using server = serve(LOOPBACK, handler);
      await server.shutdown({ timeout: untyped(timeout) });
    },
    kind,
    message: `Cannot shut down with 'timeout' of ${shown}: use milliseconds from 0 up, or Infinity`,
    needs: {},
  })),

  {
    what: "server.reloadTls() where there is no TLS",
    call: async () => {
      await using server = serve(LOOPBACK, handler);
      server.reloadTls({ cert: CERT, key: KEY });
    },
    kind: "TypeError",
    message: "Cannot reload TLS of a server that has none: give 'cert' and 'key' to serve() first",
    needs: {},
  },
  {
    what: "server.reloadTls() with an address that is none of the server's",
    call: async () => {
      await using server = serve({ ...LOOPBACK, ...TLS }, handler);
      server.reloadTls({ cert: CERT, key: KEY }, { ...server.addr, port: 7 });
    },
    kind: "TypeError",
    message: "Cannot reload TLS of tcp://127.0.0.1:7: use one of 'addrs' that has TLS",
    needs: {},
  },
  {
    what: "server.reloadTls() with an address that has no TLS",
    call: async () => {
      await using server = serve({
        listeners: [{ ...LOOPBACK, port: 0, ...TLS }, { path: "\0" + ABSTRACT }],
      }, handler);
      server.reloadTls({ cert: CERT, key: KEY }, server.addrs[1]);
    },
    kind: "TypeError",
    message: "Cannot reload TLS of unix:@<abstract>: use one of 'addrs' that has TLS",
    needs: { os: ["linux"] },
  },

  // System errors of a TCP address.
  binds(
    "listen() where something listens already",
    ({ port }) => listen({ ...LOOPBACK, port }),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on tcp://127.0.0.1:<port>: Address already in use (os error 98); " +
      "another program listens there: stop it, or use another port (0 takes any free one)",
  ),
  binds(
    "serve() with TLS where something listens already",
    ({ port }) => serve({ ...LOOPBACK, port, cert: CERT, key: KEY }, handler),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on tcp://127.0.0.1:<port>: Address already in use (os error 98); " +
      "another program listens there: stop it, or use another port (0 takes any free one)",
  ),
  binds(
    "serve() on every address, where something listens on one of them",
    ({ port }) => serve({ port }, handler),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on tcp://0.0.0.0:<port>: Address already in use (os error 98); " +
      "another program listens there: stop it, or use another port (0 takes any free one)",
  ),
  binds(
    "serve() on a second address where something listens already",
    ({ port }) => serve({ listeners: [LOOPBACK, { ...LOOPBACK, port }] }, handler),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on tcp://127.0.0.1:<port>: Address already in use (os error 98); " +
      "another program listens there: stop it, or use another port (0 takes any free one)",
  ),
  binds(
    "serve() on one address twice",
    ({ port }) => {
      // The port of an address that something has is free as soon as that has gone.
      serve(
        { listeners: [{ port, hostname: "127.0.0.2" }, { port, hostname: "127.0.0.2" }] },
        handler,
      );
    },
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on tcp://127.0.0.2:<port>: Address already in use (os error 98); " +
      "an entry of 'listeners' before it has this address: give each its own",
  ),
  binds(
    "serve() on one Unix path twice",
    ({ dir }) => serve({ listeners: [{ path: `${dir}/s` }, { path: `${dir}/s` }] }, handler),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: a running server has it; stop that one, or use another path; " +
      "an entry of 'listeners' before it has this address: give each its own",
  ),
  binds(
    "listen() with a mode without --allow-sys",
    ({ dir }) =>
      elsewhere(["--allow-read", "--allow-write", "--allow-net"], {
        path: `${dir}/s`,
        mode: 0o600,
      }),
    "NotCapable",
    undefined,
    `Cannot listen on unix:<dir>/s: Requires sys access to set the umask; ${NEEDS_PERMISSIONS}`,
  ),
  listens(
    { port: 0, fd: 3 },
    "TypeError",
    "Cannot listen with both 'port' and 'fd': use one of them",
  ),
  listens(
    { fd: "3" },
    "TypeError",
    "Cannot listen with 'fd' of \"3\": use a whole number from 0 to 2147483647",
  ),
  listens(
    { fd: -1 },
    "RangeError",
    "Cannot listen with 'fd' of -1: use a whole number from 0 to 2147483647",
  ),
  listens(
    { fd: 3, tcpBacklog: 5 },
    "TypeError",
    "Cannot listen with 'tcpBacklog' here: it goes with 'port', in the same object",
  ),
  listens(
    { port: 0, reusePort: 1 },
    "TypeError",
    "Cannot listen with 'reusePort' of 1: use true or false",
  ),
  binds(
    "listen() on a descriptor that is no socket",
    () => listen({ fd: 2 }),
    "InvalidData",
    undefined,
    "Cannot listen on descriptor 2: it is not a socket to listen on; use one that a .socket unit " +
      "of systemd or the like has started this process with",
  ),
  binds(
    "listen() with reusePort without --unstable-net",
    () => listen({ ...LOOPBACK, port: 7000, reusePort: true }),
    "NotSupported",
    undefined,
    "Cannot listen on tcp://127.0.0.1:7000: 'reusePort' needs --unstable-net, or " +
      '"unstable": ["net"] in deno.json',
  ),
  binds(
    "listen() on an address of another machine",
    () => listen({ port: 7000, hostname: "203.0.113.9" }),
    "AddrNotAvailable",
    "EADDRNOTAVAIL",
    "Cannot listen on tcp://203.0.113.9:7000: Cannot assign requested address (os error 99); " +
      'this machine has no such address: use one of its own, "0.0.0.0" or "::"',
  ),
  binds(
    "listen() on an IPv6 address of another machine",
    () => listen({ port: 7000, hostname: "[2001:db8::9]" }),
    "AddrNotAvailable",
    "EADDRNOTAVAIL",
    "Cannot listen on tcp://[2001:db8::9]:7000: Cannot assign requested address (os error 99); " +
      'this machine has no such address: use one of its own, "0.0.0.0" or "::"',
  ),
  binds(
    "listen() on a host name with a blank",
    () => listen({ port: 7000, hostname: "a b" }),
    "URIError",
    undefined,
    "Cannot listen on tcp://a b:7000: invalid host 'a b': invalid char found in FQDN; " +
      "use an IP address of this machine or a name of it, without the port",
  ),
  binds(
    "listen() on a host name with a port",
    () => listen({ port: 7000, hostname: "localhost:80" }),
    "URIError",
    undefined,
    "Cannot listen on tcp://[localhost:80]:7000: " +
      "invalid host 'localhost:80': invalid char found in FQDN; " +
      "use an IP address of this machine or a name of it, without the port",
  ),
  binds(
    "listen() on an unknown host name",
    () => listen({ port: 7000, hostname: "no.such.host.invalid" }),
    "Error",
    undefined,
    "Cannot listen on tcp://no.such.host.invalid:7000: " +
      "failed to lookup address information: <reason>; " +
      "use an IP address of this machine or a name of it, without the port",
  ),
  binds(
    "listen() below 1024 without the privilege",
    () => unprivileged({ ...LOOPBACK, port: 81 }),
    "PermissionDenied",
    "EACCES",
    "Cannot listen on tcp://127.0.0.1:81: Permission denied (os error 13); " +
      "ports below 1024 need a privilege (on Linux CAP_NET_BIND_SERVICE): use one from 1024 up",
    { ...UNPRIVILEGED, privilegedPorts: true },
  ),
  binds(
    "listen() without --allow-net",
    () => elsewhere([], { ...LOOPBACK, port: 7000 }),
    "NotCapable",
    undefined,
    'Cannot listen on tcp://127.0.0.1:7000: Requires net access to "127.0.0.1:7000", ' +
      "run again with the --allow-net flag",
  ),

  // What is said of a Unix path.
  binds(
    "listen() in a directory that is not there",
    ({ dir }) => listen({ path: `${dir}/no/s` }),
    "NotFound",
    "ENOENT",
    "Cannot listen on unix:<dir>/no/s: No such file or directory (os error 2): " +
      "open '<dir>/no/s.lock'; create its directory first",
  ),
  binds(
    "listen() in a directory that is a file",
    ({ dir }) => {
      Deno.writeTextFileSync(`${dir}/file`, "");
      listen({ path: `${dir}/file/s` });
    },
    "NotADirectory",
    "ENOTDIR",
    "Cannot listen on unix:<dir>/file/s: Not a directory (os error 20): " +
      "lstat '<dir>/file/s.lock'; " +
      "a file is where its directory should be: use another path",
  ),
  binds(
    "listen() in a directory of another user",
    ({ dir }) => {
      Deno.chmodSync(dir, 0o500);
      return unprivileged({ path: `${dir}/s` });
    },
    "PermissionDenied",
    "EACCES",
    "Cannot listen on unix:<dir>/s: Permission denied (os error 13): open '<dir>/s.lock'; " +
      "this user may not create files in its directory, or the server there is another user's",
    UNPRIVILEGED,
  ),
  binds(
    "listen() on a Unix path without permissions",
    ({ dir }) => elsewhere([], { path: `${dir}/s` }),
    "NotCapable",
    undefined,
    'Cannot listen on unix:<dir>/s: Requires read access to "<dir>/s.lock", ' +
      `run again with the --allow-read flag; ${NEEDS_PERMISSIONS}`,
  ),
  binds(
    "listen() on a Unix path without --allow-write",
    ({ dir }) => elsewhere(["--allow-read"], { path: `${dir}/s` }),
    "NotCapable",
    undefined,
    'Cannot listen on unix:<dir>/s: Requires write access to "<dir>/s.lock", ' +
      `run again with the --allow-write flag; ${NEEDS_PERMISSIONS}`,
  ),
  binds(
    "listen() on a Unix path without --allow-net",
    ({ dir }) => elsewhere(["--allow-read", "--allow-write"], { path: `${dir}/s` }),
    "NotCapable",
    undefined,
    'Cannot listen on unix:<dir>/s: Requires net access to "unix:<dir>/s.new/s", ' +
      `run again with the --allow-net flag; ${NEEDS_PERMISSIONS}`,
  ),
  binds(
    "listen() where a file is",
    inTheWay("s", (path) => Deno.writeTextFileSync(path, "")),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: there is a file, and it is not a socket; use another path",
  ),
  binds(
    "listen() where a socket of another program is",
    inTheWay("s", (path) => Deno.listen({ transport: "unix", path })),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: a socket is there that usher did not make; " +
      "remove it if no program listens on it",
  ),
  binds(
    "listen() where a server of ours is",
    inTheWay("s", (path) => listen({ path })),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: a running server has it; stop that one, or use another path",
  ),
  binds(
    "listen() where the lock is not ours",
    inTheWay("s.lock", (path) => Deno.writeTextFileSync(path, "4711\n")),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: " +
      "'<dir>/s.lock' exists and is not a lock file of usher; remove or rename it",
  ),
  binds(
    "listen() where the lock is a symbolic link",
    inTheWay("s.lock", (path) => Deno.symlinkSync("elsewhere", path)),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: " +
      "'<dir>/s.lock' exists and is not a plain file; remove or rename it",
  ),
  binds(
    "listen() where a file is in the place of its working directory",
    inTheWay("s.new", (path) => Deno.writeTextFileSync(path, "")),
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:<dir>/s: '<dir>/s.new' exists and is not usher's; remove or rename it",
  ),
  binds(
    "listen() on an abstract name that is taken",
    () => {
      using _owner = Deno.listen({ transport: "unix", path: `\0${ABSTRACT}` });
      listen({ path: `\0${ABSTRACT}` });
    },
    "AddrInUse",
    "EADDRINUSE",
    "Cannot listen on unix:@<abstract>: Address already in use (os error 98); " +
      "another program listens there: stop it, or use another name",
  ),
];

/** What a call throws, here or in the process that it started. */
async function caughtFrom(call: () => unknown): Promise<Caught> {
  try {
    const result = await call();
    if (typeof result === "object" && result !== null && "kind" in result) return result as Caught;
  } catch (error) {
    return look(error);
  }
  throw new AssertionError("Nothing was thrown");
}

async function assertRow({ call, kind, message, code }: Row, place: Place): Promise<void> {
  const caught = await caughtFrom(() => call(place));
  // The resolver's own words differ between systems and networks.
  const said = caught.message.replace(/(lookup address information: )[^;]+/, "$1<reason>")
    .replaceAll(place.dir, "<dir>").replaceAll(`:${place.port}:`, ":<port>:")
    .replaceAll(ABSTRACT, "<abstract>");
  assertEquals({ kind: caught.kind, message: said, code: caught.code }, { kind, message, code });
}

for (const row of TABLE) {
  const name = `${row.what} says what is wrong and what would do`;
  if (row.needs === undefined) {
    // Without any permission: a call that opened something would throw NotCapable.
    const fn = () => assertRow(row, { port: 0, dir: "?" });
    Deno.test({ name, permissions: "none", fn });
  } else {
    netTest(name, async () => {
      using directory = new Directory();
      using taken = Deno.listen(LOOPBACK);
      await assertRow(row, { port: taken.addr.port, dir: directory.path });
    }, row.needs);
  }
}

Deno.test("every message begins with the attempt and ends without a full stop", () => {
  for (const { message } of TABLE) assertMatch(message, /^Cannot [^]*[^.\s]$/);
});

Deno.test("every message of the system names the address and the way out", () => {
  for (
    const { message } of TABLE.filter(({ message }) => message.startsWith("Cannot listen on "))
  ) {
    assertMatch(message, /^Cannot listen on (tcp:\/\/|unix:|descriptor )/);
    // Deno itself names the missing flag.
    if (!message.includes("--allow-net flag")) {
      assertMatch(message, /: .*\b(use|remove|create|needs?)\b/);
    }
  }
});

netTest("what is given to a connection wrongly says so where it is called", async () => {
  const { server, errors } = serveNoting(async (conn) => {
    const given = conn as unknown as { write(p: unknown): Promise<number> };
    const wrong = given.write("hello");
    const error = await wrong.catch((error: TypeError) => error);
    await conn.write(bytes`still here`); // the mistake has ended nothing
    throw error;
  });
  assertEquals(text(await readAll(await dial(server.addr))), "still here");
  await server.shutdown();
  const [error] = errors as [TypeError];
  assertEquals(
    error.message,
    'Cannot write the text "hello": use a Uint8Array, such as new TextEncoder().encode(text)',
  );
  assertStringIncludes(error.stack!, "messages_test.ts"); // the line of the call
});

const BAD_WRAPS: [what: string, call: () => unknown, message: string][] = [
  [
    "connection({})",
    () => connection({} as Deno.Conn),
    "Cannot wrap an object as a connection: use what Deno.connect() resolves with",
  ],
  [
    "connection(a promise)",
    () => connection(Promise.resolve() as unknown as Deno.Conn),
    "Cannot wrap a promise as a connection: await it first",
  ],
  [
    "framed(conn) without a codec",
    () => framed(new ScriptedSocket(), undefined as unknown as Codec<string>),
    "Cannot frame a connection with undefined as its codec: use lines(), lengthPrefixed(), or an object with 'decode' and 'encode'",
  ],
  [
    "framed(conn, lines)",
    () => framed(new ScriptedSocket(), lines as unknown as Codec<string>),
    "Cannot frame a connection with a function as its codec: use lines(), lengthPrefixed(), or an object with 'decode' and 'encode'",
  ],
];

for (const [what, call, message] of BAD_WRAPS) {
  Deno.test(`${what} is refused at the call`, () => {
    assertEquals(assertThrows(call, TypeError).message, message);
  });
}
