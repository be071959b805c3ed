/** PROXY headers are encoded as their specification says, or refused with the way out. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  encodeProxyHeader,
  type EncodeProxyHeaderOptions,
} from "../../../lib/wire/proxy/encode_proxy_header.ts";
import { type ProxyHeader, proxyHeader } from "../../../lib/wire/proxy/proxy_header.ts";
import { text } from "../../support/bytes.ts";

const FROM = { transport: "tcp", hostname: "192.0.2.7", port: 56324 } as const;
const TO = { transport: "tcp", hostname: "192.0.2.1", port: 443 } as const;
const BINARY: ProxyHeader = { version: 2, command: "PROXY", source: FROM, destination: TO };

Deno.test("encodeProxyHeader() encodes version 1", () => {
  const header: ProxyHeader = { ...BINARY, version: 1 };
  assertEquals(text(encodeProxyHeader(header)), "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
  const six = { transport: "tcp", hostname: "2001:DB8:0::1", port: 0 } as const;
  assertEquals(
    text(encodeProxyHeader({ version: 1, command: "PROXY", source: six, destination: six })),
    "PROXY TCP6 2001:db8::1 2001:db8::1 0 0\r\n",
  );
  assertEquals(text(encodeProxyHeader({ version: 1, command: "PROXY" })), "PROXY UNKNOWN\r\n");
});

Deno.test("encodeProxyHeader() encodes version 2", () => {
  const signature = "0d0a0d0a000d0a515549540a";
  const path = (text: string) => new TextEncoder().encode(text).toHex().padEnd(216, "0");
  const headers: [ProxyHeader, string, EncodeProxyHeaderOptions?][] = [
    [{ version: 2, command: "LOCAL" }, "20000000"],
    [{ version: 2, command: "PROXY" }, "21000000"],
    [BINARY, "2111000cc0000207c0000201dc0401bb"],
    [
      {
        version: 2,
        command: "PROXY",
        source: { transport: "udp", hostname: "::1", port: 1 },
        destination: { transport: "udp", hostname: "::", port: 2 },
      },
      `21220024${"00".repeat(15)}01${"00".repeat(16)}00010002`,
    ],
    [
      {
        version: 2,
        command: "PROXY",
        source: { transport: "unix", path: "" },
        destination: { transport: "unix", path: "\0a" },
      },
      `213100d8${path("")}${path("\0a")}`,
    ],
    [
      { version: 2, command: "PROXY", tlvs: { alpn: "h2", netns: "a" } },
      "210000090100026832" +
      "30000161",
    ],
    [
      {
        version: 2,
        command: "PROXY",
        tlvs: {
          ssl: {
            ssl: true,
            certConnection: true,
            certSession: false,
            verified: true,
            version: "x",
          },
          gcp: { pscConnectionId: 258n },
          azure: { privateEndpointLinkId: 258 },
          others: [{ type: 0xf0, value: Uint8Array.of(9) }],
        },
      },
      "21000023" + "200009" + "0300000000" + "21000178" + "e000080000000000000102" +
      "ee00050102010000" + "f0000109",
    ],
    // proxy_header_test.ts has the checksum of a public capture.
    [{ version: 2, command: "LOCAL" }, "20000007030004a9b87e8f", { crc32c: true }],
  ];
  for (const [header, rest, options] of headers) {
    assertEquals(encodeProxyHeader(header, options).toHex(), signature + rest);
  }
});

Deno.test("encodeProxyHeader() encodes padding, and a receiver skips it", () => {
  for (const size of [0, 13]) {
    const padding = { type: 4, value: new Uint8Array(size) };
    const bytes = encodeProxyHeader({ ...BINARY, tlvs: { others: [padding] } });
    assertEquals(bytes.length, 28 + 3 + size);
    assertEquals(proxyHeader().decode(bytes, 0, false), { frame: BINARY, taken: bytes.length });
  }
});

Deno.test("encodeProxyHeader() maps the IPv4 address of two families into IPv6", () => {
  const six = { ...TO, hostname: "2001:db8::1" };
  const mapped = { ...FROM, hostname: "::ffff:192.0.2.7" };
  for (const version of [1, 2] as const) {
    for (const transport of version === 1 ? ["tcp"] as const : ["tcp", "udp"] as const) {
      const [v4, v6] = [{ ...FROM, transport }, { ...six, transport }];
      for (const [source, destination] of [[v4, v6], [v6, v4]] as const) {
        const header = { version, command: "PROXY", source, destination } as const;
        const bytes = encodeProxyHeader(header);
        const asRead = (end: typeof v4 | typeof v6) =>
          end === v4 ? { ...mapped, transport } : { ...end };
        assertEquals(proxyHeader().decode(bytes, 0, false), {
          frame: { ...header, source: asRead(source), destination: asRead(destination) },
          taken: bytes.length,
        });
      }
    }
  }
});

Deno.test("encodeProxyHeader() adds the result of verification where it is left out", () => {
  const ssl = { ssl: true, certConnection: true, certSession: true, verified: false };
  const bytes = encodeProxyHeader({ ...BINARY, tlvs: { ssl } });
  const { frame } = proxyHeader().decode(bytes, 0, false) as { frame: ProxyHeader };
  assertEquals(frame.tlvs?.ssl, { ...ssl, verifyResult: 1 });
});

Deno.test("encodeProxyHeader() returns memory of its own, and does not write to its arguments", () => {
  const value = Uint8Array.of(1, 2, 3);
  const header = Object.freeze({ ...BINARY, tlvs: Object.freeze({ uniqueId: value }) });
  const bytes = encodeProxyHeader(header, { crc32c: true });
  bytes.fill(0);
  assertEquals(value, Uint8Array.of(1, 2, 3));
});

Deno.test("encodeProxyHeader() accepts the addresses of a connection as Deno gives them", () => {
  const addr: Deno.NetAddr = Object.assign(Object.create(null), FROM);
  const bytes = encodeProxyHeader({ ...BINARY, source: addr, destination: addr });
  const { frame } = proxyHeader().decode(bytes, 0, false) as { frame: ProxyHeader };
  const source: Deno.Addr | undefined = frame.source;
  assertEquals(source, FROM as Deno.NetAddr);
});

Deno.test("encodeProxyHeader() says what it cannot encode, and what to use", () => {
  const unix = { transport: "unix", path: "/a" };
  const ssl = { ssl: true, certConnection: false, certSession: false, verified: false };
  const fits = "at most 108 bytes of UTF-8, with no NUL after the first character";
  const one = "use version 2, since version 1 has only TCP addresses";
  const tlvs = (tlvs: unknown) => ({ ...BINARY, tlvs });
  const from = (source: unknown) => ({ ...BINARY, source });
  const others = (...others: unknown[]) => tlvs({ others });
  const refusals: [unknown, typeof Error, string, unknown?][] = [
    [undefined, TypeError, "with 'header' of undefined: use an object"],
    [null, TypeError, "with 'header' of null: use an object"],
    [
      { ...BINARY, crc32c: true },
      TypeError,
      "with an unknown 'crc32c' in 'header': known there are version, command, source, destination, tlvs",
    ],
    [BINARY, TypeError, "with an unknown 'crc' in 'options': known there are crc32c", {
      crc: true,
    }],
    [BINARY, TypeError, "with 'crc32c' of 1: use true or false", { crc32c: 1 }],
    [BINARY, TypeError, "with 'options' of null: use an object", null],
    [{ ...BINARY, version: 3 }, RangeError, "with 'version' of 3: use one of 1, 2"],
    [{ ...BINARY, version: "2" }, TypeError, `with 'version' of "2": use one of 1, 2`],
    [
      { ...BINARY, command: "proxy" },
      RangeError,
      `with 'command' of "proxy": use one of "PROXY", "LOCAL"`,
    ],
    [
      { ...BINARY, command: undefined },
      TypeError,
      `with 'command' of undefined: use one of "PROXY", "LOCAL"`,
    ],
    [
      from(undefined),
      TypeError,
      "with 'source' of undefined: use an address, as there is a 'destination'",
    ],
    [
      { ...BINARY, destination: undefined },
      TypeError,
      "with 'destination' of undefined: use an address, as there is a 'source'",
    ],
    [from("::1"), TypeError, `with 'source' of "::1": use an object`],
    [
      from({ ...FROM, transport: "sctp" }),
      RangeError,
      `with 'source.transport' of "sctp": use one of "tcp", "udp"`,
    ],
    [
      from({ ...unix, transport: "tcp" }),
      RangeError,
      `with 'source.transport' of "tcp": use one of "unix", "unixpacket"`,
    ],
    [
      from({ ...FROM, address: 1 }),
      TypeError,
      "with an unknown 'address' in 'source': known there are transport, hostname, port",
    ],
    [
      from({ ...FROM, hostname: "localhost" }),
      RangeError,
      `with 'source.hostname' of "localhost": use an IPv4 or IPv6 address`,
    ],
    [
      from({ ...FROM, hostname: undefined }),
      TypeError,
      "with 'source.hostname' of undefined: use an IPv4 or IPv6 address",
    ],
    [
      from({ ...FROM, port: 65536 }),
      RangeError,
      "with 'source.port' of 65536: use a whole number from 0 to 65535",
    ],
    [
      from({ ...FROM, port: "1" }),
      TypeError,
      `with 'source.port' of "1": use a whole number from 0 to 65535`,
    ],
    [
      from({ ...FROM, port: NaN }),
      TypeError,
      "with 'source.port' of NaN: use a whole number from 0 to 65535",
    ],
    [
      from({ ...FROM, transport: "udp" }),
      RangeError,
      `with a 'source' of "udp" and a 'destination' of "tcp": use one transport for both`,
    ],
    [
      from(unix),
      RangeError,
      `with a 'source' of "unix" and a 'destination' of "tcp": use one transport for both`,
    ],
    [from({ ...unix, path: "x".repeat(109) }), RangeError, `use ${fits}`],
    [from({ ...unix, path: "a\0" }), RangeError, `with 'source.path' of "a\\u0000": use ${fits}`],
    [from({ ...unix, path: "\0" }), RangeError, `with 'source.path' of "\\u0000": use ${fits}`],
    [from({ ...unix, path: 7 }), TypeError, "with 'source.path' of 7: use a string"],
    [
      { ...BINARY, version: 1, command: "LOCAL" },
      RangeError,
      `of version 1 with the command LOCAL: ${one}`,
    ],
    [{ ...tlvs({ alpn: "h2" }), version: 1 }, RangeError, `of version 1 with TLVs: ${one}`],
    [{ ...BINARY, version: 1 }, RangeError, `of version 1 with a checksum: ${one}`, {
      crc32c: true,
    }],
    [
      { version: 1, command: "PROXY", source: unix, destination: unix },
      RangeError,
      `of version 1 with 'transport' of "unix": ${one}`,
    ],
    [
      {
        version: 1,
        command: "PROXY",
        source: { ...FROM, transport: "udp" },
        destination: { ...TO, transport: "udp" },
      },
      RangeError,
      `of version 1 with 'transport' of "udp": ${one}`,
    ],
    [
      { ...BINARY, command: "LOCAL" },
      RangeError,
      "with the command LOCAL and addresses or TLVs: use PROXY, since receivers discard them",
    ],
    [
      { version: 2, command: "LOCAL", tlvs: { netns: "" } },
      RangeError,
      "with the command LOCAL and addresses or TLVs: use PROXY, since receivers discard them",
    ],
    [tlvs(7), TypeError, "with 'tlvs' of 7: use an object"],
    [
      tlvs({ authorty: "a" }),
      TypeError,
      "with an unknown 'authorty' in 'tlvs': known there are alpn, authority, uniqueId, ssl, netns, aws, azure, gcp, others",
    ],
    [
      tlvs({ alpn: "→" }),
      RangeError,
      `with 'tlvs.alpn' of "→": use a string of characters up to U+00FF, each of which is a byte`,
    ],
    [tlvs({ alpn: ["h2"] }), TypeError, "with 'tlvs.alpn' of an array: use a string of characters"],
    [
      tlvs({ authority: "\ud800" }),
      RangeError,
      `with 'tlvs.authority' of "\\ud800": use a string without lone surrogates`,
    ],
    [tlvs({ netns: 7 }), TypeError, "with 'tlvs.netns' of 7: use a string"],
    [
      tlvs({ uniqueId: "a" }),
      TypeError,
      `with 'tlvs.uniqueId' of "a": use a Uint8Array of at most 128 bytes`,
    ],
    [
      tlvs({ uniqueId: new Uint8Array(129) }),
      RangeError,
      "with 'tlvs.uniqueId' of 129 bytes: use a Uint8Array of at most 128 bytes",
    ],
    [tlvs({ aws: "vpce" }), TypeError, `with 'tlvs.aws' of "vpce": use an object`],
    [tlvs({ aws: {} }), TypeError, "with 'tlvs.aws.vpcEndpointId' of undefined: use a string"],
    [
      tlvs({ azure: { privateEndpointLinkId: 2 ** 32 } }),
      RangeError,
      "with 'tlvs.azure.privateEndpointLinkId' of 4294967296: use a whole number from 0 to 4294967295",
    ],
    [
      tlvs({ gcp: { pscConnectionId: 7 } }),
      TypeError,
      "with 'tlvs.gcp.pscConnectionId' of 7: use a bigint from 0n to 18446744073709551615n",
    ],
    [
      tlvs({ gcp: { pscConnectionId: -1n } }),
      RangeError,
      "with 'tlvs.gcp.pscConnectionId' of -1n: use a bigint from 0n to 18446744073709551615n",
    ],
    [tlvs({ ssl: { ...ssl, sll: 1 } }), TypeError, "with an unknown 'sll' in 'tlvs.ssl'"],
    [tlvs({ ssl: { ...ssl, ssl: 1 } }), TypeError, "with 'tlvs.ssl.ssl' of 1: use true or false"],
    [
      tlvs({ ssl: { ...ssl, verified: true } }),
      RangeError,
      "with 'tlvs.ssl.verified' of true: use true for TLS with a certificate and a 'verifyResult' of 0, and only for that",
    ],
    [
      tlvs({ ssl: { ...ssl, certSession: true, verifyResult: 0 } }),
      RangeError,
      "with 'tlvs.ssl.verified' of false",
    ],
    [
      tlvs({ ssl: { ...ssl, verifyResult: -1 } }),
      RangeError,
      "with 'tlvs.ssl.verifyResult' of -1: use a whole number from 0 to 4294967295",
    ],
    [tlvs({ ssl: { ...ssl, cipher: 1 } }), TypeError, "with 'tlvs.ssl.cipher' of 1: use a string"],
    [
      tlvs({ ssl: { ...ssl, clientCertificate: "" } }),
      TypeError,
      `with 'tlvs.ssl.clientCertificate' of "": use a Uint8Array`,
    ],
    [
      tlvs({ ssl: { ...ssl, others: [{ type: 0x28, value: new Uint8Array() }] } }),
      RangeError,
      "with 'tlvs.ssl.others[0].type' of 0x28: use 'tlvs.ssl.clientCertificate'",
    ],
    [
      tlvs({ ssl: { ...ssl, ssl: false, certSession: true, verifyResult: 0, verified: true } }),
      RangeError,
      "with 'tlvs.ssl.verified' of true",
    ],
    [
      tlvs({ ssl: { ...ssl, others: [{ type: 0x22, value: Uint8Array.of(97) }] } }),
      RangeError,
      "with 'tlvs.ssl.others[0].type' of 0x22: use 'tlvs.ssl.commonName'",
    ],
    [
      tlvs({
        ssl: { ...ssl, commonName: "a", others: [{ type: 0x22, value: Uint8Array.of(255) }] },
      }),
      RangeError,
      "with 'tlvs.ssl.others[0].type' of 0x22: use one TLV of that type",
    ],
    [tlvs({ others: {} }), TypeError, "with 'tlvs.others' of an object: use an array of TLVs"],
    [others(7), TypeError, "with 'tlvs.others[0]' of 7: use an object"],
    [
      others({ type: 256, value: new Uint8Array() }),
      RangeError,
      "with 'tlvs.others[0].type' of 256: use a whole number from 0 to 255",
    ],
    [
      others({ type: 7, value: [1] }),
      TypeError,
      "with 'tlvs.others[0].value' of an array: use a Uint8Array of at most 4096 bytes",
    ],
    [
      others({ type: 3, value: new Uint8Array(4) }),
      RangeError,
      "with 'tlvs.others[0].type' of 0x03: use the option 'crc32c'",
    ],
    [
      others({ type: 2, value: Uint8Array.of(97) }),
      RangeError,
      "with 'tlvs.others[0].type' of 0x02: use 'tlvs.authority'",
    ],
    [
      others({ type: 2, value: Uint8Array.of(255) }, { type: 2, value: Uint8Array.of(254) }),
      RangeError,
      "with 'tlvs.others[1].type' of 0x02: use one TLV of that type",
    ],
    [
      others({ type: 0xe0, value: new Uint8Array(8) }),
      RangeError,
      "with 'tlvs.others[0].type' of 0xe0: use 'tlvs.gcp'",
    ],
    [
      others({ type: 7, value: new Uint8Array(4097 - 12 - 3) }),
      RangeError,
      "with 4097 bytes of addresses and TLVs: use at most 4096",
    ],
    [
      tlvs({ authority: "x".repeat(70_000) }),
      RangeError,
      "with 70015 bytes of addresses and TLVs: use at most 4096",
    ],
  ];
  for (const [header, kind, message, options] of refusals) {
    const call = () =>
      encodeProxyHeader(header as ProxyHeader, options as EncodeProxyHeaderOptions);
    const error = assertThrows(call, kind, message);
    assertEquals(error.constructor, kind, message);
    assert(error.message.startsWith("Cannot encode a PROXY header "), error.message);
  }
  const most = encodeProxyHeader({
    ...BINARY,
    tlvs: { others: [{ type: 7, value: new Uint8Array(4096 - 12 - 3) }] },
  });
  assertEquals(most.length, 16 + 4096);
});
