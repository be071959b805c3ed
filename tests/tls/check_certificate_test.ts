/** Tests that a certificate which could not serve is refused at once, with the reason. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { generateKeyPairSync } from "node:crypto";
import { checkCertificate, readCertificates } from "../../lib/tls/check_certificate.ts";
import { ca, client, mismatched, type Pair, server, wildcard } from "../support/certificates.ts";

function check(pair: Pair, clientCa: string[] = []): void {
  checkCertificate("serve", "tls.x.", pair, clientCa);
}

function refusal(pair: Pair): string {
  return assertThrows(() => check(pair), TypeError).message;
}

/** A block as PEM frames it. */
function block(label: string, body = "AAAA"): string {
  return `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
}

/** Keys of several kinds, which no certificate here has. */
const KEYS = {
  "RSA-1024": () => generateKeyPairSync("rsa", { modulusLength: 1024 }),
  "RSA-2048": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "P-384": () => generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "secp256k1": () => generateKeyPairSync("ec", { namedCurve: "secp256k1" }),
  "Ed25519": () => generateKeyPairSync("ed25519"),
  "X25519": () => generateKeyPairSync("x25519"),
};

function keyOf(kind: keyof typeof KEYS): string {
  return String(KEYS[kind]().privateKey.export({ type: "pkcs8", format: "pem" }));
}

const UNFIT_KEYS: [kind: keyof typeof KEYS, shown: string][] = [
  ["RSA-1024", "RSA of 1024 bits"],
  ["secp256k1", "ec secp256k1"],
  ["X25519", "x25519"],
];

/** What cannot be read, and which option the message names. */
const UNREADABLE: [pair: Pair, option: "cert" | "key"][] = [
  [{ cert: block("CERTIFICATE"), key: server.key }, "cert"],
  [{ cert: block("CERTIFICATE", "?!"), key: server.key }, "cert"],
  [{ cert: server.cert.slice(0, 200), key: server.key }, "cert"],
  [{ cert: server.cert, key: block("PRIVATE KEY") }, "key"],
  [{ cert: server.cert, key: block("EC PRIVATE KEY", "?!") }, "key"],
  [{ cert: server.cert, key: server.key.slice(0, 100) }, "key"],
];

Deno.test("checkCertificate() takes a certificate with its key, and a chain in order", () => {
  check(server);
  check({ cert: `${server.cert}${ca.cert}`, key: server.key }, [ca.cert]);
  check({ cert: server.cert.replaceAll("\n", "\r\n"), key: server.key.replaceAll("\n", "\r\n") });
});

Deno.test("checkCertificate() refuses the key of another certificate", () => {
  assertEquals(
    refusal(mismatched),
    "Cannot serve with a 'tls.x.key' that is not the key of 'tls.x.cert': use the one that was " +
      "made for CN=localhost",
  );
  for (const kind of ["RSA-2048", "P-384", "Ed25519"] as const) {
    assert(refusal({ cert: server.cert, key: keyOf(kind) }).includes("not the key of"), kind);
  }
});

Deno.test("checkCertificate() refuses a chain that begins with another certificate", () => {
  assertEquals(
    refusal({ cert: ca.cert + client.cert + server.cert, key: server.key }),
    "Cannot serve with the server's own certificate in place 3 of 'tls.x.cert': put it first",
  );
});

Deno.test("checkCertificate() refuses what cannot be read, and says where it stands", () => {
  for (const [pair, option] of UNREADABLE) {
    const what = option === "key" ? "a private key" : "a certificate";
    const start = `Cannot serve with 'tls.x.${option}', which holds ${what} that cannot be read: `;
    assert(refusal(pair).startsWith(start), refusal(pair));
  }
  const chain = { cert: server.cert + block("CERTIFICATE"), key: server.key };
  assert(refusal(chain).includes("a certificate in place 2 that cannot be read"), refusal(chain));
});

Deno.test("checkCertificate() refuses keys that Deno's TLS does not sign with", () => {
  for (const [kind, shown] of UNFIT_KEYS) {
    assertEquals(
      refusal({ cert: server.cert, key: keyOf(kind) }),
      `Cannot serve with a 'tls.x.key' of the kind ${shown}: use RSA of 2048 to 8192 bits, ECDSA ` +
        "on P-256, P-384 or P-521, or Ed25519",
    );
  }
});

Deno.test("checkCertificate() refuses more certificates than clients take", () => {
  const size = (text: string) => readCertificates("serve", "cert", text)[0]!.raw.length + 5;
  const room = 65_535 - 4 - size(server.cert);
  const most = Math.floor(room / size(ca.cert));
  check(server, [ca.cert.repeat(most)]);
  const error = assertThrows(() => check(server, [ca.cert.repeat(most + 1)]), RangeError);
  const bytes = size(server.cert) + (most + 1) * size(ca.cert);
  assertEquals(
    error.message,
    `Cannot serve with 'tls.x.cert' and 'tls.clientCa' of ${bytes} bytes: use less than 64 KiB, ` +
      "because each client is sent all of it and refuses more",
  );
  const long = { cert: server.cert + wildcard.cert.repeat(most + 1), key: server.key };
  assert(assertThrows(() => check(long), RangeError).message.includes("'tls.x.cert' of "));
});

Deno.test("readCertificates() reads each, and refuses one that is none", () => {
  const [first, second] = readCertificates("serve", "tls.clientCa", ca.cert + client.cert);
  assertEquals([first?.subject, second?.subject], ["CN=Test CA", "CN=client1"]);
  const error = assertThrows(
    () => readCertificates("serve", "tls.clientCa", block("CERTIFICATE")),
    TypeError,
    "Cannot serve with 'tls.clientCa', which holds a certificate that cannot be read: ",
  );
  assert(error.cause instanceof Error);
});
