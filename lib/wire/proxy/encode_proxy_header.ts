/** Encodes PROXY headers of version 1 and 2. @module */

import {
  bad,
  checkBoolean,
  checkChoice,
  checkKeys,
  checkNumber,
  checkObject,
} from "../../check.ts";
import { ATTEMPT, sizeOf, textBytes, tlvsOf, writeTlvs } from "./encode_proxy_tlvs.ts";
import { mapped, readIp, writeIp } from "../address/ip_address.ts";
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
 * The options of {@linkcode encodeProxyHeader}.
 *
 * @example With a checksum
 * ```ts
 * import {
 *   encodeProxyHeader,
 *   type EncodeProxyHeaderOptions,
 * } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const options: EncodeProxyHeaderOptions = { crc32c: true };
 * assertEquals(
 *   encodeProxyHeader({ version: 2, command: "LOCAL" }, options).length,
 *   23,
 * );
 * ```
 *
 * @category PROXY protocol
 */
export interface EncodeProxyHeaderOptions {
  /**
   * Whether to add a checksum, which receivers verify; version 2 only.
   *
   * @default {false}
   */
  crc32c?: boolean;
}

/** The defaults of {@linkcode EncodeProxyHeaderOptions}. */
export const ENCODE_DEFAULTS: Required<EncodeProxyHeaderOptions> = Object.freeze({ crc32c: false });

const encoder = new TextEncoder();

/**
 * Encodes the header that a proxy sends before everything else.
 *
 * {@linkcode proxyHeader} decodes it to what was given, but for padding (a TLV of type 0x04), which
 * receivers skip, and for an IPv4 and an IPv6 address in one header: the IPv4 one is mapped into
 * IPv6. Send the header at once, before any other byte.
 *
 * @param header The header. Addresses are given for both ends or for none.
 * @param options Whether to add a checksum.
 * @returns The bytes.
 * @throws {TypeError} If a value is unknown or of the wrong type.
 * @throws {RangeError} If a value is out of range, or the version cannot express it: version 1 has
 * only TCP addresses and no TLVs.
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
 *
 * @category PROXY protocol
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
      "Cannot encode a PROXY header with the command LOCAL and addresses or TLVs: use PROXY, since receivers discard them",
    );
  }
  // First, so that its place is known.
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
  /** Family and transport, as in the 14th byte. */
  readonly kind: number;
  readonly transport: ProxyAddress["transport"];
  readonly source: End;
  readonly destination: End;
}

/** One address. A Unix path may be shorter than its field, and has no port. */
interface End {
  readonly kind: number;
  readonly bytes: Uint8Array;
  readonly port: number;
}

function endsOf({ source, destination }: ProxyHeader): Ends | null {
  if (source === undefined && destination === undefined) return null;
  if (source === undefined) {
    throw new TypeError(bad(ATTEMPT, "source", source, "an address, as there is a 'destination'"));
  }
  if (destination === undefined) {
    throw new TypeError(
      bad(ATTEMPT, "destination", destination, "an address, as there is a 'source'"),
    );
  }
  const { transport } = source;
  const from = endOf("source", source);
  const to = endOf("destination", destination);
  if (transport !== destination.transport) {
    throw new RangeError(
      `Cannot encode a PROXY header with a 'source' of "${transport}" and a 'destination' of "${destination.transport}": use one transport for both`,
    );
  }
  if (from.kind === to.kind) return { kind: from.kind, transport, source: from, destination: to };
  return {
    kind: transport === "tcp" ? 0x21 : 0x22,
    transport,
    source: { ...from, bytes: mapped(from.bytes) },
    destination: { ...to, bytes: mapped(to.bytes) },
  };
}

function endOf(name: string, address: ProxyAddress): End {
  checkObject(ATTEMPT, address, name);
  if ("path" in address) {
    checkKeys(ATTEMPT, address, ["transport", "path"], name);
    checkChoice(ATTEMPT, `${name}.transport`, address.transport, ["unix", "unixpacket"]);
    const kind = address.transport === "unix" ? 0x31 : 0x32;
    // Deno has `null` for an unnamed peer, whatever its types say.
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
  // Shorter paths are padded with NUL, so not every NUL survives.
  if (bytes.length > UNIX_PATH || readPath(bytes) !== path) {
    const wanted = `at most ${UNIX_PATH} bytes of UTF-8, with no NUL after the first character`;
    throw new RangeError(bad(ATTEMPT, name, path, wanted));
  }
  return bytes;
}

function impossible(what: string): RangeError {
  return new RangeError(
    `Cannot encode a PROXY header of version 1 with ${what}: use version 2, since version 1 has only TCP addresses`,
  );
}
