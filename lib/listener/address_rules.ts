/** Matches an address against an allow, deny or trust list. @module */

import { bad } from "../check.ts";
import { addressRange } from "../wire/address/address_range.ts";
import { AddressTable } from "../wire/address/address_table.ts";
import { readHostname } from "../wire/address/ip_address.ts";
import { type AddressSet, isAddressSet } from "./address_set.ts";

/** Whether an address matches. */
export type AddressTest = (addr: Deno.Addr) => boolean;

/** What peers of Unix sockets have in place of an address. */
const NO_ADDRESS = new Uint8Array(0);

/**
 * The test for the addresses of a list, which must not be empty, or for those that a set has at the
 * time.
 *
 * @throws {TypeError} If it is neither.
 * @throws {RangeError} If an entry is neither an address nor a range.
 */
export function compileAddressList(verb: string, name: string, list: unknown): AddressTest {
  if (isAddressSet(list)) return testOf(list);
  if (!Array.isArray(list) || list.length === 0) {
    const wanted =
      'an array of addresses and ranges, such as ["10.0.0.0/8", "::1", "unix"], or an addressSet()';
    throw new TypeError(bad(verb, name, list, wanted));
  }
  const table = new AddressTable(Infinity);
  for (const [i, text] of list.entries()) {
    table.add(addressRange(verb, `${name}[${i}]`, text), Infinity, 0);
  }
  return (addr) => {
    const address = "hostname" in addr ? readHostname(addr.hostname) : NO_ADDRESS;
    return address !== null && table.has(address, 0);
  };
}

function testOf(set: AddressSet): AddressTest {
  return (addr) => set.has("hostname" in addr ? addr.hostname : "unix");
}

/**
 * The test for the addresses that are allowed: `deny` wins over `allow`, and without `allow` all
 * others are. `undefined` if there is nothing to test.
 *
 * @throws {TypeError} If one is neither a list nor a set.
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
