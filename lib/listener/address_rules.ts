/** Whose address is that: somebody's who may come in? @module */

import { bad } from "../check.ts";
import { addressRanges } from "../wire/address/address_range.ts";

/** Whether an address is one of those that were listed. */
export type AddressTest = (addr: Deno.Addr) => boolean;

/** In lists of addresses it stands for every peer of a Unix socket, as they have none. */
const UNIX = "unix";

/**
 * Tests for the addresses and ranges of a list, which must not be empty.
 *
 * @throws {TypeError} If it is no such list.
 * @throws {RangeError} If an entry is no address and no range.
 */
export function somebodyIn(verb: string, name: string, list: unknown): AddressTest {
  if (!Array.isArray(list) || list.length === 0) {
    const wanted = 'an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"]';
    throw new TypeError(bad(verb, name, list, wanted));
  }
  const unix = list.includes(UNIX);
  // Once with something in the place of "unix", so that messages count the entries as they are given.
  addressRanges(list.map((text) => text === UNIX ? "::" : text), verb, name);
  const ranges = addressRanges(list.filter((text) => text !== UNIX), verb, name);
  return (addr) => "hostname" in addr ? ranges.has(addr.hostname) : unix;
}

/**
 * The test for who may come in: `deny` wins over `allow`, and without `allow` everybody else may.
 * `undefined` if there is nothing to test.
 *
 * @throws {TypeError} If one is no list.
 * @throws {RangeError} If an entry is no address and no range.
 */
export function completeAddressRules(
  verb: string,
  { allow, deny }: Record<string, unknown>,
): AddressTest | undefined {
  const isAllowed = allow === undefined ? undefined : somebodyIn(verb, "allow", allow);
  // A list of nobody is what a program may well have put together.
  const isEmpty = Array.isArray(deny) && deny.length === 0;
  const isDenied = deny === undefined || isEmpty ? undefined : somebodyIn(verb, "deny", deny);
  if (isAllowed === undefined && isDenied === undefined) return undefined;
  return (addr) => !(isDenied?.(addr) ?? false) && (isAllowed?.(addr) ?? true);
}
