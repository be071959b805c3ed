/** Each byte that arrives stays as it came, at a cost that does not grow with what waits. @module */

import { assert, assertEquals, assertLessOrEqual, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ReadSize } from "../../lib/connection/read_size.ts";
import { Rooms } from "../../lib/connection/rooms.ts";
import { Slab } from "../../lib/connection/slab.ts";
import { byChance } from "../support/chance.ts";
import { assertPattern, fillPattern } from "../support/pattern.ts";

const MIB = 1 << 20;

/** Bytes that a connection which has said nothing yet may pin. */
const IDLE = 512;

/** What the error says when memory was transferred away with what was not taken. */
const GONE = "Cannot read on: what had arrived was transferred away together with what was read";

/** A slab of a connection that shares nothing with others. */
function fresh(): Slab {
  return new Slab(new Rooms(), new ReadSize());
}

/** A part of the stream that was given out, and what was in it then. */
interface Given {
  readonly part: Uint8Array;
  readonly copy: Uint8Array;
}

/** A slab, and the stream that is read into it as the reader of a connection does. */
class Stream {
  readonly slab: Slab;
  /** Everything that was given out, in order of the stream; what was only shown is beside it. */
  readonly given: Given[] = [];
  readonly shown: Given[] = [];
  /** Bytes that have arrived, and of those the ones taken. */
  arrived = 0;
  taken = 0;
  #room: Uint8Array<ArrayBuffer> | undefined;

  constructor(rooms = new Rooms()) {
    this.slab = new Slab(rooms, new ReadSize());
  }

  /** Begins a read into the slab, which goes on whatever its caller does. */
  begin(): void {
    this.#room ??= this.slab.room();
  }

  /** That read brings bytes: as many as asked for, or as fit. */
  bring(n: number): void {
    this.begin();
    const room = this.#room!;
    this.#room = undefined;
    this.slab.arrived(room, this.#read(room, n));
  }

  /** A read whose bytes are given out as they come: in one piece, as far as that goes. */
  chunk(n: number): void {
    if (this.#room !== undefined || this.slab.length > 0) return;
    let room = this.slab.chunkRoom();
    let size = this.#read(room, n);
    for (let larger; size === room.length && (larger = this.slab.larger(room)) !== undefined;) {
      size += this.#read(larger.subarray(size), n - size);
      room = larger;
    }
    this.#give(this.slab.chunk(room, size));
  }

  take(n: number): void {
    this.#give(this.slab.take(Math.min(n, this.slab.length)));
  }

  show(): void {
    const { bytes } = this.slab;
    assertEquals(bytes.length, this.slab.length);
    assertPattern(bytes, this.taken);
    this.shown.push({ part: bytes, copy: bytes.slice() });
  }

  /** Fails unless everything given out is the stream, and still is what it was. */
  check(): void {
    assertEquals(this.slab.length, this.arrived - this.taken);
    let at = 0;
    for (const { part } of this.given) {
      assertPattern(part, at);
      at += part.length;
    }
    assertEquals(at, this.taken);
    for (const { part, copy } of this.shown) assertEquals(part, copy);
  }

  #read(room: Uint8Array<ArrayBuffer>, n: number): number {
    const size = Math.min(n, room.length);
    if (size > 0) fillPattern(room.subarray(0, size), this.arrived);
    this.arrived += size;
    return size;
  }

  #give(part: Uint8Array<ArrayBuffer>): void {
    this.given.push({ part, copy: part.slice() });
    this.taken += part.length;
  }
}

/** Brings `length` bytes, `step` at a time, for a record that is to be in one piece. */
function gather(slab: Slab, length: number, step: number, reserve: (length: number) => number) {
  let reads = 0;
  while (slab.length < length) {
    slab.reserve(reserve(slab.length));
    const room = slab.room();
    slab.arrived(room, Math.min(step, room.length, length - slab.length));
    reads++;
  }
  return reads;
}

/** Bytes that `run` copies from one array into another. */
function copiedBy(run: () => void): number {
  const arrays = Object.getPrototypeOf(Uint8Array.prototype);
  const { set, slice } = arrays;
  let copied = 0;
  arrays.set = function (from: ArrayLike<number>, ...rest: number[]) {
    copied += from.length;
    return set.call(this, from, ...rest);
  };
  arrays.slice = function (...range: number[]) {
    const part = slice.apply(this, range);
    copied += part.length;
    return part;
  };
  try {
    run();
  } finally {
    Object.assign(arrays, { set, slice });
  }
  return copied;
}

/** Sizes of reads as they come: single bytes, small messages, full rooms and everything between. */
const sizes = fc.oneof(
  fc.constant(1),
  fc.integer({ min: 0, max: 600 }),
  fc.integer({ min: 0, max: 20_000 }),
  fc.constant(Infinity),
);

const steps = fc.array(
  fc.record({
    who: fc.nat(2),
    what: fc.constantFrom("begin", "bring", "chunk", "take", "take all", "reserve", "show", "free"),
    size: sizes,
  }),
  { maxLength: 150, size: "max" },
);

function act(stream: Stream, { what, size }: { what: string; size: number }): void {
  if (what === "begin") stream.begin();
  else if (what === "bring") stream.bring(size);
  else if (what === "chunk") stream.chunk(size);
  else if (what === "take") stream.take(size);
  else if (what === "take all") stream.take(Infinity);
  else if (what === "reserve") stream.slab.reserve(size);
  else if (what === "show") stream.show();
  else stream.slab.free();
}

Deno.test("a slab never writes again what it has given out, in whatever order it is used", () => {
  fc.assert(fc.property(steps, (steps) => {
    // Several, as they share what is counted.
    const rooms = new Rooms();
    const streams = [new Stream(rooms), new Stream(rooms), new Stream(rooms)];
    for (const step of steps) act(streams[step.who]!, step);
    for (const stream of streams) stream.check();
  }));
});

Deno.test("a slab gives the parts of a stream of MiBs, large and small, as they came", () =>
  byChance((chance) => {
    const streams = [new Stream(), new Stream()];
    for (let i = 0; i < 3000; i++) {
      const stream = chance.pick(streams);
      const size = chance.pick([1, 64, 600, 5000, 40_000, Infinity]);
      if (chance.onceIn(3)) stream.chunk(size);
      else stream.bring(size);
      if (chance.onceIn(4)) stream.take(Infinity);
      else if (chance.onceIn(2)) stream.take(chance.from(0, 3000));
      if (chance.onceIn(8)) stream.slab.reserve(chance.from(0, 100_000));
    }
    for (const stream of streams) stream.check();
  }));

Deno.test("a slab is empty, of no length, before anything has arrived and when all was taken", () => {
  const slab = fresh();
  assertEquals([slab.length, slab.bytes.length, slab.take(0).length], [0, 0, 0]);
  slab.arrived(slab.room(), 3);
  slab.take(3);
  assertEquals([slab.length, slab.bytes.length, slab.take(0).length], [0, 0, 0]);
});

Deno.test("Slab.free() keeps what is not taken", () => {
  const stream = new Stream();
  stream.bring(100);
  stream.take(10);
  stream.slab.free();
  stream.take(90);
  stream.slab.free();
  stream.bring(5);
  stream.take(5);
  stream.check();
});

Deno.test("Slab.free() while a read is under way loses nothing of what that brings", () => {
  const stream = new Stream();
  stream.begin();
  stream.slab.free();
  stream.bring(100);
  stream.take(100);
  stream.check();
});

Deno.test("a slab whose memory was replaced while a read was under way takes what that brings", () => {
  const stream = new Stream();
  stream.bring(100);
  stream.take(10);
  stream.begin();
  stream.slab.reserve(100_000);
  stream.bring(200);
  stream.bring(Infinity);
  stream.show();
  stream.take(Infinity);
  stream.check();
});

for (const length of [256 * 1024, MIB]) {
  for (const step of [1, 100, 1460, Infinity]) {
    Deno.test(`a record of ${length} bytes, ${step} at a time, costs no more than 2.5 copies of each byte`, () => {
      const kinds: Record<string, (have: number) => number> = {
        "announced in full": () => length,
        "asked for byte by byte": (have) => have + 1,
        "not announced": () => 0,
      };
      for (const [name, reserve] of Object.entries(kinds)) {
        const copied = copiedBy(() => gather(fresh(), length, step, reserve));
        assertLessOrEqual(copied / length, 2.5, name);
      }
    });
  }
}

Deno.test("a record that comes in a stream is read in few reads", () => {
  for (const reserve of [() => MIB, (have: number) => have + 1, () => 0]) {
    assertLessOrEqual(gather(fresh(), MIB, Infinity, reserve), 20);
  }
});

Deno.test("records that wait behind one another are not moved for each one that is taken", () => {
  const slab = fresh();
  const length = 200_000;
  gather(slab, length, Infinity, () => length);
  const copied = copiedBy(() => {
    for (let i = 0; i < length / 10 - 1; i++) slab.drop(10);
  });
  assertEquals(copied, 0);
});

Deno.test("Slab.reserve() reserves at most twice what is there, however much is announced", () => {
  const slab = fresh();
  for (let i = 0; i < 100; i++) {
    slab.reserve(2 ** 40);
    const room = slab.room();
    assertLessOrEqual(room.buffer.byteLength, Math.max(2 * slab.length, 4096) + 256);
    slab.arrived(room, 1000 < room.length ? 1000 : room.length);
  }
});

Deno.test("Slab.reserve() makes room for a record of some KiB at once, so that one read can bring it", () => {
  const slab = fresh();
  slab.arrived(slab.room(), 8);
  slab.reserve(4000);
  assert(slab.room().length >= 4000 - 8);
});

Deno.test("a slab waits for the first bytes on half a KiB", () => {
  assertEquals(fresh().room().buffer.byteLength, IDLE);
  assertEquals(fresh().chunkRoom().buffer.byteLength, IDLE);
});

/** What may have happened on a connection. */
const HISTORIES: Record<string, (slab: Slab) => void> = {
  "small messages": (slab) => {
    for (let i = 0; i < 1000; i++) slab.chunk(slab.chunkRoom(), 64);
  },
  "messages of 16 KiB": (slab) => {
    for (let i = 0; i < 100; i++) {
      slab.chunk(slab.chunkRoom(), Math.min(16_384, slab.chunkRoom().length));
    }
  },
  "a stream of chunks": (slab) => {
    for (let i = 0; i < 100; i++) {
      const room = slab.chunkRoom();
      slab.chunk(room, room.length);
    }
  },
  "a record of 1 MiB": (slab) => {
    gather(slab, MIB, Infinity, () => MIB);
    slab.take(MIB);
  },
  "a record of 1 MiB, and a small one behind it": (slab) => {
    gather(slab, MIB + 10, Infinity, () => MIB);
    slab.take(MIB);
    slab.take(10);
  },
};

for (const [name, live] of Object.entries(HISTORIES)) {
  Deno.test(`a slab waits on 1 KiB again 16 small reads after ${name}`, () => {
    for (const small of [1, 64, 200]) {
      const rooms = new Rooms();
      const slab = new Slab(rooms, new ReadSize());
      live(slab);
      for (let i = 0; i < 8; i++) {
        slab.chunk(slab.chunkRoom(), small);
        slab.arrived(slab.room(), small);
        slab.take(small);
      }
      assertLessOrEqual(slab.chunkRoom().buffer.byteLength, 1024);
      assertLessOrEqual(slab.room().buffer.byteLength, 1024);
      assertEquals(rooms.occupied, 0);
    }
  });

  Deno.test(`a slab waits on 16 KiB and some at most after ${name}, where no large room is left`, () => {
    const rooms = new Rooms();
    const slab = new Slab(rooms, new ReadSize());
    live(slab);
    for (; rooms.mayWait; rooms.largeWaits++);
    assertLessOrEqual(slab.chunkRoom().buffer.byteLength, Rooms.IDLE);
    assertLessOrEqual(slab.room().buffer.byteLength, Rooms.IDLE);
    assertEquals(rooms.occupied, 0);
  });
}

Deno.test("a part that is kept keeps 4 times its size and 200 bytes, or 1 KiB, whatever came before", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), sizes), { maxLength: 60 }), (reads) => {
    const stream = new Stream();
    for (const [isChunk, size] of reads) {
      if (isChunk) stream.chunk(size);
      else {
        stream.bring(size);
        stream.take(Math.ceil(stream.slab.length / 2));
        stream.take(Infinity);
      }
    }
    for (const { part } of stream.given) {
      assertLessOrEqual(part.buffer.byteLength, Math.max(1024, 4 * part.length + 200));
    }
  }));
});

Deno.test("messages of one size come as one chunk each from the second on, in memory of about their size", () => {
  for (const size of [1, 64, 300, 1000, 4096, 5000, 9000, 16_384, 20_000, 65_536, 200_000]) {
    const stream = new Stream();
    for (let i = 0; i < 100; i++) stream.chunk(size);
    const steady = stream.given.slice(-60);
    for (const { part } of steady) assertEquals(part.length, size);
    const memories = new Set(steady.map(({ part }) => part.buffer));
    const bytes = [...memories].reduce((sum, { byteLength }) => sum + byteLength, 0);
    assertLessOrEqual(bytes, 60 * size * (size < 300 ? 1.6 : 1.25) + 4096, `${size}`);
  }
});

Deno.test("Rooms counts what slabs hold beyond an idle connection's, and nothing once they are closed", () => {
  fc.assert(fc.property(steps, (steps) => {
    const rooms = new Rooms();
    const streams = [new Stream(rooms), new Stream(rooms), new Stream(rooms)];
    for (const step of steps) {
      act(streams[step.who]!, step);
      assert(rooms.occupied >= 0);
    }
    for (const { slab } of streams) slab.close();
    assertEquals(rooms.occupied, 0);
  }));
});

Deno.test("a large part of a stream is given out without a copy", () => {
  const slab = fresh();
  for (let i = 0; i < 10; i++) {
    const room = slab.chunkRoom();
    slab.chunk(room, room.length);
  }
  const room = slab.chunkRoom();
  assertEquals(copiedBy(() => slab.chunk(room, room.length - 1)), 0);
});

Deno.test("the last small part of a stream does not keep the memory that it was read into", () => {
  const slab = fresh();
  for (let i = 0; i < 10; i++) {
    const room = slab.chunkRoom();
    slab.chunk(room, room.length);
  }
  const room = slab.chunkRoom();
  assert(room.length >= 65_536);
  assertEquals(slab.chunk(room, 100).buffer.byteLength, 100);
});

// What the receiver transfers away

Deno.test("what was given out may be transferred away when nothing waits, and reading goes on", () => {
  const ways: ((stream: Stream) => void)[] = [
    (stream) => stream.chunk(50),
    (stream) => (stream.bring(50), stream.take(50)),
  ];
  for (const read of ways) {
    const stream = new Stream();
    for (let i = 0; i < 20; i++) {
      read(stream);
      const { part } = stream.given.pop()!;
      assertPattern(part, stream.taken - 50);
      structuredClone(part, { transfer: [part.buffer as ArrayBuffer] });
      // Every way to go on.
      assertEquals([stream.slab.length, stream.slab.bytes.length], [0, 0]);
      assertEquals(stream.slab.take(0).length, 0);
      if (i % 2 === 0) stream.slab.reserve(1000);
    }
    assertEquals(stream.taken, 1000);
  }
});

Deno.test("what one connection's reader transferred away harms no other connection", () => {
  const [stream, other] = [new Stream(), new Stream()];
  for (let i = 0; i < 200; i++) {
    stream.chunk(Infinity);
    const { part } = stream.given.pop()!;
    structuredClone(part, { transfer: [part.buffer as ArrayBuffer] });
    other.chunk([10, 1000, Infinity][i % 3]!);
    other.bring(100);
    other.take(100);
  }
  other.check();
});

Deno.test("what had arrived behind a record is gone with it when its memory is transferred away", () => {
  const refused: ((slab: Slab) => unknown)[] = [
    (slab) => slab.bytes,
    (slab) => slab.take(1),
    (slab) => slab.room(),
    (slab) => slab.reserve(1000),
  ];
  for (const use of refused) {
    const slab = fresh();
    slab.arrived(slab.room(), 100);
    structuredClone(0, { transfer: [slab.take(10).buffer] });
    for (let i = 0; i < 2; i++) assertThrows(() => use(slab), TypeError, GONE);
  }
});

Deno.test("what a read brings whose memory was transferred away meanwhile is gone, and that is said", () => {
  const slab = fresh();
  const chunk = slab.chunk(slab.chunkRoom(), 10);
  const room = slab.chunkRoom();
  structuredClone(chunk, { transfer: [chunk.buffer] });
  assertThrows(() => slab.chunk(room, 10), TypeError, GONE);
  assertThrows(() => slab.take(1), TypeError, GONE);
});

Deno.test("what a read into the slab brings is gone with memory transferred away meanwhile", () => {
  const slab = fresh();
  slab.arrived(slab.room(), 10);
  const record = slab.take(10);
  const room = slab.room();
  structuredClone(record, { transfer: [record.buffer] });
  slab.arrived(room, 10); // there may be no one to call
  assertThrows(() => slab.bytes, TypeError, GONE);
});

Deno.test("the same when the slab has other memory by then", () => {
  const slab = fresh();
  slab.arrived(slab.room(), 10);
  const record = slab.take(10);
  const room = slab.room();
  structuredClone(record, { transfer: [record.buffer] });
  slab.reserve(1000);
  slab.arrived(room, 10);
  assertThrows(() => slab.bytes, TypeError, GONE);
});

Deno.test("a read that brings nothing into memory transferred away has lost nothing", () => {
  const stream = new Stream();
  stream.bring(10);
  stream.take(10);
  stream.begin();
  const { part } = stream.given.pop()!;
  structuredClone(part, { transfer: [part.buffer as ArrayBuffer] });
  stream.bring(0);
  stream.bring(10);
  assertPattern(stream.slab.bytes, 10);
});
