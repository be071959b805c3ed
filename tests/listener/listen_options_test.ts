/** An address is completed and otherwise as given; rejected ones are in messages_test.ts. @module */

import { assert, assertEquals } from "@std/assert";
import {
  ADDRESS_KEYS,
  type CompleteAddress,
  completeAddress,
  completeListenOptions,
  type CompleteTcp,
  LISTEN_DEFAULTS,
} from "../../lib/listener/listen_options.ts";
import { server as certificate } from "../support/certificates.ts";
import { TCP } from "../support/tcp_defaults.ts";

/** Completes an address of a server. */
function complete(given: Record<string, unknown>): CompleteAddress {
  return completeAddress("serve", given, []);
}

/** Completes an address with TLS. */
function tlsOf(given: Record<string, unknown>): NonNullable<CompleteTcp["tls"]> {
  return (complete({ port: 0, ...given }) as CompleteTcp).tls!;
}

const PEERS: Record<string, Deno.Addr> = {
  balancer: { transport: "tcp", hostname: "10.1.2.3", port: 4711 },
  stranger: { transport: "tcp", hostname: "192.0.2.7", port: 4711 },
  unix: { transport: "unix", path: "" },
};

Deno.test("completeListenOptions() fills in missing options", () => {
  assertEquals(completeListenOptions({ port: 7000 }), { port: 7000, ...TCP });
});

Deno.test("completeListenOptions() keeps given options", () => {
  const options = {
    port: 0,
    hostname: "::1",
    tcpBacklog: 0,
    noDelay: false,
    keepAlive: false,
    reusePort: true,
  };
  assertEquals(completeListenOptions(options), options);
});

Deno.test("completeListenOptions() treats undefined as missing", () => {
  const options = { port: 0, ...Object.fromEntries(ADDRESS_KEYS.map((key) => [key, undefined])) };
  const given = { ...options, port: 0 } as { port: number };
  assertEquals(completeListenOptions(given), { port: 0, ...TCP });
});

Deno.test("completeListenOptions() adds nothing to a Unix path", () => {
  assertEquals(completeListenOptions({ path: "app.sock" }), { path: "app.sock" });
  assertEquals(completeListenOptions({ path: "s", mode: 0 }), { path: "s", mode: 0 });
  assertEquals(completeListenOptions({ path: "\0app" }), { path: "\0app" });
});

Deno.test("completeListenOptions() completes a descriptor", () => {
  const complete = { fd: 3, noDelay: true, keepAlive: true };
  assertEquals(completeListenOptions({ fd: 3 }), complete);
  assertEquals(completeListenOptions({ fd: 0, noDelay: false }), {
    ...complete,
    fd: 0,
    noDelay: false,
  });
});

Deno.test("completeListenOptions() accepts the ends of each range", () => {
  for (const port of [0, 65535]) completeListenOptions({ port });
  for (const tcpBacklog of [0, 2 ** 31 - 1]) completeListenOptions({ port: 0, tcpBacklog });
  for (const mode of [0, 0o777]) completeListenOptions({ path: "s", mode });
  completeListenOptions({ path: `\0${"s".repeat(106)}` });
});

Deno.test("completeAddress() completes as completeListenOptions() does without further options", () => {
  for (const given of [{ port: 7000 }, { port: 0, hostname: "::1" }, { path: "s", mode: 0o600 }]) {
    assertEquals(complete(given), completeListenOptions(given));
  }
});

Deno.test("completeAddress() knows which peers are trusted, TCP and Unix", () => {
  const proxyProtocol = { trust: ["10.0.0.0/8", "unix"] };
  for (const given of [{ port: 0 }, { path: "s" }]) {
    const { isTrusted } = complete({ ...given, proxyProtocol });
    assert(isTrusted !== undefined);
    assertEquals(Object.keys(PEERS).filter((name) => isTrusted(PEERS[name]!)), [
      "balancer",
      "unix",
    ]);
    assertEquals("isTrusted" in complete(given), false);
  }
});

Deno.test("completeAddress() has TLS only if one of its options is given", () => {
  assertEquals("tls" in complete({ port: 0 }), false);
  const tls = tlsOf({ ...certificate, alpnProtocols: ["mqtt"] });
  assertEquals(tls.alpnProtocols, ["mqtt"]);
  assertEquals(tls.fallback?.key, certificate.key);
});

Deno.test("completeAddress() takes noDelay and keepAlive where sockets have them", () => {
  const given = { ...certificate, noDelay: false, keepAlive: false };
  const { noDelay, keepAlive } = complete({ port: 0, ...given }) as CompleteTcp;
  assertEquals([noDelay, keepAlive], [false, false]);
});

Deno.test("the defaults of an address are frozen", () => {
  assertEquals({ ...LISTEN_DEFAULTS }, TCP);
  assert(Object.isFrozen(LISTEN_DEFAULTS));
});
