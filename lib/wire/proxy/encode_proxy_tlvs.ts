/** How are the TLVs of a PROXY header written? @module */

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
  isUnderstood,
  isVerified,
  type ProxySsl,
  type ProxyTlv,
  type ProxyTlvs,
} from "./proxy_tlvs.ts";

/** What a wrong value spoils. */
export const ATTEMPT = "encode a PROXY header";

/** Each TLV with its value, in the order of their types; the rest as it was given. */
export function tlvsOf(tlvs: ProxyTlvs): ProxyTlv[] {
  checkKeys(ATTEMPT, tlvs, [
    ...["alpn", "authority", "uniqueId", "ssl", "netns", "aws", "azure", "gcp", "others"],
  ], "tlvs");
  const { alpn, authority, uniqueId, ssl, netns, aws, azure, gcp, others } = tlvs;
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
  if (others !== undefined) list.push(...checkOthers("tlvs.others", others, isUnderstood));
  return list;
}

function alpnBytes(alpn: string): Uint8Array {
  const wanted = "a string of characters up to U+00FF, each of which stands for a byte";
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
  if (verified !== isVerified(certConnection || certSession, verifyResult)) {
    const wanted = "true for a certificate with a 'verifyResult' of 0, and only for that";
    throw new RangeError(bad(ATTEMPT, "tlvs.ssl.verified", verified, wanted));
  }

  const tlvs: ProxyTlv[] = [];
  for (const [name, type] of texts) {
    const text = ssl[name];
    if (text !== undefined) tlvs.push({ type, value: textBytes(`tlvs.ssl.${name}`, text) });
  }
  const { clientCertificate, others } = ssl;
  if (clientCertificate !== undefined) {
    checkBytes("tlvs.ssl.clientCertificate", clientCertificate, LONGEST_BLOCK);
    tlvs.push({ type: SSL_CLIENT_CERT, value: clientCertificate });
  }
  if (others !== undefined) {
    const known: number[] = [...Object.values(SSL_TEXTS), SSL_CLIENT_CERT];
    tlvs.push(...checkOthers("tlvs.ssl.others", others, ({ type }) => known.includes(type)));
  }

  const value = new Uint8Array(SSL_HEAD + sizeOf(tlvs));
  for (const [name, bit] of Object.entries(SSL_BITS)) {
    if (ssl[name as keyof typeof SSL_BITS]) value[0]! |= bit;
  }
  new DataView(value.buffer).setUint32(1, verifyResult);
  writeTlvs(tlvs, value, SSL_HEAD);
  return value;
}

/** Refuses what would not come back as one of the others. */
function checkOthers(
  name: string,
  others: readonly ProxyTlv[],
  isKnown: (tlv: ProxyTlv) => boolean,
): readonly ProxyTlv[] {
  if (!Array.isArray(others)) throw new TypeError(bad(ATTEMPT, name, others, "an array of TLVs"));
  for (const [i, tlv] of (others as readonly ProxyTlv[]).entries()) {
    checkKeys(ATTEMPT, tlv, ["type", "value"], `${name}[${i}]`);
    checkNumber(ATTEMPT, `${name}[${i}].type`, tlv.type, 0, 255);
    checkBytes(`${name}[${i}].value`, tlv.value, LONGEST_BLOCK);
    if (isKnown(tlv)) {
      throw new RangeError(
        `Cannot encode a PROXY header with '${name}[${i}].type' of ${hex(tlv.type)}: ` +
          "it is known by name, so use that",
      );
    }
  }
  return others;
}

/** How many bytes they are. */
export function sizeOf(tlvs: readonly ProxyTlv[]): number {
  return tlvs.reduce((sum, { value }) => sum + TLV_HEAD + value.length, 0);
}

/** Writes them down at a place. */
export function writeTlvs(tlvs: readonly ProxyTlv[], room: Uint8Array, at: number): void {
  for (const { type, value } of tlvs) {
    room.set([type, value.length >> 8, value.length & 255], at);
    room.set(value, at + TLV_HEAD);
    at += TLV_HEAD + value.length;
  }
}

/** The bytes of a text. */
export function textBytes(name: string, text: string): Uint8Array {
  if (typeof text !== "string") throw new TypeError(bad(ATTEMPT, name, text, "a string"));
  if (!text.isWellFormed()) {
    throw new RangeError(bad(ATTEMPT, name, text, "a string without half a surrogate pair"));
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
