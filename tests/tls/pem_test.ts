/** What is no PEM, or PEM of something else, is refused in words that show no secret. @module */

import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import fc from "fast-check";
import { certificatesOf, checkPem, type PemContent } from "../../lib/tls/pem.ts";
import { ca, server, wildcard } from "../support/certificates.ts";

function refusal(value: unknown, content: PemContent = "certificate"): string {
  const name = content === "key" ? "key" : "cert";
  return assertThrows(() => checkPem("serve", name, value, content), TypeError).message;
}

/** A block as PEM frames it. */
function block(label: string, body = "AAAA"): string {
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

Deno.test("checkPem() gives back certificates and keys of each form", () => {
  const chain = `Subject: a server\n${server.cert}${ca.cert}`;
  for (const text of [server.cert, chain, chain.replaceAll("\n", "\r\n"), server.key + chain]) {
    assertEquals(checkPem("serve", "cert", text, "certificate"), text);
  }
  for (const label of ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]) {
    const text = block("EC PARAMETERS") + block(label);
    assertEquals(checkPem("serve", "key", text, "key"), text);
  }
});

Deno.test("checkPem() refuses what is no text", () => {
  const wanted = 'use PEM text, which begins with "-----BEGIN CERTIFICATE-----"';
  const given: [value: unknown, shown: string][] = [
    [null, "null"],
    [5, "5"],
    [new TextEncoder().encode(server.cert), "an object"],
    [["a"], "an array"],
    ["", '""'],
    [" \n", '" \\n"'],
  ];
  for (const [value, shown] of given) {
    assertEquals(refusal(value), `Cannot serve with 'cert' of ${shown}: ${wanted}`);
  }
});

Deno.test("checkPem() knows the name of a file when it is given one", () => {
  for (const name of ["cert.pem", "/etc/ssl/fullchain.pem", "C:\\keys\\a.key", "../x.crt"]) {
    assertEquals(
      refusal(name),
      `Cannot serve with 'cert' of ${JSON.stringify(name)}: use the PEM text itself, as ` +
        "Deno.readTextFileSync reads it",
    );
  }
});

Deno.test("checkPem() says what a text holds instead", () => {
  assertEquals(
    refusal(server.key),
    "Cannot serve with a 'cert' that holds a PRIVATE KEY: use PEM text, which begins with " +
      '"-----BEGIN CERTIFICATE-----"',
  );
  assertEquals(
    refusal(server.cert, "key"),
    "Cannot serve with a 'key' that holds a CERTIFICATE: use PEM text, which begins with " +
      '"-----BEGIN PRIVATE KEY-----"',
  );
  for (const label of ["CERTIFICATE REQUEST", "TRUSTED CERTIFICATE", "X509 CRL"]) {
    assert(refusal(block(label)).includes(`holds a ${label}:`));
  }
  for (const label of ["OPENSSH PRIVATE KEY", "PUBLIC KEY", "DSA PRIVATE KEY"]) {
    assert(refusal(block(label), "key").includes(`holds a ${label}:`));
  }
});

Deno.test("checkPem() refuses keys that are encrypted, in both forms", () => {
  const older = block("EC PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA");
  for (const text of [block("ENCRYPTED PRIVATE KEY"), older]) {
    assertEquals(
      refusal(text, "key"),
      "Cannot serve with an encrypted 'key' and without its 'passphrase': give that beside it",
    );
  }
});

Deno.test("checkPem() shows nothing of a key that has lost its frame", () => {
  const base64 = fc.uint8Array({ minLength: 24 }).map((bytes) => bytes.toBase64());
  fc.assert(fc.property(base64, (secret) => {
    assertFalse(refusal(secret, "key").includes(secret));
  }));
});

Deno.test("certificatesOf() finds each certificate of a chain, and nothing else", () => {
  const chain = [server.cert, ca.cert, wildcard.cert];
  const text = `Bag Attributes\n${chain.join("some words\n")}${server.key}`;
  assertEquals(certificatesOf(text).map((one) => `${one}\n`), chain);
  assertEquals(certificatesOf(server.key), []);
  // One that was cut off is one still, so that it is looked at and refused.
  assertEquals(certificatesOf(server.cert.slice(0, 100)), [server.cert.slice(0, 100)]);
});
