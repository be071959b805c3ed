/** Tests that only a valid certificate is accepted, whatever session is resumed. @module */

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

function verdict({ info }: ServerSide): unknown[] {
  return [info?.authorized, info?.authorizationError];
}

/** A client that keeps sessions. */
function resuming(pair: { cert?: string; key?: string } = {}): Deno.HttpClient {
  return Deno.createHttpClient({ caCerts: [ca.cert], ...pair } as Deno.CreateHttpClientOptions);
}

netTest("a required certificate accepts one that the authority has signed", async () => {
  const { server: side, client: other } = await shakeHands(required(), showing(client));
  assertEquals(side.info?.authorized, true);
  assertEquals(other.heard, WELCOME);
});

netTest("a required certificate refuses a client without one", async () => {
  const { server: side, client: other } = await shakeHands(required());
  assertInstanceOf(side.error, Deno.errors.InvalidData);
  assert(side.error.message.endsWith("peer sent no certificates"), side.error.message);
  assertEquals(other.heard, "");
});

netTest("a required certificate refuses one of another authority", async () => {
  const { server: side, client: other } = await shakeHands(required(), showing(stranger));
  assertInstanceOf(side.error, Deno.errors.InvalidData);
  assertEquals(
    side.error.message,
    "Cannot accept the client's certificate: UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  );
  assertEquals(other.heard, "");
});

netTest("a required certificate may be of any of several authorities", async () => {
  const several = contexts({ clientCa: [otherCa.cert, ca.cert] }).socketOptions();
  for (const pair of [client, stranger]) {
    const { server: side } = await shakeHands(several, showing(pair));
    assertEquals(side.info?.authorized, true);
  }
});

netTest("a requested certificate is reported, and no client is refused", async () => {
  const options = requested().socketOptions();
  const good = await shakeHands(options, showing(client));
  assertEquals(verdict(good.server), [true, undefined]);
  const bad = await shakeHands(options, showing(stranger));
  assertEquals(verdict(bad.server), [false, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"]);
  const none = await shakeHands(options);
  assertEquals(verdict(none.server), [false, "it presented none"]);
  for (const { client } of [good, bad, none]) assertEquals(client.heard, WELCOME);
});

netTest("a requested certificate is never valid where no authority is given", async () => {
  const options = contexts({ clientCertificate: "requested" }).socketOptions();
  for (const pair of [client, stranger]) {
    const { server: side } = await shakeHands(options, showing(pair));
    assertEquals(side.info?.authorized, false);
  }
});

netTest("a resumed session is as good as its certificate was", async () => {
  using place = new Handshakes();
  using known = resuming(client);
  const first = await place.resume(required(), known);
  assertEquals([first.server.reused, first.letIn], [false, true]);
  // The same authorities, whatever server: clients resume by its name and not by its port.
  const again = await place.resume(required(), known);
  assertEquals([again.server.reused, again.letIn], [true, true]);
  assertEquals(verdict(again.server), [true, undefined]);
});

netTest("a session of one server does not get a client past another's authority", async () => {
  using place = new Handshakes();
  {
    using unknown = resuming(stranger);
    const first = await place.resume(requested().socketOptions(), unknown);
    const again = await place.resume(requested().socketOptions(), unknown);
    assertEquals([again.server.reused, ...verdict(again.server)], [true, ...verdict(first.server)]);
    // A full handshake, in which Deno refuses it.
    const { server: other, letIn } = await place.resume(required(), unknown);
    assertEquals([other.info, letIn], [undefined, false]);
  }
  // Valid for one authority is not valid for another.
  using known = resuming(client);
  assertEquals((await place.resume(required(), known)).letIn, true);
  assertEquals((await place.resume(required(otherCa.cert), known)).letIn, false);
});

netTest(
  "a session without a certificate does not get a client past a server that requires one",
  async () => {
    using place = new Handshakes();
    using without = resuming();
    const asksNone = contexts({ serverNames: { localhost: server } }).socketOptions();
    assertEquals((await place.resume(asksNone, without)).letIn, true);
    const { server: side, letIn } = await place.resume(required(), without);
    assertEquals([side.info, letIn], [undefined, false]);
  },
);

// A client of only TLS 1.3 gets an alert and drops the session: openssl_test.ts.
netTest(
  "a client with a valid certificate and a useless session makes a full handshake",
  async () => {
    using place = new Handshakes();
    using known = resuming(client);
    const asksNone = contexts({ serverNames: { localhost: server } }).socketOptions();
    assertEquals((await place.resume(asksNone, known)).letIn, true);
    const { server: side, letIn } = await place.resume(required(), known);
    assertEquals([side.reused, side.info?.authorized, letIn], [false, true, true]);
  },
);

netTest("a session stays good when an authority is added, and not when its own goes", async () => {
  using place = new Handshakes();
  using known = resuming(client);
  await place.resume(required(), known);
  const more = contexts({ clientCa: [otherCa.cert, ca.cert] }).socketOptions();
  const added = await place.resume(more, known);
  assertEquals([added.server.reused, added.letIn], [true, true]);
  const gone = await place.resume(required(otherCa.cert), known);
  assertEquals(gone.letIn, false);
});

/** What node:tls says of a client. */
function socket(
  fingerprint256: string,
  valid_to: string,
  reused: boolean,
  verifyError: (() => unknown) | undefined,
): TLSSocket {
  return {
    getPeerCertificate: () => ({ fingerprint256, valid_to }),
    isSessionReused: () => reused,
    ssl: { verifyError },
  } as unknown as TLSSocket;
}

Deno.test("a session is resumed no longer than its certificate is valid", () => {
  using time = new FakeTime(new Date("2030-01-01T00:00:00Z"));
  const certificates = new ClientCertificates(true, [ca.cert]);
  const end = "Jan  1 00:00:10 2030 GMT";
  certificates.check(socket("AB:01", end, false, () => ""));
  time.tick(9_999);
  assertEquals(certificates.check(socket("AB:01", end, true, () => "")), { authorized: true });
  time.tick(1);
  assertThrows(
    () => certificates.check(socket("AB:01", end, true, () => "")),
    Deno.errors.InvalidData,
    "CERT_HAS_EXPIRED",
  );
  assertThrows(
    () => certificates.check(socket("AB:01", "never", false, () => "")),
    Deno.errors.InvalidData,
  );
});

Deno.test("check() accepts none when it cannot tell", () => {
  const certificates = new ClientCertificates(true, [otherCa.cert]);
  const end = "Jan  1 00:00:00 2999 GMT";
  const faults: [verifyError: (() => unknown) | undefined, fault: string][] = [
    [undefined, "this Deno does not tell what is wrong with it"],
    // What Node gives, should Deno come to it.
    [() => Object.assign(new TypeError("no"), { code: "CERT_REVOKED" }), "CERT_REVOKED"],
    [() => "CERT_REVOKED", "CERT_REVOKED"],
    [() => false, "false"],
  ];
  for (const [verifyError, fault] of faults) {
    const run = () => certificates.check(socket("AB:02", end, false, verifyError));
    assertEquals(
      assertThrows(run, Deno.errors.InvalidData).message,
      `Cannot accept the client's certificate: ${fault}`,
    );
    assertThrows(
      () => certificates.check(socket("AB:02", end, true, () => "")),
      Deno.errors.InvalidData,
    );
  }
  for (const good of ["", null, undefined]) {
    assertEquals(certificates.check(socket("AB:02", end, false, () => good)), { authorized: true });
  }
});

Deno.test("mayResume() has a client verified again only where that could change something", () => {
  const end = "Jan  1 00:00:00 2999 GMT";
  const of = (required: boolean, ...clientCa: string[]) =>
    new ClientCertificates(required, clientCa);
  const invalid = () => "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
  const resumed = socket("AB:03", end, true, () => "");
  assertEquals(of(false, ca.cert).mayResume(resumed), false, "never verified");
  of(false, ca.cert).check(socket("AB:03", end, false, invalid));
  assertEquals(of(false, ca.cert).mayResume(resumed), true, "as invalid as before");
  assertEquals(of(false, ca.cert, otherCa.cert).mayResume(resumed), false, "one authority more");
  of(false, ca.cert).check(socket("AB:03", end, false, () => ""));
  assertEquals(of(true, otherCa.cert, ca.cert).mayResume(resumed), true, "valid, and one more");
  assertEquals(of(true, otherCa.cert).mayResume(resumed), false, "another authority");
});
