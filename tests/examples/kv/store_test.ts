/** The store forgets expired keys, and nothing else. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Store } from "../../../examples/kv/store.ts";
import { bytes } from "../../support/bytes.ts";

Deno.test("Store keeps a copy of a value", () => {
  using store = new Store();
  const value = bytes`one`;
  store.set("a", value);
  value.fill(0);
  assertEquals(store.get("a"), bytes`one`);
  store.set("a", bytes`two`);
  assertEquals(store.get("a"), bytes`two`);
  store.set("a", bytes`three`);
  assertEquals(store.get("a"), bytes`three`);
});

Deno.test("Store.delete() says whether the key existed", () => {
  using store = new Store();
  store.set("a", bytes`1`);
  assertEquals([store.delete("a"), store.delete("a"), store.has("a")], [true, false, false]);
});

Deno.test("Store forgets a key when it expires, not before", () => {
  using time = new FakeTime();
  using store = new Store();
  store.set("a", bytes`1`, Date.now() + 1000);
  assertEquals(store.expiry("a"), Date.now() + 1000);
  time.tick(999);
  assertEquals(store.get("a"), bytes`1`);
  time.tick(1);
  assertEquals(store.get("a"), undefined);
  assertEquals(store.size, 0);
});

Deno.test("Store keeps a key forever that is set again without an expiry", () => {
  using time = new FakeTime();
  using store = new Store();
  store.set("a", bytes`1`, Date.now() + 1000);
  store.set("a", bytes`2`);
  time.tick(10_000);
  assertEquals(store.get("a"), bytes`2`);
  assertEquals(store.expiry("a"), Infinity);
});

Deno.test("Store treats an expired key as missing, in every method", () => {
  using time = new FakeTime();
  for (
    const ask of [
      (store: Store) => store.has("a"),
      (store: Store) => store.delete("a"),
      (store: Store) => store.expire("a", Date.now() + 1000),
      (store: Store) => [...store.keys()].length > 0,
      (store: Store) => store.expiry("a") !== undefined,
    ]
  ) {
    using store = new Store();
    store.set("a", bytes`1`, Date.now() + 5);
    time.tick(5);
    assertEquals(ask(store), false, `${ask}`);
  }
});

Deno.test("Store sweeps out expired keys that are not asked for, some at a time", () => {
  using time = new FakeTime();
  using store = new Store();
  for (let i = 0; i < 2500; i++) store.set(`key:${i}`, bytes`1`, Date.now() + 50);
  store.set("stays", bytes`1`);
  time.tick(99);
  assertEquals(store.size, 2501);
  time.tick(1);
  assertEquals(store.size, 1501);
  time.tick(200);
  assertEquals(store.size, 1);
});

Deno.test("Store sweeps in cycles, so that no key is missed", () => {
  using time = new FakeTime();
  using store = new Store();
  for (let i = 0; i < 1500; i++) store.set(`later:${i}`, bytes`1`, Date.now() + 10_000);
  store.set("sooner", bytes`1`, Date.now() + 150);
  time.tick(500);
  assertEquals(store.size, 1500);
});

Deno.test("Store has a timer only while some key can expire", () => {
  using time = new FakeTime();
  using store = new Store();
  store.set("a", bytes`1`);
  assertEquals(time.next(), false, "a timer for a key without an end");
  store.set("a", bytes`1`, Date.now() + 50);
  assertEquals(time.next(), true);
  assertEquals(time.next(), false, "a timer for no key");
  store.set("b", bytes`1`, Date.now() + 50);
  assertEquals(time.next(), true, "no timer the second time");
});

Deno.test("Store counts the bytes it holds, and is full above its capacity", () => {
  using time = new FakeTime();
  using store = new Store(3000);
  assertEquals(store.isFull, false);
  store.set("a", new Uint8Array(2900));
  assertEquals(store.isFull, true);
  store.set("a", new Uint8Array(10));
  assertEquals(store.isFull, false);
  store.set("a", new Uint8Array(2900), Date.now() + 1000);
  assertEquals(store.isFull, true);
  time.tick(1000);
  assertEquals([store.has("a"), store.isFull], [false, false]);
  store.set("b", new Uint8Array(2900));
  store.delete("b");
  assertEquals(store.isFull, false);
  store.set("c", new Uint8Array(2900));
  store.clear();
  assertEquals(store.isFull, false);
});
