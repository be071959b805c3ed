/** A set of addresses changes as its program says, and bounds itself. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type AddressStore, isAddressSet } from "../../lib/listener/address_set.ts";
import { addressSet } from "../../mod.ts";

Deno.test("has() accepts any spelling, ignores zones, and finds no names", () => {
  const set = addressSet(["fe80::/64", "192.0.2.7", "::ffff:10.0.0.0/104", "::1"]);
  for (const inside of ["fe80::1%eth0", "FE80:0::1", "::ffff:192.0.2.7", "10.1.2.3", "::1%1"]) {
    assertEquals(set.has(inside), true, inside);
  }
  for (
    const outside of ["fe80:0:0:1::%eth0", "192.0.2.8", "localhost", "", "%", "::ffff:11.0.0.0"]
  ) {
    assertEquals(set.has(outside), false, outside);
  }
  assertEquals([set.size, addressSet().size, addressSet().has("127.0.0.1")], [4, 0, false]);
});

Deno.test("add() adds a range, and delete() removes exactly that one", () => {
  const set = addressSet(["10.0.0.0/8"]);
  set.add("10.1.2.3");
  assertEquals([set.size, set.delete("10.1.2.3"), set.delete("10.1.2.3")], [2, true, false]);
  assertEquals([set.has("10.1.2.3"), set.delete("10.0.0.0/16")], [true, false]);
  assertEquals([set.delete("10.0.0.0/8"), set.has("10.1.2.3"), set.size], [true, false, 0]);
});

Deno.test("add() with expireIn lets a range go by itself", () => {
  using time = new FakeTime();
  const set = addressSet();
  set.add("192.0.2.7", { expireIn: 1000 });
  set.add("192.0.2.8", { expireIn: 2000 });
  time.tick(999);
  assertEquals([set.has("192.0.2.7"), set.size], [true, 2]);
  time.tick(1);
  assertEquals([set.has("192.0.2.7"), set.has("192.0.2.8"), set.size], [false, true, 1]);
  assertEquals(set.delete("192.0.2.7"), false);
});

Deno.test("add() of a range that is there keeps the longer of both times", () => {
  using time = new FakeTime();
  const set = addressSet(["192.0.2.1"]);
  set.add("192.0.2.1", { expireIn: 10 }); // was to stay
  set.add("192.0.2.2", { expireIn: 1000 });
  set.add("192.0.2.2", { expireIn: 10 });
  set.add("192.0.2.3", { expireIn: 10 });
  set.add("192.0.2.3");
  time.tick(999);
  assertEquals(["192.0.2.1", "192.0.2.2", "192.0.2.3"].map((one) => set.has(one)), [
    true,
    true,
    true,
  ]);
  time.tick(1);
  assertEquals(set.has("192.0.2.2"), false);
});

/** Addresses of 2001:db8::/32, as many as there may be. */
function full(): string[] {
  return Array.from({ length: 65_536 }, (_, i) => `2001:db8::${i.toString(16)}`);
}

Deno.test("a full set lets the range go that expires first, be it the new one", () => {
  using time = new FakeTime();
  const set = addressSet(full().slice(2));
  set.add("192.0.2.1", { expireIn: 1000 });
  set.add("192.0.2.2", { expireIn: 2000 });
  set.add("192.0.2.3", { expireIn: 3000 });
  const inside = () => [1, 2, 3, 4].filter((i) => set.has(`192.0.2.${i}`));
  assertEquals([set.size, inside()], [65_536, [2, 3]]);
  set.add("192.0.2.4", { expireIn: 100 });
  assertEquals([set.size, inside()], [65_536, [2, 3]]);
  set.add("192.0.2.4"); // for good
  assertEquals(inside(), [3, 4]);
  time.tick(3000);
  assertEquals([set.size, inside()], [65_535, [4]]);
});

Deno.test("a set that is full for good takes nothing more for good", () => {
  const set = addressSet(full());
  const { message } = assertThrows(() => set.add("192.0.2.1"), RangeError);
  assertEquals(
    message,
    `Cannot add to an address set with 'range' of "192.0.2.1": ` +
      "use delete() first, or 'expireIn': it has 65536 ranges that never expire",
  );
  set.add("192.0.2.1", { expireIn: 1000 });
  assertEquals([set.has("192.0.2.1"), set.size], [false, 65_536]);
  set.add("2001:db8::"); // is there
  set.delete("2001:db8::");
  set.add("192.0.2.1");
  assertEquals(set.has("192.0.2.1"), true);
});

Deno.test("addressSet() takes no more ranges than it has room for", () => {
  assertThrows(
    () => addressSet([...full(), "192.0.2.1"]),
    RangeError,
    "Cannot make an address set with 'ranges' of an array: use at most 65536 ranges",
  );
});

Deno.test("sets of one name are one set, and sets without a name are not", () => {
  const name = crypto.randomUUID();
  const [one, other] = [addressSet(["192.0.2.7"], { name }), addressSet(["::1"], { name })];
  assertEquals([one.size, one.has("::1"), other.has("192.0.2.7")], [2, true, true]);
  other.delete("192.0.2.7");
  assertEquals(one.has("192.0.2.7"), false);
  addressSet(["192.0.2.8"]);
  assertEquals(one.has("192.0.2.8"), false);
});

Deno.test("sets of one name in a fleet have the fleet's store", () => {
  const asked: string[] = [];
  const added: unknown[][] = [];
  const store: AddressStore = {
    size: 7,
    add: ({ first, bits }, expireIn) => added.push([...first, bits, expireIn]) > 0,
    delete: ({ bits }) => bits === 8,
    has: (address) => address.length === 16,
  };
  const fleet = Symbol.for("usher.fleet");
  const addressStore = (name: string) => {
    asked.push(name);
    return store;
  };
  Object.assign(globalThis, { [fleet]: { addressStore } });
  try {
    addressSet(["::1"]).add("::2");
    const set = addressSet(["192.0.2.7"], { name: "bans" });
    set.add("10.0.0.0/8", { expireIn: 50 });
    assertEquals(asked, ["bans"]);
    assertEquals(added, [[192, 0, 2, 7, 32, Infinity], [10, 0, 0, 0, 8, 50]]);
    assertEquals([set.size, set.has("::1"), set.has("10.0.0.1")], [7, true, false]);
    assertEquals([set.delete("10.0.0.0/8"), set.delete("::1")], [true, false]);
  } finally {
    Reflect.deleteProperty(globalThis, fleet);
  }
});

Deno.test("isAddressSet() recognizes sets, and nothing that resembles one", () => {
  assertEquals(
    [addressSet(), new Set(), ["::1"], { has: () => true }, null].map(isAddressSet),
    [true, false, false, false, false],
  );
});
