/** Decodes the TLVs of a PROXY header. @module */

import type { ProxyHeaderError } from "../../errors.ts";
import {
  LONGEST_UNIQUE_ID,
  SSL_BITS,
  SSL_CLIENT_CERT,
  SSL_HEAD,
  SSL_TEXTS,
  TLV,
  TLV_HEAD,
  VENDOR_SUBTYPE,
} from "./proxy_layout.ts";
import { hex, malformed } from "./proxy_layout.ts";

// Numbers in parentheses are sections of HAProxy's `doc/proxy-protocol.txt`.

/**
 * A TLV of a PROXY header that has no name in {@linkcode ProxyTlvs}: its type and its value.
 *
 * @example A custom type
 * ```ts
 * import {
 *   encodeProxyHeader,
 *   proxyHeader,
 *   type ProxyTlv,
 * } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const shard: ProxyTlv = { type: 0xe7, value: new Uint8Array([4, 2]) };
 * const bytes = encodeProxyHeader({
 *   version: 2,
 *   command: "PROXY",
 *   tlvs: { others: [shard] },
 * });
 * const header = {
 *   version: 2,
 *   command: "PROXY",
 *   tlvs: { others: [shard] },
 * } as const;
 * assertEquals(proxyHeader().decode(bytes, 0, false), {
 *   frame: header,
 *   taken: bytes.length,
 * });
 * ```
 *
 * @category PROXY protocol
 */
export interface ProxyTlv {
  /** The type, 0 to 255; 0xE0 to 0xEF are free for applications. */
  readonly type: number;
  /** The value, at most 4,093 bytes, so that it fits into a header. */
  readonly value: Uint8Array;
}

/**
 * The TLVs of a PROXY header of version 2: facts about the connection besides its addresses.
 *
 * Texts are what the sender wrote, control characters included: escape them where they are shown. A
 * text that is not UTF-8 is not decoded: its TLV is among `others`.
 *
 * @example The host name that the client asked for
 * ```ts
 * import {
 *   encodeProxyHeader,
 *   proxyHeader,
 *   type ProxyTlvs,
 * } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const tlvs: ProxyTlvs = { authority: "example.com", alpn: "h2" };
 * const bytes = encodeProxyHeader({ version: 2, command: "PROXY", tlvs });
 * const found = proxyHeader().decode(bytes, 0, false);
 * assertEquals(found, {
 *   frame: { version: 2, command: "PROXY", tlvs },
 *   taken: bytes.length,
 * });
 * ```
 *
 * @category PROXY protocol
 */
export interface ProxyTlvs {
  /**
   * The protocol that the client speaks, such as `"h2"`. In the header it is any bytes; here each of
   * them is the character of its number, which leaves ASCII as it is and loses nothing otherwise.
   */
  readonly alpn?: string;
  /** The host name that the client asked for, in TLS its SNI. */
  readonly authority?: string;
  /** An id that the first proxy gave the connection; at most 128 bytes. */
  readonly uniqueId?: Uint8Array;
  /** The TLS between the client and the proxy. */
  readonly ssl?: ProxySsl;
  /** The network namespace of the connection at the proxy. */
  readonly netns?: string;
  /** From AWS: the VPC endpoint through which the client comes. */
  readonly aws?: { readonly vpcEndpointId: string };
  /** From Azure: the private endpoint through which the client comes. */
  readonly azure?: { readonly privateEndpointLinkId: number };
  /** From Google Cloud: the Private Service Connect connection through which the client comes. */
  readonly gcp?: { readonly pscConnectionId: bigint };
  /** All other TLVs, in order; absent if there are none. */
  readonly others?: readonly ProxyTlv[];
}

/**
 * The TLS connection between the client and the proxy, as a PROXY header describes it.
 *
 * A text that is not UTF-8 is not decoded: its TLV is among `others`.
 *
 * @example Identify clients by certificates that the proxy has verified
 * ```ts
 * import type { ProxySsl } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const nameOf = (ssl: ProxySsl | undefined) =>
 *   ssl?.verified ? ssl.commonName : undefined;
 *
 * const noCertificate = {
 *   ssl: true,
 *   certConnection: false,
 *   certSession: false,
 *   verifyResult: 0,
 * };
 * assertEquals(nameOf({ ...noCertificate, verified: false }), undefined);
 * ```
 *
 * @category PROXY protocol
 */
export interface ProxySsl {
  /** Whether the client connected over TLS. */
  readonly ssl: boolean;
  /** Whether the client presented a certificate on this connection. */
  readonly certConnection: boolean;
  /** Whether the client presented a certificate at least once in the TLS session. */
  readonly certSession: boolean;
  /** Whether the client connected over TLS with a certificate that the proxy has verified. */
  readonly verified: boolean;
  /**
   * The result of the proxy's verification: 0, or the number of an error. Some proxies send 0 for
   * a client without a certificate, too, so rely on `verified`. When encoding it may be left out,
   * and is 0 or 1 then.
   */
  readonly verifyResult?: number;
  /** The version of TLS, such as `"TLSv1.3"`. */
  readonly version?: string;
  /** The common name in the client's certificate. */
  readonly commonName?: string;
  /** The cipher, such as `"ECDHE-RSA-AES128-GCM-SHA256"`. */
  readonly cipher?: string;
  /** The signature algorithm of the proxy's certificate, such as `"RSA-SHA256"`. */
  readonly signatureAlgorithm?: string;
  /** The key algorithm of the proxy's certificate, such as `"RSA2048"`. */
  readonly keyAlgorithm?: string;
  /** The group of the key exchange, such as `"secp256r1"`. */
  readonly group?: string;
  /** The signature scheme of the handshake, such as `"rsa_pss_rsae_sha256"`. */
  readonly signatureScheme?: string;
  /** The client's certificate in DER. */
  readonly clientCertificate?: Uint8Array;
  /** All other TLVs inside this one, in order; absent if there are none. */
  readonly others?: readonly ProxyTlv[];
}

/** The TLVs of a header, and the place of its checksum. */
export interface FoundTlvs {
  /** The TLVs; `undefined` if there are none. */
  readonly tlvs: ProxyTlvs | undefined;
  /** Where in the header the four bytes of the checksum are; -1 if there is none. */
  readonly checksumAt: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Decodes the TLVs of a header.
 *
 * @param block The TLVs and nothing else. What is returned is a view of it.
 * @param start Where in the header they begin.
 */
export function readTlvs(block: Uint8Array, start: number): FoundTlvs {
  const tlvs: ProxyTlvs = {};
  const others: ProxyTlv[] = [];
  let checksumAt = -1;
  walk(block, start, (type, value, at) => {
    if (type === TLV.NOOP) return; // Padding, ignored however often it comes (2.2.4).
    if (type === TLV.CRC32C) {
      checkSize(value.length === 4, "the checksum", value, "4", at);
      if (checksumAt >= 0) throw repeated(type, at);
      checksumAt = at + TLV_HEAD;
      return;
    }
    const text = TEXTS.get(type);
    if (text !== undefined) return addText(tlvs, others, text, { type, value }, at);
    const found = readTlv(type, value, at) ?? readVendors(type, value);
    if (found === null) others.push({ type, value });
    else add(tlvs, found, type, at);
  });
  const all = others.length === 0 ? tlvs : { ...tlvs, others };
  return { tlvs: Object.keys(all).length === 0 ? undefined : all, checksumAt };
}

/** The name under which `readTlvs()` would return a TLV, or `null` for one among `others`. */
export function nameOf({ type, value }: ProxyTlv): keyof ProxyTlvs | null {
  const text = TEXTS.get(type);
  if (text !== undefined) return decodeText(value) === null ? null : text;
  if (type === TLV.ALPN) return "alpn";
  if (type === TLV.UNIQUE_ID) return "uniqueId";
  if (type === TLV.SSL) return "ssl";
  const [name = null] = Object.keys(readVendors(type, value) ?? {});
  return name as keyof ProxyTlvs | null;
}

/** The same for a TLV inside `ssl`. */
export function nameInSsl({ type, value }: ProxyTlv): keyof ProxySsl | null {
  if (type === SSL_CLIENT_CERT) return "clientCertificate";
  const text = TEXTS_IN_SSL.get(type);
  return text === undefined || decodeText(value) === null ? null : text;
}

/** The registered types that are text, and their names. */
export const TEXTS: ReadonlyMap<number, "authority" | "netns"> = new Map([
  [TLV.AUTHORITY, "authority"],
  [TLV.NETNS, "netns"],
]);

/** The same inside `ssl`. */
export const TEXTS_IN_SSL: ReadonlyMap<number, keyof typeof SSL_TEXTS> = new Map(
  Object.entries(SSL_TEXTS).map(([name, type]) => [type, name as keyof typeof SSL_TEXTS]),
);

/** Walks through TLVs, with the place of each in the header. */
function walk(
  block: Uint8Array,
  start: number,
  take: (type: number, value: Uint8Array, at: number) => void,
): void {
  for (let from = 0; from < block.length;) {
    const at = start + from;
    const left = block.length - from - TLV_HEAD;
    if (left < 0) throw malformed(`${left + TLV_HEAD} bytes are too few for a TLV`, at);
    const type = block[from]!;
    const size = block[from + 1]! * 256 + block[from + 2]!;
    if (size > left) {
      throw malformed(`the TLV of type ${hex(type)} has ${size} bytes, and ${left} are left`, at);
    }
    const to = from + TLV_HEAD + size;
    take(type, block.subarray(from + TLV_HEAD, to), at);
    from = to;
  }
}

/** Decodes a registered type that is not text, or returns `null`. */
function readTlv(type: number, value: Uint8Array, at: number): ProxyTlvs | null {
  switch (type) {
    case TLV.ALPN:
      return { alpn: String.fromCharCode(...value) };
    case TLV.UNIQUE_ID:
      checkSize(
        value.length <= LONGEST_UNIQUE_ID,
        "the unique id",
        value,
        `at most ${LONGEST_UNIQUE_ID}`,
        at,
      );
      return { uniqueId: value };
    case TLV.SSL:
      return { ssl: readSsl(value, at) };
    default:
      return null;
  }
}

function readSsl(value: Uint8Array, at: number): ProxySsl {
  checkSize(value.length >= SSL_HEAD, "the TLV about TLS", value, `at least ${SSL_HEAD}`, at);
  const bits = value[0]!;
  const isTls = (bits & SSL_BITS.ssl) !== 0;
  const certConnection = (bits & SSL_BITS.certConnection) !== 0;
  const certSession = (bits & SSL_BITS.certSession) !== 0;
  const verifyResult = new DataView(value.buffer, value.byteOffset).getUint32(1);
  const ssl: ProxySsl = {
    ssl: isTls,
    certConnection,
    certSession,
    verified: isVerified(isTls, certConnection || certSession, verifyResult),
    verifyResult,
  };
  const others: ProxyTlv[] = [];
  walk(value.subarray(SSL_HEAD), at + TLV_HEAD + SSL_HEAD, (type, value, at) => {
    const text = TEXTS_IN_SSL.get(type);
    if (text !== undefined) addText(ssl, others, text, { type, value }, at);
    else if (type === SSL_CLIENT_CERT) add(ssl, { clientCertificate: value }, type, at);
    else others.push({ type, value });
  });
  return others.length === 0 ? ssl : { ...ssl, others };
}

/**
 * HAProxy sends a result of 0 for clients without a certificate, too, so the result by itself proves
 * nothing; nor do the bits of a certificate without the one of TLS.
 */
export function isVerified(ssl: boolean, hasCertificate: boolean, verifyResult: number): boolean {
  return ssl && hasCertificate && verifyResult === 0;
}

/**
 * Decodes a type that cloud vendors use, or returns `null`.
 *
 * These types are free for any application (2.2.8), so a value that does not look like the vendor's
 * is not an error.
 */
function readVendors(type: number, value: Uint8Array): ProxyTlvs | null {
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  if (type === TLV.GCP && value.length === 8) {
    return { gcp: { pscConnectionId: view.getBigUint64(0) } };
  }
  if (value[0] !== VENDOR_SUBTYPE) return null;
  if (type === TLV.AZURE && value.length === 5) {
    return { azure: { privateEndpointLinkId: view.getUint32(1, true) } };
  }
  if (type === TLV.AWS) {
    const vpcEndpointId = decodeText(value.subarray(1));
    return vpcEndpointId === null ? null : { aws: { vpcEndpointId } };
  }
  return null;
}

/** Adds a fact; one that is stated twice could be read differently by two readers. */
function add<T extends object>(to: T, fact: Partial<T>, type: number, at: number): void {
  for (const name of Object.keys(fact)) if (name in to) throw repeated(type, at);
  Object.assign(to, fact);
}

/**
 * Adds a text, or the bytes of one that is not UTF-8: proxies pass on what a client sent, such as
 * any bytes for a server name, and that must not cost the connection.
 */
function addText(to: object, others: ProxyTlv[], name: string, tlv: ProxyTlv, at: number): void {
  const isSecond = name in to || others.some(({ type }) => type === tlv.type);
  if (isSecond) throw repeated(tlv.type, at);
  const text = decodeText(tlv.value);
  if (text === null) others.push(tlv);
  else Object.assign(to, { [name]: text });
}

function decodeText(value: Uint8Array): string | null {
  try {
    return utf8.decode(value);
  } catch {
    return null;
  }
}

function checkSize(ok: boolean, what: string, value: Uint8Array, wanted: string, at: number): void {
  if (!ok) throw malformed(`${what} has ${value.length} bytes instead of ${wanted}`, at);
}

function repeated(type: number, at: number): ProxyHeaderError {
  return malformed(`a second TLV of type ${hex(type)}`, at);
}
