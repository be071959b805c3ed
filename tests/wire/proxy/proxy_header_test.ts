/** PROXY headers are decoded as their specification says, however they arrive. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ProtocolError, ProxyHeaderError } from "../../../lib/errors.ts";
import { encodeProxyHeader } from "../../../lib/wire/proxy/encode_proxy_header.ts";
import { type ProxyHeader, proxyHeader } from "../../../lib/wire/proxy/proxy_header.ts";
import { FIXED, KINDS, sizeOfAddresses } from "../../../lib/wire/proxy/proxy_layout.ts";
import { bytes } from "../../support/bytes.ts";
import { drive, singly } from "../codec/drive.ts";
import { propertyTest } from "../property.ts";
import { headers } from "./proxy_headers.ts";
import { takeHeader } from "./take_header.ts";

const PAYLOAD = bytes`\r\n\r\n\0\r\nQUIT\nPROXY GET /`;

/** The bytes of hexadecimal digits. */
function hex(digits: string): Uint8Array {
  return Uint8Array.fromHex(digits.replaceAll(" ", ""));
}

/** A header of version 2: command and family, then the block, with its length between them. */
function binary(command: string, block: string): Uint8Array {
  const rest = hex(block);
  const size = rest.length.toString(16).padStart(4, "0");
  return Uint8Array.of(...hex(`0d0a0d0a000d0a515549540a ${command} ${size}`), ...rest);
}

/** The header at the front of these bytes, which must be all of them. */
function read(stream: Uint8Array): ProxyHeader {
  const { outcome } = takeHeader(stream, []);
  assert(typeof outcome === "object" && "header" in outcome, JSON.stringify(outcome));
  assertEquals(outcome.taken, stream.length);
  return outcome.header;
}

/** Where and why these bytes are refused, whole and one at a time. */
function refusal(stream: Uint8Array): [number, string] {
  const error = assertThrows(() => proxyHeader().decode(stream, 0, false), ProxyHeaderError);
  assertEquals(takeHeader(stream, singles(stream)).outcome, { error: error.message, at: error.at });
  const [, what = ""] = /^Cannot decode a PROXY header: (.*), at byte \d+$/.exec(error.message) ??
    [];
  assertEquals(error.message.endsWith(`, at byte ${error.at}`), true);
  return [error.at, what];
}

/** Whether a header of an unspecified family was taken without its TLVs. */
function isIgnored(stream: Uint8Array): boolean {
  const { outcome } = takeHeader(stream, []);
  return typeof outcome === "object" && "header" in outcome && outcome.header.tlvs === undefined;
}

function singles(stream: Uint8Array): number[] {
  return new Array(stream.length).fill(1);
}

const FROM_4 = { transport: "tcp", hostname: "192.0.2.7", port: 56324 } as const;
const TO_4 = { transport: "tcp", hostname: "192.0.2.1", port: 443 } as const;
const ADDRESSES_4 = "c0000207 c0000201 dc04 01bb";
const TCP_4: ProxyHeader = { version: 2, command: "PROXY", source: FROM_4, destination: TO_4 };

Deno.test("proxyHeader() decodes a header of either version split anywhere, and leaves the rest", () => {
  const crc = encodeProxyHeader({ ...TCP_4, tlvs: { authority: "example.com" } }, { crc32c: true });
  const all = [
    bytes`PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n`,
    bytes`PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 0 65535\r\n`,
    bytes`PROXY UNKNOWN\r\n`,
    bytes`PROXY UNKNOWN what ever\r\n`,
    binary("21 11", ADDRESSES_4),
    binary("20 00", ""),
    crc,
  ];
  for (const header of all) {
    const stream = Uint8Array.of(...header, ...PAYLOAD);
    const whole = takeHeader(stream, []);
    assertEquals(whole.outcome, { header: read(header), taken: header.length });
    for (let at = 1; at < stream.length; at++) {
      const { outcome, arrived, examined } = takeHeader(stream, [at], true);
      assertEquals(outcome, whole.outcome);
      assertEquals(arrived, at < header.length ? stream.length : at);
      assert(examined <= 2 * header.length, `${examined} of ${header.length}`);
    }
    const slow = takeHeader(stream, singles(stream), true);
    assertEquals([slow.outcome, slow.arrived], [whole.outcome, header.length]);
    assert(slow.examined <= 2 * header.length, `${slow.examined} of ${header.length}`);
    assertEquals(stream.subarray(header.length), PAYLOAD);
  }
});

propertyTest(
  "proxyHeader() decodes what encodeProxyHeader() wrote, at a cost that no split changes",
  [headers, fc.array(fc.integer({ min: 1, max: 30 })), fc.boolean()],
  (header, sizes, crc32c) => {
    const bytes = encodeProxyHeader(header, { crc32c: crc32c && header.version === 2 });
    const stream = Uint8Array.of(...bytes, ...PAYLOAD);
    const { outcome, examined } = takeHeader(stream, sizes, true);
    assertEquals(outcome, { header, taken: bytes.length });
    assert(examined <= 2 * bytes.length, `${examined} of ${bytes.length}`);
  },
  5,
);

propertyTest(
  "proxyHeader() believes no header with a checksum if any bit after its length has changed",
  [headers.filter(({ version, command }) => version === 2 && command === "PROXY"), fc.nat()],
  (header, bit) => {
    const bytes = encodeProxyHeader(header, { crc32c: true });
    const kind = KINDS.get(bytes[13]!);
    const checksumAt = FIXED + (kind === undefined ? 0 : sizeOfAddresses(kind));
    const at = FIXED + (bit >> 3) % (bytes.length - FIXED);
    // The type of the checksum: with another one there is none.
    if (at === checksumAt) return;
    bytes[at]! ^= 1 << (bit & 7);
    if (kind === undefined && isIgnored(bytes)) return;
    assertThrows(() => proxyHeader().decode(bytes, 0, false), ProxyHeaderError);
  },
  5,
);

Deno.test("proxyHeader() decodes one header after the other from a stream of them", () => {
  const one = bytes`PROXY UNKNOWN\r\n`;
  const other = binary("21 11", ADDRESSES_4);
  const stream = Uint8Array.of(...one, ...other, ...one);
  const unknown = { version: 1, command: "PROXY" };
  const codec = { ...proxyHeader(), encode: encodeProxyHeader };
  for (const chunks of [[stream], singly(stream)]) {
    assertEquals(drive(codec, chunks).frames, [unknown, TCP_4, unknown] as ProxyHeader[]);
  }
});

Deno.test("proxyHeader() needs more at the end of the stream, and throws nothing", () => {
  for (const text of ["", "P", "PROXY TCP4 1.2.3.4 ", "PROXY UNKNOWN\r", "\r\n\r\n\0\r\nQUIT\n!"]) {
    const part = bytes`${text}`;
    const answer = proxyHeader().decode(part, 0, true);
    assert(answer !== null && "need" in answer && answer.need > part.length, text);
  }
  // Once its length has arrived, the whole header is needed.
  const [header, need] = [binary("21 11", ADDRESSES_4), 28];
  for (let at = 16; at < need; at++) {
    assertEquals(
      (proxyHeader().decode(header.subarray(0, at), 0, false) as { need: number }).need,
      28,
    );
  }
});

Deno.test("proxyHeader() decodes the lines of version 1", () => {
  const longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  const lines: [string, string, number, string, number][] = [
    [
      "TCP4 255.255.255.255 255.255.255.255 65535 65535",
      "255.255.255.255",
      65535,
      "255.255.255.255",
      65535,
    ],
    ["TCP4 0.0.0.0 1.2.3.4 0 1", "0.0.0.0", 0, "1.2.3.4", 1],
    [`TCP6 ${longest} ${longest} 65535 65535`, longest, 65535, longest, 65535],
    ["TCP6 2001:0DB8:0:0::1 :: 1 2", "2001:db8::1", 1, "::", 2],
    ["TCP6 ::ffff:192.0.2.1 ::FFFF:c000:201 1 2", "::ffff:192.0.2.1", 1, "::ffff:192.0.2.1", 2],
    // As nginx writes two families.
    ["TCP4 192.0.2.7 2001:db8::1 1 2", "192.0.2.7", 1, "2001:db8::1", 2],
    ["TCP6 192.0.2.7 2001:db8::1 1 2", "192.0.2.7", 1, "2001:db8::1", 2],
    ["TCP6 2001:db8::1 192.0.2.7 1 2", "2001:db8::1", 1, "192.0.2.7", 2],
    ["TCP6 192.0.2.7 192.0.2.1 1 2", "192.0.2.7", 1, "192.0.2.1", 2],
  ];
  for (const [text, source, sourcePort, destination, destinationPort] of lines) {
    assertEquals(read(bytes`PROXY ${text}\r\n`), {
      version: 1,
      command: "PROXY",
      source: { transport: "tcp", hostname: source, port: sourcePort },
      destination: { transport: "tcp", hostname: destination, port: destinationPort },
    });
  }
  const ignored = [
    "",
    " ",
    " TCP4 x y",
    ` ${"x".repeat(91)}`,
    ` ${longest} ${longest} 65535 65535`,
  ];
  for (const rest of ignored) {
    assertEquals(read(bytes`PROXY UNKNOWN${rest}\r\n`), { version: 1, command: "PROXY" });
  }
});

Deno.test("proxyHeader() refuses a malformed line of version 1 at the byte that is wrong", () => {
  const fill = (text: string, size: number) => text + "1".repeat(size - text.length);
  const lines: [string, number, string][] = [
    ["GET / HTTP/1.1", 0, "unexpected 0x47"],
    ["POST / HTTP/1.1", 1, "unexpected 0x4f"],
    ["proxy", 0, "unexpected 0x70"],
    ["PROXY  TCP4", 6, "unexpected 0x20"],
    ["PROXY TCP5", 9, "unexpected 0x35"],
    ["PROXY TCP4\t", 10, "unexpected 0x09"],
    ["PROXY UNIX", 8, "unexpected 0x49"],
    ["PROXY UNKNOWN\n", 13, "an LF without a CR before it"],
    ["PROXY UNKNOWNS", 13, "unexpected 0x53 in the line"],
    ["PROXY UNKNOWN x\n", 15, "an LF without a CR before it"],
    ["PROXY UNKNOWN\rx", 13, "a CR without an LF after it"],
    ["PROXY UNKNOWN \r\r\n", 14, "a CR without an LF after it"],
    ["PROXY TCP4 /", 11, "unexpected 0x2f in the line"],
    ["PROXY TCP6 1g", 12, "unexpected 0x67 in the line"],
    ["PROXY TCP4 1.2.3.4\n", 18, "an LF without a CR before it"],
    ["PROXY TCP4 \r\n", 11, "a line of 1 fields instead of 4"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 27, "a line of 3 fields instead of 4"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", 31, "a line of 5 fields instead of 4"],
    ["PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", 30, "a line of 5 fields instead of 4"],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", 31, "a line of 5 fields instead of 4"],
    ["PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", 11, '"1.2.3.04" is not an IP address'],
    ["PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", 19, '"1.2.3.256" is not an IP address'],
    ["PROXY TCP6 1.2.3.04 ::1 1 2\r\n", 11, '"1.2.3.04" is not an IP address'],
    ["PROXY TCP6 ::1 1::2::3 1 2\r\n", 15, '"1::2::3" is not an IP address'],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", 27, '"01" is not a port'],
    ["PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", 29, '"65536" is not a port'],
    ["PROXY TCP6 ::1 ::1 1 a\r\n", 21, '"a" is not a port'],
    ["PROXY TCP6 ::1 ::1 -1 2\r\n", 19, "unexpected 0x2d in the line"],
    [fill("PROXY TCP4 ", 106), 105, "no CRLF within 107 bytes"],
    [fill("PROXY TCP6 ", 106), 105, "no CRLF within 107 bytes"],
    [fill("PROXY UNKNOWN ", 106), 105, "no CRLF within 107 bytes"],
    [`${fill("PROXY UNKNOWN ", 106)}\r\n`, 105, "no CRLF within 107 bytes"],
  ];
  for (const [text, at, what] of lines) {
    assertEquals(refusal(bytes`${text}`), [at, what], text);
    // No byte before it is wrong.
    const { outcome } = takeHeader(bytes`${text.slice(0, at)}`, []);
    assertEquals(outcome, "more is needed", text);
  }
});

Deno.test("proxyHeader() decodes the addresses of version 2", () => {
  const path = (text: string) =>
    [...bytes`${text}`].map((byte) => byte.toString(16).padStart(2, "0"))
      .join("").padEnd(216, "0");
  const six = "20010db8000000000000000000000001 00000000000000000000ffffc0000201 0001 ffff";
  const kinds: [string, string, ProxyHeader["source"], ProxyHeader["source"]][] = [
    ["21 11", ADDRESSES_4, FROM_4, TO_4],
    ["21 12", ADDRESSES_4, { ...FROM_4, transport: "udp" }, { ...TO_4, transport: "udp" }],
    ...([["21 21", "tcp"], ["21 22", "udp"]] as const).map(([command, transport]) =>
      [
        command,
        six,
        { transport, hostname: "2001:db8::1", port: 1 },
        { transport, hostname: "::ffff:192.0.2.1", port: 65535 },
      ] as [string, string, ProxyHeader["source"], ProxyHeader["source"]]
    ),
    ["21 31", path("/run/é.sock") + path(""), { transport: "unix", path: "/run/é.sock" }, {
      transport: "unix",
      path: "",
    }],
    ["21 32", path("\0a\0b") + path("x".repeat(108)), { transport: "unixpacket", path: "\0a\0b" }, {
      transport: "unixpacket",
      path: "x".repeat(108),
    }],
    // With what a sender had in its memory after the end of a path.
    ["21 31", path("/a\0junk") + path("/b\0"), { transport: "unix", path: "/a" }, {
      transport: "unix",
      path: "/b",
    }],
  ];
  for (const [command, block, source, destination] of kinds) {
    const header = read(binary(command, block));
    assertEquals(header, { version: 2, command: "PROXY", source, destination } as ProxyHeader);
  }
});

Deno.test("proxyHeader() accepts LOCAL whatever its family, and skips exactly its block", () => {
  const local: ProxyHeader = { version: 2, command: "LOCAL" };
  const blocks = ["", ADDRESSES_4, "ff", `${ADDRESSES_4} 02 0001 61`, "00".repeat(4096)];
  for (const family of ["00", "11", "13", "ff"]) {
    for (const block of blocks) assertEquals(read(binary(`20 ${family}`, block)), local);
  }
});

Deno.test("proxyHeader() accepts an unspecified family, and ignores a block that is not TLVs", () => {
  const nothing: ProxyHeader = { version: 2, command: "PROXY" };
  const authority: ProxyHeader = { ...nothing, tlvs: { authority: "a" } };
  for (const family of ["00", "01", "02"]) {
    assertEquals(read(binary(`21 ${family}`, "")), nothing);
    assertEquals(read(binary(`21 ${family}`, "02 0001 61")), authority);
    const block4 = "c0a80001 c0a8000b dc04 01bb";
    const block6 = "20010db8".padEnd(64, "0") + "dc04 01bb";
    const blocks = ["ff", block4, block6, "2f72756e".padEnd(432, "0"), `${block4} 02 0001 61`];
    for (const block of blocks) assertEquals(read(binary(`21 ${family}`, block)), nothing);
    assertEquals(refusal(binary(`21 ${family}`, "03 0004 00000000"))[0], 19);
  }
  // The size of these addresses is unknown, and so is where TLVs begin.
  for (const family of ["10", "20", "30"]) {
    for (const block of ["", "ff", "02 0001 61"]) {
      assertEquals(read(binary(`21 ${family}`, block)), nothing);
    }
  }
});

Deno.test("proxyHeader() refuses a malformed header of version 2 as early as it is certain", () => {
  const beginning = "0d0a0d0a000d0a515549540a";
  const streams: [string, number, string][] = [
    ["0d0b", 1, "unexpected 0x0b"],
    ["0d0a0d0a000d0a515549540d", 11, "unexpected 0x0d"],
    [`${beginning} 11`, 12, "version 1 after the signature of version 2"],
    [`${beginning} 31`, 12, "version 3 after the signature of version 2"],
    [`${beginning} 22`, 12, "unknown command 2"],
    [`${beginning} 2f`, 12, "unknown command 15"],
    [`${beginning} 21 41`, 13, "unknown family and transport 0x41"],
    [`${beginning} 21 13`, 13, "unknown family and transport 0x13"],
    [`${beginning} 21 11 11`, 14, "more than 4096 bytes of addresses and TLVs"],
    [`${beginning} 20 ff ff`, 14, "more than 4096 bytes of addresses and TLVs"],
  ];
  for (const [digits, at, what] of streams) {
    const stream = hex(digits);
    assertEquals(refusal(stream), [at, what], digits);
    assertEquals(takeHeader(stream.subarray(0, at), []).outcome, "more is needed", digits);
  }
  // For these, the lower byte of the length decides.
  const lengths: [string, string][] = [
    ["21 11 1001", "more than 4096 bytes of addresses and TLVs"],
    ["21 11 000b", "11 bytes of addresses and TLVs, which is less than the 12 of the addresses"],
    ["21 22 0023", "35 bytes of addresses and TLVs, which is less than the 36 of the addresses"],
    ["21 31 00d7", "215 bytes of addresses and TLVs, which is less than the 216 of the addresses"],
  ];
  for (const [rest, what] of lengths) {
    const stream = hex(`${beginning} ${rest}`);
    assertEquals(refusal(stream), [14, what]);
    assertEquals(takeHeader(stream.subarray(0, 15), []).outcome, "more is needed");
  }
  const path = `${"ff".repeat(108)}${"00".repeat(108)}`;
  assertEquals(refusal(binary("21 31", path)), [16, "a path that is not UTF-8"]);
});

Deno.test("proxyHeader() accepts 4,096 bytes after the fixed part, and no more", () => {
  const padding = (size: number) => `04 ${size.toString(16).padStart(4, "0")} ${"00".repeat(size)}`;
  const most = binary("21 11", `${ADDRESSES_4} ${padding(4096 - 12 - 3)}`);
  assertEquals(most.length, 16 + 4096);
  assertEquals(read(most), TCP_4);
  const more = binary("21 11", `${ADDRESSES_4} ${padding(4096 - 12 - 2)}`);
  assertEquals(refusal(more.subarray(0, 16))[0], 14);
});

Deno.test("proxyHeader() verifies the checksum of a whole header, wherever it is", () => {
  // Captured from a Network Load Balancer of AWS: checksum, endpoint, padding.
  const captured = binary(
    "21 11",
    `ac1f0771 ac1f0a1f c8f2 0050 03 0004 e8d6892d
     ea 0017 01 767063652d3038643262663135666163353030316339 04 0024 ${"00".repeat(36)}`
      .replaceAll("\n", " "),
  );
  assertEquals(read(captured).tlvs, { aws: { vpcEndpointId: "vpce-08d2bf15fac5001c9" } });

  const header = encodeProxyHeader({ ...TCP_4, tlvs: { authority: "a" } }, { crc32c: true });
  for (let at = 28; at < header.length; at++) {
    const changed = header.slice();
    changed[at]! ^= 1;
    assertThrows(() => proxyHeader().decode(changed, 0, false), ProxyHeaderError);
  }
  const changed = header.slice();
  changed[20]! ^= 1;
  const stated = new DataView(header.buffer).getUint32(31);
  const [at, what] = refusal(changed);
  assertEquals(at, 31);
  assertEquals(/^its checksum is (\d+) instead of (\d+)$/.exec(what)?.[2], `${stated}`);
});

Deno.test("proxyHeader() keeps nothing of the chunk in which a header arrived", () => {
  const value = Uint8Array.of(1, 2, 3);
  const header = encodeProxyHeader({ ...TCP_4, tlvs: { uniqueId: value } });
  const chunk = new Uint8Array(65536);
  chunk.set(header);
  const { tlvs } = read(header);
  const found = proxyHeader().decode(chunk, 0, false) as { frame: ProxyHeader };
  chunk.fill(9);
  assertEquals(found.frame.tlvs, tlvs);
  assert(found.frame.tlvs!.uniqueId!.buffer.byteLength <= 4096);
});

Deno.test("proxyHeader() is one decoder for all, and its error is a ProtocolError", () => {
  assertStrictEquals(proxyHeader(), proxyHeader());
  const error = assertThrows(() => proxyHeader().decode(bytes`X`, 0, false), ProtocolError);
  assertEquals([error.name, (error as ProxyHeaderError).at], ["ProxyHeaderError", 0]);
});
