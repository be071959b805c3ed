/** Names the numbers of a PROXY header of version 2. @module */

import { ProxyHeaderError } from "../../errors.ts";

// Numbers in parentheses are sections of HAProxy's `doc/proxy-protocol.txt`.

/** The first bytes of version 2 (2.2). */
export const SIGNATURE: Uint8Array = Uint8Array.of(
  ...[0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a],
);

/** Bytes of version 2 before the addresses: signature, command, family, length. */
export const FIXED = 16;

/**
 * The most bytes of addresses and TLVs. Up to 65,535 could be announced, which is more memory than
 * a peer should be able to claim; nginx accepts no more than this either, and a client's certificate
 * fits.
 */
export const LONGEST_BLOCK = 4096;

/** Bytes of a Unix address (2.2). */
export const UNIX_PATH = 108;

/** The kinds of addresses, by the 14th byte of version 2: family and transport (2.2). */
export const KINDS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [0x11, { transport: "tcp", size: 4 }],
  [0x12, { transport: "udp", size: 4 }],
  [0x21, { transport: "tcp", size: 16 }],
  [0x22, { transport: "udp", size: 16 }],
  [0x31, { transport: "unix", size: UNIX_PATH }],
  [0x32, { transport: "unixpacket", size: UNIX_PATH }],
]);

/** A transport, and the size of one address in bytes. */
export interface Kind {
  readonly transport: "tcp" | "udp" | "unix" | "unixpacket";
  readonly size: 4 | 16 | typeof UNIX_PATH;
}

/** Bytes of both addresses with their ports. */
export function sizeOfAddresses({ size }: Kind): number {
  return 2 * size + (size === UNIX_PATH ? 0 : 4);
}

/** The types of TLVs that are understood (2.2, and for the last three the vendors' pages). */
export const TLV = {
  ALPN: 0x01,
  AUTHORITY: 0x02,
  CRC32C: 0x03,
  NOOP: 0x04,
  UNIQUE_ID: 0x05,
  SSL: 0x20,
  NETNS: 0x30,
  GCP: 0xe0,
  AWS: 0xea,
  AZURE: 0xee,
} as const;

/** The types of the texts inside `TLV.SSL` (2.2.6). */
export const SSL_TEXTS = {
  version: 0x21,
  commonName: 0x22,
  cipher: 0x23,
  signatureAlgorithm: 0x24,
  keyAlgorithm: 0x25,
  group: 0x26,
  signatureScheme: 0x27,
} as const;

/** The type of the client's certificate inside `TLV.SSL`, which is not text. */
export const SSL_CLIENT_CERT = 0x28;

/** The bits in the first byte of `TLV.SSL` (2.2.6). */
export const SSL_BITS = { ssl: 1, certConnection: 2, certSession: 4 } as const;

/** The most bytes of a unique id (2.2.5). */
export const LONGEST_UNIQUE_ID = 128;

/** The first byte of the values of AWS and Azure is a subtype; this is the only documented one. */
export const VENDOR_SUBTYPE = 1;

/** Bytes before the value of a TLV: type and length. */
export const TLV_HEAD = 3;

/** Bytes of `TLV.SSL` before the TLVs inside it: the bits, and the result of verification (2.2.6). */
export const SSL_HEAD = 5;

/** The error for a malformed header: what is wrong, and at which byte of it. */
export function malformed(what: string, at: number): ProxyHeaderError {
  return new ProxyHeaderError(`Cannot decode a PROXY header: ${what}, at byte ${at}`, at);
}

/** A byte in hexadecimal, as specifications write it. */
export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
