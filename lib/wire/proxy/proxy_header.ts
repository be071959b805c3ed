/** Decodes PROXY headers of version 1 and 2. @module */

import { crc32c } from "./crc32c.ts";
import type { Decoded, Decoder, Need } from "../codec/codec.ts";
import { readIp, writeIp } from "../address/ip_address.ts";
import {
  FIXED,
  type Kind,
  KINDS,
  LONGEST_BLOCK,
  SIGNATURE,
  sizeOfAddresses,
} from "./proxy_layout.ts";
import { type FoundTlvs, type ProxyTlvs, readTlvs } from "./proxy_tlvs.ts";
import { hex, malformed } from "./proxy_layout.ts";

// Numbers in parentheses are sections of HAProxy's `doc/proxy-protocol.txt`.

/**
 * What a proxy says about the connection that it forwards.
 *
 * @example The address of the client
 * ```ts
 * import { type ProxyHeader, proxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const line = new TextEncoder().encode(
 *   "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n",
 * );
 * const header: ProxyHeader = {
 *   version: 1,
 *   command: "PROXY",
 *   source: { transport: "tcp", hostname: "192.0.2.7", port: 56324 },
 *   destination: { transport: "tcp", hostname: "192.0.2.1", port: 443 },
 * };
 * assertEquals(proxyHeader().decode(line, 0, false), {
 *   frame: header,
 *   taken: line.length,
 * });
 * ```
 *
 * @category PROXY protocol
 */
export interface ProxyHeader {
  /** 1 is a line of text, 2 is binary. */
  readonly version: 1 | 2;
  /** `"LOCAL"`: the proxy itself has connected, for example for a health check. */
  readonly command: "PROXY" | "LOCAL";
  /**
   * The address of the client. It is absent in a `"LOCAL"` header and where the proxy does not know
   * it: the addresses of the connection itself count then.
   */
  readonly source?: ProxyAddress;
  /** The address to which the client connected; present where `source` is. */
  readonly destination?: ProxyAddress;
  /** Further facts; absent if there are none. */
  readonly tlvs?: ProxyTlvs;
}

/**
 * An address in a PROXY header: of IPv4, IPv6 or a Unix socket.
 *
 * It has the shape of `conn.remoteAddr` in Deno, so either can be used as the other. The path of an
 * unnamed Unix socket is empty; a NUL in front marks a name in the abstract namespace.
 *
 * @example An address of Deno is one
 * ```ts
 * import { encodeProxyHeader, type ProxyAddress } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const client: Deno.NetAddr = { transport: "tcp", hostname: "::1", port: 5000 };
 * const source: ProxyAddress = client;
 * const bytes = encodeProxyHeader({
 *   version: 1,
 *   command: "PROXY",
 *   source,
 *   destination: source,
 * });
 * assertEquals(
 *   new TextDecoder().decode(bytes),
 *   "PROXY TCP6 ::1 ::1 5000 5000\r\n",
 * );
 * ```
 *
 * @category PROXY protocol
 */
export type ProxyAddress =
  | { readonly transport: "tcp" | "udp"; readonly hostname: string; readonly port: number }
  | { readonly transport: "unix" | "unixpacket"; readonly path: string };

const CR = 13;
const LF = 10;
const SPACE = 32;

/** The most bytes of version 1, CRLF included (2.1). */
const LONGEST_LINE = 107;

/** The answers of the decoders here. */
type Answer = Decoded<ProxyHeader> | Need<ProxyHeader>;

/**
 * Makes a decoder for the header of the PROXY protocol, version 1 or 2, that a proxy sends before
 * everything else.
 *
 * Nothing after the header is taken or looked at. Version 1 has at most 107 bytes, version 2 has 16
 * and at most 4,096 more. A malformed header is refused as soon as its bytes make that certain, so
 * that a client that speaks another protocol is answered at once. A header costs the same however it
 * arrives.
 *
 * A line of version 1 may have addresses of two families, as nginx sends them. A header of version 2 with an
 * unspecified family has no addresses: where what follows is not a list of TLVs, it is ignored.
 *
 * Whether to expect a header must be known beforehand: a client that may leave it out, or send one
 * of its own, can claim any address.
 *
 * @returns The decoder. It throws `ProxyHeaderError` for bytes that are not a header.
 *
 * @example Version 2, and the bytes after it
 * ```ts
 * import { encodeProxyHeader, proxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const header = {
 *   version: 2,
 *   command: "PROXY",
 *   tlvs: { authority: "example.com" },
 * } as const;
 * const bytes = encodeProxyHeader(header);
 * const stream = Uint8Array.of(...bytes, 7, 7, 7);
 * assertEquals(proxyHeader().decode(stream, 0, false), {
 *   frame: header,
 *   taken: bytes.length,
 * });
 * ```
 *
 * @category PROXY protocol
 */
export function proxyHeader(): Decoder<ProxyHeader> {
  return START;
}

/** A form of the header: its first bytes, and the function that decodes the rest. */
interface Form {
  readonly begins: Uint8Array;
  readonly rest: (bytes: Uint8Array) => Answer;
}

/** A form of version 1. */
interface LineForm {
  /** The index at which the addresses begin. */
  readonly start: number;
  /** The characters that are allowed before the CRLF; `null` for all, where they are ignored. */
  readonly characters: ReadonlySet<number> | null;
}

const encoder = new TextEncoder();

const IN_ADDRESSES: ReadonlySet<number> = new Set(encoder.encode("0123456789abcdefABCDEF:. "));

// For a client and a server of two families, nginx writes both addresses as they are and names the
// family of the client. So either form may have either kind of address.
const FORMS: readonly Form[] = [
  { begins: SIGNATURE, rest: readBinary },
  line("PROXY TCP4 ", IN_ADDRESSES),
  line("PROXY TCP6 ", IN_ADDRESSES),
  line("PROXY UNKNOWN", null),
];

function line(word: string, characters: LineForm["characters"]): Form {
  const begins = encoder.encode(word);
  const form = { characters, start: begins.length };
  return { begins, rest: (bytes) => readLine(bytes, form, form.start) };
}

const START: Decoder<ProxyHeader> = { decode: (bytes) => readStart(bytes, 0, FORMS) };

/** Waits for at least `need` bytes, then continues where decoding stopped. */
function later(need: number, resume: (bytes: Uint8Array) => Answer): Need<ProxyHeader> {
  return {
    need,
    next: {
      decode(bytes) {
        const answer = resume(bytes);
        return "need" in answer ? answer : { ...answer, next: START };
      },
    },
  };
}

/** Finds the form byte by byte, among those that are still possible. */
function readStart(bytes: Uint8Array, from: number, forms: readonly Form[]): Answer {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    forms = forms.filter(({ begins }) => begins[at] === byte);
    const [form] = forms;
    if (form === undefined) throw malformed(`unexpected ${hex(byte)}`, at);
    if (at + 1 === form.begins.length) return form.rest(bytes);
  }
  const { length } = bytes;
  return later(length + 1, (bytes) => readStart(bytes, length, forms));
}

/** The rest of version 1: finds the CRLF, and only then reads what precedes it (2.1). */
function readLine(bytes: Uint8Array, form: LineForm, from: number): Answer {
  const { characters } = form;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === CR) {
      if (at + 1 === bytes.length) return later(at + 2, (bytes) => readLine(bytes, form, at));
      if (bytes[at + 1] !== LF) throw malformed("a CR without an LF after it", at);
      return { frame: readFields(bytes.subarray(form.start, at), form), taken: at + 2 };
    }
    if (at >= LONGEST_LINE - 2) throw malformed(`no CRLF within ${LONGEST_LINE} bytes`, at);
    // Not even a line whose rest is ignored has an LF in it: only CRLF ends it (2.1).
    if (byte === LF) throw malformed("an LF without a CR before it", at);
    const fits = characters === null ? at > form.start || byte === SPACE : characters.has(byte);
    if (!fits) throw malformed(`unexpected ${hex(byte)} in the line`, at);
  }
  const { length } = bytes;
  return later(length + 1, (bytes) => readLine(bytes, form, length));
}

/** The fields of version 1: two addresses, two ports (2.1). */
function readFields(bytes: Uint8Array, { start, characters }: LineForm): ProxyHeader {
  // What follows UNKNOWN must be ignored (2.1).
  if (characters === null) return { version: 1, command: "PROXY" };
  const fields = String.fromCharCode(...bytes).split(" ");
  const starts: number[] = [];
  for (let at = start, i = 0; i < fields.length; at += fields[i++]!.length + 1) starts.push(at);
  if (fields.length !== 4) {
    throw malformed(`a line of ${fields.length} fields instead of 4`, starts.at(-1)!);
  }
  const [source, destination] = fields.slice(0, 2).map((text, i) => {
    const ip = readIp(text);
    if (ip === null) throw malformed(`"${text}" is not an IP address`, starts[i]!);
    return writeIp(ip);
  });
  const [sourcePort, destinationPort] = fields.slice(2).map((text, i) => {
    if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65535) {
      throw malformed(`"${text}" is not a port`, starts[i + 2]!);
    }
    return Number(text);
  });
  return {
    version: 1,
    command: "PROXY",
    source: { transport: "tcp", hostname: source!, port: sourcePort! },
    destination: { transport: "tcp", hostname: destination!, port: destinationPort! },
  };
}

/** The part of version 2 after the signature (2.2). */
function readBinary(bytes: Uint8Array): Answer {
  const { length } = bytes;
  if (length < 13) return later(13, readBinary);
  const command = bytes[12]!;
  if (command >> 4 !== 2) {
    throw malformed(`version ${command >> 4} after the signature of version 2`, 12);
  }
  if ((command & 15) > 1) throw malformed(`unknown command ${command & 15}`, 12);
  const isLocal = (command & 15) === 0;

  if (length < 14) return later(14, readBinary);
  const family = bytes[13]!;
  // The block of LOCAL must be dropped whatever its family (2.2).
  if (!isLocal && (family >> 4 > 3 || (family & 15) > 2)) {
    throw malformed(`unknown family and transport ${hex(family)}`, 13);
  }

  if (length < 15) return later(15, readBinary);
  // Without its lower byte, this is the least that the size can be.
  const size = bytes[14]! * 256 + (length < FIXED ? 0 : bytes[15]!);
  if (size > LONGEST_BLOCK) {
    throw malformed(`more than ${LONGEST_BLOCK} bytes of addresses and TLVs`, 14);
  }
  if (length < FIXED) return later(FIXED, readBinary);
  const kind = isLocal ? undefined : KINDS.get(family);
  const addresses = kind === undefined ? 0 : sizeOfAddresses(kind);
  if (size < addresses) {
    throw malformed(
      `${size} bytes of addresses and TLVs, which is less than the ${addresses} of the addresses`,
      14,
    );
  }

  const taken = FIXED + size;
  if (length < taken) return later(taken, readBinary);
  // Without a family it is unknown where the addresses of LOCAL end and its TLVs begin.
  if (isLocal) return { frame: { version: 2, command: "LOCAL" }, taken };
  const ends = kind === undefined ? undefined : readAddresses(bytes, kind);
  const tlvs = readExtras(bytes, family, FIXED + addresses, taken);
  return {
    frame: { version: 2, command: "PROXY", ...ends, ...(tlvs === undefined ? {} : { tlvs }) },
    taken,
  };
}

/** Both addresses, then both ports (2.2). */
function readAddresses(
  bytes: Uint8Array,
  { transport, size }: Kind,
): { source: ProxyAddress; destination: ProxyAddress } {
  const [source, destination] = [0, 1].map((i): ProxyAddress => {
    const at = FIXED + i * size;
    const address = bytes.subarray(at, at + size);
    if (transport === "unix" || transport === "unixpacket") {
      const path = readPath(address);
      if (path === null) throw malformed("a path that is not UTF-8", at);
      return { transport, path };
    }
    const portAt = FIXED + 2 * size + 2 * i;
    const port = bytes[portAt]! * 256 + bytes[portAt + 1]!;
    return { transport, hostname: writeIp(address), port };
  });
  return { source: source!, destination: destination! };
}

/**
 * The path in a Unix address, or `null` if it is not UTF-8: up to the first NUL, or, where it begins
 * with one as names in the abstract namespace do, without the NULs at its end.
 */
export function readPath(address: Uint8Array): string | null {
  let to = address[0] === 0 ? address.findLastIndex((byte) => byte !== 0) + 1 : address.indexOf(0);
  if (to < 0) to = address.length;
  try {
    return utf8.decode(address.subarray(0, to));
  } catch {
    return null;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The TLVs between two places, verified against their checksum if there is one (2.2.3). */
function readExtras(
  bytes: Uint8Array,
  family: number,
  from: number,
  to: number,
): ProxyTlvs | undefined {
  // For a family without a transport, the size of addresses with their ports is unknown.
  if (from === to || (from === FIXED && family >> 4 !== 0)) return undefined;
  // A copy: TLVs are kept as long as the connection, and the chunk should not be.
  const block = bytes.slice(from, to);
  const found = from === FIXED ? readUnspecified(block) : readTlvs(block, from);
  if (found === null) return undefined;
  const { tlvs, checksumAt } = found;
  if (checksumAt >= 0) checkChecksum(bytes, checksumAt, to);
  return tlvs;
}

/**
 * The block of an unspecified family: HAProxy sends TLVs there, other proxies addresses, and a
 * receiver should ignore those (2.2). So it counts only if all of it is TLVs.
 */
function readUnspecified(block: Uint8Array): FoundTlvs | null {
  try {
    return readTlvs(block, FIXED);
  } catch {
    return null;
  }
}

function checkChecksum(bytes: Uint8Array, at: number, to: number): void {
  const stated = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
  const computed = checksum(bytes, at, to);
  if (stated !== computed) {
    throw malformed(`its checksum is ${computed} instead of ${stated}`, at);
  }
}

/** The checksum of a header of version 2; the four bytes at `hole` count as 0 (2.2.3). */
export function checksum(bytes: Uint8Array, hole: number, to: number): number {
  const before = crc32c(bytes, SIGNATURE.length, hole, SIGNATURE_CRC);
  return crc32c(bytes, hole + 4, to, crc32c(FOUR_ZEROS, 0, 4, before));
}

/** The checksum of the signature, which is the same in each header. */
const SIGNATURE_CRC = crc32c(SIGNATURE, 0, SIGNATURE.length, 0);

const FOUR_ZEROS = new Uint8Array(4);
