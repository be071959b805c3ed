/** A mapped codec decodes what its codec does, frame by frame, and encodes the way back. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ProtocolError } from "../../../lib/errors.ts";
import { everySplit } from "../../../lib/testing/mod.ts";
import type { Codec } from "../../../lib/wire/codec/codec.ts";
import { delimited } from "../../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../../lib/wire/codec/lines.ts";
import { mapped, type Mapping } from "../../../lib/wire/codec/mapped.ts";
import { bytes } from "../../support/bytes.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";
import { cut, drive, outcome, singly } from "./drive.ts";

/** Numbers in decimal; anything else is refused. */
const decimal: Mapping<string, number> = {
  decode(text) {
    if (!/^\d+$/.test(text)) throw new ProtocolError(`Cannot decode "${text}": send digits`);
    return Number(text);
  },
  encode: String,
};

const hex: Mapping<Uint8Array, string> = {
  decode: (frame) => frame.toHex(),
  encode: (text) => Uint8Array.fromHex(text),
};

const policies = { limit: fc.integer({ min: 1, max: 9 }), end: fc.boolean() };
const codecs: fc.Arbitrary<Codec<Uint8Array>> = fc.record({
  ...policies,
  onOversize: fc.constantFrom("error" as const, "skip" as const, "truncate" as const),
  which: fc.nat(2),
}).map(({ limit, onOversize, end, which }) => {
  if (which === 0) return lengthPrefixed({ bytes: 1, limit, onOversize });
  const unterminated = end ? "frame" : "error";
  return delimited(which === 1 ? "\n" : "aab", { limit, onOversize, unterminated });
});

const stream = bytesOf([97, 97, 98, 10, 2, 1, 0], 60);

propertyTest(
  "mapped() decodes what mapping the frames of its codec gives, however the stream is cut",
  [stream, codecs, sizes],
  (stream, codec, sizes) => {
    const { frames, ...rest } = outcome(drive(codec, [stream]));
    const wanted = { frames: frames.map((frame) => frame.toHex()), ...rest };
    for (const chunks of [[stream], cut(stream, sizes), singly(stream)]) {
      assertEquals(outcome(drive(mapped(codec, hex), chunks)), wanted);
    }
  },
  5,
);

propertyTest(
  "mapped() decodes the same in batches and one by one, up to a frame that cannot be mapped",
  [bytesOf([48, 49, 10, 13, 120], 60), sizes],
  (stream, sizes) => {
    const codec = mapped(lines({ limit: 8, unterminated: "frame" }), decimal);
    const wanted = outcome(drive(codec, [stream], { batches: false }));
    assertEquals(outcome(drive(codec, [stream])), wanted);
    assertEquals(outcome(drive(codec, cut(stream, sizes))), wanted);
  },
  5,
);

Deno.test("mapped() decodes the same at every split", () => {
  const codec = mapped(lines(), decimal);
  everySplit(
    bytes`1\r\n\n`.subarray(0, 3),
    (pieces) => assertEquals(drive(codec, pieces).frames, [1]),
  );
  everySplit(bytes`12\n3\r\n456\n`, (pieces) => {
    assertEquals(drive(codec, pieces).frames, [12, 3, 456]);
  });
});

Deno.test("mapped() returns the frames before one that cannot be mapped, and then throws", () => {
  const codec = mapped(lines(), decimal);
  const input = bytes`1\n22\nx\n4\n`;
  assertEquals(codec.decodeAll!(input), { frames: [1, 22], taken: 5 });
  assertEquals(codec.decodeAll!(input.subarray(5)), null);
  assertThrows(() => codec.decode(input.subarray(5), 0, false), ProtocolError, `"x"`);
  const { frames, end, taken } = drive(codec, [input]);
  assertEquals([frames, taken], [[1, 22], 5]);
  assertEquals(end, { error: `ProtocolError: Cannot decode "x": send digits` });
});

Deno.test("mapped() maps each frame a few times at most where one of many cannot be mapped", () => {
  let calls = 0;
  const counting = { ...decimal, decode: (text: string) => (calls++, decimal.decode(text)) };
  const input = bytes`${"1\n".repeat(4000)}x\n`;
  assertEquals(drive(mapped(lines(), counting), [input]).frames.length, 4000);
  assert(calls <= 4 * 4000, `${calls} calls`);
});

Deno.test("mapped() is between frames at the end of the stream where its codec is", () => {
  const codec = mapped(lines({ limit: 2, onOversize: "skip" }), decimal);
  assertEquals(outcome(drive(codec, [bytes`123`, bytes`45\n`])), {
    frames: [],
    end: "between",
    taken: 6,
  });
  const first = codec.decode(bytes`123`, 0, false);
  assert(first !== null && "taken" in first && first.next !== undefined);
  const second = first.next.decode(bytes`4\n`, 0, false);
  assert(second !== null && "taken" in second);
  assertStrictEquals(second.next, codec);
});

Deno.test("mapped() may map a frame to undefined", () => {
  const codec = mapped<string, undefined>(lines(), { decode: () => undefined, encode: () => "" });
  assertEquals(codec.decode(bytes`a\n`, 0, false), { frame: undefined, taken: 2 });
});

Deno.test("mapped() encodes what it decodes, into given room where its codec can", () => {
  const codec = mapped(lines(), decimal);
  const room = new Uint8Array(8);
  assertEquals(codec.encode(42), bytes`42\n`);
  assertEquals(codec.encodeInto!(42, room), 3);
  assertEquals(room.subarray(0, 3), bytes`42\n`);
  assertEquals(codec.encodeInto!(123456789, room), null);
  const plain: Codec<string> = {
    decode: (bytes) => ({ frame: `${bytes[0]}`, taken: 1 }),
    encode: (text) => Uint8Array.of(Number(text)),
  };
  const digits = mapped(plain, decimal);
  assertEquals([digits.decodeAll, digits.encodeInto], [undefined, undefined]);
  assertEquals(digits.encode(7), Uint8Array.of(7));
});

Deno.test("mapped() refuses what is not a codec or a mapping", () => {
  const refusals: [unknown, unknown, string][] = [
    [null, decimal, "with 'codec' of null: use an object with decode and encode"],
    [{}, decimal, "with 'codec' of an object: use an object with decode and encode"],
    [lines(), 7, "with 'mapping' of 7: use an object"],
    [lines(), { decode: 1, encode: String }, "with 'mapping.decode' of 1: use a function"],
    [lines(), { decode: String }, "with 'mapping.encode' of undefined: use a function"],
    [
      lines(),
      { ...decimal, map: 1 },
      "with an unknown 'map' in 'mapping': known there are decode, encode",
    ],
  ];
  for (const [codec, mapping, message] of refusals) {
    const call = () => mapped(codec as Codec<string>, mapping as typeof decimal);
    const error = assertThrows(call, TypeError);
    assertEquals(error.message, `Cannot map a codec ${message}`);
  }
});
