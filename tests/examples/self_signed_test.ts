/** Clients accept the certificate, for its names and no others. @module */

import { assert, assertEquals } from "@std/assert";
import { X509Certificate } from "node:crypto";
import { FakeTime } from "@std/testing/time";
import { selfSigned } from "../../examples/self_signed.ts";

const DAY = 86_400_000;

Deno.test("selfSigned() makes a certificate for this machine, and its key", async () => {
  const { cert, key } = await selfSigned();
  const seen = new X509Certificate(cert);
  assertEquals(seen.subject, "CN=localhost");
  assertEquals(seen.issuer, "CN=localhost");
  assertEquals(seen.checkHost("localhost"), "localhost");
  for (const ip of ["127.0.0.1", "::1"]) assertEquals(seen.checkIP(ip), ip);
  for (const ip of ["127.0.0.2", "::2"]) assertEquals(seen.checkIP(ip), undefined);
  assert(!seen.ca);
  assert(seen.verify(seen.publicKey), "signed by itself");
  assertEquals(key.split("\n")[0], "-----BEGIN PRIVATE KEY-----");
});

Deno.test("selfSigned() makes another certificate each time, valid whatever its numbers are", async () => {
  const serials = new Set<string>();
  // One number in 256 has a first byte of zero, and every other one has its first bit set.
  for (let i = 0; i < 600; i++) {
    const seen = new X509Certificate((await selfSigned()).cert);
    assert(seen.verify(seen.publicKey));
    serials.add(seen.serialNumber);
  }
  assertEquals(serials.size, 600);
});

Deno.test("selfSigned() makes a certificate that is valid for a year from now", async () => {
  using _time = new FakeTime(Date.UTC(2031, 1, 3, 4, 5, 6));
  const { validFrom, validTo } = new X509Certificate((await selfSigned()).cert);
  assertEquals(Date.parse(validFrom), Date.now());
  assertEquals(Date.parse(validTo), Date.now() + 365 * DAY);
});
