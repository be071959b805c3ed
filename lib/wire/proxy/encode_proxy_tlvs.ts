/** Encodes the TLVs of a PROXY header. @module */

import { bad, checkBoolean, checkKeys, checkNumber } from "../../check.ts";
import {
  hex,
  LONGEST_BLOCK,
  LONGEST_UNIQUE_ID,
  SSL_BITS,
  SSL_CLIENT_CERT,
  SSL_HEAD,
  SSL_TEXTS,
  TLV,
  TLV_HEAD,
  VENDOR_SUBTYPE,
} from "./proxy_layout.ts";
import {
  isVerified,
  nameInSsl,
  nameOf,
  type ProxySsl,
  type ProxyTlv,
  type ProxyTlvs,
  TEXTS,
  TEXTS_IN_SSL,
} from "./proxy_tlvs.ts";

/** What failed, as messages about wrong values say it. */
export const ATTEMPT = "encode a PROXY header";

/** The TLVs in the order of their types, then `others` as given. */
export function tlvsOf(tlvs: ProxyTlvs): ProxyTlv[] {
  checkKeys(ATTEMPT, tlvs, [
    ...["alpn", "authority", "uniqueId", "ssl", "netns", "aws", "azure", "gcp", "others"],
  ], "tlvs");
  const { alpn, authority, uniqueId, ssl, netns, aws, azure, gcp } = tlvs;
  const list: ProxyTlv[] = [];
  const add = (type: number, value: Uint8Array) => void list.push({ type, value });
  if (alpn !== undefined) add(TLV.ALPN, alpnBytes(alpn));
  if (authority !== undefined) add(TLV.AUTHORITY, textBytes("tlvs.authority", authority));
  if (uniqueId !== undefined) {
    checkBytes("tlvs.uniqueId", uniqueId, LONGEST_UNIQUE_ID);
    add(TLV.UNIQUE_ID, uniqueId);
  }
  if (ssl !== undefined) add(TLV.SSL, sslBytes(ssl));
  if (netns !== undefined) add(TLV.NETNS, textBytes("tlvs.netns", netns));
  if (gcp !== undefined) {
    checkKeys(ATTEMPT, gcp, ["pscConnectionId"], "tlvs.gcp");
    add(TLV.GCP, gcpBytes(gcp.pscConnectionId));
  }
  if (aws !== undefined) {
    checkKeys(ATTEMPT, aws, ["vpcEndpointId"], "tlvs.aws");
    const id = textBytes("tlvs.aws.vpcEndpointId", aws.vpcEndpointId);
    add(TLV.AWS, Uint8Array.of(VENDOR_SUBTYPE, ...id));
  }
  if (azure !== undefined) {
    checkKeys(ATTEMPT, azure, ["privateEndpointLinkId"], "tlvs.azure");
    add(TLV.AZURE, azureBytes(azure.privateEndpointLinkId));
  }
  return [...list, ...othersOf(IN_HEADER, tlvs)];
}

function alpnBytes(alpn: string): Uint8Array {
  const wanted = "a string of characters up to U+00FF, each of which is a byte";
  if (typeof alpn !== "string") throw new TypeError(bad(ATTEMPT, "tlvs.alpn", alpn, wanted));
  const codes = Array.from({ length: alpn.length }, (_, i) => alpn.charCodeAt(i));
  if (codes.some((code) => code > 255)) {
    throw new RangeError(bad(ATTEMPT, "tlvs.alpn", alpn, wanted));
  }
  return Uint8Array.from(codes);
}

function gcpBytes(id: bigint): Uint8Array {
  const wanted = "a bigint from 0n to 18446744073709551615n";
  if (typeof id !== "bigint") {
    throw new TypeError(bad(ATTEMPT, "tlvs.gcp.pscConnectionId", id, wanted));
  }
  if (BigInt.asUintN(64, id) !== id) {
    throw new RangeError(bad(ATTEMPT, "tlvs.gcp.pscConnectionId", id, wanted));
  }
  const value = new Uint8Array(8);
  new DataView(value.buffer).setBigUint64(0, id);
  return value;
}

function azureBytes(id: number): Uint8Array {
  checkNumber(ATTEMPT, "tlvs.azure.privateEndpointLinkId", id, 0, 2 ** 32 - 1);
  const value = Uint8Array.of(VENDOR_SUBTYPE, 0, 0, 0, 0);
  new DataView(value.buffer).setUint32(1, id, true);
  return value;
}

function sslBytes(ssl: ProxySsl): Uint8Array {
  const flags = ["ssl", "certConnection", "certSession", "verified"] as const;
  const texts = Object.entries(SSL_TEXTS) as [keyof typeof SSL_TEXTS, number][];
  const names = texts.map(([name]) => name);
  checkKeys(
    ATTEMPT,
    ssl,
    [...flags, "verifyResult", ...names, "clientCertificate", "others"],
    "tlvs.ssl",
  );
  for (const name of flags) checkBoolean(ATTEMPT, `tlvs.ssl.${name}`, ssl[name]);
  const { certConnection, certSession, verified, verifyResult = verified ? 0 : 1 } = ssl;
  checkNumber(ATTEMPT, "tlvs.ssl.verifyResult", verifyResult, 0, 2 ** 32 - 1);
  if (verified !== isVerified(ssl.ssl, certConnection || certSession, verifyResult)) {
    const wanted = "true for TLS with a certificate and a 'verifyResult' of 0, and only for that";
    throw new RangeError(bad(ATTEMPT, "tlvs.ssl.verified", verified, wanted));
  }

  const tlvs: ProxyTlv[] = [];
  for (const [name, type] of texts) {
    const text = ssl[name];
    if (text !== undefined) tlvs.push({ type, value: textBytes(`tlvs.ssl.${name}`, text) });
  }
  const { clientCertificate } = ssl;
  if (clientCertificate !== undefined) {
    checkBytes("tlvs.ssl.clientCertificate", clientCertificate, LONGEST_BLOCK);
    tlvs.push({ type: SSL_CLIENT_CERT, value: clientCertificate });
  }
  tlvs.push(...othersOf(IN_SSL, ssl));

  const value = new Uint8Array(SSL_HEAD + sizeOf(tlvs));
  for (const [name, bit] of Object.entries(SSL_BITS)) {
    if (ssl[name as keyof typeof SSL_BITS]) value[0]! |= bit;
  }
  new DataView(value.buffer).setUint32(1, verifyResult);
  writeTlvs(tlvs, value, SSL_HEAD);
  return value;
}

/** A list of TLVs: where it is given, and which types have names there. */
interface Scope {
  readonly path: "tlvs" | "tlvs.ssl";
  readonly texts: ReadonlyMap<number, string>;
  readonly nameOf: (tlv: ProxyTlv) => string | null;
}

const IN_HEADER: Scope = { path: "tlvs", texts: TEXTS, nameOf };
const IN_SSL: Scope = { path: "tlvs.ssl", texts: TEXTS_IN_SSL, nameOf: nameInSsl };

/** The others, after refusing those that a receiver would not find there. */
function othersOf(scope: Scope, given: ProxyTlvs | ProxySsl): readonly ProxyTlv[] {
  const { path, texts, nameOf } = scope;
  const { others = [] }: { others?: unknown } = given;
  if (!Array.isArray(others)) {
    throw new TypeError(bad(ATTEMPT, `${path}.others`, others, "an array of TLVs"));
  }
  const named = given as Readonly<Record<string, unknown>>;
  // A text comes once, whether by name or, where it is not UTF-8, here.
  const taken = new Set(
    [...texts].flatMap(([type, name]) => named[name] === undefined ? [] : [type]),
  );
  for (const [i, tlv] of (others as ProxyTlv[]).entries()) {
    const place = `${path}.others[${i}]`;
    checkKeys(ATTEMPT, tlv, ["type", "value"], place);
    const { type, value } = tlv;
    checkNumber(ATTEMPT, `${place}.type`, type, 0, 255);
    checkBytes(`${place}.value`, value, LONGEST_BLOCK);
    const name = nameOf(tlv);
    if (name !== null) throw wrongType(place, type, `'${path}.${name}'`);
    if (scope === IN_HEADER && type === TLV.CRC32C) {
      throw wrongType(place, type, "the option 'crc32c'");
    }
    if (taken.has(type)) throw wrongType(place, type, "one TLV of that type");
    if (texts.has(type)) taken.add(type);
  }
  return others;
}

function wrongType(place: string, type: number, wanted: string): RangeError {
  return new RangeError(`Cannot ${ATTEMPT} with '${place}.type' of ${hex(type)}: use ${wanted}`);
}

/** Bytes that TLVs take. */
export function sizeOf(tlvs: readonly ProxyTlv[]): number {
  return tlvs.reduce((sum, { value }) => sum + TLV_HEAD + value.length, 0);
}

/** Writes TLVs into `room`, from `at` on. */
export function writeTlvs(tlvs: readonly ProxyTlv[], room: Uint8Array, at: number): void {
  for (const { type, value } of tlvs) {
    room.set([type, value.length >> 8, value.length & 255], at);
    room.set(value, at + TLV_HEAD);
    at += TLV_HEAD + value.length;
  }
}

/** The UTF-8 bytes of a text. */
export function textBytes(name: string, text: string): Uint8Array {
  if (typeof text !== "string") throw new TypeError(bad(ATTEMPT, name, text, "a string"));
  if (!text.isWellFormed()) {
    throw new RangeError(bad(ATTEMPT, name, text, "a string without lone surrogates"));
  }
  return encoder.encode(text);
}

function checkBytes(name: string, value: unknown, most: number): void {
  const wanted = `a Uint8Array of at most ${most} bytes`;
  if (!(value instanceof Uint8Array)) throw new TypeError(bad(ATTEMPT, name, value, wanted));
  if (value.length > most) {
    throw new RangeError(
      `Cannot ${ATTEMPT} with '${name}' of ${value.length} bytes: use ${wanted}`,
    );
  }
}

const encoder = new TextEncoder();
