/** Tests that a client accepts the server it means, and no other. @module */

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { TlsClient } from "../../lib/tls/tls_client.ts";
import { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { completeTlsAlone, completeTlsClient } from "../../lib/tls/tls_options.ts";
import type { TlsClientOptions, TlsListenOptions } from "../../lib/tls/tls_options.ts";
import type { TlsInfo } from "../../lib/tls/handshake.ts";
import { TlsSocket } from "../../lib/tls/tls_socket.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  ca,
  client as clientPair,
  expired,
  otherCa,
  renewed,
  server,
  wildcard,
} from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { readExactly, socketPair } from "../support/peers.ts";

const NOTHING = new Uint8Array(0);
const MEANT = { serverName: "localhost", caCerts: [ca.cert] };

/** Both ends of a handshake. */
interface Ends {
  readonly client: TlsInfo | Error;
  readonly server: TlsInfo | Error;
}

/** Makes a handshake, and has a word said each way if it succeeds. */
async function meet(
  options: TlsClientOptions,
  serving: Partial<TlsListenOptions> = server,
): Promise<Ends> {
  const [near, far] = await socketPair();
  const side = new TlsClient("test", completeTlsClient("test", options));
  const contexts = new TlsContexts("test", completeTlsAlone("test", serving));
  using client = new TlsSocket(near, NOTHING, side);
  using peer = new TlsSocket(far, NOTHING, contexts);
  const caught = (error: Error) => {
    client[Symbol.dispose]();
    return error;
  };
  const [there, here] = await Promise.all([
    client.handshake().catch(caught),
    peer.handshake().catch((error) => error),
  ]);
  if (!(there instanceof Error)) {
    await client.write(bytes`ping`);
    assertEquals(text(await readExactly(peer, 4)), "ping");
    await peer.write(bytes`pong`);
    assertEquals(text(await readExactly(client, 4)), "pong");
  }
  return { client: there, server: here };
}

netTest("TlsClient accepts a server by its name and its authority", async () => {
  const { client, server: peer } = await meet({ ...MEANT, alpnProtocols: ["a", "b"] }, {
    ...server,
    alpnProtocols: ["b"],
  });
  assert(!(client instanceof Error), `${client}`);
  const { peerCertificate, cipher, ...info } = client;
  assertEquals(info, {
    serverName: "localhost",
    alpnProtocol: "b",
    version: "TLSv1.3",
    authorized: true,
  });
  assertEquals(peerCertificate?.subject.CN, "localhost");
  assert(cipher?.startsWith("TLS_"));
  assertEquals((peer as TlsInfo).serverName, "localhost");
});

netTest(
  "TlsClient accepts a server by its address, and a wildcard by a name that fits",
  async () => {
    const byAddress = await meet({ serverName: "127.0.0.1", caCerts: [ca.cert] });
    assertEquals((byAddress.client as TlsInfo).authorized, true);
    assertEquals((byAddress.server as TlsInfo).serverName, undefined, "an address is not sent");
    const byWildcard = await meet({ serverName: "a.example.test", caCerts: [ca.cert] }, wildcard);
    assertEquals((byWildcard.client as TlsInfo).authorized, true);
  },
);

/** What Deno's engine says of each certificate that no authority vouches for now. */
const UNVERIFIED = "unable to verify the first certificate";

/** Servers that are not the one that is meant. */
const REFUSED: [what: string, TlsClientOptions, Partial<TlsListenOptions>, fault: string][] = [
  ["of an unknown authority", { serverName: "one.test" }, server, UNVERIFIED],
  [
    "of another authority",
    { serverName: "localhost", caCerts: [otherCa.cert] },
    server,
    UNVERIFIED,
  ],
  ["for another name", { ...MEANT, serverName: "b.test" }, server, "not in the cert's altnames"],
  ["for another address", { ...MEANT, serverName: "127.0.0.2" }, server, "not in the cert's list"],
  ["for a deeper name", { ...MEANT, serverName: "a.b.example.test" }, wildcard, "altnames"],
  ["that has expired", MEANT, expired, UNVERIFIED],
];

for (const [what, options, serving, fault] of REFUSED) {
  netTest(`TlsClient refuses a certificate ${what}`, async () => {
    const { client, server: peer } = await meet(options, serving);
    assertInstanceOf(client, Deno.errors.InvalidData);
    assert(client.message.includes(fault), client.message);
    assertInstanceOf(peer, Error, "the server gets no Finished of ours");
  });
}

netTest("TlsClient resumes no session that was verified with another authority", async () => {
  const name = "a.example.test";
  const known = { serverName: name, caCerts: [ca.cert] };
  for (let i = 0; i < 3; i++) {
    assertEquals(((await meet(known, wildcard)).client as TlsInfo).authorized, true);
  }
  const { client } = await meet({ serverName: name, caCerts: [otherCa.cert] }, wildcard);
  assertInstanceOf(client, Deno.errors.InvalidData);
  assertEquals(((await meet(known, wildcard)).client as TlsInfo).authorized, true);
});

netTest("TlsClient presents a certificate where the server asks for one", async () => {
  const asking = { ...server, tls: { clientCa: ca.cert } };
  const { server: peer } = await meet({ ...MEANT, ...clientPair }, asking);
  assertEquals((peer as TlsInfo).peerCertificate?.subject.CN, "client1");
  const [near, far] = await socketPair();
  const side = new TlsClient("test", completeTlsClient("test", MEANT));
  const contexts = new TlsContexts("test", completeTlsAlone("test", asking));
  using client = new TlsSocket(near, NOTHING, side);
  using without = new TlsSocket(far, NOTHING, contexts);
  // In TLS 1.3 the client's handshake is complete before it hears of it.
  const handshake = client.handshake();
  await assertRejects(() => without.handshake(), Deno.errors.InvalidData);
  await handshake;
  await assertRejects(() => client.read(new Uint8Array(1)), Deno.errors.InvalidData);
});

netTest("TlsClient refuses what a server has sent in clear behind its consent", async () => {
  const [near, far] = await socketPair();
  const side = new TlsClient("test", completeTlsClient("test", MEANT));
  using client = new TlsSocket(near, bytes`250 evil\r\n`, side);
  const error = await assertRejects(() => client.handshake(), Deno.errors.InvalidData);
  assertEquals(
    error.message,
    "Cannot start TLS: 10 bytes have come in clear, behind what the server consented with",
  );
  far.close();
});

Deno.test("TlsClient refuses certificates that cannot be used", () => {
  const block = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const make = (options: TlsClientOptions) => () =>
    new TlsClient("start TLS", completeTlsClient("start TLS", options));
  assertThrows(make({ serverName: "a.test", caCerts: [block] }), TypeError, "'caCerts'");
  const { key } = renewed;
  assertThrows(make({ ...MEANT, cert: clientPair.cert, key }), TypeError, "not the key of 'cert'");
});
