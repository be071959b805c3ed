/** The frames of a stream come whole at every split, without a socket. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertLessOrEqual,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { type Arrived, type ReadAhead, Unframer } from "../../lib/connection/unframer.ts";
import { ProtocolError } from "../../lib/errors.ts";
import type { Codec, Decoder } from "../../lib/wire/codec/codec.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { bytes, text } from "../support/bytes.ts";
import { CODECS, decoding, Dotted, headed, sizes, streams, Strict } from "../support/codecs.ts";
import { cut, drive, type Driven, outcome } from "../wire/codec/drive.ts";

const NO_FRAME: typeof Unframer.NO_FRAME = Unframer.NO_FRAME;

/** What has arrived of a stream, without a socket. */
class Buffer implements Arrived {
  buffered = new Uint8Array(0);
  position = 0;
  readAhead: ReadAhead | undefined;
  /** What was asked for in one piece, at most. */
  reserved = 0;

  get length(): number {
    return this.buffered.length;
  }

  arrive(more: Uint8Array): void {
    this.buffered = Uint8Array.from([...this.buffered, ...more]);
  }

  drop(n: number): void {
    assert(n >= 0 && n <= this.length);
    this.buffered = this.buffered.subarray(n);
    this.position += n;
  }

  reserve(length: number): void {
    this.reserved = Math.max(this.reserved, length);
  }

  /** A read by something else than the unframer. */
  readRaw(n: number): Uint8Array {
    this.readAhead?.rewind();
    const taken = this.buffered.subarray(0, n);
    this.drop(taken.length);
    return taken;
  }
}

/** Every frame that is complete. */
function* framesOf<T>(unframer: Unframer<T>, end = false): Generator<T> {
  for (;;) {
    let frame = unframer.nextAhead();
    if (frame === NO_FRAME) {
      unframer.rewind();
      frame = unframer.next(end);
    }
    if (frame === NO_FRAME) return;
    yield frame;
  }
}

/** What comes of a stream that arrives in parts. */
function unframe<T>(codec: Decoder<T>, parts: Uint8Array[], together: boolean): Driven<T> {
  const arrived = new Buffer();
  const unframer = new Unframer(arrived, codec, together);
  const frames: T[] = [];
  const driven = (end: Driven<T>["end"]) => ({ frames, end, taken: arrived.position });
  try {
    for (const part of parts) {
      arrived.arrive(part);
      for (const frame of framesOf(unframer)) frames.push(frame);
    }
    for (const frame of framesOf(unframer, true)) frames.push(frame);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return driven({ error: `${error}` });
  }
  return driven(unframer.inside === undefined ? "between" : "inside");
}

/** An end that names its error, and no more than that. */
function normal({ frames, end, taken }: Driven<unknown>) {
  return { frames, taken, end: typeof end === "string" ? end : end.error };
}

for (const [name, make] of Object.entries(CODECS)) {
  for (const together of [true, false]) {
    const how = together ? "together" : "one by one";
    Deno.test(`Unframer gives the frames of ${name}, ${how}, that the codec gives, at every split`, () => {
      fc.assert(
        fc.property(streams, (stream) => {
          const expected = normal(outcome(drive(make(), [stream])));
          for (let at = 0; at <= stream.length; at++) {
            const parts = [stream.subarray(0, at), stream.subarray(at)].filter((p) => p.length > 0);
            assertEquals(normal(unframe(new Strict(make()), parts, together)), expected);
          }
        }),
        { numRuns: 50 },
      );
      fc.assert(fc.property(streams, sizes, (stream, sizes) => {
        const expected = normal(outcome(drive(make(), [stream])));
        const got = unframe(new Strict(make()), cut(stream, sizes), together);
        assertEquals(normal(got), expected);
      }));
    });
  }
}

Deno.test("Unframer and raw reads share a stream, in any order and at every split", () => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(4)), { maxLength: 40, size: "max" });
  const texts = fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 50, size: "max" });
  fc.assert(
    fc.property(texts, sizes, steps, (stream, sizes, steps) => {
      const arrived = new Buffer();
      // Two of them on one stream, of which either may have decoded ahead.
      const unframers = [
        new Unframer(arrived, lines(), true),
        new Unframer(arrived, lines(), true),
      ];
      let at = 0;
      const parts = cut(bytes`${stream}`, sizes);
      for (const [framed, n] of steps) {
        const part = parts.shift();
        if (part !== undefined) arrived.arrive(part);
        if (framed) {
          const unframer = unframers[n % 2]!;
          let frame = unframer.nextAhead();
          if (frame === NO_FRAME) {
            arrived.readAhead?.rewind();
            frame = unframer.next(false);
          }
          if (frame === NO_FRAME) continue;
          const end = stream.indexOf("\n", at);
          assertEquals(frame, stream.slice(at, end));
          at = end + 1;
        } else {
          const raw = text(arrived.readRaw(n));
          assertEquals(raw, stream.slice(at, at + raw.length));
          at += raw.length;
        }
        // What another one decoded ahead would be given out twice.
        arrived.readAhead?.rewind();
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("next() looks at each byte once, however often it is asked in between", () => {
  const codec = new Dotted();
  const arrived = new Buffer();
  const unframer = new Unframer(arrived, codec, true);
  for (let i = 0; i < 1000; i++) {
    arrived.arrive(bytes`x`);
    assertEquals(unframer.next(false), NO_FRAME);
  }
  arrived.arrive(bytes`.`);
  assertEquals(unframer.next(false), "x".repeat(1000));
  assertEquals(codec.looked, 1001);
});

Deno.test("next() has room made for what the decoder needs, and asks no sooner", () => {
  const arrived = new Buffer();
  let asked = 0;
  const codec = lengthPrefixed({ bytes: 2 });
  const counting: Decoder<Uint8Array> = {
    decode: (...args) => (asked++, codec.decode(...args)),
  };
  const unframer = new Unframer(arrived, counting, true);
  for (const byte of [1, 44, ...new Array(299).fill(7)]) {
    arrived.arrive(Uint8Array.of(byte));
    assertEquals(unframer.next(false), NO_FRAME);
  }
  assertEquals([arrived.reserved, asked], [302, 2]);
  arrived.arrive(Uint8Array.of(7));
  assertEquals((unframer.next(false) as Uint8Array).length, 300);
});

Deno.test("rewind() takes the bytes of the frames that were given out, and no others", () => {
  for (let given = 1; given <= 3; given++) {
    const arrived = new Buffer();
    const unframer = new Unframer(arrived, lines(), true);
    arrived.arrive(bytes`one\ntwo\nthree\nfo`);
    assertEquals(unframer.next(false), "one");
    for (let i = 1; i < given; i++) unframer.nextAhead();
    unframer.rewind();
    assertEquals(arrived.readAhead, undefined);
    assertEquals(text(arrived.buffered), "one\ntwo\nthree\nfo".slice([4, 8, 14][given - 1]));
    unframer.rewind(); // twice is once
    assertEquals([...framesOf(unframer)], ["two", "three"].slice(given - 1));
  }
});

Deno.test("small frames in large memory keep 1 KiB at most, share it from the second batch on, and stay as they were", () => {
  const memory = new Uint8Array(8192);
  const arrived = new Buffer();
  const codec = lengthPrefixed({ bytes: 1 });
  const unframer = new Unframer(arrived, codec, true);
  const kept: Uint8Array[] = [];
  const sizes = [[3, 100], [60, 60], [3, 3, 250], [2], [200, 200, 200, 200, 200, 200]];
  let at = 0;
  for (const batch of sizes) {
    const from = at;
    for (const size of batch) {
      memory.set(codec.encode(new Uint8Array(size).fill(size)), at);
      at += size + 1;
    }
    arrived.buffered = memory.subarray(from, at);
    kept.push(...framesOf(unframer));
  }
  memory.fill(0xee); // no frame is a part of it, whatever comes into it later
  assertEquals(kept, sizes.flat().map((size) => new Uint8Array(size).fill(size)));
  for (const { buffer } of kept) assertLessOrEqual(buffer.byteLength, 1024);
  const buffers = kept.map(({ buffer }) => buffer);
  assertStrictEquals(buffers[2], buffers[3]);
  assertEquals(new Set(buffers).size, 6);
});

Deno.test("frames that are no parts of what has arrived again are not copied before they are decoded", () => {
  const memory = new Uint8Array(8192);
  const seen: ArrayBufferLike[] = [];
  let isPart = true;
  const codec: Codec<Uint8Array | string> = {
    ...decoding<Uint8Array | string>(() => ({ need: 1e9 })),
    decodeAll(bytes) {
      seen.push(bytes.buffer);
      return { frames: [isPart ? bytes.subarray(0, 2) : "text"], taken: bytes.length };
    },
  };
  const arrived = new Buffer();
  const unframer = new Unframer(arrived, codec, true);
  for (let i = 0; i < 4; i++) {
    isPart = i < 1;
    arrived.buffered = memory.subarray(4 * i, 4 * i + 4);
    assertEquals([...framesOf(unframer)].length, 1);
  }
  assertEquals(seen.map((buffer) => buffer === memory.buffer), [true, false, true, true]);
});

Deno.test("a protocol that reads between its frames is soon decoded one by one", () => {
  let together = 0;
  const counting: Codec<string> = {
    ...decoding<string>((bytes, ...args) => lines().decode(bytes, ...args)),
    decodeAll(bytes) {
      together++;
      return lines().decodeAll!(bytes);
    },
  };
  const arrived = new Buffer();
  const unframer = new Unframer(arrived, counting, true);
  arrived.arrive(bytes`${"a\n.".repeat(50)}`);
  for (let i = 0; i < 50; i++) {
    assertEquals(unframer.next(false), "a");
    assertEquals(text(arrived.readRaw(1)), ".");
  }
  assertEquals(together, 1);
});

Deno.test("what a decoder throws is thrown again, and not asked for again; the bytes stay", () => {
  const wrong = new ProtocolError("Cannot take an exclamation mark");
  let asked = 0;
  const arrived = new Buffer();
  const careful = decoding<string>(() => {
    asked++;
    throw wrong;
  });
  const unframer = new Unframer(arrived, careful, true);
  arrived.arrive(bytes`!`);
  for (let i = 0; i < 3; i++) assertStrictEquals(assertThrows(() => unframer.next(i > 1)), wrong);
  arrived.arrive(bytes`more`);
  assertThrows(() => unframer.next(false), ProtocolError);
  assertEquals([asked, text(arrived.buffered)], [1, "!more"]);
});

Deno.test("a decoder that takes nothing is refused, as it would be asked forever", () => {
  const answers = [{ frame: "x", taken: 0 }, { taken: 0 }, { taken: -1 }, { taken: NaN }];
  const decoders: Decoder<string>[] = [
    ...answers.map((answer) => decoding<string>(() => answer)),
    { ...decoding<string>(() => null), decodeAll: () => ({ frames: ["x"], taken: 0 }) },
    { ...decoding<string>(() => null), decodeAll: () => ({ frames: [], taken: 1 }) },
  ];
  for (const decoder of decoders) {
    const arrived = new Buffer();
    arrived.arrive(bytes`hello`);
    const unframer = new Unframer(arrived, decoder, true);
    for (let i = 0; i < 2; i++) {
      assertThrows(() => unframer.next(false), TypeError, "the codec took nothing");
    }
    assertEquals(text(arrived.buffered), "hello");
  }
});

Deno.test("inside says where a stream is that ends here", () => {
  const cases: [codec: Decoder<unknown>, stream: Uint8Array, inside: string | undefined][] = [
    [lines(), bytes``, undefined],
    [lines(), bytes`one\n`, undefined],
    [lines(), bytes`one\ntw`, "inside a frame, after 2 bytes of it"],
    [headed, Uint8Array.of(3), "inside a frame, after 0 bytes of it"],
    [
      lengthPrefixed({ bytes: 2, limit: 10, onOversize: "skip" }),
      Uint8Array.of(1, 0, 7),
      "255 bytes before a frame's end",
    ],
  ];
  for (const [codec, stream, inside] of cases) {
    const arrived = new Buffer();
    arrived.arrive(stream);
    const unframer = new Unframer(arrived, codec, true);
    for (const _ of framesOf(unframer));
    assertEquals([unframer.inside, unframer.begun], [inside, inside !== undefined]);
  }
});

Deno.test("boundaries stays while the same frame goes on, and changes with each that begins", () => {
  const arrived = new Buffer();
  const unframer = new Unframer(arrived, lines({ limit: 4, onOversize: "skip" }), false);
  let before = unframer.boundaries;
  const hasPassed = (more: string) => {
    arrived.arrive(bytes`${more}`);
    for (const _ of framesOf(unframer));
    const passed = unframer.boundaries !== before;
    before = unframer.boundaries;
    return passed;
  };
  assertFalse(hasPassed("on"));
  assertFalse(hasPassed("e"));
  assert(hasPassed("\ntw"));
  assertFalse(hasPassed("o"));
  assertFalse(hasPassed("is too long, which is dropped"));
  assertFalse(hasPassed("as it comes"));
  assert(hasPassed("\n"));
  assertFalse(hasPassed("th"));
  arrived.readRaw(1);
  assert(hasPassed("r"));
});
