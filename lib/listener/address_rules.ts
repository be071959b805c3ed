/** Matches an address against an allow, deny or trust list. @module */

import { bad } from "../check.ts";
import { addressRanges } from "../wire/address/address_range.ts";

/** Whether an address matches. */
export type AddressTest = (addr: Deno.Addr) => boolean;

/** The entry of a list that stands for every peer of a Unix socket, as they have no address. */
const UNIX = "unix";

/**
 * The test for the addresses and ranges of a list, which must not be empty.
 *
 * @throws {TypeError} If it is not such a list.
 * @throws {RangeError} If an entry is neither an address nor a range.
 */
export function compileAddressList(verb: string, name: string, list: unknown): AddressTest {
  if (!Array.isArray(list) || list.length === 0) {
    const wanted = 'an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"]';
    throw new TypeError(bad(verb, name, list, wanted));
  }
  const unix = list.includes(UNIX);
  // Checked with an address in the place of "unix", so that messages count the entries as given.
  addressRanges(list.map((text) => text === UNIX ? "::" : text), verb, name);
  const ranges = addressRanges(list.filter((text) => text !== UNIX), verb, name);
  return (addr) => "hostname" in addr ? ranges.has(addr.hostname) : unix;
}

/**
 * The test for the addresses that are allowed: `deny` wins over `allow`, and without `allow` all
 * others are. `undefined` if there is nothing to test.
 *
 * @throws {TypeError} If one is not a list.
 * @throws {RangeError} If an entry is neither an address nor a range.
 */
export function completeAddressRules(
  verb: string,
  { allow, deny }: Record<string, unknown>,
): AddressTest | undefined {
  const isAllowed = allow === undefined ? undefined : compileAddressList(verb, "allow", allow);
  // A program that puts the list together may well end with an empty one.
  const isEmpty = Array.isArray(deny) && deny.length === 0;
  const isDenied = deny === undefined || isEmpty
    ? undefined
    : compileAddressList(verb, "deny", deny);
  if (isAllowed === undefined && isDenied === undefined) return undefined;
  return (addr) => !(isDenied?.(addr) ?? false) && (isAllowed?.(addr) ?? true);
}
