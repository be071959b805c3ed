/** Parses an address or a range of addresses. @module */

import { bad } from "../../check.ts";
import { readIp, unmapped, writeIp } from "./ip_address.ts";

/** The addresses that begin with the same bits. */
export interface AddressRange {
  /** The lowest of them: 4 bytes, or 16; none for the peers of Unix sockets, which have no address. */
  readonly first: Uint8Array;
  /** How many bits they have in common. */
  readonly bits: number;
}

/** Stands for every peer of a Unix socket. */
const UNIX = "unix";

/** What to use in place of what is no range. */
const EXAMPLES = `an address or a range, such as "10.0.0.0/8" or "2001:db8::/32"`;

/**
 * Parses one address, a CIDR prefix, or `"unix"`. IPv4 addresses that are mapped into IPv6
 * (`::ffff:192.0.2.1`, which is what servers on `"::"` see) are IPv4 addresses. So `"::/0"` is every
 * address of IPv6 and none of IPv4.
 *
 * @throws {TypeError} If it is not a string.
 * @throws {RangeError} If it is not a range, or has bits set after its prefix.
 */
export function addressRange(attempt: string, name: string, text: unknown): AddressRange {
  if (typeof text !== "string") throw new TypeError(bad(attempt, name, text, EXAMPLES));
  const range = readRange(text);
  if (typeof range === "string") throw new RangeError(bad(attempt, name, text, range));
  return range;
}

/** Reads a range, or returns what to use instead. */
function readRange(text: string): AddressRange | string {
  if (text === UNIX) return { first: new Uint8Array(0), bits: 0 };
  const [, host = "", length] = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? [];
  if (host.includes("%")) return "the address without its zone, which would be ignored";
  const address = readIp(host);
  if (address === null) return EXAMPLES;
  const most = 8 * address.length;
  const bits = length === undefined ? most : Number(length);
  if (bits > most) return `a prefix of at most ${most} bits`;

  const first = address.map((byte, i) => byte & ~hostBits(bits, i));
  if (first.some((byte, i) => byte !== address[i])) {
    return `"${writeIp(first)}/${bits}", or the address alone`;
  }
  // A prefix shorter than the mapped one is a range of IPv6.
  const plain = bits < most - 32 ? first : unmapped(first);
  return { first: plain, bits: bits - 8 * (first.length - plain.length) };
}

/** The bits of the byte at `i` that are not covered by a prefix of so many bits. */
function hostBits(bits: number, i: number): number {
  return 255 >> Math.min(Math.max(bits - 8 * i, 0), 8);
}
