/** Is each TLV of a PROXY header read as what it says, and each that is wrong refused? @module */

import { assertEquals, assertThrows } from "@std/assert";
import { ProxyHeaderError } from "../../../lib/errors.ts";
import {
  isUnderstood,
  type ProxySsl,
  type ProxyTlvs,
  readTlvs,
} from "../../../lib/wire/proxy/proxy_tlvs.ts";

/** Where in a header the TLVs of these tests begin: behind two addresses of IPv4. */
const START = 28;

/** The bytes that hexadecimal digits stand for. */
function hex(digits: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.fromHex(digits.replaceAll(" ", ""));
}

/** A text as hexadecimal digits. */
function text(text: string): string {
  return new TextEncoder().encode(text).toHex();
}

/** A TLV as hexadecimal digits. */
function tlv(type: string, value: string): string {
  const size = value.replaceAll(" ", "").length / 2;
  return `${type} ${size.toString(16).padStart(4, "0")} ${value}`;
}

const NO_TLS: ProxySsl = {
  ssl: false,
  certConnection: false,
  certSession: false,
  verified: false,
  verifyResult: 1,
};

Deno.test("readTlvs() reads every type", () => {
  const types: [string, ProxyTlvs | undefined][] = [
    ["", undefined],
    [tlv("01", text("h2")), { alpn: "h2" }],
    [tlv("01", "00 7f 80 ff"), { alpn: "\0\x7f\x80\xff" }],
    [tlv("02", text("bücher.example")), { authority: "bücher.example" }],
    [tlv("02", text("\ufeffa\0\x1b[2J")), { authority: "\ufeffa\0\x1b[2J" }],
    [tlv("02", ""), { authority: "" }],
    [tlv("04", "") + tlv("04", "0102"), undefined],
    [tlv("05", "00ff"), { uniqueId: hex("00ff") }],
    [tlv("05", "aa".repeat(128)), { uniqueId: hex("aa".repeat(128)) }],
    [tlv("30", text("blue")), { netns: "blue" }],
    [tlv("ea", "01" + text("vpce-abc123")), { aws: { vpcEndpointId: "vpce-abc123" } }],
    [tlv("ee", "01 c1450021"), { azure: { privateEndpointLinkId: 0x210045c1 } }],
    [tlv("ee", "01 ffffffff"), { azure: { privateEndpointLinkId: 2 ** 32 - 1 } }],
    [tlv("e0", "ffffffffc0a86402"), { gcp: { pscConnectionId: 18446744072646845442n } }],
    [tlv("20", "00 00000001"), { ssl: NO_TLS }],
  ];
  for (const [digits, tlvs] of types) {
    assertEquals(readTlvs(hex(digits), START), { tlvs, checksumAt: -1 }, digits);
  }
  assertEquals(readTlvs(hex(tlv("30", "61") + tlv("03", "01020304")), START), {
    tlvs: { netns: "a" },
    checksumAt: START + 4 + 3,
  });
});

Deno.test("readTlvs() reads what is said of TLS, to its last detail", () => {
  // As HAProxy sends it for a client with a certificate, and all that may be added.
  const parts = tlv("21", text("TLSv1.3")) + tlv("22", text("Kurt Gödel")) +
    tlv("23", text("ECDHE-RSA-AES128-GCM-SHA256")) + tlv("24", text("RSA-SHA256")) +
    tlv("25", text("RSA2048")) + tlv("26", text("secp256r1")) +
    tlv("27", text("rsa_pss_rsae_sha256")) + tlv("28", "3082") + tlv("29", "0102");
  assertEquals(readTlvs(hex(tlv("20", `07 00000000 ${parts}`)), START).tlvs, {
    ssl: {
      ssl: true,
      certConnection: true,
      certSession: true,
      verified: true,
      verifyResult: 0,
      version: "TLSv1.3",
      commonName: "Kurt Gödel",
      cipher: "ECDHE-RSA-AES128-GCM-SHA256",
      signatureAlgorithm: "RSA-SHA256",
      keyAlgorithm: "RSA2048",
      group: "secp256r1",
      signatureScheme: "rsa_pss_rsae_sha256",
      clientCertificate: hex("3082"),
      others: [{ type: 0x29, value: hex("0102") }],
    },
  });
});

Deno.test("readTlvs() takes a certificate for verified only if there is one", () => {
  const cases: [string, Partial<ProxySsl>][] = [
    // HAProxy sends 0 for a client without a certificate.
    ["01 00000000", { ssl: true, verified: false, verifyResult: 0 }],
    ["02 00000000", { certConnection: true, verified: true, verifyResult: 0 }],
    ["04 00000000", { certSession: true, verified: true, verifyResult: 0 }],
    ["02 0000000a", { certConnection: true, verified: false, verifyResult: 10 }],
    ["06 ffffffff", { certConnection: true, certSession: true, verifyResult: 2 ** 32 - 1 }],
    ["f8 00000001", {}],
  ];
  for (const [digits, ssl] of cases) {
    assertEquals(readTlvs(hex(tlv("20", digits)), START).tlvs, { ssl: { ...NO_TLS, ...ssl } });
  }
});

Deno.test("readTlvs() keeps what it does not understand, in order", () => {
  const foreign: [string, string][] = [
    ["00", ""],
    ["e1", "01"],
    ["e1", "02"],
    ["21", "61"],
    // Free types, whose values are not the vendors'.
    ["e0", "0102"],
    ["ea", ""],
    ["ea", "02 61"],
    ["ea", "01 ff"],
    ["ee", "01 000000"],
    ["ee", "02 00000000"],
    ["ff", "ff"],
  ];
  const others = foreign.map(([type, value]) => ({ type: parseInt(type, 16), value: hex(value) }));
  const digits = foreign.map(([type, value]) => tlv(type, value));
  digits.splice(3, 0, tlv("30", "61"));
  assertEquals(readTlvs(hex(digits.join("")), START).tlvs, { netns: "a", others });
  for (const one of others) assertEquals(isUnderstood(one), false);
});

Deno.test("isUnderstood() knows each type that is read by name", () => {
  const known: [number, string][] = [
    ...[0x01, 0x02, 0x03, 0x04, 0x05, 0x20, 0x30].map((type): [number, string] => [type, "ff"]),
    [0xe0, "0000000000000000"],
    [0xea, "01 61"],
    [0xee, "01 00000000"],
  ];
  for (const [type, value] of known) assertEquals(isUnderstood({ type, value: hex(value) }), true);
});

Deno.test("readTlvs() says what is wrong, and at which byte of the header", () => {
  const before = tlv("30", "61");
  const at = START + 4;
  const refusals: [string, number, string][] = [
    ["01", at, "1 bytes are left, too few for a TLV"],
    ["01 00", at, "2 bytes are left, too few for a TLV"],
    ["02 0002 61", at, "the TLV of type 0x02 has 2 bytes, where 1 are left"],
    ["04 ffff 61", at, "the TLV of type 0x04 has 65535 bytes, where 1 are left"],
    [tlv("02", "61ff"), at, "the TLV of type 0x02 is not UTF-8"],
    [tlv("02", "eda080"), at, "the TLV of type 0x02 is not UTF-8"],
    [tlv("03", "010203"), at, "a checksum has 3 bytes, where 4 would do"],
    [tlv("05", "00".repeat(129)), at, "a unique id has 129 bytes, where at most 128 would do"],
    [tlv("20", "00000000"), at, "what is said of TLS has 4 bytes, where at least 5 would do"],
    [tlv("20", "00 00000000 21 00"), at + 8, "2 bytes are left, too few for a TLV"],
    [
      tlv("20", `00 00000000 ${tlv("21", "61")} 22 0002 61`),
      at + 12,
      "the TLV of type 0x22 has 2 bytes, where 1 are left",
    ],
    [tlv("20", `00 00000000 ${tlv("22", "ff")}`), at + 8, "the TLV of type 0x22 is not UTF-8"],
    [
      tlv("20", `00 00000000 ${tlv("28", "61")} ${tlv("28", "61")}`),
      at + 12,
      "a second TLV of type 0x28",
    ],
    [
      tlv("20", `00 00000000 ${tlv("21", "61")} ${tlv("21", "61")}`),
      at + 12,
      "a second TLV of type 0x21",
    ],
    [before, at, "a second TLV of type 0x30"],
    [tlv("03", "01020304") + tlv("03", "01020304"), at + 7, "a second TLV of type 0x03"],
    [tlv("ea", "0161") + tlv("ea", "0162"), at + 5, "a second TLV of type 0xea"],
    [tlv("e0", "00".repeat(8)).repeat(2), at + 11, "a second TLV of type 0xe0"],
    [tlv("ee", "0100000000").repeat(2), at + 8, "a second TLV of type 0xee"],
    [tlv("20", "0000000000").repeat(2), at + 8, "a second TLV of type 0x20"],
    [tlv("01", "").repeat(2), at + 3, "a second TLV of type 0x01"],
    [tlv("05", "").repeat(2), at + 3, "a second TLV of type 0x05"],
  ];
  for (const [digits, at, what] of refusals) {
    const error = assertThrows(() => readTlvs(hex(before + digits), START), ProxyHeaderError);
    assertEquals(error.message, `Cannot take a PROXY header: ${what}, at byte ${at}`);
    assertEquals(error.at, at);
  }
});
