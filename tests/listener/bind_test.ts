/** An address becomes a listener; messages about bad ones are in messages_test.ts. @module */

import { assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { bind } from "../../lib/listener/bind.ts";
import { completeAddress, completeListenOptions } from "../../lib/listener/listen_options.ts";
import { mismatched, server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK } from "../support/peers.ts";

netTest("bind() listens on a TCP address, and returns the options of its sockets", () => {
  for (const noDelay of [true, false]) {
    const keepAlive = !noDelay;
    const bound = bind(completeListenOptions({ ...LOOPBACK, noDelay, keepAlive }));
    using listener = bound.listener;
    assertEquals(listener.addr.transport, "tcp");
    assertEquals([bound.noDelay, bound.keepAlive], [noDelay, keepAlive]);
  }
});

netTest("bind() listens on a Unix path, whose sockets have no options", () => {
  using directory = new Directory();
  const path = directory.at("s");
  const { listener, noDelay, keepAlive } = bind({ path });
  using _listener = listener;
  assertEquals([listener.addr, noDelay, keepAlive], [{ transport: "unix", path }, false, false]);
}, { os: ["linux", "darwin"] });

netTest("bind() returns the expected peers of an address, and of no other address", () => {
  const trust = ["10.0.0.0/8"];
  for (
    const [given, tls, trusts] of [
      [{}, "undefined", false],
      [certificate, "object", false],
      [{ proxyProtocol: { trust } }, "undefined", true],
      [{ ...certificate, proxyProtocol: { trust } }, "object", true],
    ] as const
  ) {
    const bound = bind(completeAddress("serve", { ...LOOPBACK, ...given }, []));
    using listener = bound.listener;
    assertEquals([typeof bound.tls, bound.isTrusted !== undefined], [tls, trusts]);
    assertEquals(listener.addr.transport, "tcp");
  }
});

/** Makes `Deno.listen` throw this, as the system would. */
function failing(error: unknown): Disposable {
  const { listen } = Deno;
  Object.assign(Deno, {
    listen: () => {
      throw error;
    },
  });
  return { [Symbol.dispose]: () => void Object.assign(Deno, { listen }) };
}

const OPTIONS = completeListenOptions({ port: 7000, hostname: "::1" });

Deno.test("bind() opens nothing for a certificate that cannot be used", () => {
  using _system = failing(new Error("it was asked to listen"));
  const options = completeAddress("serve", { port: 0, ...mismatched }, []);
  const { message } = assertThrows(() => bind(options), TypeError);
  assertMatch(message, /^Cannot serve with a 'key' that is not /);
});

Deno.test("bind() throws the system's error, and no other", () => {
  const error = Object.assign(new Deno.errors.AddrInUse("in use"), { code: "EADDRINUSE" });
  using _system = failing(error);
  const thrown = assertThrows(() => bind(OPTIONS), Deno.errors.AddrInUse);
  assertStrictEquals(thrown, error);
  assertEquals(error.code, "EADDRINUSE");
});

Deno.test("bind() names the address in an unknown error", () => {
  using _system = failing(new Error("Something new (os error 999)"));
  const { message } = assertThrows(() => bind(OPTIONS), Error);
  assertEquals(message, "Cannot listen on tcp://[::1]:7000: Something new (os error 999)");
});

Deno.test("bind() throws an error that cannot be changed as it is", () => {
  using _system = failing("a text");
  assertStrictEquals(assertThrows(() => bind(OPTIONS)), "a text");
});

Deno.test("bind() does not blame the port for a missing permission above 1023", () => {
  using _system = failing(new Deno.errors.PermissionDenied("Permission denied (os error 13)"));
  const { message } = assertThrows(() => bind(OPTIONS), Deno.errors.PermissionDenied);
  assertEquals(message, "Cannot listen on tcp://[::1]:7000: Permission denied (os error 13)");
});
