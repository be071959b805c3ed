/** Parses and formats IP addresses. @module */

const ZERO = 48;
const DOT = 46;

/** The bytes before an IPv4 address that is mapped into IPv6, `::ffff:0:0/96`. */
const MAPPED = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255];

/** Parses an address to 4 or 16 bytes, or to `null` if it is none. A zone is not part of one. */
export function readIp(text: string): Uint8Array<ArrayBuffer> | null {
  return text.includes(":") ? readV6(text) : readV4(text);
}

/** The address in a peer's `hostname`: without its zone, and as IPv4 if it is one that is mapped. */
export function readHostname(hostname: string): Uint8Array | null {
  const zone = hostname.indexOf("%");
  const address = readIp(zone < 0 ? hostname : hostname.slice(0, zone));
  return address === null ? null : unmapped(address);
}

/** Four decimal numbers; leading zeros are refused, since some parsers take them for octal. */
function readV4(text: string): Uint8Array<ArrayBuffer> | null {
  const bytes = new Uint8Array(4);
  let part = 0;
  let value = -1;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (value < 0 || part === 4) return null;
      bytes[part++] = value;
      value = -1;
    } else {
      const digit = code - ZERO;
      if (digit < 0 || digit > 9 || value === 0) return null;
      value = Math.max(value, 0) * 10 + digit;
      if (value > 255) return null;
    }
  }
  return part === 4 ? bytes : null;
}

/** Up to 8 groups of hexadecimal digits, at most one `::`, possibly IPv4 at the end. */
function readV6(text: string): Uint8Array<ArrayBuffer> | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const [head, tail] = halves.map((half, i) => readGroups(half, i === halves.length - 1));
  if (head === null || tail === null || head === undefined) return null;
  if (tail === undefined ? head.length !== 16 : head.length + tail.length > 14) return null;
  const bytes = new Uint8Array(16);
  bytes.set(head);
  if (tail !== undefined) bytes.set(tail, 16 - tail.length);
  return bytes;
}

/** The bytes of one side of `::`; the last side may end in an IPv4 address. */
function readGroups(text: string, isLast: boolean): number[] | null {
  const bytes: number[] = [];
  if (text === "") return bytes;
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (isLast && i === groups.length - 1 && group.includes(".")) {
      const v4 = readV4(group);
      if (v4 === null) return null;
      bytes.push(...v4);
    } else {
      if (!/^[0-9a-f]{1,4}$/i.test(group)) return null;
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    }
  }
  return bytes.length > 16 ? null : bytes;
}

/** Formats an address of 4 or 16 bytes as RFC 5952 recommends and Deno does. */
export function writeIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join(".")}`;
  const { from, to } = longestZeros(bytes);
  return from === to
    ? writeGroups(bytes, 0, 16)
    : `${writeGroups(bytes, 0, from)}::${writeGroups(bytes, to, 16)}`;
}

function writeGroups(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  for (let at = from; at < to; at += 2) {
    if (at > from) text += ":";
    text += (bytes[at]! << 8 | bytes[at + 1]!).toString(16);
  }
  return text;
}

/** The first of the longest runs of zero groups; a single group is not a run. */
function longestZeros(bytes: Uint8Array): { from: number; to: number } {
  let longest = { from: 0, to: 0 };
  for (let at = 0, from = 0; at < 16; at += 2) {
    if (bytes[at] !== 0 || bytes[at + 1] !== 0) from = at + 2;
    else if (at + 2 - from > Math.max(2, longest.to - longest.from)) longest = { from, to: at + 2 };
  }
  return longest;
}

/** The IPv4 address inside a mapped IPv6 address, or the address as it is. */
export function unmapped(bytes: Uint8Array): Uint8Array {
  return isMapped(bytes) ? bytes.subarray(12) : bytes;
}

/** An IPv4 address mapped into IPv6, or an IPv6 address as it is. */
export function mapped(bytes: Uint8Array): Uint8Array {
  return bytes.length === 16 ? bytes : Uint8Array.of(...MAPPED, ...bytes);
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && MAPPED.every((byte, i) => bytes[i] === byte);
}
