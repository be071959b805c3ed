/** How is a PROXY header written? @module */

import {
  bad,
  checkBoolean,
  checkChoice,
  checkKeys,
  checkNumber,
  checkObject,
} from "../../check.ts";
import { ATTEMPT, sizeOf, textBytes, tlvsOf, writeTlvs } from "./encode_proxy_tlvs.ts";
import { readIp, writeIp } from "../address/ip_address.ts";
import { checksum, type ProxyAddress, type ProxyHeader, readPath } from "./proxy_header.ts";
import {
  FIXED,
  KINDS,
  LONGEST_BLOCK,
  SIGNATURE,
  sizeOfAddresses,
  TLV,
  TLV_HEAD,
  UNIX_PATH,
} from "./proxy_layout.ts";
import type { ProxyTlv } from "./proxy_tlvs.ts";

/**
 * How {@linkcode encodeProxyHeader} writes a header.
 *
 * @example With a checksum
 * ```ts
 * import { encodeProxyHeader, type EncodeProxyHeaderOptions } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const options: EncodeProxyHeaderOptions = { crc32c: true };
 * assertEquals(encodeProxyHeader({ version: 2, command: "LOCAL" }, options).length, 23);
 * ```
 */
export interface EncodeProxyHeaderOptions {
  /**
   * Whether to add a checksum, which receivers verify. Version 2 only.
   *
   * @default {false}
   */
  crc32c?: boolean;
}

/** What holds when nothing is said. */
export const ENCODE_DEFAULTS = Object.freeze({ crc32c: false });

const encoder = new TextEncoder();

/**
 * Writes the header that a proxy sends before everything else.
 *
 * {@linkcode proxyHeader} reads from it what was given. Send it at once, before any other byte.
 *
 * @param header What to say. An address is given for both ends or for none.
 * @param options How to write it.
 * @returns The bytes.
 * @throws {TypeError} If something is of the wrong type or unknown.
 * @throws {RangeError} If something is out of range, or the version cannot say it: version 1 knows
 * TCP alone and has no TLVs.
 *
 * @example What a forwarder sends to its backend first
 * ```ts
 * import { encodeProxyHeader } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = encodeProxyHeader({
 *   version: 1,
 *   command: "PROXY",
 *   source: { transport: "tcp", hostname: "192.0.2.7", port: 56324 },
 *   destination: { transport: "tcp", hostname: "192.0.2.1", port: 443 },
 * });
 * const text = new TextDecoder().decode(bytes);
 * assertEquals(text, "PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n");
 * ```
 */
export function encodeProxyHeader(
  header: ProxyHeader,
  options: EncodeProxyHeaderOptions = {},
): Uint8Array<ArrayBuffer> {
  checkKeys(ATTEMPT, header, ["version", "command", "source", "destination", "tlvs"], "header");
  checkKeys(ATTEMPT, options, Object.keys(ENCODE_DEFAULTS), "options");
  const { version, command, tlvs = {} } = header;
  const { crc32c = ENCODE_DEFAULTS.crc32c } = options;
  checkChoice(ATTEMPT, "version", version, [1, 2]);
  checkChoice(ATTEMPT, "command", command, ["PROXY", "LOCAL"]);
  checkBoolean(ATTEMPT, "crc32c", crc32c);
  const ends = endsOf(header);
  const extras = tlvsOf(tlvs);
  if (version === 1) {
    if (extras.length > 0) throw impossible("TLVs");
    if (crc32c) throw impossible("a checksum");
    if (command === "LOCAL") throw impossible("the command LOCAL");
    return encodeLine(ends);
  }
  if (command === "LOCAL" && (ends !== null || extras.length > 0)) {
    throw new RangeError(
      "Cannot encode a PROXY header with the command LOCAL and addresses or TLVs: receivers discard them",
    );
  }
  // The first of them, so that its place is known.
  if (crc32c) extras.unshift({ type: TLV.CRC32C, value: new Uint8Array(4) });
  return encodeBinary(command, ends, extras, crc32c);
}

function encodeLine(ends: Ends | null): Uint8Array<ArrayBuffer> {
  if (ends === null) return encoder.encode("PROXY UNKNOWN\r\n");
  const { kind, source, destination } = ends;
  if (kind !== 0x11 && kind !== 0x21) throw impossible(`'transport' of "${ends.transport}"`);
  const family = kind === 0x11 ? "TCP4" : "TCP6";
  const hosts = `${writeIp(source.bytes)} ${writeIp(destination.bytes)}`;
  return encoder.encode(`PROXY ${family} ${hosts} ${source.port} ${destination.port}\r\n`);
}

function encodeBinary(
  command: ProxyHeader["command"],
  ends: Ends | null,
  tlvs: readonly ProxyTlv[],
  crc32c: boolean,
): Uint8Array<ArrayBuffer> {
  const addresses = ends === null ? 0 : sizeOfAddresses(KINDS.get(ends.kind)!);
  const size = addresses + sizeOf(tlvs);
  if (size > LONGEST_BLOCK) {
    throw new RangeError(
      `Cannot encode a PROXY header with ${size} bytes of addresses and TLVs: use at most ${LONGEST_BLOCK}`,
    );
  }
  const bytes = new Uint8Array(FIXED + size);
  const view = new DataView(bytes.buffer);
  bytes.set(SIGNATURE);
  bytes[12] = command === "LOCAL" ? 0x20 : 0x21;
  bytes[13] = ends?.kind ?? 0;
  view.setUint16(14, size);
  if (ends !== null) {
    const { source, destination } = ends;
    const { size } = KINDS.get(ends.kind)!;
    bytes.set(source.bytes, FIXED);
    bytes.set(destination.bytes, FIXED + size);
    if (size !== UNIX_PATH) {
      view.setUint16(FIXED + 2 * size, source.port);
      view.setUint16(FIXED + 2 * size + 2, destination.port);
    }
  }
  writeTlvs(tlvs, bytes, FIXED + addresses);
  if (crc32c) {
    const hole = FIXED + addresses + TLV_HEAD;
    view.setUint32(hole, checksum(bytes, hole, bytes.length));
  }
  return bytes;
}

/** Both addresses, as bytes. */
interface Ends {
  /** Family and transport, as the 14th byte says it. */
  readonly kind: number;
  readonly transport: ProxyAddress["transport"];
  readonly source: End;
  readonly destination: End;
}

/** One address. A Unix path may be shorter than its place, and has no port. */
interface End {
  readonly kind: number;
  readonly bytes: Uint8Array;
  readonly port: number;
}

function endsOf({ source, destination }: ProxyHeader): Ends | null {
  if (source === undefined && destination === undefined) return null;
  if (source === undefined) {
    throw new TypeError(bad(ATTEMPT, "source", source, "an address, as it has a 'destination'"));
  }
  if (destination === undefined) {
    throw new TypeError(
      bad(ATTEMPT, "destination", destination, "an address, as it has a 'source'"),
    );
  }
  const from = endOf("source", source);
  const to = endOf("destination", destination);
  if (from.kind !== to.kind) {
    throw new RangeError(
      "Cannot encode a PROXY header with a 'source' and a 'destination' of two kinds: use one transport, and IPv4 or IPv6 for both",
    );
  }
  return { kind: from.kind, transport: source.transport, source: from, destination: to };
}

function endOf(name: string, address: ProxyAddress): End {
  checkObject(ATTEMPT, address, name);
  if ("path" in address) {
    checkKeys(ATTEMPT, address, ["transport", "path"], name);
    checkChoice(ATTEMPT, `${name}.transport`, address.transport, ["unix", "unixpacket"]);
    const kind = address.transport === "unix" ? 0x31 : 0x32;
    // Deno has `null` for a peer without a name, whatever its types say.
    const path = (address.path as string | null) ?? "";
    return { kind, bytes: pathBytes(`${name}.path`, path), port: 0 };
  }
  checkKeys(ATTEMPT, address, ["transport", "hostname", "port"], name);
  const { transport, hostname, port } = address;
  checkChoice(ATTEMPT, `${name}.transport`, transport, ["tcp", "udp"]);
  const wanted = "an IPv4 or IPv6 address";
  if (typeof hostname !== "string") {
    throw new TypeError(bad(ATTEMPT, `${name}.hostname`, hostname, wanted));
  }
  const bytes = readIp(hostname);
  if (bytes === null) throw new RangeError(bad(ATTEMPT, `${name}.hostname`, hostname, wanted));
  checkNumber(ATTEMPT, `${name}.port`, port, 0, 65535);
  const kind = (bytes.length === 4 ? 0x10 : 0x20) | (transport === "tcp" ? 1 : 2);
  return { kind, bytes, port };
}

function pathBytes(name: string, path: string): Uint8Array {
  const bytes = textBytes(name, path);
  // Shorter ones are filled up with NUL, so not each NUL comes back.
  if (bytes.length > UNIX_PATH || readPath(bytes) !== path) {
    const wanted = `at most ${UNIX_PATH} bytes of UTF-8, with no NUL behind the first character`;
    throw new RangeError(bad(ATTEMPT, name, path, wanted));
  }
  return bytes;
}

function impossible(what: string): RangeError {
  return new RangeError(
    `Cannot encode a PROXY header of version 1 with ${what}: it knows TCP addresses alone, so use version 2`,
  );
}
