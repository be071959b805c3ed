/** A length decides where its frame ends, in any field and however it arrives. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FrameTooLargeError, ProtocolError } from "../../../lib/errors.ts";
import {
  lengthPrefixed,
  type LengthPrefixedOptions,
} from "../../../lib/wire/codec/length_prefixed.ts";
import { cut, drive, type Driven, outcome, singly } from "./drive.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";

type Width = NonNullable<LengthPrefixedOptions["bytes"]>;
const WIDTHS: Width[] = [1, 2, 3, 4, 8, "varint"];

const optionSets: fc.Arbitrary<LengthPrefixedOptions> = fc.record({
  bytes: fc.constantFrom(...WIDTHS),
  endian: fc.constantFrom("big" as const, "little" as const),
  offset: fc.integer({ min: 0, max: 3 }),
  adjustment: fc.integer({ min: -4, max: 4 }),
  includePrefix: fc.boolean(),
  limit: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(1_048_576)),
  onOversize: fc.constantFrom("error", "skip", "truncate"),
}, { requiredKeys: [] }).map(({ endian, ...options }) =>
  options.bytes === "varint" || endian === undefined ? options : { ...options, endian }
);

/** Mostly small numbers, so that there are frames; some that make huge ones. */
const input = bytesOf([0, 0, 0, 0, 1, 2, 3, 4, 5, 9, 127, 128, 129, 255], 60);

/** The length, and the size of its field; `null` if it has not arrived whole. */
function readLength(
  stream: Uint8Array,
  { bytes = 4, endian = "big" }: LengthPrefixedOptions,
): { length: bigint; size: number } | null {
  if (bytes === "varint") {
    let length = 0n;
    for (let i = 0; i < stream.length && i < 10; i++) {
      length |= BigInt(stream[i]! & 127) << BigInt(7 * i);
      if (stream[i]! < 128) return { length, size: i + 1 };
    }
    return stream.length < 10 ? null : { length: -1n, size: 10 };
  }
  if (stream.length < bytes) return null;
  const field = endian === "big" ? stream.slice(0, bytes) : stream.slice(0, bytes).reverse();
  return { length: field.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n), size: bytes };
}

/** The same in its plainest form: with big integers, and the whole stream at once. */
function expected(stream: Uint8Array, options: LengthPrefixedOptions): Driven<Uint8Array> {
  const { offset = 0, adjustment = 0, includePrefix = false } = options;
  const { limit = 65_536, onOversize = "error" } = options;
  const frames: Uint8Array[] = [];
  let taken = 0;
  for (;;) {
    const rest = stream.subarray(taken);
    if (rest.length === 0) return { frames, end: "between", taken };
    const field = readLength(rest.subarray(offset), options);
    if (field === null) return { frames, end: "inside", taken };
    const size = field.length + BigInt(adjustment);
    const huge = field.length >= 2n ** 53n;
    const start = offset + field.size;
    if (field.length < 0n || size < 0n) {
      return { frames, end: { error: "ProtocolError" }, taken };
    }
    if (size > limit && (onOversize === "error" || huge)) {
      const error = `FrameTooLargeError: Cannot decode a frame of ${
        huge ? "more than 2⁵³ - 1" : size
      } bytes: raise 'limit', which is ${limit}`;
      return { frames, end: { error, limit, size: huge ? undefined : Number(size) }, taken };
    }
    const kept = Math.min(Number(size), limit);
    const cutting = size > limit && onOversize === "truncate";
    if (rest.length < start + Number(size)) {
      const passing = size > limit && (!cutting || rest.length >= start + limit);
      return { frames, end: "inside", taken: passing ? stream.length : taken };
    }
    if (size <= limit || cutting) frames.push(rest.slice(includePrefix ? 0 : start, start + kept));
    taken += start + Number(size);
  }
}

/** Only the codec says what exactly is wrong. */
function withoutDetail({ end, ...rest }: Driven<Uint8Array>): Driven<Uint8Array> {
  const wrong = typeof end === "object" && end.error.startsWith("ProtocolError");
  return { ...rest, end: wrong ? { error: "ProtocolError" } : end };
}

propertyTest(
  "lengthPrefixed() decodes as a plain reading of the stream does",
  [input, optionSets],
  (stream, options) => {
    const got = outcome(drive(lengthPrefixed(options), [stream]));
    assertEquals(withoutDetail(got), expected(stream, options));
  },
  10,
);

propertyTest(
  "lengthPrefixed() decodes the same however the stream is cut",
  [input, optionSets, sizes],
  (stream, options, sizes) => {
    const whole = outcome(drive(lengthPrefixed(options), [stream]));
    assertEquals(outcome(drive(lengthPrefixed(options), cut(stream, sizes))), whole);
    assertEquals(outcome(drive(lengthPrefixed(options), singly(stream))), whole);
  },
  10,
);

propertyTest(
  "lengthPrefixed() keeps no more than the limit and a prefix",
  [input, optionSets, sizes],
  (stream, options, sizes) => {
    const { kept } = drive(lengthPrefixed(options), cut(stream, sizes));
    const field = options.bytes === "varint" ? 10 : options.bytes ?? 4;
    assert(kept <= (options.offset ?? 0) + field + (options.limit ?? 1_048_576), `${kept} bytes`);
  },
  5,
);

propertyTest(
  "lengthPrefixed() decodes what it encodes, or refuses to encode it",
  [fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), optionSets, sizes],
  (frames, options, sizes) => {
    const codec = lengthPrefixed(options);
    const sent: Uint8Array[] = [];
    const stream = frames.flatMap((frame) => {
      const room = new Uint8Array(400);
      let encoded;
      try {
        encoded = codec.encode(frame);
      } catch (error) {
        assert(error instanceof RangeError);
        assertThrows(() => codec.encodeInto!(frame, room), RangeError, error.message);
        return [];
      }
      sent.push(frame);
      const written = codec.encodeInto!(frame, room)!;
      assertEquals(room.subarray(0, written), encoded);
      assertEquals(codec.encodeInto!(frame, room.subarray(0, written))!, written);
      assertEquals(codec.encodeInto!(frame, room.subarray(0, written).subarray(1)), null);
      return [...encoded];
    });
    assertEquals(drive(codec, cut(Uint8Array.from(stream), sizes)).frames, sent);
  },
  5,
);

propertyTest(
  "lengthPrefixed() encodes the frames that it decodes with their prefix",
  [input, optionSets],
  (stream, options) => {
    const codec = lengthPrefixed({ ...options, includePrefix: true, onOversize: "skip" });
    for (const frame of drive(codec, [stream]).frames) {
      const encoded = codec.encode(frame);
      assertEquals(encoded, frame);
      assert(encoded.buffer !== frame.buffer, "its own memory");
    }
  },
  5,
);

Deno.test("lengthPrefixed() takes all frames that are complete at once, and no others", () => {
  const codec = lengthPrefixed({ bytes: 1, limit: 3 });
  const batch = codec.decodeAll!(Uint8Array.of(1, 7, 0, 3, 1, 2, 3, 2, 9));
  assertEquals(batch, {
    frames: [Uint8Array.of(7), Uint8Array.of(), Uint8Array.of(1, 2, 3)],
    taken: 7,
  });
  assertEquals(codec.decodeAll!(Uint8Array.of(1, 7, 4, 1, 2, 3, 4))?.frames, [Uint8Array.of(7)]);
  assertEquals(codec.decodeAll!(Uint8Array.of(4, 1, 2, 3, 4)), null);
  assertEquals(codec.decodeAll!(Uint8Array.of(2, 1)), null);
  const many = codec.decodeAll!(new Uint8Array(1000))!;
  assertEquals([many.frames.length, many.taken], [64, 64]);
});

Deno.test("lengthPrefixed() encodes and decodes each field", () => {
  const content = new Uint8Array(300).fill(7);
  const prefixes: [LengthPrefixedOptions, number[]][] = [
    [{ bytes: 2 }, [1, 44]],
    [{ bytes: 2, endian: "little" }, [44, 1]],
    [{ bytes: 3 }, [0, 1, 44]],
    [{ bytes: 3, endian: "little" }, [44, 1, 0]],
    [{}, [0, 0, 1, 44]],
    [{ bytes: 4, endian: "little" }, [44, 1, 0, 0]],
    [{ bytes: 8 }, [0, 0, 0, 0, 0, 0, 1, 44]],
    [{ bytes: 8, endian: "little" }, [44, 1, 0, 0, 0, 0, 0, 0]],
    [{ bytes: "varint" }, [0b1010_1100, 0b0000_0010]],
    [{ adjustment: -4 }, [0, 0, 1, 48]],
    [{ bytes: 1, adjustment: 100 }, [200]],
  ];
  for (const [options, prefix] of prefixes) {
    const codec = lengthPrefixed(options);
    const stream = codec.encode(content);
    assertEquals(stream, Uint8Array.of(...prefix, ...content));
    assertEquals(codec.decode(stream, 0, false), { frame: content, taken: stream.length });
  }
});

Deno.test("lengthPrefixed() returns content, or everything from the prefix on", () => {
  // A type, a length that counts itself and the type, and two bytes of content.
  const stream = Uint8Array.of(0x51, 5, 0, 8, 9);
  const options: LengthPrefixedOptions = {
    offset: 1,
    bytes: 2,
    endian: "little",
    adjustment: -3,
  };
  const content = Uint8Array.of(8, 9);
  assertEquals(lengthPrefixed(options).decode(stream, 0, false), { frame: content, taken: 5 });
  const whole = lengthPrefixed({ ...options, includePrefix: true });
  assertEquals(whole.decode(stream, 0, false), { frame: stream, taken: 5 });
});

Deno.test("lengthPrefixed() says how many bytes it needs as early as it can", () => {
  const needs: [LengthPrefixedOptions, number[], number][] = [
    [{}, [0], 4],
    [{}, [0, 0, 1, 0], 260],
    [{ offset: 3, bytes: 2 }, [9], 5],
    [{ offset: 3, bytes: 2 }, [9, 9, 9, 0, 7], 12],
    [{ bytes: "varint", offset: 2 }, [9], 3],
    [{ bytes: "varint" }, [200], 2],
    [{ bytes: "varint" }, [200, 1], 202],
    [{ limit: 5, onOversize: "truncate" }, [0, 0, 0, 9], 9],
  ];
  for (const [options, bytes, need] of needs) {
    assertEquals(lengthPrefixed(options).decode(Uint8Array.from(bytes), 0, false), { need });
  }
});

Deno.test("lengthPrefixed() allows `limit` bytes of content and no more, prefix or not", () => {
  for (const includePrefix of [true, false]) {
    const codec = lengthPrefixed({ bytes: 2, limit: 4, includePrefix });
    const four = Uint8Array.of(0, 4, 1, 2, 3, 4);
    assertEquals(drive(codec, singly(four)).frames, [includePrefix ? four : four.subarray(2)]);
    const error = assertThrows(
      () => codec.decode(Uint8Array.of(0, 5), 0, false),
      FrameTooLargeError,
      "Cannot decode a frame of 5 bytes: raise 'limit', which is 4",
    );
    assertEquals([error.limit, error.size], [4, 5]);
  }
});

Deno.test("lengthPrefixed() compares the content with the limit, not the length", () => {
  assertEquals(
    drive(lengthPrefixed({ bytes: 1, limit: 2, adjustment: -3 }), [
      Uint8Array.of(5, 1, 2),
    ]).frames,
    [Uint8Array.of(1, 2)],
  );
  assertThrows(
    () => lengthPrefixed({ bytes: 1, limit: 2, adjustment: 3 }).decode(Uint8Array.of(1), 0, false),
    FrameTooLargeError,
    "of 4 bytes",
  );
});

Deno.test("lengthPrefixed() refuses a gigabyte as soon as it is announced", () => {
  const error = assertThrows(
    () => lengthPrefixed().decode(Uint8Array.of(0x40, 0, 0, 0), 0, false),
    FrameTooLargeError,
  );
  assertEquals([error.limit, error.size], [65_536, 2 ** 30]);
});

Deno.test("lengthPrefixed() refuses lengths beyond 2⁵³ - 1, whatever `onOversize` says", () => {
  const beyond: [Width, number[]][] = [
    [8, [0, 0x20, 0, 0, 0, 0, 0, 0]],
    [8, new Array(8).fill(255)],
    ["varint", [...new Array(7).fill(128), 16]],
    ["varint", [...new Array(9).fill(255), 127]],
  ];
  for (const [bytes, prefix] of beyond) {
    for (const onOversize of ["error", "skip", "truncate"] as const) {
      for (const adjustment of [0, -(2 ** 32), 2 ** 32]) {
        const codec = lengthPrefixed({ bytes, onOversize, adjustment });
        const error = assertThrows(
          () => codec.decode(Uint8Array.from(prefix), 0, false),
          FrameTooLargeError,
          "Cannot decode a frame of more than 2⁵³ - 1 bytes",
        );
        assertEquals(error.size, undefined);
      }
    }
  }
  const largest = Uint8Array.of(0, 0x1f, 255, 255, 255, 255, 255, 255);
  const exact = assertThrows(
    () => lengthPrefixed({ bytes: 8 }).decode(largest, 0, false),
    FrameTooLargeError,
  );
  assertEquals(exact.size, Number.MAX_SAFE_INTEGER);
});

Deno.test("lengthPrefixed() continues with the next frame after one that is too large", () => {
  const stream = Uint8Array.of(1, 7, 6, 1, 2, 3, 4, 5, 6, 2, 8, 9);
  const [one, last] = [Uint8Array.of(7), Uint8Array.of(8, 9)];
  const skipping = lengthPrefixed({ bytes: 1, limit: 3, onOversize: "skip" });
  const cutting = lengthPrefixed({ bytes: 1, limit: 3, onOversize: "truncate" });
  const whole = lengthPrefixed({
    bytes: 1,
    limit: 3,
    onOversize: "truncate",
    includePrefix: true,
  });
  for (const chunks of [[stream], singly(stream)]) {
    assertEquals(drive(skipping, chunks).frames, [one, last]);
    assertEquals(drive(cutting, chunks).frames, [one, Uint8Array.of(1, 2, 3), last]);
    assertEquals(drive(whole, chunks).frames[1], Uint8Array.of(6, 1, 2, 3));
  }
  assertEquals(skipping.decode(stream.subarray(2, 4), 0, false), { taken: 7 });
});

Deno.test("lengthPrefixed() returns a cut frame once all of it has arrived", () => {
  const codec = lengthPrefixed({ bytes: 1, limit: 2, onOversize: "truncate" });
  assertEquals(drive(codec, [Uint8Array.of(4, 1, 2, 3)]).frames, []);
  assertEquals(drive(codec, [Uint8Array.of(4, 1, 2, 3, 4)]).frames, [Uint8Array.of(1, 2)]);
});

Deno.test("lengthPrefixed() refuses negative lengths and endless varints", () => {
  assertThrows(
    () => lengthPrefixed({ adjustment: -4 }).decode(Uint8Array.of(0, 0, 0, 3), 0, false),
    ProtocolError,
    "Cannot decode a frame of length 3: with the 'adjustment' of -4 it is negative",
  );
  const endless = new Uint8Array(10).fill(128);
  for (const chunks of [[endless], singly(endless)]) {
    assertEquals(outcome(drive(lengthPrefixed({ bytes: "varint" }), chunks)), {
      frames: [],
      end: {
        error:
          "ProtocolError: Cannot decode a frame whose length is a varint of more than 10 bytes",
      },
      taken: 0,
    });
  }
});

Deno.test("lengthPrefixed() accepts a varint with more bytes than it needs", () => {
  const padded = Uint8Array.of(130, ...new Array(8).fill(128), 0, 8, 9);
  const { frames } = drive(lengthPrefixed({ bytes: "varint" }), singly(padded));
  assertEquals(frames, [Uint8Array.of(8, 9)]);
});

Deno.test("lengthPrefixed() encodes nothing that would be decoded to something else", () => {
  const refusals: [LengthPrefixedOptions, unknown, typeof Error, string][] = [
    [
      { limit: 2 },
      new Uint8Array(3),
      RangeError,
      "Cannot encode a frame of 3 bytes: raise 'limit', which is 2",
    ],
    [
      { limit: 2, bytes: 1, includePrefix: true },
      Uint8Array.of(3, 1, 2, 3),
      RangeError,
      "Cannot encode a frame of 3 bytes: raise 'limit', which is 2",
    ],
    [
      { bytes: 1 },
      new Uint8Array(256),
      RangeError,
      "Cannot encode a frame of 256 bytes: its length would be 256, and the field holds 0 to 255",
    ],
    [
      { bytes: 1, adjustment: 4 },
      new Uint8Array(3),
      RangeError,
      "Cannot encode a frame of 3 bytes: its length would be -1, and the field holds 0 to 255",
    ],
    [
      { bytes: "varint", adjustment: 4 },
      new Uint8Array(3),
      RangeError,
      "Cannot encode a frame of 3 bytes: its length would be -1, and the field holds 0 to Infinity",
    ],
    [
      { offset: 1 },
      new Uint8Array(3),
      RangeError,
      "Cannot encode a frame without the 1 bytes before its length: use 'includePrefix'",
    ],
    [
      { includePrefix: true },
      Uint8Array.of(0, 0, 0),
      RangeError,
      "Cannot encode a frame of 3 bytes: its prefix is incomplete",
    ],
    [
      { includePrefix: true },
      Uint8Array.of(0, 0, 0, 2, 7),
      RangeError,
      "Cannot encode a frame of 5 bytes: its prefix has another length",
    ],
    [{}, "text", TypeError, `Cannot encode "text": use a Uint8Array`],
  ];
  for (const [options, frame, kind, message] of refusals) {
    const codec = lengthPrefixed(options);
    const encoded = assertThrows(() => codec.encode(frame as Uint8Array), kind);
    const room = new Uint8Array(500);
    const into = assertThrows(() => codec.encodeInto!(frame as Uint8Array, room), kind);
    assertEquals([encoded.message, into.message], [message, message]);
  }
});

Deno.test("lengthPrefixed() refuses a byte order for a varint", () => {
  const error = assertThrows(
    () => lengthPrefixed({ bytes: "varint", endian: "little" }),
    TypeError,
  );
  assertStrictEquals(
    error.message,
    "Cannot make lengthPrefixed() with 'endian' for a varint: its byte order is fixed",
  );
});
