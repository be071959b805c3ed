/** A frame is the same bytes in the middle of a room, and what is around it stays. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Codec, Encoder } from "../../../lib/wire/codec/codec.ts";
import { encodeAt, type PlacingEncoder } from "../../../lib/wire/codec/encode_at.ts";
import { lengthPrefixed } from "../../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../../lib/wire/codec/lines.ts";
import { oneOf } from "../../../lib/wire/codec/one_of.ts";
import { withHeader } from "../../../lib/wire/codec/with_header.ts";
import { bytes } from "../../support/bytes.ts";
import { propertyTest } from "../property.ts";

/** What stands in a room before. */
const FILL = 0xee;

/** Encodes in the middle of a room of `size` bytes; what is asserted is what is around the frame. */
function encodedAt<T>(codec: Encoder<T>, frame: T, at: number, size: number): Uint8Array | null {
  const room = new Uint8Array(size).fill(FILL);
  const n = (codec as PlacingEncoder<T>)[encodeAt]!(frame, room, at);
  assert(room.subarray(0, at).every((byte) => byte === FILL), "before the frame");
  if (n === null) return null;
  assert(at + n <= size);
  assert(room.subarray(at + n).every((byte) => byte === FILL), "behind the frame");
  return room.slice(at, at + n);
}

/** Codecs of each kind, with frames for them. */
const cases: fc.Arbitrary<[Encoder<unknown>, unknown]> = fc.oneof(
  fc.tuple(
    fc.record({
      limit: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(65536)),
      ending: fc.constantFrom("\n" as const, "\r\n" as const),
      encoding: fc.constantFrom("utf-8", "windows-1252"),
      fatal: fc.boolean(),
    }, { requiredKeys: [] }).map(lines),
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.string({ unit: fc.constantFrom("a", "b", "\r", "\n", "\x7f"), maxLength: 40 }),
    ),
  ),
  fc.tuple(
    fc.record({
      bytes: fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const, "varint" as const),
      adjustment: fc.integer({ min: -3, max: 3 }),
      limit: fc.constantFrom(8, 65536),
    }, { requiredKeys: [] }).map(lengthPrefixed),
    fc.uint8Array({ maxLength: 40 }),
  ),
  fc.tuple(
    fc.constant(withHeader<number>({
      limit: 30,
      parse: (bytes) => ({ header: bytes[0]!, taken: 1, size: 1 }),
      encode: (header, size) => Uint8Array.of(header, size),
    })),
    fc.record({ header: fc.nat(255), body: fc.uint8Array({ maxLength: 40 }) }),
  ),
) as fc.Arbitrary<[Encoder<unknown>, unknown]>;

propertyTest(
  "encodeAt writes what encode() returns and nothing else, or leaves it to encodeInto()",
  [cases, fc.nat(20), fc.nat(100)],
  ([codec, frame], at, more) => {
    for (const encoder of [codec, oneOf<unknown>(() => null, codec)]) {
      let whole;
      try {
        whole = codec.encode(frame);
      } catch (error) {
        try {
          assertEquals(encodedAt(encoder, frame, at, at + more), null);
        } catch (again) {
          assertEquals(`${again}`, `${error}`);
        }
        continue;
      }
      const encoded = encodedAt(encoder, frame, at, at + more);
      if (encoded !== null) assertEquals(encoded, whole);
      else assert(typeof frame === "string" || whole.length > more);
    }
  },
);

Deno.test("encodeAt takes short lines of ASCII, and leaves all others to encodeInto()", () => {
  const crlf = lines({ ending: "\r\n" });
  assertEquals(encodedAt(lines(), "PING", 3, 10), bytes`PING\n`);
  assertEquals(encodedAt(lines(), "", 3, 10), bytes`\n`);
  assertEquals(encodedAt(crlf, "PING\r", 3, 10), bytes`PING\r\r\n`);
  assertEquals(encodedAt(crlf, "PING", 3, 8), null);
  for (const frame of ["caf\xe9", "a\nb", "a\r", "x".repeat(33), 7 as never, null as never]) {
    assertEquals(encodedAt(lines(), frame, 3, 100), null);
  }
  assertEquals(encodedAt(lines({ limit: 3 }), "PING", 3, 100), null);
});

Deno.test("encodeAt of lengthPrefixed() and withHeader() fills a room to its last byte", () => {
  const body = bytes`body`;
  const typed = withHeader<string>({ parse: () => null, encode: (type) => bytes`${type}` });
  fillsToTheLast(lengthPrefixed({ bytes: 2 }), body);
  fillsToTheLast(typed, { header: "ok", body });
});

function fillsToTheLast<T>(codec: Codec<T>, frame: T): void {
  const whole = codec.encode(frame);
  assertEquals(encodedAt(codec, frame, 5, 5 + whole.length), whole);
  assertEquals(encodedAt(codec, frame, 5, 4 + whole.length), null);
}

Deno.test("encodeAt of oneOf() is there where that of its encoder is", () => {
  const text = { encode: () => bytes`x` };
  assertEquals((oneOf(() => null, text) as PlacingEncoder<string>)[encodeAt], undefined);
  const codec = oneOf(() => null, lengthPrefixed({ limit: 3 }));
  assertThrows(() => encodedAt(codec, bytes`four`, 0, 100), RangeError, "raise 'limit'");
});
