/** The right certificates are replaced, all or none; messages about others are in messages_test.ts. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { connect } from "node:tls";
import type { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { reloadTls } from "../../lib/listener/reload_tls.ts";
import { serve, type Server } from "../../mod.ts";
import { dialTls } from "../support/balancer.ts";
import { ca, mismatched, renewed, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { LOOPBACK, readAll, readExactly, writeAll } from "../support/peers.ts";
import { echo } from "../support/handlers.ts";

const TLS = { ...LOOPBACK, ...certificate } as const;

/** By their serial numbers, as certificates.ts says. */
const NAMES: Record<string, string> = { 3: "server", 4: "renewed" };

/** The certificate that a client is sent. */
function shownAt({ port }: Deno.NetAddr): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({
    port,
    host: LOOPBACK.hostname,
    ca: ca.cert,
    servername: "localhost",
    checkServerIdentity: () => undefined,
  }, () => {
    const { serialNumber } = socket.getPeerCertificate();
    socket.once("close", () => resolve(NAMES[parseInt(serialNumber, 16)]!));
    socket.end();
    socket.resume();
  });
  socket.once("error", reject);
  return promise;
}

/** The certificates that clients are sent at each address of a server. */
async function shown(server: Server): Promise<string[]> {
  const names: string[] = [];
  for (const addr of server.addrs) names.push(await shownAt(addr as Deno.NetAddr));
  return names;
}

netTest("reloadTls() makes the next handshake use the new certificate", async () => {
  await using server = serve(TLS, async () => {});
  assertEquals(await shown(server), ["server"]);
  server.reloadTls(renewed);
  assertEquals(await shown(server), ["renewed"]);
  server.reloadTls(certificate);
  assertEquals(await shown(server), ["server"]);
});

netTest("reloadTls() leaves connections as they are", async () => {
  await using server = serve(TLS, echo);
  const client = await dialTls(server.addr);
  await writeAll(client, bytes`before`);
  await readExactly(client, 6);
  server.reloadTls(renewed);
  await writeAll(client, bytes`after`);
  assertEquals(text(await readExactly(client, 5)), "after");
  await client.closeWrite();
  assertEquals(await readAll(client), bytes``);
});

netTest("reloadTls() is for every address with TLS, or for one", async () => {
  await using server = serve({ listeners: [TLS, TLS] }, async () => {});
  server.reloadTls(renewed, server.addrs[1]);
  assertEquals(await shown(server), ["server", "renewed"]);
  // An equal address matches.
  server.reloadTls(renewed, { ...server.addrs[0] } as Deno.NetAddr);
  assertEquals(await shown(server), ["renewed", "renewed"]);
  server.reloadTls(certificate);
  assertEquals(await shown(server), ["server", "server"]);
});

netTest("reloadTls() skips addresses without TLS", async () => {
  await using server = serve({ listeners: [LOOPBACK, TLS] }, async () => {});
  server.reloadTls(renewed);
  assertEquals(await shownAt(server.addrs[1] as Deno.NetAddr), "renewed");
});

/** Certificates that cannot be used, and other mistakes. */
const WRONG: [string, Record<string, unknown>][] = [
  ["a key of another certificate", { ...mismatched }],
  ["a certificate without its key", { cert: renewed.cert }],
  ["nothing", {}],
  ["an option that is none", { ...renewed, port: 7 }],
];

for (const [name, options] of WRONG) {
  netTest(`reloadTls() throws for ${name}, and changes nothing`, async () => {
    await using server = serve({ listeners: [TLS, TLS] }, async () => {});
    assertThrows(() => server.reloadTls(options), TypeError, "Cannot reload TLS");
    assertEquals(await shown(server), ["server", "server"]);
  });
}

netTest("reloadTls() changes no address where one of them cannot take it", async () => {
  const tls = { clientCa: ca.cert, clientCertificate: "requested" } as const;
  await using server = serve({ listeners: [{ ...TLS, tls }, TLS] }, async () => {});
  assertEquals(await shown(server), ["server", "server"]);
  // The second knows no authority whose certificates it could require.
  const required = { ...renewed, tls: { clientCertificate: "required" } } as const;
  assertThrows(() => server.reloadTls(required), TypeError, "'tls.clientCa'");
  assertEquals(await shown(server), ["server", "server"]);
});

Deno.test("reloadTls() checks every address before it changes the first", () => {
  const done: string[] = [];
  const entrance = (name: string, prepare: () => () => void) => ({
    bound: { tls: { prepare } as unknown as TlsContexts },
    addr: { transport: "unix", path: name } as Deno.Addr,
  });
  const good = (name: string) => entrance(name, () => () => done.push(name));
  const failing = entrance("failing", () => {
    throw new TypeError("Cannot");
  });
  const plain = { bound: {}, addr: { transport: "unix", path: "plain" } as Deno.Addr };

  assertThrows(() => reloadTls([good("a"), failing, good("b")], renewed, undefined), TypeError);
  assertEquals(done, []);
  reloadTls([good("a"), plain, good("b")], renewed, undefined);
  assertEquals(done, ["a", "b"]);
});
