/** Tests that impossible TLS options are refused, and the others completed. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type CompleteTls,
  completeTls,
  completeTlsAlone,
  completeTlsClient,
  plainServerName,
} from "../../lib/tls/tls_options.ts";
import { ca, otherCa, server, wildcard } from "../support/certificates.ts";

function complete(options: object): CompleteTls {
  return completeTls("serve", options)!;
}

function refused(options: object, message: string, kind = TypeError): void {
  assertEquals(assertThrows(() => complete(options), kind).message, message);
}

/** The names that come out of the names that go in. */
function names(...given: string[]): string[] {
  const serverNames = Object.fromEntries(given.map((name) => [name, wildcard]));
  return [...(complete({ tls: { serverNames } }).serverNames as Map<string, unknown>).keys()];
}

Deno.test("completeTls() gives nothing when nothing of TLS is asked for", () => {
  assertEquals(completeTls("serve", { port: 0, noDelay: true, cert: undefined }), undefined);
});

Deno.test("completeTls() fills in what was not given", () => {
  assertEquals(complete({ port: 0, ...server, alpnProtocols: ["h2", "é"] }), {
    fallback: server,
    serverNames: undefined,
    alpnProtocols: ["h2", "é"],
    clientCa: [],
    clientCertificate: undefined,
    minVersion: undefined,
    maxVersion: undefined,
  });
  assertEquals(complete({ ...server, tls: {} }), complete(server));
});

Deno.test("completeTls() refuses what is incomplete, unknown or of the wrong type", () => {
  const { cert, key } = server;
  const one = { "a.example": server };
  const map = "an object that has a certificate for each name, or a function that returns one";
  const without = "Cannot serve without a certificate: give 'cert' and 'key', or 'tls.serverNames'";
  const rows: [options: object, message: string][] = [
    [{ cert }, "Cannot serve without 'key': give it beside 'cert'"],
    [{ key }, "Cannot serve without 'cert': give it beside 'key'"],
    [{ cert, tls: { serverNames: one } }, "Cannot serve without 'key': give it beside 'cert'"],
    [{ tls: {} }, without],
    [{ alpnProtocols: ["h2"] }, without],
    [{ tls: { clientCa: ca.cert } }, without],
    [
      { cert, key: 5 },
      "Cannot serve with 'key' of 5: use PEM text, which begins with " +
      '"-----BEGIN PRIVATE KEY-----"',
    ],
    [{ ...server, tls: true }, "Cannot serve with 'tls' of true: use an object"],
    [{ ...server, tls: [] }, "Cannot serve with 'tls' of an empty array: use an object"],
    [
      { ...server, tls: { ca: "" } },
      "Cannot serve with an unknown 'ca' in 'tls': known there " +
      "are serverNames, clientCa, clientCertificate, minVersion, maxVersion",
    ],
    [
      { tls: { serverNames: [] } },
      `Cannot serve with 'tls.serverNames' of an empty array: use ${map}`,
    ],
    [{ tls: { serverNames: {} } }, `Cannot serve with 'tls.serverNames' of an object: use ${map}`],
    [{ tls: { serverNames: "a" } }, `Cannot serve with 'tls.serverNames' of "a": use ${map}`],
    [
      { tls: { serverNames: { "a.example": null } } },
      `Cannot serve with 'tls.serverNames` +
      `["a.example"]' of null: use an object with 'cert' and 'key'`,
    ],
    [
      { tls: { serverNames: { "a.example": { cert } } } },
      `Cannot serve without 'tls.serverNames` +
      `["a.example"].key': give it beside 'tls.serverNames["a.example"].cert'`,
    ],
    [
      { tls: { serverNames: { "a.example": { ...server, ca: "" } } } },
      `Cannot serve with an unknown 'ca' in 'tls.serverNames["a.example"]': known there are cert, key, passphrase`,
    ],
    [
      { tls: { serverNames: { ...one, "A.example.": server } } },
      "Cannot serve with " +
      `'tls.serverNames["A.example."]' twice: neither case nor a trailing dot makes names differ`,
    ],
    [
      { ...server, tls: { clientCertificate: "optional" } },
      "Cannot serve with " +
      `'tls.clientCertificate' of "optional": use "required" or "requested"`,
    ],
    [
      { ...server, tls: { clientCertificate: "required" } },
      "Cannot serve with " +
      `'tls.clientCertificate' of "required" and without 'tls.clientCa': give the authorities ` +
      "whose certificates are accepted",
    ],
    [
      { ...server, tls: { clientCa: [] } },
      "Cannot serve with 'tls.clientCa' of an empty array: " +
      "use the certificate of at least one authority",
    ],
    [
      { ...server, tls: { clientCa: [ca.cert, "ca.pem"] } },
      "Cannot serve with " +
      `'tls.clientCa[1]' of "ca.pem": use the PEM text itself, as Deno.readTextFileSync reads it`,
    ],
    [
      { ...server, tls: { clientCa: ca.cert + ca.key } },
      "Cannot serve with a private key in " +
      "'tls.clientCa': give only the authority's certificate",
    ],
    [
      { ...server, alpnProtocols: "h2" },
      `Cannot serve with 'alpnProtocols' of "h2": use an ` +
      'array of names, such as ["h2", "http/1.1"]',
    ],
    [
      { ...server, alpnProtocols: [] },
      "Cannot serve with 'alpnProtocols' of an empty array: " +
      'use an array of names, such as ["h2", "http/1.1"]',
    ],
    [
      { ...server, alpnProtocols: ["a", ""] },
      `Cannot serve with 'alpnProtocols[1]' of "": use ` +
      'a name, such as "h2"',
    ],
    [
      { ...server, alpnProtocols: ["\ud800"] },
      `Cannot serve with 'alpnProtocols[0]' of ` +
      '"\\ud800": use a name, such as "h2"',
    ],
    [
      { ...server, alpnProtocols: ["a", "b", "a"] },
      `Cannot serve with 'alpnProtocols[2]' of ` +
      '"a" again: give it once',
    ],
  ];
  for (const [options, message] of rows) refused(options, message);
});

Deno.test("completeTls() takes protocols of up to 255 bytes", () => {
  const longest = "é".repeat(127) + "x";
  assertEquals(complete({ ...server, alpnProtocols: [longest] }).alpnProtocols, [longest]);
  refused(
    { ...server, alpnProtocols: [`${longest}x`] },
    "Cannot serve with 'alpnProtocols[0]' of 256 bytes: use at most 255",
    RangeError,
  );
});

Deno.test("completeTls() requires certificates of clients when it is given an authority", () => {
  const { clientCa, clientCertificate } = complete({
    ...server,
    tls: { clientCa: [`Our CA:\n${ca.cert}`, otherCa.cert + ca.cert] },
  });
  assertEquals(clientCertificate, "required");
  const [one = "", two = ""] = clientCa;
  assertEquals(one, ca.cert.trimEnd());
  assertEquals(two, `${otherCa.cert.trimEnd()}\n${ca.cert.trimEnd()}`);
  const requested = { clientCa: ca.cert, clientCertificate: "requested" };
  assertEquals(complete({ ...server, tls: requested }).clientCertificate, "requested");
});

Deno.test("completeTls() keeps names as clients send them", () => {
  assertEquals(names("WWW.Example.com", "*.Example.com.", "localhost", "_x.example", "a-b.c"), [
    "www.example.com",
    "*.example.com",
    "localhost",
    "_x.example",
    "a-b.c",
  ]);
  assertEquals(names("Bücher.example", "*.faß.example", "例え.テスト"), [
    "xn--bcher-kva.example",
    "*.xn--fa-hia.example",
    "xn--r8jz45g.xn--zckzah",
  ]);
  const longest = `${"a".repeat(63)}.`.repeat(3) + "a".repeat(61);
  assertEquals(names(longest), [longest]);
});

Deno.test("completeTls() refuses names that no client sends", () => {
  const bad = ["", ".", "*", "*.", "*.*.x", "a.*.x", "a*.x", "*a.x", "a..b", ".a", "a b", "a/b"]
    .concat(["a:443", "https://a", "-a.x", "a-.x", "a.x..", "a@b", "a%2e", "a\n", "\0"])
    .concat(["127.0.0.1", "::1", "[::1]", "1", "0x7f000001", `${"a".repeat(64)}.x`])
    .concat([`${"a".repeat(63)}.`.repeat(4)]);
  for (const name of bad) {
    const error = assertThrows(() => names(name), TypeError);
    assert(
      error.message.startsWith(
        `Cannot serve with 'tls.serverNames' of ${JSON.stringify(name)}: use names such as ` +
          '"www.example.com" or "*.example.com"',
      ),
      `${name}: ${error.message}`,
    );
  }
});

Deno.test("completeTls() finds a name again however it is written", () => {
  const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/)
    .filter((text) => text.slice(2, 4) !== "--");
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
  fc.assert(fc.property(name, fc.boolean(), fc.boolean(), (name, upper, dot) => {
    const written = (upper ? name.toUpperCase() : name) + (dot ? "." : "");
    assertEquals(names(written), [name]);
    assertEquals(plainServerName(written), name);
  }));
});

Deno.test("completeTls() keeps nothing that the caller can change", () => {
  const options = {
    ...server,
    alpnProtocols: ["a"],
    tls: { serverNames: { "a.example": { ...wildcard } }, clientCa: [ca.cert] },
  };
  const before = complete(options);
  const copy = structuredClone(before);
  options.cert = options.key = "";
  options.alpnProtocols.push("b");
  options.tls.serverNames["a.example"].cert = "";
  options.tls.clientCa.push("");
  assertEquals(before, copy);
});

Deno.test("completeTlsAlone() takes TLS and nothing else", () => {
  assertEquals(completeTlsAlone("start TLS", server), complete(server));
  const rows: [options: unknown, message: string][] = [
    [undefined, "Cannot start TLS with undefined as options: use an object"],
    [
      {},
      "Cannot start TLS without a certificate: give 'cert' and 'key', or 'tls.serverNames', or as the " +
      "client 'role' of \"client\"",
    ],
    [
      { ...server, port: 1 },
      "Cannot start TLS with an unknown option 'port': known here are " +
      "cert, key, passphrase, alpnProtocols, tls",
    ],
  ];
  for (const [options, message] of rows) {
    const run = () => completeTlsAlone("start TLS", options);
    assertEquals(assertThrows(run, TypeError).message, message);
  }
});

Deno.test("completeTlsClient() fills in what was not given", () => {
  assertEquals(completeTlsClient("start TLS", { serverName: "Mail.Example." }), {
    serverName: "mail.example",
    caCerts: [],
    alpnProtocols: [],
    certificate: undefined,
  });
  assertEquals(completeTlsClient("start TLS", { serverName: "::1", ...server }), {
    serverName: "::1",
    caCerts: [],
    alpnProtocols: [],
    certificate: server,
  });
});

Deno.test("completeTlsClient() refuses what is incomplete, unknown or of the wrong type", () => {
  const name = { serverName: "a.test" };
  const rows: [options: unknown, message: string][] = [
    [undefined, "undefined as options: use an object"],
    [{}, "'serverName' of undefined: use the name or the IP address that the server's"],
    [{ serverName: "a b" }, "'serverName' of \"a b\": use"],
    [{ serverName: "127.0.0.256" }, "'serverName' of \"127.0.0.256\": use"],
    [{ ...name, caCerts: ca.cert }, "'caCerts' of"],
    [{ ...name, caCerts: ["ca.pem"] }, "'caCerts[0]' of \"ca.pem\""],
    [{ ...name, caCerts: [ca.key] }, "'caCerts[0]' that holds a PRIVATE KEY"],
    [{ ...name, cert: server.cert }, "without 'key'"],
    [{ ...name, alpnProtocols: [] }, "'alpnProtocols' of an empty array"],
    [
      { ...name, tls: {} },
      "an unknown option 'tls': known here are cert, key, passphrase, serverName",
    ],
  ];
  for (const [options, message] of rows) {
    const error = assertThrows(() => completeTlsClient("start TLS", options), TypeError);
    assert(error.message.startsWith("Cannot start TLS with"), error.message);
    assert(error.message.includes(message), error.message);
  }
});
