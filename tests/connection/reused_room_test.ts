/** Borrowed chunks cost no memory, and what is kept of one shows nothing of another connection. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertLessOrEqual,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { ReadSize } from "../../lib/connection/read_size.ts";
import { ReusedRoom } from "../../lib/connection/reused_room.ts";
import { Rooms } from "../../lib/connection/rooms.ts";

function made(rooms = new Rooms(), poisons = false): ReusedRoom {
  return new ReusedRoom(rooms, new ReadSize(), poisons);
}

/** Messages of a size, read until they come in one piece; the last of the chunks. */
function settled(memory: ReusedRoom, size: number): Uint8Array<ArrayBuffer> {
  let chunk = new Uint8Array(0);
  for (let i = 0; i < 20; i++) {
    const room = memory.chunkRoom();
    chunk = memory.chunk(room, Math.min(size, room.length));
  }
  return chunk;
}

Deno.test("a connection that says nothing waits on half a KiB", () => {
  assertEquals(made().chunkRoom().buffer.byteLength, 512);
});

for (const size of [1, 64, 4096, 16_384, 65_536]) {
  Deno.test(`messages of ${size} bytes are read into the same memory again and again`, () => {
    const memory = made();
    const before = settled(memory, size);
    assertEquals(before.length, size);
    const room = memory.chunkRoom();
    const after = memory.chunk(room, size);
    // Not even a view is made.
    assertStrictEquals(after, before);
    assertLessOrEqual(room.buffer.byteLength, Math.max(512, 2 * size));
  });
}

Deno.test("memory for large messages is given up 16 small ones later", () => {
  const rooms = new Rooms();
  const memory = made(rooms);
  settled(memory, 65_536);
  assert(rooms.occupied > 0);
  for (let i = 0; i < 16; i++) memory.chunk(memory.chunkRoom(), 10);
  assertLessOrEqual(memory.chunkRoom().buffer.byteLength, 1024);
  assertEquals(rooms.occupied, 0);
});

Deno.test("memory for large messages is not waited on where no more reads may", () => {
  const rooms = new Rooms();
  const memory = made(rooms);
  settled(memory, 65_536);
  for (; rooms.mayWait; rooms.largeWaits++);
  assertLessOrEqual(memory.chunkRoom().buffer.byteLength, 4096);
  assertEquals(rooms.occupied, 0);
});

Deno.test("no two connections share memory", () => {
  const rooms = new Rooms();
  const memories = Array.from({ length: 5 }, () => made(rooms));
  const chunks = memories.map((memory) => settled(memory, 65_536).fill(7));
  assertEquals(new Set(chunks.map(({ buffer }) => buffer)).size, 5);
  for (const memory of memories) memory.free();
  // What is kept of it nevertheless shows nothing, and what comes next is clear.
  for (const chunk of chunks) assertEquals(chunk.length, 0);
  for (const memory of memories) assertFalse(memory.chunkRoom().includes(7));
});

Deno.test("free() gives everything back", () => {
  const rooms = new Rooms();
  const memory = made(rooms);
  settled(memory, 65_536);
  memory.free();
  assertEquals(rooms.occupied, 0);
  memory.free();
  assertEquals(rooms.occupied, 0);
});

Deno.test("close() leaves a chunk that is in use as it is", () => {
  const rooms = new Rooms();
  const memory = made(rooms, true);
  const chunk = settled(memory, 65_536).fill(7);
  memory.close();
  assert(chunk.length === 65_536 && chunk.every((byte) => byte === 7));
  assertEquals(rooms.occupied, 0);
});

Deno.test("memory that was transferred away is replaced; what was being read into it is lost, and that is said", () => {
  const memory = made();
  const chunk = settled(memory, 100);
  structuredClone(chunk, { transfer: [chunk.buffer] });
  const room = memory.chunkRoom();
  assert(room.length > 0);
  structuredClone(room, { transfer: [room.buffer] });
  assertThrows(() => memory.chunk(room, 10), TypeError, "transfer copies");
  assert(memory.chunkRoom().length > 0);
});

Deno.test("a chunk that is no longer lent is written over where that is asked for", () => {
  for (const poisons of [true, false]) {
    const memory = made(new Rooms(), poisons);
    const room = memory.chunkRoom();
    room.set([1, 2, 3]);
    const chunk = memory.chunk(room, 3);
    assertEquals([...chunk], [1, 2, 3]);
    memory.takeBack();
    assertEquals(chunk.every((byte) => byte === 0xdb), poisons);
    assertFalse(chunk.length === 0);
  }
});
