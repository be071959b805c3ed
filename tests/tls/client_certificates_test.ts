/** Does nobody come in with a certificate that does not count, not even with an old ticket? @module */

import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { TLSSocket } from "node:tls";
import { ClientCertificates } from "../../lib/tls/client_certificates.ts";
import { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { completeTls, type TlsSettings } from "../../lib/tls/tls_options.ts";
import { ca, client, otherCa, server, stranger } from "../support/certificates.ts";
import {
  Handshakes,
  type ServerSide,
  shakeHands,
  showing,
  WELCOME,
} from "../support/handshakes.ts";
import { netTest } from "../support/needs.ts";

function contexts(tls: TlsSettings): TlsContexts {
  return new TlsContexts("serve", completeTls("serve", { ...server, tls })!);
}

const required = (clientCa = ca.cert) => contexts({ clientCa }).socketOptions();
const requested = () => contexts({ clientCa: ca.cert, clientCertificate: "requested" });

function verdict({ facts }: ServerSide): unknown[] {
  return [facts?.authorized, facts?.authorizationError];
}

/** A client that keeps sessions. */
function resuming(pair: { cert?: string; key?: string } = {}): Deno.HttpClient {
  return Deno.createHttpClient({ caCerts: [ca.cert], ...pair } as Deno.CreateHttpClientOptions);
}

netTest("a required certificate lets in who shows one that the authority signed", async () => {
  const { server: side, client: other } = await shakeHands(required(), showing(client));
  assertEquals(side.facts?.authorized, true);
  assertEquals(other.heard, WELCOME);
});

netTest("a required certificate keeps out who shows none", async () => {
  const { server: side, client: other } = await shakeHands(required());
  assertInstanceOf(side.error, Deno.errors.InvalidData);
  assert(side.error.message.endsWith("peer sent no certificates"), side.error.message);
  assertEquals(other.heard, "");
});

netTest("a required certificate keeps out who shows one of another authority", async () => {
  const { server: side, client: other } = await shakeHands(required(), showing(stranger));
  assertInstanceOf(side.error, Deno.errors.InvalidData);
  assertEquals(
    side.error.message,
    "Cannot let the client in by its certificate: UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  );
  assertEquals(other.heard, "");
});

netTest("a required certificate may be of any of several authorities", async () => {
  const several = contexts({ clientCa: [otherCa.cert, ca.cert] }).socketOptions();
  for (const pair of [client, stranger]) {
    const { server: side } = await shakeHands(several, showing(pair));
    assertEquals(side.facts?.authorized, true);
  }
});

netTest("a requested certificate is told of, and nobody is kept out", async () => {
  const options = requested().socketOptions();
  const good = await shakeHands(options, showing(client));
  assertEquals(verdict(good.server), [true, undefined]);
  const bad = await shakeHands(options, showing(stranger));
  assertEquals(verdict(bad.server), [false, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"]);
  const none = await shakeHands(options);
  assertEquals(verdict(none.server), [false, "it showed none"]);
  for (const { client } of [good, bad, none]) assertEquals(client.heard, WELCOME);
});

netTest("a requested certificate never counts where no authority is given", async () => {
  const options = contexts({ clientCertificate: "requested" }).socketOptions();
  for (const pair of [client, stranger]) {
    const { server: side } = await shakeHands(options, showing(pair));
    assertEquals(side.facts?.authorized, false);
  }
});

netTest("a session that is resumed counts as its certificate did", async () => {
  using place = new Handshakes();
  using known = resuming(client);
  const first = await place.resume(required(), known);
  assertEquals([first.server.reused, first.letIn], [false, true]);
  // The same authorities, whatever server: clients resume by its name and not by its port.
  const again = await place.resume(required(), known);
  assertEquals([again.server.reused, again.letIn], [true, true]);
  assertEquals(verdict(again.server), [true, undefined]);
});

netTest("a session of one server brings nobody past another's authority", async () => {
  using place = new Handshakes();
  const reason =
    "Cannot let the client in by its certificate: its session was resumed, not verified";
  {
    using unknown = resuming(stranger);
    assertEquals((await place.resume(requested().socketOptions(), unknown)).letIn, true);
    const { server: side } = await place.resume(requested().socketOptions(), unknown);
    assertEquals([side.reused, side.facts?.authorized], [true, false]);
    const { server: other, letIn } = await place.resume(required(), unknown);
    assertEquals([other.error?.message, letIn], [reason, false]);
  }
  // Good for one authority is not good for another.
  using known = resuming(client);
  assertEquals((await place.resume(required(), known)).letIn, true);
  const { server: side, letIn } = await place.resume(required(otherCa.cert), known);
  assertEquals([side.error?.message, letIn], [reason, false]);
});

netTest("a session in which nobody was asked brings nobody past who asks", async () => {
  using place = new Handshakes();
  using nobody = resuming();
  const asksNobody = contexts({ serverNames: { localhost: server } }).socketOptions();
  assertEquals((await place.resume(asksNobody, nobody)).letIn, true);
  const { server: side, letIn } = await place.resume(required(), nobody);
  assertEquals(letIn, false);
  assertEquals(side.error?.message, "Cannot let the client in by its certificate: it showed none");
});

/** What node:tls says of a client. */
function socket(
  valid_to: string,
  reused: boolean,
  verifyError: (() => unknown) | undefined,
): TLSSocket {
  return {
    getPeerCertificate: () => ({ fingerprint256: "AB:CD", valid_to }),
    isSessionReused: () => reused,
    ssl: { verifyError },
  } as unknown as TLSSocket;
}

Deno.test("a session is resumed no longer than its certificate is valid", () => {
  using time = new FakeTime(new Date("2030-01-01T00:00:00Z"));
  const certificates = new ClientCertificates(true, ["an authority of this test"]);
  const end = "Jan  1 00:00:10 2030 GMT";
  certificates.check(socket(end, false, () => ""));
  time.tick(9_999);
  assertEquals(certificates.check(socket(end, true, () => "")), { authorized: true });
  time.tick(1);
  assertThrows(
    () => certificates.check(socket(end, true, () => "")),
    Deno.errors.InvalidData,
    "CERT_HAS_EXPIRED",
  );
  assertThrows(() => certificates.check(socket("never", false, () => "")), Deno.errors.InvalidData);
});

Deno.test("check() lets nobody in when it cannot tell", () => {
  const certificates = new ClientCertificates(true, ["another authority of this test"]);
  const end = "Jan  1 00:00:00 2999 GMT";
  const faults: [verifyError: (() => unknown) | undefined, told: string][] = [
    [undefined, "this Deno does not tell what is wrong with it"],
    // What Node gives, should Deno come to it.
    [() => Object.assign(new TypeError("no"), { code: "CERT_REVOKED" }), "CERT_REVOKED"],
    [() => "CERT_REVOKED", "CERT_REVOKED"],
    [() => false, "false"],
  ];
  for (const [verifyError, told] of faults) {
    const run = () => certificates.check(socket(end, false, verifyError));
    assertEquals(
      assertThrows(run, Deno.errors.InvalidData).message,
      `Cannot let the client in by its certificate: ${told}`,
    );
    assertThrows(() => certificates.check(socket(end, true, () => "")), Deno.errors.InvalidData);
  }
  for (const good of ["", null, undefined]) {
    assertEquals(certificates.check(socket(end, false, () => good)), { authorized: true });
  }
});
