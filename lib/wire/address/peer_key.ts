/** Gives the key under which the connections of one peer are counted. @module */

import { readHostname, writeIp } from "./ip_address.ts";

/**
 * Tells peers apart for limits on each: by the IPv4 address, and in IPv6 by the /64, since one
 * customer there usually has all of its 2⁶⁴ addresses.
 *
 * An IPv4 address that is mapped into IPv6 is the same peer as the plain one. Text that is not an
 * address is a peer of its own.
 *
 * @param hostname The address, as `conn.remoteAddr.hostname` has it.
 * @returns A key for a `Map`.
 *
 * @example One household, one key
 * ```ts
 * import { peerKey } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(peerKey("2001:db8:0:7::1"), peerKey("2001:db8:0:7:ff::2"));
 * assertEquals(peerKey("::ffff:192.0.2.1"), peerKey("192.0.2.1"));
 * ```
 *
 * @category Limits
 */
export function peerKey(hostname: string): string {
  // IPv4 has one spelling only.
  if (!hostname.includes(":")) return hostname;
  const bytes = readHostname(hostname);
  if (bytes === null) return hostname;
  return bytes.length === 4 ? writeIp(bytes) : `${writeIp(bytes.fill(0, 8))}/64`;
}
