/** The table finds what a comparison with every range finds, at any time. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { addressRange } from "../../../lib/wire/address/address_range.ts";
import { AddressTable } from "../../../lib/wire/address/address_table.ts";
import { readHostname } from "../../../lib/wire/address/ip_address.ts";
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

/** The addresses at the edges of a range, and just outside of it. */
function edgesOf({ bits, size, value }: Address & { size: number }): Address[] {
  const past = value + (1n << BigInt(bits - size));
  return [value, past - 1n, past, value - 1n].filter((value) =>
    value >= 0n && value < 1n << BigInt(bits)
  ).map((value) => ({ bits, value }));
}

type Prefix = Address & { size: number };

const holds = (range: Prefix, { bits, value }: Address) =>
  range.bits === bits && (range.value ^ value) >> BigInt(bits - range.size) === 0n;

const parse = (one: Prefix) => addressRange("test", "range", `${written(one)}/${one.size}`);

const hasAt = (table: AddressTable, address: Address, now: number) =>
  table.has(readHostname(written(address))!, now);

/** A table of ranges that stay. */
function tableOf(...texts: string[]): AddressTable {
  const table = new AddressTable(Infinity);
  for (const text of texts) table.add(addressRange("test", "range", text), Infinity, 0);
  return table;
}

const has = (table: AddressTable, hostname: string) => table.has(readHostname(hostname)!, 0);

propertyTest(
  "has() finds what a comparison with each range finds",
  [fc.array(range, { maxLength: 12 }), fc.array(address, { minLength: 1, maxLength: 12 })],
  (ranges, addresses) => {
    const table = new AddressTable(Infinity);
    for (const range of ranges) table.add(parse(range), Infinity, 0);
    for (const address of [...addresses, ...ranges.flatMap(edgesOf)]) {
      const wanted = ranges.map(plain).some((range) => holds(range, plain(address)));
      assertEquals(hasAt(table, address, 0), wanted, written(address));
    }
  },
  3,
);

/** What is done to a table: which range, and for how long. */
const step = fc.record({
  what: fc.constantFrom("add", "add", "add", "delete", "wait"),
  which: fc.nat(7),
  ms: fc.constantFrom(0, 1, 5, 20, Infinity),
});

propertyTest(
  "a table with little room does what a list of ranges does",
  [
    fc.array(range, { minLength: 8, maxLength: 8 }),
    fc.array(step, { maxLength: 60 }),
    fc.integer({ min: 1, max: 6 }),
  ],
  (ranges, steps, room) => {
    const table = new AddressTable(room);
    let list: { range: Prefix; expiresAt: number }[] = [];
    let now = 0;
    const isSame = (one: Prefix, other: Prefix) =>
      one.bits === other.bits && one.size === other.size && one.value === other.value;
    for (const [i, { what, which, ms }] of steps.entries()) {
      const range = ranges[which]!;
      const entry = list.find((entry) => isSame(entry.range, plain(range)));
      if (what === "wait") {
        now += Math.min(ms, 10);
        list = list.filter(({ expiresAt }) => expiresAt > now);
      } else if (what === "delete") {
        assertEquals(table.delete(parse(range), now), entry !== undefined);
        list = list.filter((other) => other !== entry);
      } else {
        // No two expire together: which of them went would be a matter of taste.
        const expiresAt = now + ms + (i + 1) / 1000;
        const first = list.toSorted((a, b) => a.expiresAt - b.expiresAt)[0];
        const isIn = entry !== undefined || list.length < room ||
          (first!.expiresAt < Infinity && first!.expiresAt < expiresAt);
        assertEquals(table.add(parse(range), expiresAt, now), isIn);
        if (entry !== undefined) entry.expiresAt = Math.max(entry.expiresAt, expiresAt);
        else if (isIn) {
          if (list.length >= room) list = list.filter((other) => other !== first);
          list.push({ range: plain(range), expiresAt });
        }
      }
      for (const address of ranges.flatMap(edgesOf)) {
        const wanted = list.some(({ range }) => holds(range, plain(address)));
        assertEquals(hasAt(table, address, now), wanted, written(address));
      }
      // Expired ranges that are still there must not count; at times nobody has asked for the size.
      if (i % 3 === 0) assertEquals(table.size(now), list.length);
    }
  },
);

Deno.test("has() finds one in thousands of ranges", () => {
  const texts = Array.from({ length: 5000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/25`);
  const table = tableOf(...texts, ...texts.map((_, i) => `2001:db8:${i.toString(16)}::/48`));
  assertEquals(has(table, "10.19.135.127"), true);
  assertEquals(has(table, "10.19.135.128"), false);
  assertEquals(has(table, "10.19.136.0"), false);
  assertEquals(has(table, "2001:db8:1387:1::1"), true);
  assertEquals(has(table, "2001:db8:1388::1"), false);
});

Deno.test("has() keeps the families apart, also where a range is as wide as it can be", () => {
  const [v4, v6, unix] = [tableOf("0.0.0.0/0"), tableOf("::/0"), tableOf("unix")];
  const found = (hostname: string) => [v4, v6, unix].map((table) => has(table, hostname));
  for (const address of ["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"]) {
    assertEquals(found(address), [true, false, false]);
  }
  for (const address of ["::", "ffff::ffff", "::1.2.3.4"]) {
    assertEquals(found(address), [false, true, false]);
  }
  const noAddress = new Uint8Array(0);
  assertEquals([v4, v6, unix].map((table) => table.has(noAddress, 0)), [false, false, true]);
});

Deno.test("a range that thousands of others expire with is not found, and costs no more", () => {
  const table = new AddressTable(Infinity);
  for (let i = 0; i < 5000; i++) {
    const text = `10.${i >> 8}.${i & 255}.0/24`;
    table.add(addressRange("test", "range", text), 1000, 0);
  }
  // One in the middle: not among the few that each call removes.
  assertEquals(table.has(readHostname("10.9.200.1")!, 999), true);
  assertEquals(table.has(readHostname("10.9.200.1")!, 1000), false);
  assertEquals(table.delete(addressRange("test", "range", "10.9.200.0/24"), 1000), false);
  assertEquals(table.size(1000), 0);
});
