/** Clients do not notice that certificates are replaced. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { serve, type Server, type TlsListenOptions } from "../../mod.ts";
import { ca, renewed, server as certificate, wildcard } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readExactly } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";
import { CrudeClient, goOverToTls } from "../support/tls_peers.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** Serial numbers, which distinguish the certificates. */
const OLD = "3";
const NEW = "4";

const TLS = { ...LOOPBACK, ...certificate } as const;

/** The certificate that a client is shown by a server that accepts it; it leaves at once. */
async function shownAt(addr: Deno.Addr): Promise<string> {
  await using client = new CrudeClient(addr as Deno.NetAddr);
  assertEquals(await client.secured, null);
  const { shown } = client;
  client.tls.end();
  await client.hearAll();
  return shown;
}

/** How often the certificate is replaced, and how many clients connect each time. */
const RELOADS = 50;
const CLIENTS = 10;

/** Bytes that each client sends and gets back: more than one record. */
const SAID = 20_000;

netTest(
  "500 clients come while certificates are exchanged 50 times, and all are served",
  async () => {
    const { ended, onEnd } = noteEnds();
    const server = serve({ ...TLS, onEnd }, echo);
    await using patient = new CrudeClient(server.addr);
    assertEquals(await patient.secured, null);

    const shown: string[] = [];
    const handshakes: Promise<unknown>[] = [];
    const visit = async (isRight: (shown: string) => boolean) => {
      await using client = new CrudeClient(server.addr);
      handshakes.push(client.secured);
      assertEquals(await client.secured, null);
      assert(isRight(client.shown), `shown was ${client.shown}`);
      shown.push(client.shown);
      const hearing = client.hearAll();
      await client.say(pattern(0, SAID));
      client.tls.end();
      const heard = await hearing;
      assertEquals(heard.length, SAID);
      assertPattern(heard, 0);
    };

    const visits: Promise<void>[] = [];
    for (let reload = 1; reload <= RELOADS; reload++) {
      const serial = reload % 2 === 0 ? OLD : NEW;
      const begin = (isRight: (shown: string) => boolean) => {
        for (let i = 0; i < CLIENTS / 2; i++) visits.push(visit(isRight));
      };
      begin((shown) => [OLD, NEW].includes(shown));
      await turns(reload % 7); // each time they are at another point of their handshakes
      server.reloadTls(serial === NEW ? renewed : certificate);
      begin((shown) => shown === serial);
      // A certificate is chosen when the ClientHello arrives: what comes next must not be theirs.
      await Promise.all(handshakes);
      await Promise.all(visits.slice(0, -2 * CLIENTS)); // so many are on their way at once
    }
    await Promise.all(visits);
    assertEquals(shown.length, RELOADS * CLIENTS);
    assert(shown.filter((each) => each === NEW).length >= shown.length / 4);
    assert(shown.filter((each) => each === OLD).length >= shown.length / 4);

    // A connection from before goes on as if nothing had happened.
    const hearing = patient.hearAll();
    await patient.say(bytes`hello`);
    patient.tls.end();
    assertEquals(await hearing, bytes`hello`);

    await server.shutdown();
    assertEquals(ended.length, 1 + RELOADS * CLIENTS);
    const wrong = ended.filter(({ reason, bytesRead }) =>
      reason !== "completed" || ![5, SAID].includes(bytesRead)
    );
    assertEquals(wrong, []);
  },
);

netTest(
  "a client is shown the certificate that is in force when its handshake begins",
  async () => {
    await using server = serve(TLS, echo);
    const plain = await dial(server.addr);
    await until(() => server.stats().handshaking === 1);
    server.reloadTls(wildcard); // which is for another name
    const client = await goOverToTls(plain, "example.test");
    await client.write(bytes`hello`);
    assertEquals(await readExactly(client, 5), bytes`hello`);
    client.close();
  },
);

/** Certificates and options that are rejected. */
const WRONG: Record<string, unknown> = {
  "nothing": {},
  "no object": undefined,
  "half of a pair": { cert: renewed.cert },
  "the key of another certificate": { cert: renewed.cert, key: certificate.key },
  "something that is no certificate": { cert: "cert.pem", key: renewed.key },
  "an unknown option": { ...renewed, port: 0 },
  "names without a certificate": { ...renewed, tls: { serverNames: { "a.test": {} } } },
};

for (const [what, options] of Object.entries(WRONG)) {
  netTest(`reloadTls() with ${what} is refused, and everything stays`, async () => {
    await using server = serve(TLS, echo);
    assertThrows(() => server.reloadTls(options as TlsListenOptions), TypeError, "Cannot");
    assertEquals(await shownAt(server.addr), OLD);
    server.reloadTls(renewed);
    assertEquals(await shownAt(server.addr), NEW);
  });
}

netTest("reloadTls() does not reach a listener of Deno.listenTls", async () => {
  const listener = Deno.listenTls({ ...LOOPBACK, ...certificate });
  await using server = serve({ listeners: [TLS, listener] }, echo);
  server.reloadTls(renewed);
  assertThrows(() => server.reloadTls(renewed, server.addrs[1]), TypeError, "Cannot reload TLS");
  assertEquals([await shownAt(server.addrs[0]!), await shownAt(server.addrs[1]!)], [NEW, OLD]);
});

netTest("reloadTls() without any TLS is refused", async () => {
  await using server = serve(LOOPBACK, echo);
  assertThrows(() => server.reloadTls(renewed), TypeError, "Cannot reload TLS");
});

/** Two addresses inside TLS and one that is not. */
function twoAndOne(): Server {
  return serve({ listeners: [TLS, LOOPBACK, TLS] }, echo);
}

netTest("reloadTls() reaches every address inside TLS", async () => {
  await using server = twoAndOne();
  server.reloadTls(renewed);
  assertEquals(await shownAt(server.addrs[0]!), NEW);
  assertEquals(await shownAt(server.addrs[2]!), NEW);
  using plain = await dial(server.addrs[1] as Deno.NetAddr);
  await plain.write(bytes`hello`);
  assertEquals(await readExactly(plain, 5), bytes`hello`);
});

netTest("reloadTls() with an address reaches only that one", async () => {
  await using server = twoAndOne();
  const [first, second, third] = server.addrs;
  server.reloadTls(renewed, third);
  assertEquals([await shownAt(first!), await shownAt(third!)], [OLD, NEW]);
  assertThrows(() => server.reloadTls(renewed, second), TypeError, "Cannot reload TLS");
  const elsewhere = { transport: "tcp", hostname: "192.0.2.1", port: 443 } as const;
  assertThrows(() => server.reloadTls(renewed, elsewhere), TypeError, "192.0.2.1:443");
  assertEquals(await shownAt(first!), OLD);
});

netTest("reloadTls() changes every address or none", async () => {
  const place = { ...LOOPBACK, ...certificate };
  const asking = { clientCa: ca.cert, clientCertificate: "requested" } as const;
  // The second has no authority to verify a certificate with.
  await using server = serve({ listeners: [{ ...place, tls: asking }, place] }, echo);
  const tls = { clientCertificate: "required" } as const;
  assertThrows(() => server.reloadTls({ ...renewed, tls }));
  for (const addr of server.addrs) assertEquals(await shownAt(addr), OLD);
  server.reloadTls(renewed, server.addr);
  assertEquals(await shownAt(server.addr), NEW);
});
