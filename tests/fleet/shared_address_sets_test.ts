/** A named set is one set in all threads. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { SharedAddressSets } from "../../lib/fleet/shared_address_sets.ts";
import type { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { addressRange } from "../../lib/wire/address/address_range.ts";
import { readHostname } from "../../lib/wire/address/ip_address.ts";
import { byChance } from "../support/chance.ts";

const range = (text: string) => addressRange("test", "range", text);
const address = (text: string) => text === "unix" ? new Uint8Array(0) : readHostname(text)!;

/** Two workers and the main thread, with one clock, which is set by hand. */
function fleet(places?: number) {
  const clock = { now: 1000 };
  const buffer = SharedAddressSets.allocate(3, places);
  const [a, b, main] = [0, 1, 2].map((row) =>
    new SharedAddressSets(buffer, row, clock as SharedClock)
  );
  return { a: a!, b: b!, main: main!, clock };
}

Deno.test("addressStore() gives one set to all who know its name", () => {
  const { a, b } = fleet();
  const [mine, same, other] = [a.addressStore("x"), b.addressStore("x"), b.addressStore("y")];
  assert(mine.add(range("192.0.2.0/24"), Infinity));
  assertEquals(same.has(address("192.0.2.7")), true);
  assertEquals(same.has(address("192.0.3.7")), false);
  assertEquals(other.has(address("192.0.2.7")), false);
  assertEquals([mine.size, same.size, other.size], [1, 1, 0]);
  assert(same.delete(range("192.0.2.0/24")));
  assertEquals(mine.has(address("192.0.2.7")), false);
});

Deno.test("has() finds prefixes of every length, of each family", () => {
  const { a, b } = fleet();
  const [mine, same] = [a.addressStore("x"), b.addressStore("x")];
  for (let bits = 0; bits <= 128; bits++) {
    const first = new Uint8Array(16).map((_, i) =>
      0xff00 >> Math.max(0, Math.min(8, bits - 8 * i))
    );
    mine.add({ first, bits }, Infinity);
    assert(same.has(first), `/${bits}`);
    if (bits > 0) assertEquals(same.delete({ first, bits: bits - 1 }), false);
    const outside = first.slice();
    if (bits > 0) outside[bits - 1 >> 3]! ^= 0x80 >> (bits - 1 & 7);
    assertEquals(same.has(outside), bits === 0, `/${bits}`);
    assert(mine.delete({ first, bits }), `/${bits}`);
    assertEquals(same.has(first), false, `/${bits}`);
  }
});

Deno.test("what expires is gone at its time, and the later of two times counts", () => {
  const { a, b, clock } = fleet();
  const [mine, same] = [a.addressStore("x"), b.addressStore("x")];
  mine.add(range("192.0.2.1"), 100);
  same.add(range("192.0.2.1"), 50);
  clock.now += 99;
  assert(same.has(address("192.0.2.1")));
  clock.now += 1;
  assertEquals([mine.has(address("192.0.2.1")), mine.size], [false, 0]);
  assertEquals(same.delete(range("192.0.2.1")), false);
  mine.add(range("192.0.2.1"), 10);
  same.add(range("192.0.2.1"), Infinity);
  mine.add(range("192.0.2.1"), 20);
  clock.now += 1e12;
  assert(mine.has(address("192.0.2.1")));
  assert(mine.add(range("192.0.2.2"), 0) && !mine.has(address("192.0.2.2")));
});

const nth = (i: number) => new Uint8Array([10, i >> 16, i >> 8, i]);

Deno.test("a set takes the 65,536 ranges that it is promised", () => {
  const { a, b } = fleet();
  const [mine, same] = [a.addressStore("x"), b.addressStore("x")];
  for (let i = 0; i < 65_536; i++) assert(mine.add({ first: nth(i), bits: 32 }, Infinity));
  for (let i = 0; i < 65_536; i += 97) assert(same.has(nth(i)));
  assertEquals(same.size, 65_536);
});

Deno.test("what expires first makes room, and what never does makes none", () => {
  const { a, b } = fleet(1024);
  const [mine, bans] = [a.addressStore("x"), b.addressStore("bans")];
  for (let i = 0; i < 64; i++) assert(mine.add({ first: nth(i), bits: 32 }, Infinity));
  for (let i = 0; i < 20_000; i++) assert(bans.add({ first: nth(i), bits: 32 }, 1000 + i));
  assertEquals([mine.size, bans.size], [64, 1024 - 64]);
  assert(bans.has(nth(19_999)));
  assertEquals(bans.add({ first: nth(20_000), bits: 32 }, 1), false);
  for (let i = 0; i < 20_000; i++) mine.add({ first: nth(i), bits: 32 }, Infinity);
  assertEquals([mine.size, bans.size], [1024, 0]);
  assertEquals(mine.add({ first: nth(20_001), bits: 32 }, Infinity), false);
});

Deno.test("addressStore() refuses the name beyond the 64th", () => {
  const { a, b } = fleet();
  for (let i = 0; i < 64; i++) a.addressStore(`${i}`);
  assert(b.addressStore("63"));
  assertThrows(() => b.addressStore("64"), RangeError, "sets of 64 names");
});

Deno.test("a set says what a comparison with every range says, whoever changes it", () =>
  byChance((chance) => {
    const { a, b, clock } = fleet();
    const stores = [a.addressStore("x"), b.addressStore("x")];
    const model = new Map<string, number>();
    const texts = [
      "unix",
      "10.0.0.0/8",
      "10.1.0.0/16",
      "10.1.2.3",
      "0.0.0.0/0",
      "2001:db8::/32",
      "2001:db8:1::/48",
      "2001:db8:1::1",
      "::/0",
      "10.1.2.0/31",
    ];
    const probes = [
      "unix",
      "10.1.2.3",
      "10.1.2.1",
      "10.9.9.9",
      "11.0.0.1",
      "2001:db8:1::1",
      "2001:db8:2::1",
      "fe80::1",
    ];
    const covers = (text: string, probe: string) => {
      const { first, bits } = range(text);
      const bytes = address(probe);
      if (bytes.length !== first.length) return false;
      return first.every((byte, i) => {
        const mask = 0xff00 >> Math.max(0, Math.min(8, bits - 8 * i)) & 0xff;
        return (byte & mask) === (bytes[i]! & mask);
      });
    };
    for (let i = 0; i < 3000; i++) {
      const store = chance.pick(stores);
      const text = chance.pick(texts);
      const expiry = model.get(text) ?? 0;
      switch (chance.from(0, 3)) {
        case 0: {
          const expireIn = chance.onceIn(3) ? Infinity : chance.from(1, 50);
          store.add(range(text), expireIn);
          model.set(text, Math.max(expiry, clock.now + expireIn));
          break;
        }
        case 1:
          assertEquals(store.delete(range(text)), expiry > clock.now);
          model.delete(text);
          break;
        case 2:
          clock.now += chance.from(0, 20);
          break;
        default: {
          const probe = chance.pick(probes);
          const expected = [...model].some(([text, at]) => at > clock.now && covers(text, probe));
          assertEquals(store.has(address(probe)), expected, probe);
        }
      }
    }
    const live = [...model.values()].filter((at) => at > clock.now).length;
    assertEquals(stores.map(({ size }) => size), [live, live]);
  }));
