/** Lines are decoded the same at any limit, in any encoding and however they arrive. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FrameTooLargeError, ProtocolError } from "../../../lib/errors.ts";
import { lines, type LinesOptions } from "../../../lib/wire/codec/lines.ts";
import { bytes } from "../../support/bytes.ts";
import { cut, drive, type Driven, outcome, singly } from "./drive.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";

const LF = 10;
const CR = 13;

/** Every encoding of the Encoding Standard that has lines. */
const ENCODINGS = [
  "utf-8 ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8",
  "iso-8859-8-i iso-8859-10 iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 koi8-r koi8-u",
  "macintosh windows-874 windows-1250 windows-1251 windows-1252 windows-1253 windows-1254 windows-1255",
  "windows-1256 windows-1257 windows-1258 x-mac-cyrillic gbk gb18030 big5 euc-jp shift_jis euc-kr",
  "x-user-defined",
].flatMap((names) => names.split(" "));

const MULTIBYTE = ["utf-8", "gbk", "gb18030", "big5", "euc-jp", "shift_jis", "euc-kr"];

/** Text, line ends, and parts of characters: é is C3 A9, € is E2 82 AC, 😀 is F0 9F 98 80. */
const input = bytesOf(
  [0x61, 0x62, LF, LF, CR, CR, 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0x30, 0xff],
  50,
);

const optionSets: fc.Arbitrary<LinesOptions> = fc.record({
  limit: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(65536)),
  onOversize: fc.constantFrom("error", "skip", "truncate"),
  unterminated: fc.constantFrom("error", "frame"),
  encoding: fc.oneof(fc.constant("utf-8"), fc.constantFrom(...ENCODINGS)),
  fatal: fc.boolean(),
}, { requiredKeys: [] });

/** The same in its plainest form: line by line, with the whole stream at once. */
function expected(stream: Uint8Array, options: LinesOptions): Driven<string> {
  const { limit = 65536, onOversize = "error", unterminated = "error" } = options;
  const { encoding = "utf-8", fatal = false } = options;
  const frames: string[] = [];
  let taken = 0;
  for (;;) {
    const lf = stream.indexOf(LF, taken);
    const rest = stream.subarray(taken, lf < 0 ? stream.length : lf);
    if (lf < 0 && rest.length === 0) return { frames, end: "between", taken };
    const content = lf >= 0 && rest.at(-1) === CR ? rest.subarray(0, -1) : rest;
    const sure = lf >= 0 || unterminated === "frame" || rest.length > limit + 1 ||
      rest.at(-1) !== CR;
    const tooLong = content.length > limit && sure;
    if (tooLong && onOversize === "error") {
      const error =
        `FrameTooLargeError: Cannot decode a line of more than ${limit} bytes: raise 'limit' to accept longer ones`;
      return { frames, end: { error, limit, size: undefined }, taken };
    }
    const here = tooLong ? content.subarray(0, limit) : content;
    let text;
    try {
      const decoder = new TextDecoder(encoding, { fatal, ignoreBOM: true });
      if (tooLong) text = onOversize === "skip" ? "" : decoder.decode(here, { stream: true });
      else if (lf < 0) text = unterminated === "frame" ? decoder.decode(here) : "";
      else text = decoder.decode(stream.subarray(taken, lf + 1)).replace(/\r?\n$/, "");
    } catch {
      return { frames, end: { error: "ProtocolError" }, taken };
    }
    if (lf < 0 && unterminated === "error") {
      return { frames, end: "inside", taken: tooLong ? stream.length : taken };
    }
    if (!tooLong || onOversize === "truncate") frames.push(text);
    taken = lf < 0 ? stream.length : lf + 1;
  }
}

/** Only the codec says which byte is wrong. */
function withoutPlace({ end, ...rest }: Driven<string>): Driven<string> {
  const wrong = typeof end === "object" && end.error.startsWith("ProtocolError");
  return { ...rest, end: wrong ? { error: "ProtocolError" } : end };
}

propertyTest(
  "lines() decodes as a plain reading of the stream does",
  [input, optionSets],
  (stream, options) => {
    const got = outcome(drive(lines(options), [stream]));
    assertEquals(withoutPlace(got), expected(stream, options));
  },
  5,
);

propertyTest(
  "lines() decodes the same however the stream is cut",
  [input, optionSets, sizes],
  (stream, options, sizes) => {
    const whole = outcome(drive(lines(options), [stream]));
    assertEquals(outcome(drive(lines(options), cut(stream, sizes))), whole);
    assertEquals(outcome(drive(lines(options), singly(stream))), whole);
  },
  5,
);

propertyTest(
  "lines() decodes the same in batches and one by one",
  [input, optionSets, sizes],
  (stream, options, sizes) => {
    const inBatches = outcome(drive(lines(options), cut(stream, sizes)));
    const batches = false;
    assertEquals(outcome(drive(lines(options), cut(stream, sizes), { batches })), inBatches);
    assertEquals(outcome(drive(lines(options), [stream], { batches })), inBatches);
  },
  5,
);

propertyTest(
  "lines() keeps no more than the limit, a line end and the last chunk",
  [input, optionSets, sizes],
  (stream, options, sizes) => {
    const { kept } = drive(lines(options), cut(stream, sizes));
    assert(kept <= (options.limit ?? 65536) + 1, `${kept} bytes`);
  },
);

const text = fc.string({ unit: "binary", maxLength: 70 })
  .map((text) => text.replaceAll("\n", "").replace(/\r+$/, ""));

propertyTest(
  "lines() decodes what it encodes",
  [fc.array(text, { maxLength: 8 }), fc.constantFrom("\n", "\r\n"), fc.boolean(), sizes],
  (frames, ending, fatal, sizes) => {
    const codec = lines({ ending, fatal });
    const stream = join(frames.map((frame) => codec.encode(frame)));
    assertEquals(drive(codec, cut(stream, sizes)).frames, frames);
  },
);

propertyTest(
  "encodeInto() writes what encode() returns, or says that it does not fit",
  [fc.string({ unit: "binary", maxLength: 70 }), optionSets, fc.integer({ min: 0, max: 220 })],
  (frame, options, size) => {
    const codec = lines(options);
    const room = new Uint8Array(size);
    let whole;
    try {
      whole = codec.encode(frame);
    } catch (error) {
      try {
        assertEquals(codec.encodeInto!(frame, room), null);
      } catch (again) {
        assertEquals(`${again}`, `${error}`);
      }
      return;
    }
    const written = codec.encodeInto!(frame, room);
    if (written === null) assert(whole.length > size || size < 3 * frame.length + 2);
    else assertEquals(room.subarray(0, written), whole);
  },
);

Deno.test("encodeInto() fits into exactly the room that a line needs", () => {
  for (
    const frame of [
      "",
      "short",
      "é",
      "a line that is longer than what is written by hand",
      "€".repeat(40),
    ]
  ) {
    for (const ending of ["\n", "\r\n"] as const) {
      const codec = lines({ ending });
      const whole = codec.encode(frame);
      const room = new Uint8Array(whole.length);
      assertEquals([codec.encodeInto!(frame, room), room], [whole.length, whole]);
      assertEquals(codec.encodeInto!(frame, room.subarray(1)), null);
    }
  }
});

Deno.test("lines() accepts LF and CRLF, and keeps every other CR", () => {
  const { frames } = drive(lines(), [bytes`one\ntwo\r\n\n\r\n\rthree\r\r\nfo\rur\n`]);
  assertEquals(frames, ["one", "two", "", "", "\rthree\r", "fo\rur"]);
});

Deno.test("lines() keeps a byte order mark, in a batch or alone", () => {
  const stream = bytes`\ufeffone\n\ufefftwo\n`;
  for (const batches of [true, false]) {
    assertEquals(drive(lines(), [stream], { batches }).frames, ["\ufeffone", "\ufefftwo"]);
  }
});

Deno.test("lines() allows `limit` bytes of content and not one more", () => {
  for (const ending of ["\n", "\r\n"]) {
    const codec = lines({ limit: 4 });
    for (const cut of [singly, (stream: Uint8Array) => [stream]]) {
      assertEquals(drive(codec, cut(bytes`four${ending}`)).frames, ["four"]);
      // € is three bytes.
      assertEquals(drive(codec, cut(bytes`a€${ending}`)).frames, ["a€"]);
      const { frames, end, taken } = drive(codec, cut(bytes`ok${ending}five5${ending}`));
      const error =
        "FrameTooLargeError: Cannot decode a line of more than 4 bytes: raise 'limit' to accept longer ones";
      assertEquals(frames, ["ok"]);
      assertEquals(end, { error, limit: 4, size: undefined });
      assertEquals(taken, 2 + ending.length);
    }
  }
});

Deno.test("lines() refuses a line as soon as it is certainly too long", () => {
  const codec = lines({ limit: 4 });
  assertEquals(codec.decode(bytes`four\r`, 0, false), null);
  for (const early of ["five5", "four\r\r", "four\rx"]) {
    const error = assertThrows(() => codec.decode(bytes`${early}`, 0, false), FrameTooLargeError);
    assertEquals([error.limit, error.size], [4, undefined]);
  }
});

Deno.test("lines() continues with the next line after one that is too long", () => {
  const stream = bytes`ok\nfar too long\r\nfine\n😀😀\n\nend`;
  const skipping = lines({ limit: 6, onOversize: "skip" });
  const cutting = lines({ limit: 6, onOversize: "truncate", unterminated: "frame" });
  for (const chunks of [[stream], singly(stream)]) {
    assertEquals(drive(skipping, chunks).frames, ["ok", "fine", ""]);
    assertEquals(drive(skipping, chunks).end, "inside");
    assertEquals(drive(cutting, chunks).frames, ["ok", "far to", "fine", "😀", "", "end"]);
    assertEquals(drive(cutting, chunks).end, "between");
  }
});

Deno.test("lines() reports an end of the stream inside a long line, or ends the line there", () => {
  const stream = bytes`far too long`;
  const endOf = (options: LinesOptions) => {
    const { frames, end } = drive(lines({ limit: 3, ...options }), singly(stream));
    return [frames, end];
  };
  assertEquals(endOf({ onOversize: "skip" }), [[], "inside"]);
  assertEquals(endOf({ onOversize: "truncate" }), [[], "inside"]);
  assertEquals(endOf({ onOversize: "skip", unterminated: "frame" }), [[], "between"]);
  assertEquals(endOf({ onOversize: "truncate", unterminated: "frame" }), [["far"], "between"]);
});

Deno.test("lines() returns an unterminated line at the end only where the option says so", () => {
  assertEquals(outcome(drive(lines(), [bytes`one\ntwo`])), {
    frames: ["one"],
    end: "inside",
    taken: 4,
  });
  const { frames, end } = drive(lines({ unterminated: "frame" }), [bytes`one\ntwo\r`]);
  assertEquals([frames, end], [["one", "two\r"], "between"]);
  // There the CR is content, and counts.
  const last = lines({ limit: 3, unterminated: "frame" });
  assertThrows(() => last.decode(bytes`two\r`, 4, true), FrameTooLargeError);
});

Deno.test("lines() replaces bytes that are not text, and never loses an LF to them", () => {
  const stream = Uint8Array.of(0xe2, 0x82, LF, 0xc3, CR, LF, 0xf0, LF, 0x61, LF);
  assertEquals(drive(lines(), [stream]).frames, ["\ufffd", "\ufffd", "\ufffd", "a"]);
});

Deno.test("lines() names the byte that is not text and takes nothing of its line", () => {
  const codec = lines({ fatal: true });
  const stream = Uint8Array.of(...bytes`one\ntwo\nth`, 0xff, ...bytes`ee\nfour\n`);
  for (const chunks of [[stream], singly(stream)]) {
    assertEquals(outcome(drive(codec, chunks)), {
      frames: ["one", "two"],
      end: { error: "ProtocolError: Cannot decode a line that is not utf-8: its byte 2 is wrong" },
      taken: 8,
    });
  }
  const half = Uint8Array.of(0x61, 0xc3, LF);
  assertThrows(() => codec.decode(half, 0, false), ProtocolError, "its byte 2 is wrong");
  const cutting = lines({ limit: 2, fatal: true, onOversize: "truncate" });
  assertEquals(drive(cutting, [bytes`aé!\n`]).frames, ["a"]);
  assertThrows(() => cutting.decode(Uint8Array.of(0xff, 97, 97, LF), 0, false), ProtocolError);
});

Deno.test("lines() decodes bytes that are not text once, not once for each line before them", () => {
  const stream = Uint8Array.of(...bytes`${"a\n".repeat(4000)}`, 0xff, LF);
  const { frames, calls } = drive(lines({ fatal: true }), [stream]);
  assertEquals([frames.length, calls], [4000, 10]);
});

Deno.test("lines() knows every encoding in which 0x0A is a line feed", () => {
  for (const encoding of ENCODINGS) {
    assertEquals(drive(lines({ encoding }), [bytes`one\r\ntwo\n`]).frames, ["one", "two"]);
    assertEquals(lines({ encoding }).encode("~ASCII\\"), bytes`~ASCII\\\n`);
  }
  for (
    const encoding of ["utf-16le", "utf-16be", "utf-16", "iso-2022-jp", "hz-gb-2312", "klingon"]
  ) {
    const message =
      `Cannot make lines() with 'encoding' of "${encoding}": use an encoding in which`;
    assertThrows(() => lines({ encoding }), RangeError, message);
  }
});

Deno.test("no byte before an LF swallows it, in any encoding", () => {
  for (const encoding of ENCODINGS) {
    const codec = lines({ encoding });
    const seconds = MULTIBYTE.includes(encoding) ? 256 : 1;
    for (let first = 0; first < 256; first++) {
      for (let second = 0; second < seconds; second++) {
        if (first === LF || second === LF) continue;
        const stream = Uint8Array.of(first, second, LF, 0x78, LF);
        const batch = codec.decodeAll!(stream);
        const alone = codec.decode(stream, 0, false);
        assert(alone !== null && "frame" in alone);
        if (batch?.frames.length !== 2 || batch.frames[0] !== alone.frame) {
          assertEquals(batch?.frames, [alone.frame!, "x"], `${encoding}: ${stream}`);
        }
      }
    }
  }
});

Deno.test("lines() encodes the characters of one byte", () => {
  for (const encoding of ENCODINGS.filter((name) => !MULTIBYTE.includes(name))) {
    const codec = lines({ encoding, fatal: true });
    for (let byte = 0; byte < 256; byte++) {
      if (byte === LF || byte === CR) continue;
      const line = Uint8Array.of(byte, LF);
      let frame;
      try {
        frame = new TextDecoder(encoding, { fatal: true }).decode(line.subarray(0, 1));
      } catch {
        continue;
      }
      assertEquals(codec.encode(frame), line);
    }
  }
  const latin = lines({ encoding: "iso-8859-1", ending: "\r\n" });
  assertEquals(latin.encode("café"), Uint8Array.of(0x63, 0x61, 0x66, 0xe9, CR, LF));
  assertEquals(latin.encodeInto!("café", new Uint8Array(5)), null);
  assertThrows(
    () => latin.encode("10 ☃"),
    RangeError,
    `Cannot encode "☃": it is not one byte in windows-1252`,
  );
});

Deno.test("lines() encodes nothing that would be decoded to something else", () => {
  const refusals: [LinesOptions, unknown, typeof Error, string][] = [
    [{}, "a\nb", RangeError, "Cannot encode a line with an LF in it: send it as several lines"],
    [
      {},
      "a\r",
      RangeError,
      "Cannot encode a line with a CR at its end: with an 'ending' of LF it would be lost in decoding",
    ],
    [
      { limit: 3 },
      "a€",
      RangeError,
      "Cannot encode a line of more than 3 bytes: raise 'limit' to send longer ones",
    ],
    [
      { fatal: true },
      "\ud800",
      RangeError,
      "Cannot encode a line with a lone surrogate in it: use well-formed text, or no 'fatal'",
    ],
    [{}, 7, TypeError, "Cannot encode 7 as a line: use a string"],
  ];
  for (const [options, frame, kind, message] of refusals) {
    const codec = lines(options);
    const room = new Uint8Array(100);
    assertStrictEquals(assertThrows(() => codec.encode(frame as string), kind).message, message);
    const into = assertThrows(() => codec.encodeInto!(frame as string, room), kind);
    assertStrictEquals(into.message, message);
  }
  assertEquals(lines({ ending: "\r\n" }).encode("a\r"), bytes`a\r\r\n`);
  assertEquals(lines({ limit: 3 }).encode("€"), bytes`€\n`);
});

Deno.test("lines() looks at each byte at most twice, also one byte at a time", () => {
  const report = (name: string, stream: Uint8Array, chunks: Uint8Array[], limit: number) => {
    const { examined, frames } = drive(lines({ limit }), chunks, { count: true });
    assert(examined <= 2 * stream.length, `${name}: ${examined} for ${stream.length}`);
    return frames.length;
  };
  for (const size of [256 * 1024, 1024 * 1024]) {
    const long = bytes`${"x".repeat(size - 1)}\n`;
    assertEquals(report("a long line, singly", long, singly(long), size), 1);
    assertEquals(
      report("a long line, in chunks", long, cut(long, new Array(size).fill(1460)), size),
      1,
    );
  }
  const tails = bytes`${`\na\n${"x".repeat(5000)}`.repeat(20)}`;
  report("the rest of a batch, again", tails, cut(tails, new Array(20).fill(5003)), 65536);
  for (
    const [line, limit] of [["", 1], ["a", 1], ["\r", 1], ["ab\r", 2], ["word", 9], [
      "x".repeat(9000),
      65536,
    ]] as const
  ) {
    const many = bytes`${(line + "\n").repeat(Math.ceil(20_000 / (line.length + 1)))}`;
    for (const size of [1, 2, 3, 7, 100, 8191, 20_000]) {
      report(
        `${line.length}, by ${size}`,
        many,
        cut(many, new Array(many.length).fill(size)),
        limit,
      );
    }
  }
});

function join(parts: Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}
