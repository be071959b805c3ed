/** Makes PROXY headers to try, well-formed and malformed. @module */

import { encodeProxyHeader } from "../../lib/wire/proxy/encode_proxy_header.ts";
import { writeIp } from "../../lib/wire/address/ip_address.ts";
import type { ProxyAddress, ProxyHeader } from "../../lib/wire/proxy/proxy_header.ts";
import type { ProxySsl, ProxyTlv, ProxyTlvs } from "../../lib/wire/proxy/proxy_tlvs.ts";
import type { Chance } from "../support/chance.ts";

/** The first bytes of a stream, with what may follow them. */
export interface Sample {
  readonly stream: Uint8Array;
  /** The header that must be decoded, and its size, where nothing is wrong. */
  readonly right?: { header: ProxyHeader; taken: number };
}

/** Ways to make a stream, by what is wrong with it. */
export const HEADERS: Record<string, (chance: Chance) => Sample> = {
  "version 1": (chance) => right(chance, lineHeader(chance), false),
  "version 2": (chance) => right(chance, binaryHeader(chance), false),
  "version 2 with a checksum": (chance) => right(chance, binaryHeader(chance), true),
  "any bytes": (chance) => wrong(bytes(chance, chance.from(0, 300))),
  "any bytes after the signature": (chance) => wrong(anyBlock(chance)),
  "bits flipped": (chance) => wrong(flipped(chance, encoded(chance), 0)),
  "bits flipped after a length": (chance) => wrong(flipped(chance, encoded(chance), 16)),
  "cut short": (chance) => {
    const whole = encoded(chance);
    const part = whole.subarray(0, chance.from(0, whole.length - 1));
    return wrong(chance.onceIn(2) ? part : join(part, payload(chance)));
  },
  "wrong length": (chance) => wrong(wrongLength(chance)),
  "wrong length of a TLV": (chance) => wrong(wrongTlvLength(chance)),
  "a TLV twice": (chance) => wrong(twice(chance)),
  "too long": (chance) => wrong(tooLong(chance)),
  "nearly the signature": (chance) => wrong(nearly(chance)),
  "bytes put in or left out": (chance) => wrong(edited(chance, encoded(chance))),
  "characters of a line replaced": (chance) => wrong(misspelled(chance)),
  "two halves": (chance) => {
    const [one, other] = [encoded(chance), encoded(chance)];
    return wrong(join(
      one.subarray(0, chance.from(0, one.length)),
      other.subarray(chance.from(0, other.length)),
    ));
  },
};

function right(chance: Chance, header: ProxyHeader, crc32c: boolean): Sample {
  const bytes = encodeProxyHeader(header, { crc32c });
  return { stream: join(bytes, payload(chance)), right: { header, taken: bytes.length } };
}

function wrong(stream: Uint8Array): Sample {
  return { stream };
}

/** A well-formed header of any kind. */
function encoded(chance: Chance): Uint8Array {
  if (chance.onceIn(3)) return encodeProxyHeader(lineHeader(chance));
  return encodeProxyHeader(binaryHeader(chance), { crc32c: chance.onceIn(2) });
}

function lineHeader(chance: Chance): ProxyHeader {
  if (chance.onceIn(8)) return { version: 1, command: "PROXY" };
  const family = chance.pick([4, 16]);
  return { version: 1, command: "PROXY", ...both(() => net(chance, "tcp", family)) };
}

function binaryHeader(chance: Chance): ProxyHeader {
  if (chance.onceIn(16)) return { version: 2, command: "LOCAL" };
  const tlvs = tlvsOf(chance);
  return {
    version: 2,
    command: "PROXY",
    ...ends(chance),
    ...(Object.keys(tlvs).length > 0 ? { tlvs } : {}),
  };
}

function ends(chance: Chance): Partial<ProxyHeader> {
  if (chance.onceIn(8)) return {};
  if (chance.onceIn(8)) {
    const transport = chance.pick(["unix", "unixpacket"] as const);
    return both(() => ({
      transport,
      path: chance.pick(["", "/", "\0"]) + `é${chance.from(0, 9)}`,
    }));
  }
  const transport = chance.pick(["tcp", "udp"] as const);
  const family = chance.pick([4, 16]);
  return both(() => net(chance, transport, family));
}

function both(address: () => ProxyAddress): Partial<ProxyHeader> {
  return { source: address(), destination: address() };
}

function net(chance: Chance, transport: "tcp" | "udp", size: number): ProxyAddress {
  const bytes = Uint8Array.from({ length: size }, () => chance.pick([0, 0, 1, 192, 255]));
  return { transport, hostname: writeIp(bytes), port: chance.from(0, 65535) };
}

function tlvsOf(chance: Chance): ProxyTlvs {
  return {
    ...(chance.onceIn(3) && { alpn: chance.pick(["h2", "", "\xff\0"]) }),
    ...(chance.onceIn(3) &&
      { authority: chance.pick(["example.com", "", "bücher.example", "\n"]) }),
    ...(chance.onceIn(4) && { uniqueId: bytes(chance, chance.from(0, 128)) }),
    ...(chance.onceIn(3) && { ssl: sslOf(chance) }),
    ...(chance.onceIn(8) && { aws: { vpcEndpointId: "vpce-08d2bf15fac5001c9" } }),
    ...(chance.onceIn(8) && { azure: { privateEndpointLinkId: chance.from(0, 2 ** 32 - 1) } }),
    ...(chance.onceIn(8) && { gcp: { pscConnectionId: BigInt(chance.from(0, 2 ** 32)) << 31n } }),
    ...(chance.onceIn(4) && {
      others: Array.from({ length: chance.from(1, 3) }, () => ({
        type: chance.pick([0, 6, 0xe1, 0xff]),
        value: bytes(chance, chance.from(0, 30)),
      })),
    }),
    ...(chance.onceIn(2)
      ? chance.onceIn(4) && { netns: "blue" }
      : chance.onceIn(8) && { others: [broken(0x30)] }),
  };
}

function sslOf(chance: Chance): ProxySsl {
  const certConnection = chance.onceIn(2);
  const certSession = chance.onceIn(2);
  const verifyResult = chance.pick([0, 10]);
  const ssl = chance.onceIn(2);
  return {
    ssl,
    certConnection,
    certSession,
    verified: ssl && (certConnection || certSession) && verifyResult === 0,
    verifyResult,
    ...(chance.onceIn(2) && { version: "TLSv1.3" }),
    ...(chance.onceIn(2) && { commonName: "Kurt Gödel" }),
    ...(chance.onceIn(4) && { cipher: "ECDHE-RSA-AES128-GCM-SHA256" }),
    ...(chance.onceIn(8) && { clientCertificate: bytes(chance, chance.from(0, 1500)) }),
    ...(chance.onceIn(8) && { others: [{ type: 0x29, value: bytes(chance, 3) }, broken(0x27)] }),
  };
}

/** A text that is not UTF-8. */
function broken(type: number): ProxyTlv {
  return { type, value: Uint8Array.of(97, 255) };
}

/** A fixed part with bytes after it that mean nothing, or nearly something. */
function anyBlock(chance: Chance): Uint8Array {
  const stream = encodeProxyHeader({ version: 2, command: "PROXY" });
  stream[13] = chance.pick([0, 0x11, 0x21, 0x31, chance.from(0, 255)]);
  const block = Uint8Array.from(
    { length: chance.from(0, 300) },
    () => chance.pick([0, 0, 0, 1, 2, 3, 4, 5, 0x20, 0x21, 0x30, 0xea, chance.from(0, 255)]),
  );
  const size = chance.onceIn(4) ? chance.from(0, 4096) : block.length;
  stream[14] = size >> 8;
  stream[15] = size & 255;
  return join(stream, block);
}

function flipped(chance: Chance, stream: Uint8Array, least: number): Uint8Array {
  if (stream.length <= least) return stream;
  for (let left = chance.from(1, 4); left > 0; left--) {
    stream[chance.from(least, stream.length - 1)]! ^= 1 << chance.from(0, 7);
  }
  return stream;
}

function wrongLength(chance: Chance): Uint8Array {
  const stream = encodeProxyHeader(binaryHeader(chance), { crc32c: chance.onceIn(2) });
  const size = stream.length - 16 + chance.pick([-12, -4, -3, -1, 1, 3, 12, chance.from(0, 65535)]);
  stream[14] = size >> 8;
  stream[15] = size & 255;
  return join(stream, payload(chance));
}

function wrongTlvLength(chance: Chance): Uint8Array {
  const { stream, at } = withTlv(chance, chance.from(0, 40));
  const place = at + chance.from(1, 2);
  stream[place] = chance.pick([0, 1, stream[place]! + 1, stream[place]! - 1, chance.from(0, 255)]);
  return stream;
}

function twice(chance: Chance): Uint8Array {
  const { stream, at } = withTlv(chance, chance.from(0, 40));
  const doubled = join(stream, stream.subarray(at));
  doubled[14] = (doubled.length - 16) >> 8;
  doubled[15] = (doubled.length - 16) & 255;
  return doubled;
}

/** A header with one TLV of a known type, and where it begins. */
function withTlv(chance: Chance, size: number): { stream: Uint8Array; at: number } {
  const before = encodeProxyHeader({ version: 2, command: "PROXY", ...ends(chance) });
  const type = chance.pick([1, 2, 3, 4, 5, 0x20, 0x30, 0xe0, 0xea, 0xee]);
  const stream = join(before, Uint8Array.of(type, 0, size), bytes(chance, size));
  stream[14] = (stream.length - 16) >> 8;
  stream[15] = (stream.length - 16) & 255;
  return { stream, at: before.length };
}

function tooLong(chance: Chance): Uint8Array {
  if (chance.onceIn(2)) {
    const words = ["TCP4 1.2.3.4 ", "TCP6 ::1 ", "UNKNOWN "];
    const line = `PROXY ${chance.pick(words)}${"1".repeat(chance.from(30, 120))}\r\n`;
    return new TextEncoder().encode(line);
  }
  const stream = encodeProxyHeader({ version: 2, command: "PROXY" });
  const size = chance.from(4094, 4100);
  stream[14] = size >> 8;
  stream[15] = size & 255;
  return join(stream, Uint8Array.of(4, (size - 3) >> 8, (size - 3) & 255), new Uint8Array(size));
}

function nearly(chance: Chance): Uint8Array {
  const stream = encoded(chance);
  const at = chance.from(0, Math.min(15, stream.length - 1));
  stream[at] = chance.pick([stream[at]! ^ 0x20, 13, 10, 0, 32, 80, chance.from(0, 255)]);
  return stream;
}

function edited(chance: Chance, stream: Uint8Array): Uint8Array {
  const at = chance.from(0, stream.length);
  const behind = chance.onceIn(2) ? at : Math.min(stream.length, at + chance.from(1, 9));
  const between = bytes(chance, behind > at ? 0 : chance.from(1, 9));
  return join(stream.subarray(0, at), between, stream.subarray(behind), payload(chance));
}

function misspelled(chance: Chance): Uint8Array {
  const line = encodeProxyHeader(lineHeader(chance));
  for (let left = chance.from(1, 3); left > 0; left--) {
    line[chance.from(0, line.length - 1)] = chance.pick([..." \r\n0159.:afFTCP46-"]).charCodeAt(0);
  }
  return join(line, payload(chance));
}

/** The bytes after a header; some of them look like one. */
function payload(chance: Chance): Uint8Array {
  if (chance.onceIn(4)) return encoded(chance);
  return bytes(chance, chance.from(0, 20));
}

function bytes(chance: Chance, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => chance.from(0, 255));
}

function join(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
