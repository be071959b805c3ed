/** An address is found in the ranges that hold it, and in no other. @module */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { addressRanges } from "../../../lib/wire/address/address_range.ts";
import { propertyTest } from "../property.ts";

/** An address as a number of 32 or 128 bits. */
interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/** The prefix of IPv4 addresses mapped into IPv6. */
const MAPPED = 0xffffn << 32n;

/** Addresses that share prefixes of every length. */
function addresses(bits: 32 | 128): fc.Arbitrary<Address> {
  const digits = fc.array(fc.constantFrom("0", "0", "8", "c", "f"), {
    minLength: bits / 4,
    maxLength: bits / 4,
  });
  return digits.map((digits) => ({ bits, value: BigInt(`0x${digits.join("")}`) }));
}

const address = fc.oneof(
  addresses(32),
  addresses(128),
  addresses(32).map(({ value }): Address => ({ bits: 128, value: MAPPED | value })),
);

const range = fc.tuple(address, fc.nat(128)).map(([{ bits, value }, length]) => {
  const size = length % (bits + 1);
  const rest = BigInt(bits - size);
  return { bits, size, value: value >> rest << rest };
});

/** The plainest spelling: all groups, nothing left out. */
function written({ bits, value }: Address): string {
  const part = bits === 32 ? 8n : 16n;
  const parts = Array.from(
    { length: bits / Number(part) },
    (_, i) => value >> BigInt(bits) - part * BigInt(i + 1) & (1n << part) - 1n,
  );
  return bits === 32 ? parts.join(".") : parts.map((n) => n.toString(16)).join(":");
}

/** Mapped IPv4 counts as IPv4, in addresses and in ranges. */
function plain<T extends Address & { size?: number }>(one: T): Address & { size: number } {
  const { bits, value, size = bits } = one;
  return bits === 128 && value >> 32n === 0xffffn && size >= 96
    ? { bits: 32, value: value & 0xffffffffn, size: size - 96 }
    : { bits, value, size };
}

propertyTest(
  "has() finds what a comparison with each range finds",
  [fc.array(range, { maxLength: 12 }), fc.array(address, { minLength: 1, maxLength: 12 })],
  (ranges, addresses) => {
    const found = addressRanges(ranges.map((one) => `${written(one)}/${one.size}`));
    // What is at the edges of the ranges, besides what is anywhere.
    const edges = ranges.flatMap(({ bits, size, value }): Address[] => {
      const past = value + (1n << BigInt(bits - size));
      return [value, past - 1n, past, value - 1n].filter((value) =>
        value >= 0n && value < 1n << BigInt(bits)
      ).map((value) => ({ bits, value }));
    });
    for (const address of [...addresses, ...edges]) {
      const { bits, value } = plain(address);
      const wanted = ranges.map(plain).some((range) => {
        const rest = BigInt(bits - range.size);
        return range.bits === bits && range.value >> rest === value >> rest;
      });
      assertEquals(found.has(written(address)), wanted, written(address));
    }
  },
  3,
);

Deno.test("has() finds one in thousands of ranges", () => {
  const texts = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/25`);
  const ranges = addressRanges([
    ...texts,
    ...texts.map((_, i) => `2001:db8:${i.toString(16)}::/48`),
  ]);
  assertEquals(ranges.has("10.19.135.127"), true);
  assertEquals(ranges.has("10.19.135.128"), false);
  assertEquals(ranges.has("10.19.136.0"), false);
  assertEquals(ranges.has("2001:db8:1387:1::1"), true);
  assertEquals(ranges.has("2001:db8:1388::1"), false);
});

Deno.test("has() accepts any spelling, ignores zones, and finds no names", () => {
  const ranges = addressRanges(["fe80::/64", "192.0.2.7", "::ffff:10.0.0.0/104", "::1"]);
  for (const inside of ["fe80::1%eth0", "FE80:0::1", "::ffff:192.0.2.7", "10.1.2.3", "::1%1"]) {
    assertEquals(ranges.has(inside), true, inside);
  }
  for (
    const outside of ["fe80:0:0:1::%eth0", "192.0.2.8", "localhost", "", "%", "::ffff:11.0.0.0"]
  ) {
    assertEquals(ranges.has(outside), false, outside);
  }
  assertEquals(addressRanges([]).has("127.0.0.1"), false);
});

Deno.test("has() keeps the families apart, also where a range is as wide as it can be", () => {
  const [v4, v6] = [addressRanges(["0.0.0.0/0"]), addressRanges(["::/0"])];
  for (const address of ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"]) {
    assertEquals([v4.has(address), v6.has(address)], [true, false]);
  }
  for (const address of ["::", "ffff::ffff", "::1.2.3.4"]) {
    assertEquals([v4.has(address), v6.has(address)], [false, true]);
  }
});

Deno.test("addressRanges() says which entry is wrong, and what to use", () => {
  const example = `use an address or a range, such as "10.0.0.0/8" or "2001:db8::/32"`;
  const refusals: [unknown, typeof Error, string][] = [
    ["10.0.0.0/8", TypeError, `'ranges' of "10.0.0.0/8": use an array of strings`],
    [["::1", 7], TypeError, `'ranges[1]' of 7: ${example}`],
    [["localhost"], RangeError, `'ranges[0]' of "localhost": ${example}`],
    [[""], RangeError, `'ranges[0]' of "": ${example}`],
    [["10.0.0.0/"], RangeError, `'ranges[0]' of "10.0.0.0/": ${example}`],
    [["10.0.0.0/08"], RangeError, `'ranges[0]' of "10.0.0.0/08": ${example}`],
    [["10.0.0.0/8/8"], RangeError, `'ranges[0]' of "10.0.0.0/8/8": ${example}`],
    [["10.0.0.0/33"], RangeError, `"10.0.0.0/33": use a prefix of at most 32 bits`],
    [["::/129"], RangeError, `"::/129": use a prefix of at most 128 bits`],
    [["10.0.0.1/8"], RangeError, `"10.0.0.1/8": use "10.0.0.0/8", or the address alone`],
    [
      ["2001:DB8::1/33"],
      RangeError,
      `"2001:DB8::1/33": use "2001:db8::/33", or the address alone`,
    ],
    [["fe80::1%eth0"], RangeError, "use the address without its zone, which would be ignored"],
  ];
  for (const [texts, kind, message] of refusals) {
    assertThrows(() => addressRanges(texts as string[]), kind, message);
  }
  assertThrows(
    () => addressRanges(["::", "x"], "serve", "allow"),
    RangeError,
    `Cannot serve with 'allow[1]' of "x": ${example}`,
  );
});
