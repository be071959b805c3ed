/** Each frame is decoded by the decoder that its first bytes call for. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ProtocolError } from "../../../lib/errors.ts";
import { everySplit } from "../../../lib/testing/mod.ts";
import type { Codec, Decoder, Encoder } from "../../../lib/wire/codec/codec.ts";
import { delimited } from "../../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../../lib/wire/codec/length_prefixed.ts";
import { oneOf } from "../../../lib/wire/codec/one_of.ts";
import { bytes } from "../../support/bytes.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";
import { cut, drive, outcome, singly } from "./drive.ts";

/** A 1 begins a length-prefixed frame, an `a` one that ends with `--`. */
function mixed(onOversize: "error" | "skip" | "truncate"): Codec<Uint8Array> {
  const text = delimited("--", { limit: 6, onOversize });
  const binary = lengthPrefixed({ bytes: 1, offset: 1, includePrefix: true, limit: 6, onOversize });
  return oneOf(([first]) => {
    if (first === 1) return binary;
    if (first === 97) return text;
    throw new ProtocolError("Cannot decode what begins otherwise");
  }, binary);
}

/** The same in its plainest form, with the whole stream at once. */
function expected(stream: Uint8Array, onOversize: "skip" | "truncate") {
  const frames: Uint8Array[] = [];
  let taken = 0;
  while (taken < stream.length) {
    const rest = stream.subarray(taken);
    let size: number;
    let head = 0;
    let tail = 0;
    if (rest[0] === 1) {
      if (rest.length < 2) return { frames, end: "inside", taken };
      [head, size] = [2, rest[1]!];
    } else if (rest[0] === 97) {
      size = rest.findIndex((byte, i) => byte === 45 && rest[i + 1] === 45);
      tail = 2;
      if (size < 0) {
        // What is over the limit is dropped as it arrives, all but a dash that may begin the end.
        return { frames, end: "inside", taken: rest.length - 1 > 6 ? stream.length : taken };
      }
    } else {
      return {
        frames,
        end: { error: "ProtocolError: Cannot decode what begins otherwise" },
        taken,
      };
    }
    const whole = head + size + tail;
    if (whole > rest.length) {
      const drops = size > 6 && (onOversize === "skip" || rest.length >= head + 6);
      return { frames, end: "inside", taken: drops ? stream.length : taken };
    }
    if (size <= 6 || onOversize === "truncate") {
      frames.push(rest.slice(0, head + Math.min(size, 6)));
    }
    taken += whole;
  }
  return { frames, end: "between", taken };
}

propertyTest(
  "oneOf() decodes as a plain reading of the stream does, however it is cut",
  [
    fc.array(
      fc.oneof(
        fc.constantFrom("01 02 61 62", "61 62 2d 2d", "01 00", "61 2d 61 2d 2d", "01 08 00 01 02"),
        bytesOf([1, 97, 45, 7, 2], 4).map((bytes) => bytes.toHex()),
      ),
      { maxLength: 9 },
    ).map((parts) => Uint8Array.fromHex(parts.join("").replaceAll(" ", ""))),
    fc.constantFrom("skip" as const, "truncate" as const),
    sizes,
  ],
  (stream, onOversize, sizes) => {
    const wanted = expected(stream, onOversize);
    for (const chunks of [[stream], cut(stream, sizes), singly(stream)]) {
      assertEquals<unknown>(outcome(drive(mixed(onOversize), chunks)), wanted);
    }
  },
  10,
);

Deno.test("oneOf() decodes the same at every split", () => {
  const stream = Uint8Array.of(97, 98, 45, 45, 1, 2, 45, 45, 97, 45, 45);
  everySplit(stream, (pieces) => {
    const { frames, end } = drive(mixed("error"), pieces);
    assertEquals(frames, [bytes`ab`, Uint8Array.of(1, 2, 45, 45), bytes`a`]);
    assertEquals(end, "between");
  });
});

Deno.test("oneOf() waits while `pick` returns null, and no longer than for 64 KiB", () => {
  const binary = lengthPrefixed({ bytes: 1, offset: 2, includePrefix: true });
  const codec = oneOf((bytes) => bytes.length < 2 ? null : binary, binary);
  const frame = Uint8Array.of(7, 8, 1, 9);
  assertEquals(codec.decode(frame.subarray(0, 1), 0, false), null);
  assertEquals(drive(codec, singly(frame)).frames, [frame]);
  const never = oneOf(() => null, mixed("error"));
  assertEquals(never.decode(new Uint8Array(65_535), 0, false), null);
  assertThrows(
    () => never.decode(new Uint8Array(65_536), 0, false),
    ProtocolError,
    "Cannot pick a decoder by the first 65536 bytes of a frame",
  );
});

Deno.test("oneOf() throws what `pick` throws, at the first byte", () => {
  assertThrows(() => mixed("error").decode(bytes`GET`, 0, false), ProtocolError, "otherwise");
});

Deno.test("oneOf() keeps a decoder that answers with itself, until it answers otherwise", () => {
  let picks = 0;
  const byte: Decoder<number> = {
    decode(bytes) {
      const frame = bytes[0]!;
      return frame === 0 ? { frame, taken: 1 } : { frame, taken: 1, next: byte };
    },
  };
  const codec: Codec<number> = oneOf(() => (picks++, byte), { encode: () => new Uint8Array() });
  const { frames, end } = drive(codec, [Uint8Array.of(1, 2, 0, 3), Uint8Array.of(4)]);
  assertEquals([frames, end, picks], [[1, 2, 0, 3, 4], "between", 2]);
});

Deno.test("oneOf() lets a decoder bring back the codec by name", () => {
  const once: Decoder<number> = {
    decode: (bytes) => ({ frame: bytes[0]!, taken: 1, next: codec }),
  };
  const codec: Codec<number> = oneOf(() => once, { encode: () => new Uint8Array() });
  const answer = codec.decode(Uint8Array.of(1), 0, false);
  assert(answer !== null && "taken" in answer);
  assertStrictEquals(answer.next, codec);
});

Deno.test("oneOf() tells a decoder how many bytes it has seen, and no more", () => {
  const asked: [number, number][] = [];
  const slow: Decoder<string> = {
    decode(bytes, seen) {
      asked.push([bytes.length, seen]);
      return bytes.length < 4 ? null : { frame: "done", taken: 4 };
    },
  };
  const codec = oneOf((bytes) => bytes.length < 2 ? null : slow, {
    encode: () => new Uint8Array(),
  });
  drive(codec, singly(new Uint8Array(4)));
  assertEquals(asked, [[2, 0], [3, 2], [4, 3]]);
});

Deno.test("oneOf() calls `pick` once for a frame that arrives byte by byte", () => {
  let picks = 0;
  const binary = lengthPrefixed({ bytes: 2 });
  const codec = oneOf(() => (picks++, binary), binary);
  drive(codec, singly(Uint8Array.of(0, 3, 1, 2, 3, 0, 1, 7)));
  assertEquals(picks, 2);
});

Deno.test("oneOf() encodes with its encoder", () => {
  const binary = lengthPrefixed({ bytes: 1 });
  const codec = oneOf(() => binary, binary);
  const room = new Uint8Array(3);
  assertEquals(codec.encode(bytes`a`), Uint8Array.of(1, 97));
  assertEquals([codec.encodeInto!(bytes`a`, room), codec.encodeInto!(bytes`abc`, room)], [2, null]);
  assertEquals(oneOf(() => binary, { encode: () => bytes`x` }).encodeInto, undefined);
});

Deno.test("oneOf() refuses what is not a function or an encoder", () => {
  const encoder = "an object with encode, such as a codec";
  const refusals: [unknown, unknown, string][] = [
    [null, lengthPrefixed(), "with 'pick' of null: use a function"],
    [() => null, undefined, `with 'encoder' of undefined: use ${encoder}`],
    [() => null, {}, `with 'encoder' of an object: use ${encoder}`],
  ];
  for (const [pick, encoder, message] of refusals) {
    const call = () => oneOf(pick as () => null, encoder as Encoder<unknown>);
    assertEquals(assertThrows(call, TypeError).message, `Cannot make oneOf() ${message}`);
  }
});
