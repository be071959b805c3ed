/** TLVs of a PROXY header are decoded to what they say, and malformed ones are refused. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { ProxyHeaderError } from "../../../lib/errors.ts";
import {
  nameInSsl,
  nameOf,
  type ProxySsl,
  type ProxyTlvs,
  readTlvs,
} from "../../../lib/wire/proxy/proxy_tlvs.ts";

/** Where in a header the TLVs of these tests begin: after two IPv4 addresses. */
const START = 28;

/** The bytes of hexadecimal digits. */
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

Deno.test("readTlvs() decodes every type", () => {
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

Deno.test("readTlvs() decodes all facts about TLS", () => {
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

Deno.test("readTlvs() reports verified only for a certificate in TLS", () => {
  const cases: [string, Partial<ProxySsl>][] = [
    // HAProxy sends 0 for a client without a certificate, too.
    ["01 00000000", { ssl: true, verified: false, verifyResult: 0 }],
    ["03 00000000", { ssl: true, certConnection: true, verified: true, verifyResult: 0 }],
    ["05 00000000", { ssl: true, certSession: true, verified: true, verifyResult: 0 }],
    // Without the bit of TLS, the other two prove nothing.
    ["02 00000000", { certConnection: true, verified: false, verifyResult: 0 }],
    ["06 00000000", { certConnection: true, certSession: true, verified: false, verifyResult: 0 }],
    ["02 0000000a", { certConnection: true, verified: false, verifyResult: 10 }],
    ["06 ffffffff", { certConnection: true, certSession: true, verifyResult: 2 ** 32 - 1 }],
    ["f8 00000001", {}],
  ];
  for (const [digits, ssl] of cases) {
    assertEquals(readTlvs(hex(tlv("20", digits)), START).tlvs, { ssl: { ...NO_TLS, ...ssl } });
  }
});

Deno.test("readTlvs() keeps TLVs that it does not understand, in order", () => {
  const foreign: [string, string][] = [
    ["00", ""],
    ["e1", "01"],
    ["e1", "02"],
    ["21", "61"],
    // Free types with values that are not the vendors'.
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
  for (const one of others) assertEquals(nameOf(one), null);
});

Deno.test("readTlvs() keeps the bytes of a text that is not UTF-8", () => {
  for (const bad of ["61ff", "eda080", "c3"]) {
    for (const type of ["02", "30"]) {
      const other = { type: parseInt(type, 16), value: hex(bad) };
      const found = readTlvs(hex(tlv("01", text("h2")) + tlv(type, bad)), START);
      assertEquals(found.tlvs, { alpn: "h2", others: [other] });
      assertEquals(nameOf(other), null);
      assertThrows(
        () => readTlvs(hex(tlv(type, bad) + tlv(type, "61")), START),
        ProxyHeaderError,
        `a second TLV of type 0x${type}`,
      );
    }
    const other = { type: 0x22, value: hex(bad) };
    const inSsl = `01 00000001 ${tlv("22", bad)}`;
    assertEquals(readTlvs(hex(tlv("20", inSsl)), START).tlvs, {
      ssl: { ...NO_TLS, ssl: true, others: [other] },
    });
    assertEquals(nameInSsl(other), null);
    assertThrows(
      () => readTlvs(hex(tlv("20", inSsl + tlv("22", bad))), START),
      ProxyHeaderError,
      "a second TLV of type 0x22",
    );
  }
});

Deno.test("nameOf() gives the name under which a TLV is decoded", () => {
  const known: [number, string, string][] = [
    [0x01, "ff", "alpn"],
    [0x02, "61", "authority"],
    [0x05, "ff", "uniqueId"],
    [0x20, "ff", "ssl"],
    [0x30, "61", "netns"],
    [0xe0, "0000000000000000", "gcp"],
    [0xea, "01 61", "aws"],
    [0xee, "01 00000000", "azure"],
  ];
  for (const [type, value, name] of known) {
    assertEquals<string | null>(nameOf({ type, value: hex(value) }), name);
  }
  // Neither is found among the TLVs of a decoded header.
  for (const type of [0x03, 0x04]) assertEquals(nameOf({ type, value: hex("00") }), null);
});

Deno.test("readTlvs() says what is wrong, and at which byte of the header", () => {
  const before = tlv("30", "61");
  const at = START + 4;
  const refusals: [string, number, string][] = [
    ["01", at, "1 bytes are too few for a TLV"],
    ["01 00", at, "2 bytes are too few for a TLV"],
    ["02 0002 61", at, "the TLV of type 0x02 has 2 bytes, and 1 are left"],
    ["04 ffff 61", at, "the TLV of type 0x04 has 65535 bytes, and 1 are left"],
    [tlv("03", "010203"), at, "the checksum has 3 bytes instead of 4"],
    [tlv("05", "00".repeat(129)), at, "the unique id has 129 bytes instead of at most 128"],
    [tlv("20", "00000000"), at, "the TLV about TLS has 4 bytes instead of at least 5"],
    [tlv("20", "00 00000000 21 00"), at + 8, "2 bytes are too few for a TLV"],
    [
      tlv("20", `00 00000000 ${tlv("21", "61")} 22 0002 61`),
      at + 12,
      "the TLV of type 0x22 has 2 bytes, and 1 are left",
    ],
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
    assertEquals(error.message, `Cannot decode a PROXY header: ${what}, at byte ${at}`);
    assertEquals(error.at, at);
  }
});
