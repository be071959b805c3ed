/** Reads what a TLS client asks for in its ClientHello, without answering it. @module */

import { bad } from "../check.ts";
import { ProtocolError } from "../errors.ts";
import { BinaryReader } from "./binary_reader.ts";

/**
 * What a TLS client asks for in its first message.
 *
 * @example Is it HTTP/2?
 * ```ts
 * import type { ClientHello } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const isHttp2 = ({ alpnProtocols }: ClientHello) =>
 *   alpnProtocols.includes("h2");
 * assertEquals(
 *   isHttp2({ alpnProtocols: ["h2", "http/1.1"], versions: ["TLSv1.3"] }),
 *   true,
 * );
 * ```
 *
 * @category TLS
 */
export interface ClientHello {
  /** The host name that the client wants (SNI), in lower case; absent if it sends none. */
  readonly serverName?: string;
  /** The protocols that it offers (ALPN), in its order; empty if it sends none. */
  readonly alpnProtocols: readonly string[];
  /**
   * The versions that it offers, in its order, such as `"TLSv1.3"`; one without a name is written as
   * `"0x0305"`. A client without that extension offers only a highest version: then it is the only one here.
   */
  readonly versions: readonly string[];
}

/** The most bytes of a ClientHello; those of browsers have 2 KiB, with post-quantum keys. */
const LONGEST_HELLO = 16_384;

/** The most records over which one may be spread: each costs a walk over those before it. */
const MOST_RECORDS = 256;

/** Bytes of a record's head: type, version, length (RFC 8446, 5.1). */
const RECORD_HEAD = 5;

/** Bytes of a handshake message's head: type, length (RFC 8446, 4). */
const MESSAGE_HEAD = 4;

/** The most bytes of a record (RFC 8446, 5.1). */
const LONGEST_RECORD = 16_384;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;

/** Extensions: RFC 6066, RFC 7301, RFC 8446 (4.2.1). */
const SERVER_NAME = 0, ALPN = 16, SUPPORTED_VERSIONS = 43;

/** The one type of a server name (RFC 6066, 3). */
const HOST_NAME = 0;

const VERSIONS: ReadonlyMap<number, string> = new Map([
  [0x0300, "SSLv3"],
  [0x0301, "TLSv1"],
  [0x0302, "TLSv1.1"],
  [0x0303, "TLSv1.2"],
  [0x0304, "TLSv1.3"],
]);

/**
 * Reads the ClientHello with which a TLS client begins, so that a proxy can route by server name
 * without terminating TLS.
 *
 * The message may be spread over several records. Values that clients send to keep servers tolerant
 * (GREASE, RFC 8701) are left out. Malformed bytes are refused as soon as that is certain, so that a
 * client that speaks another protocol is answered at once. The server name is a claim of the client:
 * route by it, and do not authorize by it.
 *
 * @param bytes The first bytes of the connection, as `conn.peek()` returns them.
 * @returns The facts; or the least number of bytes at which to ask again.
 * @throws {TypeError} If `bytes` is not a `Uint8Array`.
 * @throws {ProtocolError} If the bytes are not a ClientHello, or it has more than 16 KiB or is spread
 * over more than 256 records.
 *
 * @example The server name of a connection, whose bytes stay where they are
 * ```ts
 * import { connection, serve } from "@usher/server";
 * import { clientHello } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const names: (string | undefined)[] = [];
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   let hello = clientHello(new Uint8Array());
 *   while ("need" in hello) {
 *     const bytes = await conn.peek(hello.need);
 *     if (bytes.length < hello.need) return; // The client has ended its stream.
 *     hello = clientHello(bytes);
 *   }
 *   names.push(hello.serverName);
 *   // Here a proxy connects to the backend of that name, and relays.
 * });
 *
 * const socket = await Deno.connect({ port: server.addr.port });
 * using tls = await Deno.startTls(socket, { hostname: "example.com" });
 * await tls.handshake().catch(() => "the connection is closed");
 * assertEquals(names, ["example.com"]);
 * ```
 *
 * @category TLS
 */
export function clientHello(bytes: Uint8Array): ClientHello | { readonly need: number } {
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(bad("read a ClientHello", "bytes", bytes, "a Uint8Array"));
  }
  const found = findMessage(bytes);
  return "need" in found ? found : readHello(found.message);
}

/** The message without the heads of its records, or how many bytes are needed. */
function findMessage(bytes: Uint8Array): { message: Uint8Array } | { need: number } {
  const parts: Uint8Array[] = [];
  const head: number[] = [];
  let found = 0;
  let size: number | undefined;
  for (let at = 0;;) {
    const length = recordLength(bytes, at);
    if (length === undefined) {
      const missing = parts.length === 0 ? 0 : (size ?? MESSAGE_HEAD) - found;
      return { need: at + RECORD_HEAD + missing };
    }
    const from = at + RECORD_HEAD;
    const part = bytes.subarray(from, from + length);
    for (let i = 0; i < part.length && head.length < MESSAGE_HEAD; i++) head.push(part[i]!);
    size ??= messageSize(head);
    const after = found + length;
    if (size !== undefined && after > size) throw malformed("its record goes on after it");
    if (part.length < length) {
      const more = size === undefined || after === size ? 0 : RECORD_HEAD + size - after;
      return { need: from + length + more };
    }
    parts.push(part);
    if (after === size) return { message: parts.length === 1 ? part : concat(parts, size) };
    if (parts.length === MOST_RECORDS) {
      throw malformed(`it is spread over more than ${MOST_RECORDS} records`);
    }
    found = after;
    at = from + length;
  }
}

/** The length of the record at `at`; `undefined` while its head has not arrived. */
function recordLength(bytes: Uint8Array, at: number): number | undefined {
  if (at < bytes.length && bytes[at] !== HANDSHAKE) {
    throw malformed(`a record of type ${bytes[at]}, at byte ${at}`);
  }
  if (at + 1 < bytes.length && bytes[at + 1] !== 3) {
    throw malformed(`a record of version ${bytes[at + 1]}, at byte ${at + 1}`);
  }
  if (at + RECORD_HEAD > bytes.length) return undefined;
  const length = bytes[at + 3]! * 256 + bytes[at + 4]!;
  if (length === 0 || length > LONGEST_RECORD) {
    throw malformed(`a record of ${length} bytes, at byte ${at + 3}`);
  }
  return length;
}

/** The size of the message with its head; `undefined` while that has not arrived. */
function messageSize(head: readonly number[]): number | undefined {
  const [type, high = 0, middle = 0, low = 0] = head;
  if (type !== undefined && type !== CLIENT_HELLO) {
    throw malformed(`a handshake message of type ${type}`);
  }
  if (head.length < MESSAGE_HEAD) return undefined;
  const size = MESSAGE_HEAD + (high << 16 | middle << 8 | low);
  if (size > LONGEST_HELLO) throw malformed(`${size} bytes, which is more than ${LONGEST_HELLO}`);
  return size;
}

function concat(parts: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Reads the message (RFC 8446, 4.1.2, which RFC 5246, 7.4.1.2, allows without extensions). */
function readHello(message: Uint8Array): ClientHello {
  const reader = new BinaryReader(message, { name: "a ClientHello" });
  reader.skip(MESSAGE_HEAD);
  const version = reader.u16();
  reader.skip(32); // The random.
  checkSize("session id", reader.prefixed(1), 0, 32);
  const ciphers = checkSize("list of cipher suites", reader.prefixed(2), 2, 65_534);
  if (ciphers % 2 !== 0) throw malformed("half a cipher suite");
  checkSize("list of compression methods", reader.prefixed(1), 1, 255);

  let serverName: string | undefined;
  let alpnProtocols: string[] = [];
  let versions = [versionName(version)];
  const seen = new Set<number>();
  if (reader.left > 0) {
    const extensions = reader.block(2);
    reader.end();
    while (extensions.left > 0) {
      const type = extensions.u16();
      const data = extensions.block(2);
      if (seen.has(type)) throw malformed(`a second extension of type ${type}`);
      seen.add(type);
      if (type === SERVER_NAME) serverName = readServerName(data);
      else if (type === ALPN) alpnProtocols = readAlpn(data);
      else if (type === SUPPORTED_VERSIONS) versions = readVersions(data);
    }
  }
  const facts = { alpnProtocols, versions };
  return serverName === undefined ? facts : { serverName, ...facts };
}

/** RFC 6066, 3: at most one name of each type. */
function readServerName(data: BinaryReader): string | undefined {
  const list = listIn(data, 2, "server names");
  let serverName: string | undefined;
  while (list.left > 0) {
    const type = list.u8();
    const name = list.prefixed(2);
    if (type !== HOST_NAME) continue;
    if (serverName !== undefined) throw malformed("a second host name");
    checkSize("host name", name, 1, 255);
    // ASCII without spaces and control characters, so that it is safe in a log.
    if (!name.every((byte) => byte > 32 && byte < 127)) {
      throw malformed("a host name that is not ASCII");
    }
    serverName = String.fromCharCode(...name).toLowerCase();
  }
  return serverName;
}

/** RFC 7301, 3.1. Names are bytes, each of which becomes the character of its number. */
function readAlpn(data: BinaryReader): string[] {
  const list = listIn(data, 2, "protocols");
  const protocols: string[] = [];
  while (list.left > 0) {
    const name = list.prefixed(1);
    checkSize("protocol name", name, 1, 255);
    const isGrease = name.length === 2 && isGreaseValue(name[0]! << 8 | name[1]!);
    if (!isGrease) protocols.push(String.fromCharCode(...name));
  }
  return protocols;
}

/** RFC 8446, 4.2.1. */
function readVersions(data: BinaryReader): string[] {
  const list = listIn(data, 1, "versions");
  const versions: string[] = [];
  while (list.left > 0) {
    const version = list.u16();
    if (!isGreaseValue(version)) versions.push(versionName(version));
  }
  return versions;
}

/** The list that an extension consists of. */
function listIn(data: BinaryReader, width: 1 | 2, what: string): BinaryReader {
  const list = data.block(width);
  data.end();
  if (list.left === 0) throw malformed(`an empty list of ${what}`);
  return list;
}

/** 0x0A0A, 0x1A1A, ... 0xFAFA (RFC 8701). */
function isGreaseValue(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 255);
}

function versionName(version: number): string {
  return VERSIONS.get(version) ?? `0x${version.toString(16).padStart(4, "0")}`;
}

function checkSize(what: string, { length }: Uint8Array, least: number, most: number): number {
  if (length < least || length > most) {
    throw malformed(`a ${what} of ${length} bytes instead of ${least} to ${most}`);
  }
  return length;
}

function malformed(what: string): ProtocolError {
  return new ProtocolError(`Cannot read a ClientHello: ${what}`);
}
