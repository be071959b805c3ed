/** Every key has one place, and a place that is free again is taken again. @module */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { FULL, REFUSED, SharedTable, type WordRule } from "../../lib/fleet/shared_table.ts";

const PLACES = 64;

function table(row = 0, buffer = memory()): SharedTable {
  return new SharedTable(buffer, row);
}

function memory(): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(SharedTable.size(2, PLACES));
  SharedTable.lay(buffer, 2, PLACES);
  return buffer;
}

/** Words count by tens, up to 30. */
const TENS: WordRule = {
  first: () => 10n,
  next: (word) => word < 30n ? word + 10n : undefined,
  displaces: 0n,
};

/** The word of each key is what is given. */
function set(word: bigint): WordRule {
  return { first: () => word, next: () => word, displaces: 2n ** 62n };
}

Deno.test("put() gives a key one place, and its word the next value", () => {
  const t = table();
  const place = t.put("a", TENS);
  assertEquals(t.word(place), 10n);
  assertEquals(t.put("a", TENS), place);
  assertEquals(t.word(place), 20n);
  assertNotEquals(t.put("b", TENS), place);
});

Deno.test("put() refuses what the rule refuses, and leaves the word", () => {
  const t = table();
  for (let i = 0; i < 3; i++) t.put("a", TENS);
  assertEquals(t.put("a", TENS), REFUSED);
  assertEquals(t.word(t.find("a")), 30n);
});

Deno.test("find() finds what another thread's view has put, and nothing else", () => {
  const buffer = memory();
  const place = table(0, buffer).put("a", TENS);
  assertEquals(table(1, buffer).find("a"), place);
  assertEquals(table(1, buffer).find("b"), -1);
});

Deno.test("put() gives a place that is free again to another key", () => {
  const t = table();
  for (let i = 0; i < 10 * PLACES; i++) {
    const place = t.put(`${i}`, TENS);
    assert(place >= 0, `${i}`);
    assert(t.change(place, 10n, 0n));
    assertEquals(t.find(`${i}`), -1);
  }
});

Deno.test("put() says when the bucket is full, if the rule displaces none", () => {
  const t = table();
  const places = Array.from({ length: 4 * PLACES }, (_, i) => t.put(`${i}`, TENS));
  const taken = places.filter((place) => place !== FULL);
  assertEquals(new Set(taken).size, taken.length);
  assertEquals(taken.length, PLACES);
});

Deno.test("put() displaces the least word of a full bucket, if the rule says so", () => {
  const t = table();
  for (let i = 1; i <= 40 * PLACES; i++) t.put(`${i}`, set(BigInt(i)));
  // The latest of each bucket, sixteen of them, and no older one.
  const left = Array.from({ length: 40 * PLACES }, (_, i) => i + 1)
    .filter((i) => t.find(`${i}`) >= 0);
  assertEquals(left.length, PLACES);
  assert(left[0]! > 30 * PLACES, `${left[0]}`);
});

Deno.test("a table has a secret of its own", () => {
  const orders = [table(), table()].map((t) =>
    Array.from({ length: 8 }, (_, i) => t.put(`${i}`, TENS)).join()
  );
  assertNotEquals(orders[0], orders[1]);
});

Deno.test("undisturbed() gives nothing while another thread works on the place", () => {
  const buffer = memory();
  const [mine, other] = [table(0, buffer), table(1, buffer)];
  other.workOn(3);
  assertEquals(mine.undisturbed(3, () => "seen"), undefined);
  assertEquals(mine.undisturbed(4, () => "seen"), "seen");
  other.finish();
  assertEquals(mine.undisturbed(3, () => "seen"), "seen");
  const meanwhile = mine.undisturbed(3, () => {
    other.workOn(3);
    other.finish();
    return "seen";
  });
  assertEquals(meanwhile, undefined);
});

Deno.test("bury() says what the dead thread was working on, once", () => {
  const buffer = memory();
  const [mine, other] = [table(0, buffer), table(1, buffer)];
  other.workOn(5);
  assertEquals(mine.bury(1), 5);
  assertEquals(mine.bury(1), -1);
});
