/**
 * Options are complete and as they were given. Rejected ones are in messages_test.ts.
 *
 * @module
 */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { checkLimit, completeServeOptions, DEFAULTS } from "../../lib/server/options.ts";
import { ADDRESS_KEYS } from "../../lib/listener/listen_options.ts";
import { server as certificate } from "../support/certificates.ts";
import { TCP } from "../support/tcp_defaults.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import type { ServeTcpOptions } from "../../mod.ts";

Deno.test("completeServeOptions() fills in missing options", () => {
  assertEquals(completeServeOptions({ port: 7000 }), {
    listeners: [{ port: 7000, ...TCP }],
    entries: [{}],
    maxConnections: 10_000,
    maxConnectionsPerPeer: undefined,
    maxRate: undefined,
    maxRatePerPeer: undefined,
    maxHandshaking: undefined,
    isAllowed: undefined,
    admit: undefined,
    whenFull: "wait",
    handshakeTimeout: 10_000,
    idleTimeout: 300_000,
    receiveTimeout: Infinity,
    frameTimeout: 30_000,
    writeTimeout: 30_000,
    maxUnsent: 1_048_576,
    maxBuffered: 268_435_456,
    maxAge: Infinity,
    shutdownTimeout: 15_000,
    signal: undefined,
    onListen: undefined,
    onError: undefined,
    onEnd: undefined,
  });
});

Deno.test("completeServeOptions() keeps given options", () => {
  const settings = {
    maxConnections: 1,
    maxConnectionsPerPeer: 1,
    maxHandshaking: 1,
    admit: () => true,
    handshakeTimeout: 1,
    whenFull: new Uint8Array([98, 121, 101]),
    idleTimeout: 0.5,
    receiveTimeout: 0,
    frameTimeout: 2.5,
    writeTimeout: 1,
    maxUnsent: 0,
    maxBuffered: 1,
    maxAge: 0.5,
    shutdownTimeout: 0,
    signal: new AbortController().signal,
    onListen: () => {},
    onError: () => {},
    onEnd: () => {},
  };
  const complete = completeServeOptions({ path: "app.sock", mode: 0o600, ...settings });
  assertEquals({ ...complete }, {
    listeners: [{ path: "app.sock", mode: 0o600 }],
    entries: [{}],
    isAllowed: undefined,
    maxRate: undefined,
    maxRatePerPeer: undefined,
    ...settings,
  });
});

Deno.test("completeServeOptions() takes Infinity for every limit and time", () => {
  const names = Object.keys(DEFAULTS).filter((name) => name !== "whenFull");
  for (const name of [...names, "maxHandshaking"]) {
    const complete = completeServeOptions({ port: 0, [name]: Infinity });
    assertEquals(Reflect.get(complete, name), Infinity);
  }
});

Deno.test("completeServeOptions() takes undefined for not given", () => {
  const nothing = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]));
  const settings = ["maxHandshaking", "allow", "deny", "signal", "onListen", "onError", "onEnd"];
  const others = Object.fromEntries(
    [...settings, ...ADDRESS_KEYS, "listeners"].map((name) => [name, undefined]),
  );
  const given = { ...nothing, ...others, port: 0 };
  assertEquals(
    completeServeOptions(given as unknown as { port: number }),
    completeServeOptions({ port: 0 }),
  );
});

Deno.test("completeServeOptions() completes each entry of listeners, and leaves listeners be", () => {
  const listener = scriptedListener([]);
  const { listeners } = completeServeOptions({
    listeners: [
      { port: 1 },
      listener,
      { path: "s" },
      { port: 2, hostname: "::" },
      { port: 3, ...certificate },
      { path: "t", proxyProtocol: { trust: ["unix"] } },
    ],
  });
  assertEquals(listeners.length, 6);
  assertEquals(listeners[0], { port: 1, ...TCP });
  assertStrictEquals(listeners[1], listener);
  assertEquals(listeners[2], { path: "s" });
  assertEquals(listeners[3], { port: 2, ...TCP, hostname: "::" });
  // Options of one address do not leak to another.
  const has = (key: string) => listeners.map((entry) => key in entry);
  assertEquals(has("tls"), [false, false, false, false, true, false]);
  assertEquals(has("isTrusted"), [false, false, false, false, false, true]);
});

Deno.test("completeServeOptions() makes one rule of allow and deny", () => {
  const rules = { allow: ["192.0.2.0/24"], deny: ["192.0.2.9"] };
  const { isAllowed } = completeServeOptions({ port: 0, ...rules });
  const hostnames = ["192.0.2.7", "192.0.2.9", "198.51.100.1"];
  assertEquals(
    hostnames.filter((hostname) => isAllowed!({ transport: "tcp", hostname, port: 1 })),
    ["192.0.2.7"],
  );
});

Deno.test("completeServeOptions() takes a rate as a number per second, or in full", () => {
  for (const name of ["maxRate", "maxRatePerPeer"] as const) {
    const complete = (rate: unknown) =>
      completeServeOptions({ port: 0, [name]: rate } as ServeTcpOptions)[name];
    assertEquals(complete(20), { interval: 50, burst: 20 });
    assertEquals(complete(0.5), { interval: 2000, burst: 1 });
    assertEquals(complete({ rate: 30, per: 60_000, burst: 5 }), { interval: 2000, burst: 5 });
    for (const none of [Infinity, undefined]) assertEquals(complete(none), undefined);
  }
});

Deno.test("completeServeOptions() takes whenFull as a word with TLS, and as bytes without", () => {
  for (const whenFull of ["wait", "refuse"] as const) {
    assertEquals(completeServeOptions({ port: 0, ...certificate, whenFull }).whenFull, whenFull);
  }
  const proxyProtocol = { trust: ["unix"] };
  const whenFull = new Uint8Array(3);
  assertStrictEquals(completeServeOptions({ port: 0, proxyProtocol, whenFull }).whenFull, whenFull);
});

Deno.test("completeServeOptions() returns a frozen object", () => {
  const given = { port: 0, maxConnections: 5 };
  const complete = completeServeOptions(given);
  given.maxConnections = 6;
  assertEquals(complete.maxConnections, 5);
  assert(Object.isFrozen(complete));
  assert(Object.isFrozen(DEFAULTS));
});

Deno.test("completeServeOptions() does not change its argument", () => {
  const options = Object.freeze({ listeners: Object.freeze([Object.freeze({ port: 0 })]) });
  completeServeOptions(options);
  assertEquals(options, { listeners: [{ port: 0 }] });
});

Deno.test("checkLimit() gives the limit, or throws", () => {
  for (const limit of [1, 10_000, Infinity]) {
    assertEquals(checkLimit("maxConnections", limit), limit);
  }
  assertThrows(() => checkLimit("maxConnections", 0), RangeError, "'maxConnections' of 0");
});
