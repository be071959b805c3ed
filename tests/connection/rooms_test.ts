/** Few reads of a server wait on a large room, and what rooms occupy is counted. @module */

import { assert, assertEquals, assertFalse, assertLessOrEqual } from "@std/assert";
import { Rooms } from "../../lib/connection/rooms.ts";

/** All the large rooms that reads may wait on are waited on. */
function exhausted(): Rooms {
  const rooms = new Rooms();
  for (; rooms.mayWait; rooms.largeWaits++);
  return rooms;
}

Deno.test("mayWait is true for 64 reads at a time", () => {
  const rooms = exhausted();
  assertEquals(rooms.largeWaits, 64);
  rooms.largeWaits--;
  assert(rooms.mayWait);
});

Deno.test("waitSize() is what is expected and some room, up to 256 KiB", () => {
  const rooms = new Rooms();
  for (const expected of [1, 300, 9000, 16_384, 65_536, 200_000]) {
    const size = rooms.waitSize(expected);
    assert(size > expected && size <= expected + 256, `${size}`);
  }
  assertEquals(rooms.waitSize(10_000_000), 262_144);
});

Deno.test("waitSize() is a forepart of large messages where no more reads may wait on them", () => {
  const rooms = exhausted();
  assertEquals(rooms.waitSize(16_384), 16_384 + 256);
  for (const expected of [16_385, 65_536, 262_144]) {
    assertLessOrEqual(rooms.waitSize(expected), 512);
  }
});

Deno.test("larger() begins with what fills a room, and is large enough for what is expected", () => {
  const rooms = new Rooms();
  const room = new Uint8Array(500).fill(7);
  for (const expected of [256, 1001, 5000, 65_536, 300_000]) {
    const larger = rooms.larger(room, expected, false)!;
    assertEquals(larger.subarray(0, 501), new Uint8Array([...room, 0]));
    assert(larger.length > Math.min(expected, 262_143), `${expected}`);
  }
});

Deno.test("larger() goes on to 256 KiB in three steps, and no further", () => {
  const rooms = new Rooms();
  const sizes = [512];
  for (let room = new Uint8Array(512), next; (next = rooms.larger(room, 256, false)); room = next) {
    sizes.push(next.length);
  }
  assertEquals(sizes, [512, 16_640, 65_792, 262_144]);
});

Deno.test("larger() gives nothing large where no more reads may wait on it", () => {
  const rooms = exhausted();
  assertEquals(rooms.larger(new Uint8Array(512), 256, false)!.length, 16_640);
  assertEquals(rooms.larger(new Uint8Array(512), 65_536, false)!.length, 16_640);
  assertEquals(rooms.larger(new Uint8Array(16_640), 65_536, false), undefined);
  assertEquals(rooms.larger(new Uint8Array(16_640), 256, false), undefined);
});

Deno.test("larger() still gives 64 KiB for chunks that are lent, to 64 reads at a time", () => {
  const rooms = exhausted();
  for (let i = 0; i < 64; i++, rooms.largeWaits++) {
    assertEquals(rooms.larger(new Uint8Array(512), 256, true)!.length, 16_640);
    assertEquals(rooms.larger(new Uint8Array(512), 200_000, true)!.length, 65_792);
    assertEquals(rooms.larger(new Uint8Array(16_640), 256, true)!.length, 65_792);
    assertEquals(rooms.larger(new Uint8Array(65_792), 256, true), undefined);
  }
  assertEquals(rooms.larger(new Uint8Array(512), 200_000, true)!.length, 16_640);
  assertEquals(rooms.larger(new Uint8Array(16_640), 256, true), undefined);
});

Deno.test("occupied counts memory beyond an idle connection's, twice", () => {
  const rooms = new Rooms();
  rooms.replace(0, 512);
  rooms.replace(512, 16_640);
  assertEquals(rooms.occupied, 0);
  rooms.replace(16_640, 65_792);
  assertEquals(rooms.occupied, 2 * 65_792);
  rooms.replace(65_792, 20_000);
  assertEquals(rooms.occupied, 2 * 20_000);
  rooms.replace(20_000, 0);
  assertEquals(rooms.occupied, 0);
  assertFalse(rooms.occupied < 0);
});
