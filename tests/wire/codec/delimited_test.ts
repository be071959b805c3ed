/** Delimiters end frames in the same place however they arrive. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FrameTooLargeError } from "../../../lib/errors.ts";
import type { Codec } from "../../../lib/wire/codec/codec.ts";
import { delimited, type DelimitedOptions } from "../../../lib/wire/codec/delimited.ts";
import { bytes } from "../../support/bytes.ts";
import { cut, drive, type Driven, outcome, singly } from "./drive.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";

const delimiterSets = fc.array(
  bytesOf([97, 98, 99], 5).filter((delimiter) => delimiter.length > 0),
  { minLength: 1, maxLength: 3 },
);
const input = bytesOf([97, 97, 98, 99, 100], 60);

const optionSets: fc.Arbitrary<DelimitedOptions> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(65536)),
  onOversize: fc.constantFrom("error", "skip", "truncate"),
  unterminated: fc.constantFrom("error", "frame"),
}, { requiredKeys: [] });

/** `null` for delimiters that are refused because one of them always ends before another. */
function codecOf(delimiters: Uint8Array[], options: DelimitedOptions): Codec<Uint8Array> | null {
  try {
    return delimited(delimiters, options);
  } catch (error) {
    assert(error instanceof RangeError);
    return null;
  }
}

/** Where the first delimiter begins and ends, found the slow way. */
function first(delimiters: Uint8Array[], stream: Uint8Array): [number, number] | null {
  for (let end = 1; end <= stream.length; end++) {
    const begins = delimiters.map(({ length }) => end - length).filter((begin, i) =>
      begin >= 0 && delimiters[i]!.every((byte, j) => byte === stream[begin + j])
    );
    if (begins.length > 0) return [Math.min(...begins), end];
  }
  return null;
}

/** The same in its plainest form: frame by frame, with the whole stream at once. */
function expected(
  stream: Uint8Array,
  delimiters: Uint8Array[],
  options: DelimitedOptions,
): Driven<Uint8Array> {
  const { limit = 65536, onOversize = "error", unterminated = "error" } = options;
  const longest = Math.max(...delimiters.map(({ length }) => length));
  const frames: Uint8Array[] = [];
  let taken = 0;
  for (;;) {
    const rest = stream.subarray(taken);
    if (rest.length === 0) return { frames, end: "between", taken };
    const [size, end] = first(delimiters, rest) ?? [rest.length, 0];
    const sure = end > 0 || unterminated === "frame" || size > limit + longest - 1;
    const tooLarge = size > limit && sure;
    if (tooLarge && onOversize === "error") {
      const error =
        `FrameTooLargeError: Cannot decode a frame of more than ${limit} bytes: raise 'limit' to accept larger ones`;
      return { frames, end: { error, limit, size: undefined }, taken };
    }
    if (end === 0 && unterminated === "error") {
      return { frames, end: "inside", taken: tooLarge ? stream.length : taken };
    }
    if (!tooLarge || onOversize === "truncate") frames.push(rest.slice(0, Math.min(size, limit)));
    taken = end === 0 ? stream.length : taken + end;
  }
}

propertyTest(
  "delimited() decodes as a plain reading of the stream does",
  [input, delimiterSets, optionSets],
  (stream, delimiters, options) => {
    const codec = codecOf(delimiters, options);
    if (codec === null) return;
    assertEquals(outcome(drive(codec, [stream])), expected(stream, delimiters, options));
  },
  10,
);

propertyTest(
  "delimited() decodes the same however the stream is cut",
  [input, delimiterSets, optionSets, sizes],
  (stream, delimiters, options, sizes) => {
    const codec = codecOf(delimiters, options);
    if (codec === null) return;
    const whole = outcome(drive(codec, [stream]));
    assertEquals(outcome(drive(codec, cut(stream, sizes))), whole);
    assertEquals(outcome(drive(codec, singly(stream))), whole);
  },
  10,
);

propertyTest(
  "delimited() decodes the same for a caller that ignores `next`",
  [input, delimiterSets],
  (stream, delimiters) => {
    const codec = codecOf(delimiters, {});
    if (codec === null) return;
    const frames: Uint8Array[] = [];
    for (let from = 0, to = 1, seen = 0; to <= stream.length;) {
      const answer = codec.decode(stream.subarray(from, to), seen, false);
      if (answer !== null && "frame" in answer) {
        frames.push(answer.frame!);
        from += answer.taken;
        seen = 0;
      } else seen = to++ - from;
    }
    assertEquals(frames, drive(codec, [stream]).frames);
  },
  5,
);

propertyTest(
  "delimited() keeps no more than the limit and most of a delimiter",
  [input, delimiterSets, optionSets, sizes],
  (stream, delimiters, options, sizes) => {
    const codec = codecOf(delimiters, options);
    if (codec === null) return;
    const { kept } = drive(codec, cut(stream, sizes));
    const longest = Math.max(...delimiters.map(({ length }) => length));
    assert(kept <= (options.limit ?? 65536) + longest - 1, `${kept} bytes`);
  },
  5,
);

propertyTest(
  "delimited() decodes what it encodes, and refuses the rest",
  [fc.array(input, { maxLength: 6 }), delimiterSets, sizes],
  (frames, delimiters, sizes) => {
    const codec = codecOf(delimiters, {});
    if (codec === null) return;
    const sent: Uint8Array[] = [];
    const stream = frames.flatMap((frame) => {
      const plain = Uint8Array.of(...frame, ...delimiters[0]!);
      const [begin, end] = first(delimiters, plain)!;
      const room = new Uint8Array(plain.length);
      if (begin === frame.length && end === plain.length) {
        sent.push(frame);
        assertEquals([codec.encodeInto!(frame, room), room], [room.length, plain]);
        assertEquals(codec.encode(frame), plain);
        return [...plain];
      }
      assertThrows(() => codec.encodeInto!(frame, room), RangeError);
      assertThrows(() => codec.encode(frame), RangeError);
      return [];
    });
    assertEquals(drive(codec, cut(Uint8Array.from(stream), sizes)).frames, sent);
  },
  5,
);

Deno.test("delimited() accepts bytes, a string, or several of them", () => {
  const framesOf = (delimiter: Parameters<typeof delimited>[0]) =>
    drive(delimited(delimiter), [bytes`one§two;§three§`]).frames;
  assertEquals(framesOf("§"), [bytes`one`, bytes`two;`, bytes`three`]);
  assertEquals(framesOf(bytes`§`), framesOf("§"));
  assertEquals(framesOf(["§", bytes`;`]), [bytes`one`, bytes`two`, bytes``, bytes`three`]);
});

Deno.test("delimited() uses the longest of delimiters that end together", () => {
  for (const delimiters of [["\r\n", "\n"], ["\n", "\r\n"]]) {
    const { frames } = drive(delimited(delimiters), [bytes`one\r\ntwo\nth\rree\r\n`]);
    assertEquals(frames, [bytes`one`, bytes`two`, bytes`th\rree`]);
  }
});

Deno.test("delimited() is not affected by later changes of the delimiter", () => {
  const delimiter = bytes`;`;
  const codec = delimited(delimiter);
  delimiter[0] = 0;
  assertEquals(codec.encode(bytes`one`), bytes`one;`);
  assertEquals(codec.decode(bytes`one;`, 0, false), { frame: bytes`one`, taken: 4 });
});

Deno.test("delimited() allows `limit` bytes of content and not one more", () => {
  for (const delimiter of ["\n", "\r\n", "-- "]) {
    const codec = delimited(delimiter, { limit: 4 });
    for (const cut of [singly, (stream: Uint8Array) => [stream]]) {
      assertEquals(drive(codec, cut(bytes`four${delimiter}`)).frames, [bytes`four`]);
      const { frames, end, taken } = drive(codec, cut(bytes`ok${delimiter}five5${delimiter}`));
      const error =
        "FrameTooLargeError: Cannot decode a frame of more than 4 bytes: raise 'limit' to accept larger ones";
      assertEquals(frames, [bytes`ok`]);
      assertEquals(end, { error, limit: 4, size: undefined });
      assertEquals(taken, 2 + delimiter.length);
    }
  }
  assertThrows(
    () => delimited("\r\n", { limit: 4 }).decode(bytes`five5\r`, 0, false),
    FrameTooLargeError,
  );
});

Deno.test("delimited() continues with the next frame after one that is too large", () => {
  const stream = bytes`ok--far too large--fine------end`;
  const skipping = delimited("--", { limit: 4, onOversize: "skip" });
  const cutting = delimited("--", { limit: 4, onOversize: "truncate", unterminated: "frame" });
  for (const chunks of [[stream], singly(stream)]) {
    const kept = ["ok", "fine", "", ""].map((text) => bytes`${text}`);
    assertEquals(outcome(drive(skipping, chunks)), { frames: kept, end: "inside", taken: 29 });
    const all = ["ok", "far ", "fine", "", "", "end"].map((text) => bytes`${text}`);
    assertEquals(outcome(drive(cutting, chunks)), { frames: all, end: "between", taken: 32 });
  }
});

Deno.test("delimited() copies no content", () => {
  const stream = bytes`one;two;`;
  for (const frame of drive(delimited(";"), [stream]).frames) {
    assert(frame.buffer.byteLength >= stream.length);
  }
  const { buffer } = (delimited(";").decode(stream, 0, false) as { frame: Uint8Array }).frame;
  assertStrictEquals(buffer, stream.buffer);
});

Deno.test("delimited() refuses what cannot be a delimiter", () => {
  const wanted = "use a string or Uint8Array that is not empty, or an array of such";
  const refusals: [unknown, typeof Error, string][] = [
    ["", RangeError, `Cannot make delimited() with an empty 'delimiter': ${wanted}`],
    [["a", bytes``], RangeError, `Cannot make delimited() with an empty 'delimiter': ${wanted}`],
    [[], RangeError, `Cannot make delimited() with 'delimiter' of an empty array: ${wanted}`],
    [10, TypeError, `Cannot make delimited() with 'delimiter' of 10: ${wanted}`],
    [["\n", null], TypeError, `Cannot make delimited() with 'delimiter' of null: ${wanted}`],
    [
      ["a", "bab"],
      RangeError,
      "Cannot search for the bytes 98,97,98: another delimiter always ends first, after 98,97",
    ],
  ];
  for (const [delimiter, kind, message] of refusals) {
    const error = assertThrows(() => delimited(delimiter as string), kind);
    assertStrictEquals(error.message, message);
  }
});

Deno.test("delimited() encodes nothing that would be decoded to something else", () => {
  const codec = delimited(["aa", "b"], { limit: 3 });
  const refusals: [unknown, typeof Error, string][] = [
    [
      bytes`xb`,
      RangeError,
      "Cannot encode a frame with a delimiter in it, at byte 1: use content without",
    ],
    // The content has none, but what is sent is xaaa, and its first delimiter is too early.
    [
      bytes`xa`,
      RangeError,
      "Cannot encode a frame with a delimiter in it, at byte 1: use content without",
    ],
    [
      bytes`long`,
      RangeError,
      "Cannot encode a frame of 4 bytes: raise 'limit', which is 3",
    ],
    ["x", TypeError, `Cannot encode "x": use a Uint8Array`],
  ];
  for (const [frame, kind, message] of refusals) {
    const encoded = assertThrows(() => codec.encode(frame as Uint8Array), kind);
    const room = new Uint8Array(20);
    const into = assertThrows(() => codec.encodeInto!(frame as Uint8Array, room), kind);
    assertEquals([encoded.message, into.message], [message, message]);
  }
  assertEquals(codec.encodeInto!(bytes`ok`, new Uint8Array(3)), null);
});

Deno.test("delimited() takes all frames that are complete at once, and no others", () => {
  const codec = delimited("\r\n", { limit: 5 });
  const batch = codec.decodeAll!(bytes`one\r\n\r\nthree\r\nfo`);
  assertEquals(batch, { frames: [bytes`one`, bytes``, bytes`three`], taken: 14, seen: 2 });
  assertEquals(codec.decodeAll!(bytes`one\r\ntoolong\r\n`)?.frames, [bytes`one`]);
  assertEquals(codec.decodeAll!(bytes`toolong\r\n`), null);
  assertEquals(codec.decodeAll!(bytes`one`), null);
  const many = codec.decodeAll!(bytes`${"a\r\n".repeat(1000)}`)!;
  assertEquals([many.frames.length, many.taken], [64, 3 * 64]);
});

Deno.test("delimited() looks at each byte once, also one byte at a time", () => {
  const separator = "=".repeat(70) + "\n";
  const inputs: [string, string, string][] = [
    ["aaaa...ab in as", "a".repeat(60) + "b", "a".repeat(100_000)],
    ["baaa...a in as", "b" + "a".repeat(60), "a".repeat(100_000)],
    ["almost a separator, again and again", separator, "=".repeat(69).padEnd(75, "-").repeat(1000)],
    ["many frames", separator, ("content" + separator).repeat(1000)],
    ["one byte", "\n", ("content" + "\n").repeat(10_000)],
    ["256 KiB", "\r\n", "x".repeat(256 * 1024) + "\r\n"],
    ["1 MiB", "\r\n", "x".repeat(1024 * 1024) + "\r\n"],
  ];
  for (const [name, delimiter, text] of inputs) {
    const stream = bytes`${text}`;
    const codec = delimited(delimiter, { limit: stream.length });
    for (const size of [1, 3, 1460, stream.length]) {
      const chunks = cut(stream, new Array(stream.length).fill(size));
      const { examined } = drive(codec, chunks, { count: true, batches: false });
      // What is behind the last delimiter is looked at by two questions if its chunk was the last.
      assert(examined <= stream.length + 100, `${name}, by ${size}: ${examined}/${stream.length}`);
      // What is behind a batch is looked at again, alone, and so is the delimiter that may begin there.
      const batched = drive(codec, chunks, { count: true }).examined;
      assert(batched <= 2 * stream.length + 100, `${name}, by ${size}, batched: ${batched}`);
    }
  }
});
