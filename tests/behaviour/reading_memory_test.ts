/** A message is one chunk in memory of its size, and idle connections hold little, whatever peers do. @module */

import { assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { Rooms } from "../../lib/connection/rooms.ts";
import { SocketConnection } from "../../lib/connection/socket_connection.ts";
import { framed, lengthPrefixed } from "../../mod.ts";
import { bytes } from "../support/bytes.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { turn, turns } from "../support/wait.ts";

const KIB = 1024;

/** A socket that records the buffer of each read, and the size of the last. */
class Noting extends ScriptedSocket {
  room = 0;
  readonly rooms: ArrayBufferLike[] = [];

  override read(p: Uint8Array): Promise<number | null> {
    this.room = p.buffer.byteLength;
    this.rooms.push(p.buffer);
    return super.read(p);
  }
}

/** A connection whose memory is counted in `rooms`. */
function counted(rooms: Rooms) {
  const socket = new Noting();
  const { localAddr } = socket;
  const clock = new CoarseClock(false);
  const conn = new SocketConnection(1, socket, localAddr, clock, DEFAULT_LIMITS, rooms);
  return { socket, conn };
}

/** Ways to iterate over chunks. */
const WAYS = {
  "owned": (conn: SocketConnection) => conn.chunks(),
  "borrowed": (conn: SocketConnection) => conn.chunks({ reuse: true }),
};

const sizes = fc.oneof(
  fc.integer({ min: 1, max: 600 }),
  fc.integer({ min: 1, max: 20_000 }),
  fc.integer({ min: 1, max: 200_000 }),
  // Sizes that just fill a buffer, and one byte more or less.
  fc.constantFrom(511, 512, 513, 1024, 4096, 16_384, 16_640, 16_641, 65_536, 65_792, 65_793),
);

for (const [name, iterate] of Object.entries(WAYS)) {
  Deno.test(`a message that arrives as one is one ${name} chunk, whatever came before and however long ago`, async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(fc.tuple(sizes, fc.nat(2), fc.boolean()), { maxLength: 30 }),
      async (messages) => {
        const rooms = new Rooms();
        const { socket, conn } = counted(rooms);
        const chunks = iterate(conn);
        let at = 0;
        for (const [size, pause, isAwaited] of messages) {
          // Read before it arrives, or after.
          const early = isAwaited ? chunks.next() : undefined;
          await turns(pause);
          const isLarge = socket.reading && socket.room > Rooms.IDLE;
          assertEquals(rooms.largeWaits, isLarge ? 1 : 0);
          socket.arrive(pattern(at, size));
          const { value } = await (early ?? chunks.next());
          assertEquals(value!.length, size);
          assertPattern(value!, at);
          at += size;
        }
        conn.close();
        await turn();
        assertEquals([rooms.occupied, rooms.largeWaits], [0, 0]);
      },
    ));
  });

  // Behind a full room 64 more wait on 64 KiB for chunks that are only lent.
  const most = name === "owned" ? 64 : 128;

  Deno.test(`of a thousand connections that fall silent, ${most} wait for ${name} chunks on a large room`, async () => {
    for (
      const sizes of [[512, 16_384], [16_640], [65_536, 65_536], [512, 16_640, 65_792, 262_144]]
    ) {
      const rooms = new Rooms();
      const all = Array.from({ length: 1000 }, () => counted(rooms));
      for (const { conn } of all) {
        (async () => {
          for await (const _ of iterate(conn));
        })().catch(() => {});
      }
      for (const size of sizes) {
        for (const { socket } of all) socket.arrive(new Uint8Array(size));
        await turns(3);
      }
      assertLessOrEqual(rooms.largeWaits, most);
      const large = all.filter(({ socket }) => socket.room > Rooms.IDLE);
      assertLessOrEqual(large.length, most);
      assertLessOrEqual(rooms.occupied, 2 * (64 * 262_144 + (most - 64) * 65_792));
      for (const { conn } of all) conn.close();
      await turn();
      assertEquals([rooms.occupied, rooms.largeWaits], [0, 0]);
    }
  });

  Deno.test(`a message of 64 KiB is one ${name} chunk also where no large room is left to wait on`, async () => {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    const chunks = iterate(conn);
    for (let i = 0; i < 10; i++) {
      const next = chunks.next();
      for (; i === 5 && rooms.mayWait; rooms.largeWaits++);
      // What is looked at behind a full room is waited on for a moment, if at all.
      rooms.largeWaits = Math.min(rooms.largeWaits, 63);
      socket.arrive(pattern(i, 64 * KIB));
      const { value } = await next;
      assertEquals(value!.length, 64 * KIB);
      assertPattern(value!, i);
    }
    conn.close();
  });

  Deno.test(`a connection waits on 1 KiB again 16 small ${name} chunks after a stream`, async () => {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    const chunks = iterate(conn);
    for (let i = 0; i < 20; i++) {
      socket.arrive(new Uint8Array(200_000));
      await chunks.next();
    }
    for (let i = 0; i < 16; i++) {
      socket.arrive(bytes`small`);
      await chunks.next();
    }
    chunks.next();
    await turn();
    assertLessOrEqual(socket.room, 1024);
    assertEquals(rooms.occupied, 0);
    conn.close();
  });
}

Deno.test("a peer that has sent a part of a frame holds at most twice that, or some KiB", async () => {
  for (const sent of [1, 1000, 20_000, 60_000]) {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    framed(conn, lengthPrefixed()).read();
    socket.arrive(new Uint8Array([0, 0, 255, 255]));
    await turn();
    for (let at = 0; at < sent; at += 1000) {
      socket.arrive(new Uint8Array(Math.min(1000, sent - at)));
      await turn();
    }
    assertLessOrEqual(socket.room, Math.max(2 * (sent + 4), 4 * KIB) + KIB);
    conn.close();
    await turn();
    assertEquals([rooms.occupied, rooms.largeWaits], [0, 0]);
  }
});

for (const [name, iterate] of Object.entries(WAYS)) {
  Deno.test(`a loop over ${name} chunks waits on 512 bytes and reads 16 KiB or more behind them where no large room is left`, async () => {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    const chunks = iterate(conn);
    for (let i = 0; i < 20; i++) {
      // The first is read before other connections wait on all the large rooms.
      for (; i === 1 && rooms.mayWait; rooms.largeWaits++);
      let next = chunks.next();
      const before = socket.reads;
      socket.arrive(pattern(i, 65_536));
      for (let at = 0; at < 65_536;) {
        const { value } = await next;
        assertPattern(value!, i + at);
        at += value!.length;
        if (at < 65_536) next = chunks.next();
      }
      // For each of four chunks one of 512 bytes and one behind them; the first is pending already.
      if (i > 1) assertLessOrEqual(socket.reads - before, 7);
    }
    chunks.next().catch(() => {});
    assertLessOrEqual(socket.room, 512);
    conn.close();
  });
}

for (const [name, iterate] of Object.entries(WAYS)) {
  Deno.test(`a room that was looked in and was too small for a message is freed at once by a loop over ${name} chunks`, async () => {
    const { socket, conn } = counted(new Rooms());
    const next = iterate(conn).next();
    socket.arrive(pattern(0, 65_536));
    assertPattern((await next).value!, 0);
    await turn();
    assertEquals(socket.rooms.map(({ byteLength }) => byteLength), [512, 0, 65_792]);
    conn.close();
  });
}

Deno.test("frames of one size are read whole from the second on, each in memory of its size", async () => {
  for (const size of [1000, 4096, 16_000, 65_536]) {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    const codec = lengthPrefixed();
    const frames = framed(conn, codec)[Symbol.asyncIterator]();
    for (let i = 0; i < 20; i++) {
      const next = frames.next();
      const before = socket.reads;
      socket.arrive(codec.encode(pattern(i, size)));
      const { value } = await next;
      assertPattern(value!, i);
      if (i < 10) continue;
      assertEquals(socket.reads, before);
      assertLessOrEqual(value!.buffer.byteLength, Math.max(4 * size + 200, KIB));
    }
    conn.close();
  }
});

Deno.test("a kept frame keeps at most 4 times its size and 200 bytes, or 1 KiB", async () => {
  const { socket, conn } = counted(new Rooms());
  const codec = lengthPrefixed();
  const frames = framed(conn, codec);
  for (let i = 0; i < 100; i++) {
    const sizes = [1, 65_000, 0, 300, 13, 5000, 1];
    for (const size of sizes) socket.arrive(codec.encode(new Uint8Array(size)));
    for (const size of sizes) {
      const frame = (await frames.read())!;
      assertEquals(frame.length, size);
      assertLessOrEqual(frame.buffer.byteLength, Math.max(4 * size + 200, KIB));
    }
  }
  conn.close();
});

Deno.test("memory that is still being read into when its connection closes is given back once", async () => {
  for (const settlesLate of [true, false]) {
    const rooms = new Rooms();
    const { socket, conn } = counted(rooms);
    socket.settlesLate = settlesLate;
    const chunks = conn.chunks();
    for (let i = 0; i < 5; i++) {
      socket.arrive(new Uint8Array(100_000));
      await chunks.next();
    }
    chunks.next().catch(() => {});
    assertEquals(rooms.largeWaits, 1);
    conn.close();
    if (settlesLate) socket.arrive(new Uint8Array(100_000));
    await turn();
    assertEquals([rooms.occupied, rooms.largeWaits], [0, 0]);
  }
});
