/** Are options complete and as they were given? What is refused stands in messages_test.ts. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  checkLimit,
  checkTimeout,
  completeListenOptions,
  completeServeOptions,
  DEFAULTS,
} from "../../lib/server/options.ts";
import { ScriptedListener } from "../support/scripted_listener.ts";

/** What a TCP address is completed with. */
const TCP = { hostname: "0.0.0.0", tcpBacklog: 511, noDelay: true, keepAlive: true };

Deno.test("completeListenOptions() fills in what was not given", () => {
  assertEquals(completeListenOptions({ port: 7000 }), { port: 7000, ...TCP });
});

Deno.test("completeListenOptions() keeps what was given", () => {
  const options = {
    port: 0,
    hostname: "::1",
    tcpBacklog: 0,
    noDelay: false,
    keepAlive: false,
  };
  assertEquals(completeListenOptions(options), options);
});

Deno.test("completeListenOptions() takes undefined for not given", () => {
  const options = { port: 0, hostname: undefined, tcpBacklog: undefined, path: undefined };
  assertEquals(completeListenOptions(options as unknown as { port: number }), { port: 0, ...TCP });
});

Deno.test("completeListenOptions() adds nothing to a Unix path", () => {
  assertEquals(completeListenOptions({ path: "app.sock" }), { path: "app.sock" });
  assertEquals(completeListenOptions({ path: "s", mode: 0 }), { path: "s", mode: 0 });
  assertEquals(completeListenOptions({ path: "\0app" }), { path: "\0app" });
});

Deno.test("completeListenOptions() takes the ends of each range", () => {
  for (const port of [0, 65535]) completeListenOptions({ port });
  for (const tcpBacklog of [0, 2 ** 31 - 1]) completeListenOptions({ port: 0, tcpBacklog });
  for (const mode of [0, 0o777]) completeListenOptions({ path: "s", mode });
  completeListenOptions({ path: `\0${"s".repeat(106)}` });
});

Deno.test("completeServeOptions() fills in what was not given", () => {
  assertEquals(completeServeOptions({ port: 7000 }), {
    listeners: [{ port: 7000, ...TCP }],
    maxConnections: 10_000,
    whenFull: "wait",
    idleTimeout: 300_000,
    writeTimeout: 30_000,
    maxUnsent: 1_048_576,
    shutdownTimeout: 15_000,
    signal: undefined,
    onListen: undefined,
    onError: undefined,
    onEnd: undefined,
  });
});

Deno.test("completeServeOptions() keeps what was given", () => {
  const settings = {
    maxConnections: 1,
    whenFull: new Uint8Array([98, 121, 101]),
    idleTimeout: 1,
    writeTimeout: 1,
    maxUnsent: 0,
    shutdownTimeout: 0,
    signal: new AbortController().signal,
    onListen: () => {},
    onError: () => {},
    onEnd: () => {},
  };
  const complete = completeServeOptions({ path: "app.sock", mode: 0o600, ...settings });
  assertEquals({ ...complete }, { listeners: [{ path: "app.sock", mode: 0o600 }], ...settings });
});

Deno.test("completeServeOptions() takes Infinity for every limit and time", () => {
  const names = ["maxConnections", "idleTimeout", "writeTimeout", "maxUnsent", "shutdownTimeout"];
  for (const name of names) {
    const complete = completeServeOptions({ port: 0, [name]: Infinity });
    assertEquals(Reflect.get(complete, name), Infinity);
  }
});

Deno.test("completeServeOptions() takes undefined for not given", () => {
  const nothing = Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, undefined]));
  const given = { ...nothing, port: 0, listeners: undefined, signal: undefined, onEnd: undefined };
  assertEquals(
    completeServeOptions(given as unknown as { port: number }),
    completeServeOptions({ port: 0 }),
  );
});

Deno.test("completeServeOptions() completes each entry of listeners, and leaves listeners be", () => {
  const listener = new ScriptedListener();
  const { listeners } = completeServeOptions({
    listeners: [{ port: 1 }, listener, { path: "s" }, { port: 2, hostname: "::" }],
  });
  assertEquals(listeners.length, 4);
  assertEquals(listeners[0], { port: 1, ...TCP });
  assertStrictEquals(listeners[1], listener);
  assertEquals(listeners[2], { path: "s" });
  assertEquals(listeners[3], { port: 2, ...TCP, hostname: "::" });
});

Deno.test("completeServeOptions() gives what nobody can change any more", () => {
  const given = { port: 0, maxConnections: 5 };
  const complete = completeServeOptions(given);
  given.maxConnections = 6;
  assertEquals(complete.maxConnections, 5);
  assert(Object.isFrozen(complete));
  assert(Object.isFrozen(DEFAULTS));
});

Deno.test("completeServeOptions() leaves what it was given as it was", () => {
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

Deno.test("checkTimeout() gives the time, or throws", () => {
  for (const timeout of [0, 1, Infinity]) {
    assertEquals(checkTimeout("shut down", "timeout", timeout), timeout);
  }
  assertThrows(() => checkTimeout("shut down", "timeout", -1), RangeError, "'timeout' of -1");
});
