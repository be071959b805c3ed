/** Makes PROXY headers of every kind for property tests. @module */

import fc from "fast-check";
import { readIp, writeIp } from "../../../lib/wire/address/ip_address.ts";
import type { ProxyAddress, ProxyHeader } from "../../../lib/wire/proxy/proxy_header.ts";
import type { ProxySsl, ProxyTlv, ProxyTlvs } from "../../../lib/wire/proxy/proxy_tlvs.ts";
import { TEXTS, TEXTS_IN_SSL } from "../../../lib/wire/proxy/proxy_tlvs.ts";

const port = fc.oneof(fc.constantFrom(0, 1, 65535), fc.nat(65535));
const hostname = {
  4: fc.ipV4(),
  6: fc.oneof(fc.ipV6(), fc.ipV4().map((v4) => `::ffff:${v4}`)).map((text) =>
    writeIp(readIp(text)!)
  ),
};

function net(transport: "tcp" | "udp", family: 4 | 6): fc.Arbitrary<ProxyAddress> {
  return fc.record({ transport: fc.constant(transport), hostname: hostname[family], port });
}

function unix(transport: "unix" | "unixpacket"): fc.Arbitrary<ProxyAddress> {
  const path = fc.oneof(
    fc.string({ maxLength: 36 }).filter((text) => !text.includes("\0")),
    fc.string({ minLength: 1, maxLength: 30 }).filter((text) => !text.includes("\0")).map((text) =>
      `\0${text}`
    ),
  );
  return fc.record({ transport: fc.constant(transport), path });
}

function both(address: fc.Arbitrary<ProxyAddress>): fc.Arbitrary<Partial<ProxyHeader>> {
  return fc.record({ source: address, destination: address });
}

const text = fc.string({ unit: "binary", maxLength: 20 });
const value = fc.uint8Array({ maxLength: 20 });
/** A text that is not UTF-8, in each of some types or in none. */
const broken = (types: number[]): fc.Arbitrary<ProxyTlv[]> =>
  fc.uniqueArray(fc.constantFrom(...types), { maxLength: 2 }).map((types) =>
    types.map((type) => ({ type, value: Uint8Array.of(97, 255) }))
  );
const others = (types: number[]): fc.Arbitrary<ProxyTlv[]> =>
  fc.array(fc.record({ type: fc.constantFrom(...types), value }), { minLength: 1, maxLength: 4 });

const ssl: fc.Arbitrary<ProxySsl> = fc.record({
  ssl: fc.boolean(),
  certConnection: fc.boolean(),
  certSession: fc.boolean(),
  verifyResult: fc.constantFrom(0, 0, 10, 2 ** 32 - 1),
  version: text,
  commonName: text,
  cipher: text,
  signatureAlgorithm: text,
  keyAlgorithm: text,
  group: text,
  signatureScheme: text,
  clientCertificate: value,
  others: fc.tuple(others([0x00, 0x20, 0x29, 0xff]), broken([0x23, 0x26])).map((lists) =>
    lists.flat()
  ),
}, { requiredKeys: ["ssl", "certConnection", "certSession", "verifyResult"] }).map((ssl) => ({
  ...ssl,
  verified: ssl.ssl && (ssl.certConnection || ssl.certSession) && ssl.verifyResult === 0,
})).map(withoutRepeats(TEXTS_IN_SSL));

const tlvs: fc.Arbitrary<ProxyTlvs> = fc.record({
  alpn: fc.string({
    unit: fc.nat(255).map((code) => String.fromCharCode(code)),
    maxLength: 20,
  }),
  authority: text,
  uniqueId: fc.uint8Array({ maxLength: 128 }),
  ssl,
  netns: text,
  aws: fc.record({ vpcEndpointId: text }),
  azure: fc.record({ privateEndpointLinkId: fc.nat(2 ** 32 - 1) }),
  gcp: fc.record({ pscConnectionId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) }),
  others: fc.tuple(others([0x00, 0x06, 0x21, 0xe1, 0xef, 0xff]), broken([0x02, 0x30])).map((
    lists,
  ) => lists.flat()),
}, { requiredKeys: [] }).map(withoutRepeats(TEXTS));

/** Leaves out each text of which there is a broken one, too. */
function withoutRepeats(texts: ReadonlyMap<number, string>) {
  return <T extends { others?: readonly ProxyTlv[] }>(tlvs: T): T => {
    const repeated = (tlvs.others ?? []).map(({ type }) => texts.get(type));
    return Object.fromEntries(
      Object.entries(tlvs).filter(([name]) => !repeated.includes(name)),
    ) as T;
  };
}

/** Headers as they are decoded: without empty parts. */
export const headers: fc.Arbitrary<ProxyHeader> = fc.oneof(
  fc.constant<ProxyHeader>({ version: 1, command: "PROXY" }),
  fc.constant<ProxyHeader>({ version: 2, command: "LOCAL" }),
  fc.oneof(both(net("tcp", 4)), both(net("tcp", 6))).map((ends): ProxyHeader => ({
    version: 1,
    command: "PROXY",
    ...ends,
  })),
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.oneof(
        fc.constant({}),
        ...(["tcp", "udp"] as const).flatMap((transport) => [
          both(net(transport, 4)),
          both(net(transport, 6)),
        ]),
        both(unix("unix")),
        both(unix("unixpacket")),
      ),
      fc.option(tlvs.filter((tlvs) => Object.keys(tlvs).length > 0), { nil: undefined }),
    ).map(([ends, tlvs]): ProxyHeader => ({
      version: 2,
      command: "PROXY",
      ...ends,
      ...(tlvs === undefined ? {} : { tlvs }),
    })),
  },
);
