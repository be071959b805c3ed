/** Frames leave together, in order, and in memory that no other connection uses by then. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { Rooms } from "../../lib/connection/rooms.ts";
import { ByteWriter, HIGH_WATER } from "../../lib/connection/byte_writer.ts";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import type { Encoder } from "../../lib/wire/codec/codec.ts";
import { Lifeline } from "../../lib/connection/lifeline.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { byChance } from "../support/chance.ts";
import { LateSocket } from "../support/late_socket.ts";
import { bytes, text } from "../support/bytes.ts";
import { turn, turns } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";

const KIB = 1024;
const MIB = KIB * KIB;

/** Bytes of the room that a few frames share. */
const BUFFER = 16 * KIB;

/** Text that makes its own bytes. */
const allocating: Encoder<string> = { encode: (frame) => new TextEncoder().encode(frame) };

/** Text that is put where it is to be, and notes where that was. */
class Placing implements Encoder<string> {
  readonly rooms: Uint8Array[] = [];

  encode(frame: string): Uint8Array {
    return new TextEncoder().encode(frame);
  }

  encodeInto(frame: string, room: Uint8Array): number | null {
    this.rooms.push(room);
    const { read, written } = new TextEncoder().encodeInto(frame, room);
    return read === frame.length ? written : null;
  }

  /** The memory that frames were put into, each once. */
  get buffers(): Set<ArrayBufferLike> {
    return new Set(this.rooms.map(({ buffer }) => buffer));
  }
}

/** A writer over a socket, with all that is between them. */
function over<S extends ScriptedSocket>(socket: S, maxUnsent = MIB) {
  const life = new Lifeline(socket, new CoarseClock(false), DEFAULT_LIMITS);
  const writer = new ByteWriter(life, maxUnsent, new Rooms());
  life.onClose = writer;
  return { socket, life, writer };
}

/** Notes each write, and takes it at once. */
function noting(): { socket: ScriptedSocket; writes: string[] } {
  const socket = new ScriptedSocket();
  const writes: string[] = [];
  socket.takes = (p) => {
    writes.push(text(p));
    return p.length;
  };
  return { socket, writes };
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = () => void (done = true);
  promise.then(note, note);
  await turns();
  return done;
}

for (const [name, encoder] of [["its own bytes", allocating], ["none", new Placing()]] as const) {
  Deno.test(`frames of a codec that makes ${name} leave in one write when the event loop comes round`, async () => {
    const { socket, writes } = noting();
    const { writer, life } = over(socket);
    for (let i = 0; i < 16; i++) await writer.send(encoder, `${i};`);
    assertEquals(writes, []);
    await turns();
    assertEquals(writes, ["0;1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;"]);
    writer.send(encoder, "next");
    await turns();
    assertEquals(writes.slice(1), ["next"]);
    life.close();
  });
}

Deno.test("flush() writes at once, and resolves when that is written", async () => {
  const { socket, writer, life } = over(new LateSocket());
  writer.send(allocating, "a");
  writer.send(allocating, "b");
  assertEquals(writer.coalesced, 2);
  const flushed = writer.flush();
  assertEquals(writer.coalesced, 0);
  assertEquals(text(socket.late[0]!.p), "ab");
  assertFalse(await settled(flushed));
  socket.let();
  await flushed;
  life.close();
});

Deno.test("flush() of nothing resolves when all that was sent before is written", async () => {
  const { socket, writer, life } = over(new LateSocket());
  await writer.flush();
  writer.send(allocating, "a");
  await turns(); // it left by itself
  writer.write(bytes`b`);
  const flushed = writer.flush();
  socket.let();
  await turns();
  assertFalse(await settled(flushed));
  socket.let();
  await flushed;
  assertEquals(text(socket.received), "ab");
  life.close();
});

Deno.test("frames leave at 64 KiB, and the send that comes to that waits until they are written", async () => {
  const { socket, writer, life } = over(new LateSocket());
  assert(await settled(writer.send(allocating, "x".repeat(HIGH_WATER - 1))));
  socket.let();
  await turn();
  assertEquals(socket.late.length, 0);
  const sends = ["y".repeat(HIGH_WATER - 1), "z"].map((frame) => writer.send(allocating, frame));
  assertEquals(socket.late[0]!.p.length, HIGH_WATER);
  assert(await settled(sends[0]!));
  assertFalse(await settled(sends[1]!));
  socket.let();
  await sends[1];
  life.close();
});

Deno.test("frames larger than any buffer keep their place and their bytes", async () => {
  for (const encoder of [allocating, new Placing()]) {
    const { socket, writer, life } = over(new ScriptedSocket());
    const frames: string[] = [];
    for (const size of [1, BUFFER - 1, 1, BUFFER, BUFFER + 1, HIGH_WATER, 5 * HIGH_WATER, 3, MIB]) {
      const frame = String.fromCharCode(97 + frames.length).repeat(size);
      frames.push(frame);
      await writer.send(encoder, frame);
    }
    await writer.flush();
    assertEquals(text(socket.taken), frames.join(""));
    life.close();
  }
});

Deno.test("write() and FIN leave behind the frames that were sent before", async () => {
  const { socket, writer, life } = over(new ScriptedSocket());
  writer.send(allocating, "1");
  writer.write(bytes`2`);
  writer.send(allocating, "3");
  writer.send(allocating, "4");
  writer.write(bytes`5`);
  writer.send(allocating, "6");
  await writer.finish();
  assertEquals(text(socket.taken), "123456");
  assertEquals(socket.finishedAt, [6]);
  life.close();
});

Deno.test("order is kept by chance, too, with a peer that takes as little as it likes", () =>
  byChance(async (chance) => {
    const { socket, writer, life } = over(new LateSocket(), Infinity);
    const encoder = new Placing();
    let expected = "";
    for (let i = 0; i < 500; i++) {
      const size = chance.pick([1, 10, 100, 5000, 20_000, 70_000]);
      const frame = String.fromCharCode(chance.from(33, 126)).repeat(size);
      expected += frame;
      if (chance.onceIn(5)) writer.write(new TextEncoder().encode(frame));
      else writer.send(chance.onceIn(4) ? allocating : encoder, frame);
      if (chance.onceIn(6)) writer.flush();
      if (chance.onceIn(4)) await turn();
      if (chance.onceIn(2) && socket.late.length > 0) socket.let(chance.pick([1, 1000, Infinity]));
    }
    const flushed = writer.flush();
    while (!await settledNow(flushed)) if (socket.late.length > 0) socket.let();
    assertEquals(text(socket.received), expected);
    assertEquals(socket.mostWrites, 1);
    life.close();
  }));

/** Whether a promise has settled within one turn. */
async function settledNow(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  promise.finally(() => done = true);
  await turn();
  return done;
}

// Buffers

Deno.test("connections that send in turn use the same room, which none of them keeps", async () => {
  const encoder = new Placing();
  const lives: Lifeline[] = [];
  for (let i = 0; i < 100; i++) {
    const { writer, life } = over(new ScriptedSocket());
    writer.send(encoder, "hello");
    await writer.flush();
    lives.push(life);
  }
  for (const life of lives) life.close();
  assertEquals(encoder.buffers.size, 1);
  assertEquals(encoder.rooms[0]!.buffer.byteLength, BUFFER);
});

Deno.test("a room is of no other connection while any part of it is still to be written", () =>
  byChance(async (chance) => {
    const all = Array.from({ length: 5 }, () => ({ ...over(new LateSocket()), sent: "" }));
    const encoder = new Placing();
    for (let i = 0; i < 2000; i++) {
      const one = chance.pick(all);
      const frame = `${i}${chance.pick(["", "x".repeat(1000), "y".repeat(20_000)])};`;
      one.sent += frame;
      // No more is sent than the peer takes, or the connection would end.
      const sent = one.writer.send(encoder, frame);
      if (chance.onceIn(3)) one.writer.flush();
      if (chance.onceIn(3)) await turn();
      for (const { socket } of all) {
        if (chance.onceIn(3) && socket.late.length > 0) socket.let(chance.pick([1, 500, Infinity]));
      }
      while (!await settledNow(sent) || one.writer.unsentBytes > 500_000) {
        one.socket.late[0] && one.socket.let();
      }
    }
    for (const { writer, socket, life, sent } of all) {
      const flushed = writer.flush();
      while (!await settledNow(flushed)) if (socket.late.length > 0) socket.let();
      assertEquals(text(socket.received), sent);
      life.close();
    }
  }));

Deno.test("a room that grew for one large reply is not kept", async () => {
  const encoder = new Placing();
  for (let i = 0; i < 10; i++) {
    const { writer, life } = over(new ScriptedSocket());
    await writer.send(encoder, "x".repeat(100_000));
    writer.send(encoder, "small");
    await writer.flush();
    assertEquals(encoder.rooms.at(-1)!.buffer.byteLength, BUFFER);
    life.close();
  }
});

Deno.test("a frame that cannot be encoded leaves no room behind", async () => {
  const placing = new Placing();
  const failing: Encoder<string> = {
    encode: placing.encode,
    encodeInto(_, room) {
      placing.rooms.push(room);
      throw new RangeError("no");
    },
  };
  const lives: Lifeline[] = [];
  for (let i = 0; i < 10; i++) {
    const { writer, life } = over(new ScriptedSocket());
    await assertRejects(() => writer.send(failing, "x"), RangeError);
    lives.push(life); // all open at once
  }
  for (const life of lives) life.close();
  assertEquals(placing.buffers.size, 1);
});

Deno.test("what a peer that never reads makes us hold is what was sent, not a room for each frame", async () => {
  const encoder = new Placing();
  const { socket, writer, life } = over(new LateSocket());
  for (let i = 0; i < 1000; i++) {
    writer.send(encoder, "a short line");
    if (i % 2 === 0) writer.flush();
    await turn();
  }
  assertEquals(writer.unsentBytes, 12_000);
  assertLessOrEqual(encoder.buffers.size, 4);
  while (socket.late.length > 0) {
    socket.let();
    await turn();
  }
  assertEquals(socket.received.length, 12_000);
  life.close();
});

Deno.test("frames that are sent while a write is in progress leave in few writes when it ends", async () => {
  const { socket, writer, life } = over(new LateSocket());
  writer.send(allocating, "first");
  await turns();
  for (let i = 0; i < 100; i++) {
    writer.send(allocating, `${i};`);
    await turn();
  }
  assertEquals(socket.late.length, 1);
  let writes = 0;
  while (socket.late.length > 0) {
    socket.let();
    writes++;
    await turns();
  }
  assertLessOrEqual(writes, 3);
  assertEquals(text(socket.received).length, 5 + 10 * 2 + 90 * 3);
  assertEquals(writer.coalesced, 0);
  life.close();
});

Deno.test("the room of an encoder holds nothing that another connection sent, or left in it", async () => {
  const leaving: Encoder<string>[] = [
    new Placing(),
    {
      encode: () => bytes`x`,
      encodeInto(_, room) {
        room.fill(33);
        return 1; // and has written more
      },
    },
    {
      encode: () => bytes`x`,
      encodeInto(_, room) {
        room.fill(33);
        return null;
      },
    },
    {
      encode: () => bytes`x`,
      encodeInto(_, room) {
        room.fill(33);
        throw new RangeError("no");
      },
    },
  ];
  for (const encoder of leaving) {
    for (const writing of [false, true]) {
      const before = over(new ScriptedSocket());
      if (writing) before.writer.write(bytes`in progress`);
      before.writer.send(encoder, "password123");
      await before.writer.flush().catch(() => {});
      await turns();
      let seen: Uint8Array | undefined;
      const looking: Encoder<string> = {
        encode: () => bytes`x`,
        encodeInto(_, room) {
          seen = new Uint8Array(room.buffer).slice();
          return 0;
        },
      };
      const after = over(new ScriptedSocket());
      after.writer.send(looking, "x");
      assert(seen!.every((byte) => byte === 0), text(seen!.subarray(0, 20)));
      for (const { life } of [before, after]) life.close();
    }
  }
});

// What fails

Deno.test("a frame that cannot be encoded rejects its send, and nothing of it is sent", async () => {
  const frame = new RangeError("Cannot encode that");
  const failing: Encoder<string>[] = [
    {
      encode: () => {
        throw frame;
      },
    },
    {
      encode: () => bytes`never asked`,
      encodeInto(_, room) {
        room.fill(33);
        throw frame;
      },
    },
    {
      encode: () => {
        throw frame;
      },
      encodeInto(_, room) {
        room.fill(33);
        return null;
      },
    },
  ];
  for (const encoder of failing) {
    const { socket, writer, life } = over(new ScriptedSocket());
    assertStrictEquals(await writer.send(encoder, "x").catch((error) => error), frame);
    writer.send(new Placing(), "be");
    assertStrictEquals(await writer.send(encoder, "x").catch((error) => error), frame);
    writer.send(new Placing(), "fore");
    assertFalse(life.closed);
    await writer.flush();
    assertEquals(text(socket.taken), "before");
    life.close();
  }
});

Deno.test("an encoder that says it has written what cannot be rejects its send, and nothing is sent", async () => {
  for (const n of [-1, 0.5, NaN, Infinity, 1025, 1e9, "3" as unknown as number]) {
    const { socket, writer, life } = over(new ScriptedSocket());
    await writer.send(allocating, "be");
    const wrong: Encoder<string> = { encode: () => bytes`never asked`, encodeInto: () => n };
    await assertRejects(
      () => writer.send(wrong, "x"),
      RangeError,
      `Cannot send a frame of ${n} bytes: 'encodeInto' is to return how many it has written into ` +
        "1024, or null",
    );
    await writer.send(allocating, "fore");
    await writer.flush();
    assertEquals(text(socket.taken), "before");
    life.close();
  }
});

Deno.test("an encoder that gives no bytes rejects its send", async () => {
  for (const wrong of ["123", [1, 2, 3], undefined, null]) {
    const { socket, writer, life } = over(new ScriptedSocket());
    const encoder: Encoder<string> = { encode: () => wrong as unknown as Uint8Array };
    await assertRejects(() => writer.send(encoder, "x"), TypeError, "use a Uint8Array");
    await writer.flush();
    assertEquals(socket.takenBytes, 0);
    life.close();
  }
});

Deno.test("whatever an encoder does before it throws, no byte of its frame leaves", () =>
  byChance(async (chance) => {
    const { socket, writer, life } = over(new LateSocket(), Infinity);
    let expected = "";
    for (let i = 0; i < 300; i++) {
      const frame = `${i}${"x".repeat(chance.pick([0, 10, 1000, 20_000, 70_000]))};`;
      const good = chance.onceIn(2);
      const scribbles = chance.from(0, BUFFER);
      const encoder: Encoder<string> = {
        encode(frame) {
          if (!good) throw new RangeError("no");
          return new TextEncoder().encode(frame);
        },
        encodeInto(frame, room) {
          room.fill(33, 0, good ? 0 : scribbles);
          if (chance.onceIn(3)) return null;
          if (!good) throw new RangeError("no");
          const { read, written } = new TextEncoder().encodeInto(frame, room);
          return read === frame.length ? written : null;
        },
      };
      const sent = writer.send(encoder, frame);
      if (good) expected += frame;
      else await assertRejects(() => sent, RangeError, "no");
      if (chance.onceIn(5)) writer.flush();
      if (chance.onceIn(3)) await turn();
      if (chance.onceIn(2) && socket.late.length > 0) socket.let(chance.pick([1, 1000, Infinity]));
    }
    const flushed = writer.flush();
    while (!await settledNow(flushed)) if (socket.late.length > 0) socket.let();
    assertEquals(text(socket.received), expected);
    life.close();
  }));

Deno.test("a coalesced write that fails rejects the flush that waits for it, and every later send and flush", async () => {
  const { socket, writer, life } = over(new LateSocket());
  const failure = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  writer.send(allocating, "x");
  const flushes = [writer.flush(), writer.flush()];
  writer.send(allocating, "y");
  flushes.push(writer.flush());
  socket.late.shift()!.settle.reject(failure);
  for (const flushed of flushes) {
    assertStrictEquals(await flushed.catch((error) => error), failure);
  }
  assert(life.closed);
  assertStrictEquals(await writer.send(allocating, "z").catch((error) => error), failure);
  assertStrictEquals(await writer.flush().catch((error) => error), failure);
});

Deno.test("a write that failed while nothing waited for it rejects the next flush", async () => {
  const { socket, writer } = over(new LateSocket());
  const failure = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  writer.send(allocating, "x");
  await turns();
  socket.late.shift()!.settle.reject(failure);
  await turns();
  assertStrictEquals(await writer.flush().catch((error) => error), failure);
});

Deno.test("what was not written when close() came rejects the flush that waits for it", async () => {
  for (const late of [true, false]) {
    const { writer, life } = over(new LateSocket());
    writer.send(allocating, "x");
    if (late) await turns(); // it is on its way
    const flushed = writer.flush();
    life.close();
    await assertRejects(() => flushed);
    await assertRejects(() => writer.flush(), Deno.errors.BadResource);
  }
});

Deno.test("send() after close() or FIN rejects, and its frame is not even encoded", async () => {
  const never: Encoder<string> = { encode: () => assert(false, "encoded") as never };
  const { writer, life } = over(new ScriptedSocket());
  writer.finish();
  await assertRejects(
    () => writer.send(never, "x"),
    Deno.errors.BrokenPipe,
    "Cannot write after closeWrite() or end()",
  );
  await writer.flush(); // all that was sent is written
  life.close();
  await assertRejects(() => writer.send(never, "x"), Deno.errors.BadResource);
  assertEquals(writer.coalesced, 0);
});

Deno.test("promises of sends and flushes that are not awaited may reject in any way", async () => {
  const mishaps: Record<string, (it: ReturnType<typeof over<LateSocket>>) => void> = {
    "a wrong frame": ({ writer }) => void writer.send({ encode: () => bytes`${1n / 0n}` }, ""),
    "a failed write": ({ socket }) => socket.late.shift()!.settle.reject(new Error("lost")),
    "close()": ({ life }) => life.close(),
    "FIN": ({ writer }) => {
      writer.finish();
      writer.send(allocating, "x");
    },
    "overflow": ({ writer }) => {
      for (let i = 0; i < 2; i++) writer.send(allocating, "x".repeat(2 * MIB));
    },
  };
  for (const [name, mishap] of Object.entries(mishaps)) {
    const it = over(new LateSocket());
    const unhandled = await unhandledDuring(async () => {
      it.writer.send(allocating, "x");
      it.writer.flush();
      it.writer.flush();
      it.writer.send(allocating, "x".repeat(HIGH_WATER));
      await turn();
      mishap(it);
      await turns();
      it.writer.send(allocating, "x");
      it.writer.flush();
      await turns();
      it.life.close();
      it.writer.flush();
    });
    assertEquals(unhandled, [], name);
  }
});

Deno.test("frames that wait when the connection is closed go nowhere", async () => {
  const { socket, writer, life } = over(new ScriptedSocket());
  writer.send(allocating, "x");
  life.close();
  await turns();
  assertEquals(socket.takenBytes, 0);
});

// Limits

Deno.test("sends that are not awaited end the connection at maxUnsent, and until then hold no more than that and twice 64 KiB", async () => {
  for (const size of [10, 1000, 30_000, HIGH_WATER]) {
    const { writer, life } = over(new LateSocket());
    const frame = "x".repeat(size);
    let [most, sent] = [0, 0];
    while (!life.closed && sent < 4 * MIB) {
      writer.send(allocating, frame);
      sent += size;
      most = Math.max(most, writer.unsentBytes);
      if (sent % 7 === 0) await turn();
    }
    assert(life.closed, `${size}`);
    assertEquals(life.reason, "write_overflow");
    assertLess(most, MIB + 2 * (HIGH_WATER + size));
    await assertRejects(() => writer.send(allocating, frame), Deno.errors.WouldBlock);
  }
});

Deno.test("a send that is awaited never ends the connection, however large and whatever is on its way", async () => {
  for (const size of [HIGH_WATER, MIB, 3 * MIB]) {
    const { socket, writer, life } = over(new LateSocket());
    for (let i = 0; i < 3; i++) {
      await writer.send(allocating, "on its way;");
      await turns();
      const sent = writer.send(allocating, `${"x".repeat(size)};`);
      assertFalse(life.closed, `${size}`);
      assertFalse(await settled(sent)); // until it is written
      socket.let();
      await turns();
      assertFalse(await settled(sent));
      socket.let();
      await sent;
    }
    assertEquals(socket.late.length, 0);
    assertEquals(text(socket.received), `on its way;${"x".repeat(size)};`.repeat(3));
    life.close();
  }
});

Deno.test("a write that is awaited may be larger than maxUnsent behind frames, too", async () => {
  const { socket, writer, life } = over(new LateSocket());
  await writer.send(allocating, "a frame");
  const written = writer.write(new Uint8Array(2 * MIB));
  assertFalse(life.closed);
  await turn();
  socket.let();
  await turns();
  socket.let();
  assertEquals(await written, 2 * MIB);
  life.close();
});

Deno.test("a flush that is awaited may be larger than maxUnsent, whatever is on its way", async () => {
  const { socket, writer, life } = over(new LateSocket());
  await writer.send(allocating, "on its way");
  await turns();
  writer.send(allocating, "x".repeat(2 * MIB));
  const flushed = writer.flush();
  assertFalse(life.closed);
  socket.let();
  await turns();
  socket.let();
  await flushed;
  life.close();
});
