/** What do the TLVs of a PROXY header say? @module */

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
import { hex, wrong } from "./proxy_layout.ts";

// Numbers in parentheses are sections of HAProxy's `doc/proxy-protocol.txt`.

/**
 * One part of a PROXY header that is not understood here: its type, its value.
 *
 * @example A type of one's own
 * ```ts
 * import { encodeProxyHeader, proxyHeader, type ProxyTlv } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const shard: ProxyTlv = { type: 0xe7, value: new Uint8Array([4, 2]) };
 * const bytes = encodeProxyHeader({ version: 2, command: "PROXY", tlvs: { others: [shard] } });
 * const header = { version: 2, command: "PROXY", tlvs: { others: [shard] } } as const;
 * assertEquals(proxyHeader().decode(bytes, 0, false), { frame: header, taken: bytes.length });
 * ```
 */
export interface ProxyTlv {
  /** 0 to 255; 0xE0 to 0xEF are free for applications. */
  readonly type: number;
  /** At most 4,093 bytes, so that it fits into a header. */
  readonly value: Uint8Array;
}

/**
 * What a PROXY header of version 2 says besides addresses.
 *
 * Texts are what the sender wrote, control characters included: escape them where they are shown.
 *
 * @example Which host name the client asked for
 * ```ts
 * import { encodeProxyHeader, proxyHeader, type ProxyTlvs } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const tlvs: ProxyTlvs = { authority: "example.com", alpn: "h2" };
 * const bytes = encodeProxyHeader({ version: 2, command: "PROXY", tlvs });
 * const found = proxyHeader().decode(bytes, 0, false);
 * assertEquals(found, { frame: { version: 2, command: "PROXY", tlvs }, taken: bytes.length });
 * ```
 */
export interface ProxyTlvs {
  /**
   * The protocol that the client speaks, such as `"h2"`. In the header it is any bytes; each is the
   * character of its number here, which for names in ASCII is the name, and loses nothing otherwise.
   */
  readonly alpn?: string;
  /** The host name that the client asked for, in TLS its SNI. */
  readonly authority?: string;
  /** What the first proxy made up to recognize this connection; at most 128 bytes. */
  readonly uniqueId?: Uint8Array;
  /** The TLS between the client and the proxy. */
  readonly ssl?: ProxySsl;
  /** The network namespace of the connection at the proxy. */
  readonly netns?: string;
  /** What AWS says: through which VPC endpoint the client comes. */
  readonly aws?: { readonly vpcEndpointId: string };
  /** What Azure says: through which private endpoint the client comes. */
  readonly azure?: { readonly privateEndpointLinkId: number };
  /** What Google Cloud says: through which Private Service Connect connection the client comes. */
  readonly gcp?: { readonly pscConnectionId: bigint };
  /** Everything else, in order; not there if there is nothing else. */
  readonly others?: readonly ProxyTlv[];
}

/**
 * What a PROXY header says of the TLS between the client and the proxy.
 *
 * @example Serve only who has shown a certificate that the proxy has verified
 * ```ts
 * import type { ProxySsl } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const nameOf = (ssl: ProxySsl | undefined) => ssl?.verified ? ssl.commonName : undefined;
 *
 * const noCertificate = { ssl: true, certConnection: false, certSession: false, verifyResult: 0 };
 * assertEquals(nameOf({ ...noCertificate, verified: false }), undefined);
 * ```
 */
export interface ProxySsl {
  /** The client connected over TLS. */
  readonly ssl: boolean;
  /** The client showed a certificate on this connection. */
  readonly certConnection: boolean;
  /** The client showed a certificate at least once in the TLS session. */
  readonly certSession: boolean;
  /** The client showed a certificate, and the proxy found it good. */
  readonly verified: boolean;
  /**
   * What the proxy's check came to: 0, or a number that says what was wrong. Some send 0 for a
   * client without a certificate, too, so rely on `verified`. Left out when encoding, it is 0 or 1.
   */
  readonly verifyResult?: number;
  /** The version of TLS, such as `"TLSv1.3"`. */
  readonly version?: string;
  /** The common name in the client's certificate. */
  readonly commonName?: string;
  /** The cipher, such as `"ECDHE-RSA-AES128-GCM-SHA256"`. */
  readonly cipher?: string;
  /** How the proxy's certificate is signed, such as `"RSA-SHA256"`. */
  readonly signatureAlgorithm?: string;
  /** The key of the proxy's certificate, such as `"RSA2048"`. */
  readonly keyAlgorithm?: string;
  /** How keys were exchanged, such as `"secp256r1"`. */
  readonly group?: string;
  /** How the proxy signed the handshake, such as `"rsa_pss_rsae_sha256"`. */
  readonly signatureScheme?: string;
  /** The client's certificate, as DER. */
  readonly clientCertificate?: Uint8Array;
  /** Everything else, in order; not there if there is nothing else. */
  readonly others?: readonly ProxyTlv[];
}

/** What was found. */
export interface FoundTlvs {
  /** What they say, or `undefined` if there is nothing to tell. */
  readonly tlvs: ProxyTlvs | undefined;
  /** Where in the header the four bytes of the checksum stand; -1 if there is none. */
  readonly checksumAt: number;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads the TLVs of a header.
 *
 * @param block All of them and nothing else. What is found is a view of it.
 * @param start Where in the header they begin.
 */
export function readTlvs(block: Uint8Array, start: number): FoundTlvs {
  const tlvs: ProxyTlvs = {};
  const others: ProxyTlv[] = [];
  let checksumAt = -1;
  walk(block, start, (type, value, at) => {
    if (type === TLV.NOOP) return; // Padding: ignored, however often it comes (2.2.4).
    if (type === TLV.CRC32C) {
      checkSize(value.length === 4, "a checksum", value, "4", at);
      if (checksumAt >= 0) throw repeated(type, at);
      checksumAt = at + TLV_HEAD;
      return;
    }
    const said = readTlv(type, value, at) ?? readVendors(type, value);
    if (said === null) others.push({ type, value });
    else add(tlvs, said, type, at);
  });
  const all = others.length === 0 ? tlvs : { ...tlvs, others };
  return { tlvs: Object.keys(all).length === 0 ? undefined : all, checksumAt };
}

/** Whether a TLV would be read as something better than `others`. */
export function isUnderstood({ type, value }: ProxyTlv): boolean {
  return (type < TLV.GCP && Object.values<number>(TLV).includes(type)) ||
    readVendors(type, value) !== null;
}

/** Goes through TLVs, and hands out the place of each in the header. */
function walk(
  block: Uint8Array,
  start: number,
  take: (type: number, value: Uint8Array, at: number) => void,
): void {
  for (let from = 0; from < block.length;) {
    const at = start + from;
    if (block.length - from < TLV_HEAD) {
      throw wrong(`${block.length - from} bytes are left, too few for a TLV`, at);
    }
    const type = block[from]!;
    const size = block[from + 1]! * 256 + block[from + 2]!;
    const to = from + TLV_HEAD + size;
    if (to > block.length) {
      throw wrong(
        `the TLV of type ${hex(type)} has ${size} bytes, where ${
          block.length - from - TLV_HEAD
        } are left`,
        at,
      );
    }
    take(type, block.subarray(from + TLV_HEAD, to), at);
    from = to;
  }
}

/** Reads one of the types that the protocol has registered, or gives `null`. */
function readTlv(type: number, value: Uint8Array, at: number): ProxyTlvs | null {
  switch (type) {
    case TLV.ALPN:
      return { alpn: String.fromCharCode(...value) };
    case TLV.AUTHORITY:
      return { authority: textOf(value, type, at) };
    case TLV.UNIQUE_ID:
      checkSize(
        value.length <= LONGEST_UNIQUE_ID,
        "a unique id",
        value,
        `at most ${LONGEST_UNIQUE_ID}`,
        at,
      );
      return { uniqueId: value };
    case TLV.SSL:
      return { ssl: readSsl(value, at) };
    case TLV.NETNS:
      return { netns: textOf(value, type, at) };
    default:
      return null;
  }
}

function readSsl(value: Uint8Array, at: number): ProxySsl {
  checkSize(value.length >= SSL_HEAD, "what is said of TLS", value, `at least ${SSL_HEAD}`, at);
  const bits = value[0]!;
  const certConnection = (bits & SSL_BITS.certConnection) !== 0;
  const certSession = (bits & SSL_BITS.certSession) !== 0;
  const verifyResult = new DataView(value.buffer, value.byteOffset).getUint32(1);
  const ssl: ProxySsl = {
    ssl: (bits & SSL_BITS.ssl) !== 0,
    certConnection,
    certSession,
    verified: isVerified(certConnection || certSession, verifyResult),
    verifyResult,
  };
  const others: ProxyTlv[] = [];
  walk(value.subarray(SSL_HEAD), at + TLV_HEAD + SSL_HEAD, (type, value, at) => {
    const name = SSL_NAMES.get(type);
    if (name !== undefined) add(ssl, { [name]: textOf(value, type, at) }, type, at);
    else if (type === SSL_CLIENT_CERT) add(ssl, { clientCertificate: value }, type, at);
    else others.push({ type, value });
  });
  return others.length === 0 ? ssl : { ...ssl, others };
}

const SSL_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(SSL_TEXTS).map(([name, type]) => [type, name]),
);

/** HAProxy sends 0 for clients without a certificate, too, so that alone says nothing. */
export function isVerified(hasCertificate: boolean, verifyResult: number): boolean {
  return hasCertificate && verifyResult === 0;
}

/**
 * Reads one of the types that cloud vendors use, or gives `null`.
 *
 * These types are free for any application (2.2.8). So what does not look like the vendor's is no
 * error, but somebody else's.
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

/** Adds what a TLV says; what is said twice may be read differently by two readers. */
function add<T extends object>(to: T, said: Partial<T>, type: number, at: number): void {
  for (const name of Object.keys(said)) if (name in to) throw repeated(type, at);
  Object.assign(to, said);
}

function textOf(value: Uint8Array, type: number, at: number): string {
  const text = decodeText(value);
  if (text === null) throw wrong(`the TLV of type ${hex(type)} is not UTF-8`, at);
  return text;
}

function decodeText(value: Uint8Array): string | null {
  try {
    return utf8.decode(value);
  } catch {
    return null;
  }
}

function checkSize(ok: boolean, what: string, value: Uint8Array, wanted: string, at: number): void {
  if (!ok) throw wrong(`${what} has ${value.length} bytes, where ${wanted} would do`, at);
}

function repeated(type: number, at: number): ProxyHeaderError {
  return wrong(`a second TLV of type ${hex(type)}`, at);
}
