/** What does a PROXY header say? @module */

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
import { type ProxyTlvs, readTlvs } from "./proxy_tlvs.ts";
import { hex, wrong } from "./proxy_layout.ts";

// Numbers in parentheses are sections of HAProxy's `doc/proxy-protocol.txt`.

/**
 * What a proxy says of the connection that it forwards.
 *
 * @example Who the client is
 * ```ts
 * import { proxyHeader, type ProxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const line = new TextEncoder().encode("PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
 * const header: ProxyHeader = {
 *   version: 1,
 *   command: "PROXY",
 *   source: { transport: "tcp", hostname: "192.0.2.7", port: 56324 },
 *   destination: { transport: "tcp", hostname: "192.0.2.1", port: 443 },
 * };
 * assertEquals(proxyHeader().decode(line, 0, false), { frame: header, taken: line.length });
 * ```
 */
export interface ProxyHeader {
  /** 1 is a line of text, 2 is binary. */
  readonly version: 1 | 2;
  /** `"LOCAL"`: the proxy itself has connected, for example to see whether the server lives. */
  readonly command: "PROXY" | "LOCAL";
  /**
   * The address of the client. Without it, as in a `"LOCAL"` header and where the proxy does not
   * know it, the addresses of the connection itself are what there is.
   */
  readonly source?: ProxyAddress;
  /** The address to which the client connected; there is one if there is a `source`. */
  readonly destination?: ProxyAddress;
  /** What else is said; not there if there is nothing else. */
  readonly tlvs?: ProxyTlvs;
}

/**
 * An address in a PROXY header: of the internet or of a Unix socket.
 *
 * It is what Deno has in `conn.remoteAddr`, so either can stand for the other. The path of a Unix
 * socket without a name is empty; a NUL in front marks a name that is no file.
 *
 * @example An address of Deno is one
 * ```ts
 * import { encodeProxyHeader, type ProxyAddress } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const client: Deno.NetAddr = { transport: "tcp", hostname: "::1", port: 5000 };
 * const source: ProxyAddress = client;
 * const bytes = encodeProxyHeader({ version: 1, command: "PROXY", source, destination: source });
 * assertEquals(new TextDecoder().decode(bytes), "PROXY TCP6 ::1 ::1 5000 5000\r\n");
 * ```
 */
export type ProxyAddress =
  | { readonly transport: "tcp" | "udp"; readonly hostname: string; readonly port: number }
  | { readonly transport: "unix" | "unixpacket"; readonly path: string };

const CR = 13;
const LF = 10;
const SPACE = 32;

/** What a decoder here answers. */
type Answer = Decoded<ProxyHeader> | Need<ProxyHeader>;

/**
 * Reads the header that a proxy sends before everything else, in version 1 or 2 of the PROXY
 * protocol.
 *
 * Nothing behind the header is taken or looked at. Version 1 may have 107 bytes, version 2 has 16
 * and at most 4,096 more. What is wrong is refused as soon as the bytes make it certain, so that a
 * client that speaks something else hears of it at once. A header costs the same however it arrives.
 *
 * Whether a header is to be expected at all must be known beforehand: who may leave it out can
 * pretend to be anybody.
 *
 * @returns The decoder. It throws `ProxyHeaderError` for what is no header.
 *
 * @example Version 2, and what comes behind it
 * ```ts
 * import { encodeProxyHeader, proxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const header = { version: 2, command: "PROXY", tlvs: { authority: "example.com" } } as const;
 * const bytes = encodeProxyHeader(header);
 * const stream = Uint8Array.of(...bytes, 7, 7, 7);
 * assertEquals(proxyHeader().decode(stream, 0, false), { frame: header, taken: bytes.length });
 * ```
 */
export function proxyHeader(): Decoder<ProxyHeader> {
  return BEGINNING;
}

/** One of the ways in which a header can begin, and what reads the rest of it. */
interface Form {
  readonly begins: Uint8Array;
  readonly rest: (bytes: Uint8Array) => Answer;
}

/** A line of version 1. */
interface LineForm {
  /** Where the addresses begin. */
  readonly start: number;
  /** Most bytes, CRLF included (2.1). */
  readonly limit: number;
  /** What may stand before the CRLF; anything if it is `null`. */
  readonly characters: ReadonlySet<number> | null;
  /** Bytes of an address; 0 where addresses are ignored. */
  readonly size: 0 | 4 | 16;
}

const FORMS: readonly Form[] = [
  { begins: SIGNATURE, rest: readBinary },
  line("PROXY TCP4 ", { limit: 56, characters: codes("0123456789. "), size: 4 }),
  line("PROXY TCP6 ", { limit: 104, characters: codes("0123456789abcdefABCDEF:. "), size: 16 }),
  line("PROXY UNKNOWN", { limit: 107, characters: null, size: 0 }),
];

function line(word: string, form: Omit<LineForm, "start">): Form {
  const begins = new TextEncoder().encode(word);
  const whole = { ...form, start: begins.length };
  return { begins, rest: (bytes) => readLine(bytes, whole, whole.start) };
}

function codes(characters: string): ReadonlySet<number> {
  return new Set(new TextEncoder().encode(characters));
}

/** Where every header begins. */
const BEGINNING: Decoder<ProxyHeader> = { decode: (bytes) => readBeginning(bytes, 0, FORMS) };

/** To be asked again when there are at least `need` bytes; it goes on where it stopped. */
function later(need: number, goOn: (bytes: Uint8Array) => Answer): Need<ProxyHeader> {
  return {
    need,
    next: {
      decode(bytes) {
        const answer = goOn(bytes);
        return "need" in answer ? answer : { ...answer, next: BEGINNING };
      },
    },
  };
}

/** Which form is it? Goes byte by byte, with the forms that it can still be. */
function readBeginning(bytes: Uint8Array, from: number, forms: readonly Form[]): Answer {
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    forms = forms.filter(({ begins }) => begins[at] === byte);
    const [form] = forms;
    if (form === undefined) throw wrong(`no header has ${hex(byte)} here`, at);
    if (at + 1 === form.begins.length) return form.rest(bytes);
  }
  const { length } = bytes;
  return later(length + 1, (bytes) => readBeginning(bytes, length, forms));
}

/** The rest of version 1: looks for CRLF, and only then at what stands before it (2.1). */
function readLine(bytes: Uint8Array, form: LineForm, from: number): Answer {
  const { limit, characters } = form;
  const lastEnd = limit - 2;
  for (let at = from; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === CR) {
      if (at + 1 === bytes.length) return later(at + 2, (bytes) => readLine(bytes, form, at));
      if (bytes[at + 1] !== LF) throw wrong("a CR without an LF behind it", at);
      return { frame: readFields(bytes.subarray(form.start, at), form), taken: at + 2 };
    }
    if (at >= lastEnd) throw wrong(`no CRLF ends the line within ${limit} bytes`, at);
    // A line has no LF in it either where the rest of it is ignored: only CRLF may end it (2.1).
    if (byte === LF) throw wrong("an LF without a CR before it", at);
    const fits = characters === null ? at > form.start || byte === SPACE : characters.has(byte);
    if (!fits) throw wrong(`no such line has ${hex(byte)} here`, at);
  }
  const { length } = bytes;
  return later(length + 1, (bytes) => readLine(bytes, form, length));
}

/** What stands between the name of the protocol and CRLF: two addresses, two ports (2.1). */
function readFields(bytes: Uint8Array, { start, size }: LineForm): ProxyHeader {
  // Of UNKNOWN, what stands before the CRLF is to be ignored (2.1).
  if (size === 0) return { version: 1, command: "PROXY" };
  const fields = String.fromCharCode(...bytes).split(" ");
  const starts: number[] = [];
  for (let at = start, i = 0; i < fields.length; at += fields[i++]!.length + 1) starts.push(at);
  if (fields.length !== 4) {
    throw wrong(`${fields.length} fields in the line, where 4 would do`, starts.at(-1)!);
  }
  const [source, destination] = fields.slice(0, 2).map((text, i) => {
    const ip = readIp(text);
    if (ip?.length !== size) {
      throw wrong(`"${text}" is no address of IPv${size === 4 ? 4 : 6}`, starts[i]!);
    }
    return writeIp(ip);
  });
  const [sourcePort, destinationPort] = fields.slice(2).map((text, i) => {
    if (!/^(0|[1-9]\d{0,4})$/.test(text) || Number(text) > 65535) {
      throw wrong(`"${text}" is no port`, starts[i + 2]!);
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

/** What of version 2 stands behind the signature (2.2). */
function readBinary(bytes: Uint8Array): Answer {
  const { length } = bytes;
  if (length < 13) return later(13, readBinary);
  const command = bytes[12]!;
  if (command >> 4 !== 2) throw wrong(`version ${command >> 4} in a header of version 2`, 12);
  if ((command & 15) > 1) throw wrong(`the unknown command ${command & 15}`, 12);
  const isLocal = (command & 15) === 0;

  if (length < 14) return later(14, readBinary);
  const family = bytes[13]!;
  // Of LOCAL the whole block is to be dropped, and its family says nothing (2.2).
  if (!isLocal && (family >> 4 > 3 || (family & 15) > 2)) {
    throw wrong(`the unknown family and transport ${hex(family)}`, 13);
  }

  if (length < 15) return later(15, readBinary);
  // Without its lower byte this is the least that the size can be.
  const size = bytes[14]! * 256 + (length < FIXED ? 0 : bytes[15]!);
  if (size > LONGEST_BLOCK) {
    throw wrong(`more than ${LONGEST_BLOCK} bytes of addresses and TLVs`, 14);
  }
  if (length < FIXED) return later(FIXED, readBinary);
  const kind = isLocal ? undefined : KINDS.get(family);
  const addresses = kind === undefined ? 0 : sizeOfAddresses(kind);
  if (size < addresses) {
    throw wrong(
      `${size} bytes of addresses and TLVs, where the addresses alone have ${addresses}`,
      14,
    );
  }

  const taken = FIXED + size;
  if (length < taken) return later(taken, readBinary);
  // Without its family it is not known where the addresses of LOCAL end, and so its TLVs begin.
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
      if (path === null) throw wrong("a path that is not UTF-8", at);
      return { transport, path };
    }
    const portAt = FIXED + 2 * size + 2 * i;
    const port = bytes[portAt]! * 256 + bytes[portAt + 1]!;
    return { transport, hostname: writeIp(address), port };
  });
  return { source: source!, destination: destination! };
}

/**
 * The path in a Unix address, or `null` if it is no text: up to the first NUL, or, if it begins with
 * one, up to the last byte that is none, as in the names that are no files.
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

/** The TLVs between two places, checked against their checksum if there is one (2.2.3). */
function readExtras(
  bytes: Uint8Array,
  family: number,
  from: number,
  to: number,
): ProxyTlvs | undefined {
  // Of a family without a transport, how long its addresses are with their ports is not told. One
  // that is unspecified has no addresses: HAProxy sends TLVs right there.
  if (from === to || (from === FIXED && family >> 4 !== 0)) return undefined;
  // A copy: what is found is kept as long as the connection, and the chunk should not be.
  const { tlvs, checksumAt } = readTlvs(bytes.slice(from, to), from);
  if (checksumAt >= 0) checkChecksum(bytes, checksumAt, to);
  return tlvs;
}

function checkChecksum(bytes: Uint8Array, at: number, to: number): void {
  const stated = new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
  const computed = checksum(bytes, at, to);
  if (stated !== computed) {
    throw wrong(`its checksum is ${computed}, and ${stated} is stated`, at);
  }
}

/** The checksum of a header of version 2, in which the four bytes at `hole` count as 0 (2.2.3). */
export function checksum(bytes: Uint8Array, hole: number, to: number): number {
  const before = crc32c(bytes, SIGNATURE.length, hole, SIGNATURE_CRC);
  return crc32c(bytes, hole + 4, to, crc32c(FOUR_ZEROS, 0, 4, before));
}

/** So that it need not be looked at again. */
const SIGNATURE_CRC = crc32c(SIGNATURE, 0, SIGNATURE.length, 0);

const FOUR_ZEROS = new Uint8Array(4);
