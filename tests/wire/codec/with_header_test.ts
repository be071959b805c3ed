/** A header is parsed once and returned with its body. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FrameTooLargeError, ProtocolError } from "../../../lib/errors.ts";
import { everySplit } from "../../../lib/testing/mod.ts";
import {
  type Message,
  withHeader,
  type WithHeaderOptions,
} from "../../../lib/wire/codec/with_header.ts";
import { bytesOf, propertyTest, sizes } from "../property.ts";
import { cut, drive, outcome, singly } from "./drive.ts";

/** A type, and a length that counts itself: what is below 1 is negative. */
function typed(options: Partial<WithHeaderOptions<number>> = {}) {
  return withHeader<number>({
    parse: (bytes) =>
      bytes.length < 2 ? { need: 2 } : { header: bytes[0]!, taken: 2, size: bytes[1]! - 1 },
    encode: (type, size) => Uint8Array.of(type, size + 1),
    ...options,
  });
}

/** Digits up to a colon, as in netstrings. */
const netstrings = withHeader<number>({
  parse(bytes, seen) {
    const colon = bytes.indexOf(58, seen);
    if (colon < 0) return null;
    const size = Number(new TextDecoder().decode(bytes.subarray(0, colon)));
    return { header: size, taken: colon + 1, size };
  },
  encode: (_, size) => new TextEncoder().encode(`${size}:`),
  limit: 20,
});

function expected(stream: Uint8Array, limit: number) {
  const frames: Message<number>[] = [];
  let taken = 0;
  for (;;) {
    const [header, length] = stream.subarray(taken);
    if (header === undefined) return { frames, end: "between", taken };
    if (length === undefined) return { frames, end: "inside", taken };
    const size = length - 1;
    if (size < 0) {
      return { frames, end: { error: "ProtocolError: Cannot decode a body of -1 bytes" }, taken };
    }
    if (size > limit) {
      const error =
        `FrameTooLargeError: Cannot decode a body of ${size} bytes: raise 'limit', which is ${limit}`;
      return { frames, end: { error, limit, size }, taken };
    }
    const to = taken + 2 + size;
    if (to > stream.length) return { frames, end: "inside", taken };
    frames.push({ header, body: stream.slice(taken + 2, to) });
    taken = to;
  }
}

propertyTest(
  "withHeader() decodes as a plain reading of the stream does, however it is cut",
  [bytesOf([0, 1, 1, 2, 2, 3, 5], 60), fc.integer({ min: 1, max: 4 }), sizes],
  (stream, limit, sizes) => {
    const wanted = expected(stream, limit);
    for (const chunks of [[stream], cut(stream, sizes), singly(stream)]) {
      const driven = drive(typed({ limit }), chunks, { count: true });
      assertEquals<unknown>(outcome(driven), wanted);
      assert(driven.examined <= 2 * stream.length);
    }
  },
  10,
);

propertyTest(
  "withHeader() decodes what it encodes",
  [fc.array(fc.record({ header: fc.nat(255), body: fc.uint8Array({ maxLength: 9 }) })), sizes],
  (frames, sizes) => {
    const stream = frames.flatMap((frame) => [...typed().encode(frame)]);
    const driven = drive(typed(), cut(Uint8Array.from(stream), sizes));
    assertEquals(driven.frames, frames);
    assertEquals(driven.end, "between");
  },
);

Deno.test("withHeader() decodes the same at every split", () => {
  everySplit(new TextEncoder().encode("3:abc0:11:hello world"), (pieces) => {
    const { frames, end } = drive(netstrings, pieces);
    assertEquals(frames.map(({ header }) => header), [3, 0, 11]);
    assertEquals(new TextDecoder().decode(frames[2]!.body), "hello world");
    assertEquals(end, "between");
  });
});

Deno.test("withHeader() parses each header once where `parse` says how much it needs", () => {
  let calls = 0;
  const codec = typed({
    parse(bytes) {
      if (bytes.length < 2) return { need: 2 };
      calls++;
      return { header: bytes[0]!, taken: 2, size: bytes[1]! };
    },
  });
  drive(codec, singly(Uint8Array.of(7, 3, 1, 2, 3, 8, 1, 9)));
  assertEquals(calls, 2);
});

Deno.test("withHeader() returns bodies as views, and asks for whole ones", () => {
  const stream = Uint8Array.of(7, 3, 1, 2, 9);
  const answer = typed().decode(stream, 0, false);
  assert(answer !== null && "frame" in answer);
  assertStrictEquals(answer.frame!.body.buffer, stream.buffer);
  const needs = typed().decode(stream.subarray(0, 3), 0, false);
  assert(needs !== null && "need" in needs);
  assertEquals(needs.need, 4);
});

Deno.test("withHeader() refuses a body as soon as it is announced, and a header without end", () => {
  const error = assertThrows(
    () => typed({ limit: 4 }).decode(Uint8Array.of(1, 6), 0, false),
    FrameTooLargeError,
    "Cannot decode a body of 5 bytes: raise 'limit', which is 4",
  );
  assertEquals([error.limit, error.size], [4, 5]);
  const digits = new Uint8Array(65_536).fill(48);
  assertEquals(netstrings.decode(digits.subarray(0, 65_535), 0, false), null);
  for (const codec of [netstrings, typed({ parse: () => ({ need: 65_537 }) })]) {
    assertThrows(
      () => codec.decode(digits, 0, false),
      FrameTooLargeError,
      "Cannot decode a header of more than 65536 bytes",
    );
  }
});

Deno.test("withHeader() refuses sizes that are not, whatever `parse` made of the bytes", () => {
  for (const size of [-1, NaN, 1.5, -Infinity]) {
    const codec = typed({ parse: () => ({ header: 1, taken: 1, size }) });
    assertThrows(
      () => codec.decode(Uint8Array.of(1), 0, false),
      ProtocolError,
      `Cannot decode a body of ${size} bytes`,
    );
  }
  const huge = typed({ parse: () => ({ header: 1, taken: 1, size: Infinity }) });
  assertThrows(() => huge.decode(Uint8Array.of(1), 0, false), FrameTooLargeError);
  for (const taken of [0, 2, NaN]) {
    const codec = typed({ parse: () => ({ header: 1, taken, size: 0 }) });
    assertThrows(
      () => codec.decode(Uint8Array.of(1), 0, false),
      TypeError,
      `Cannot decode a header with 'taken' of ${taken}: use 1 to 1 bytes`,
    );
  }
});

Deno.test("withHeader() encodes into given room, or says that it does not fit", () => {
  const frame = { header: 7, body: Uint8Array.of(1, 2) };
  const room = new Uint8Array(4);
  assertEquals(typed().encodeInto!(frame, room), 4);
  assertEquals(room, typed().encode(frame));
  for (const size of [0, 1, 2, 3]) {
    assertEquals(typed().encodeInto!(frame, room.subarray(0, size)), null);
  }
});

Deno.test("withHeader() says what it cannot encode", () => {
  const codec = typed({ limit: 2 });
  const refusals: [unknown, typeof Error, string][] = [
    [
      { header: 1, body: new Uint8Array(3) },
      RangeError,
      "Cannot encode a body of 3 bytes: raise 'limit', which is 2",
    ],
    [
      { header: 1, body: "text" },
      TypeError,
      `Cannot encode a frame with 'body' of "text": use a Uint8Array`,
    ],
  ];
  for (const [frame, kind, message] of refusals) {
    assertThrows(() => codec.encode(frame as Message<number>), kind, message);
    assertThrows(
      () => codec.encodeInto!(frame as Message<number>, new Uint8Array(9)),
      kind,
      message,
    );
  }
});

Deno.test("withHeader() refuses wrong options", () => {
  const right = { parse: () => null, encode: () => new Uint8Array() };
  const refusals: [unknown, typeof Error, string][] = [
    [undefined, TypeError, "with undefined as options: use an object"],
    [{ ...right, parse: 1 }, TypeError, "with 'parse' of 1: use a function"],
    [{ parse: right.parse }, TypeError, "with 'encode' of undefined: use a function"],
    [
      { ...right, limit: 0 },
      RangeError,
      "with 'limit' of 0: use a whole number from 1 to 4294967296",
    ],
    [
      { ...right, size: 1 },
      TypeError,
      "with an unknown option 'size': known here are parse, encode, limit",
    ],
  ];
  for (const [options, kind, message] of refusals) {
    const error = assertThrows(() => withHeader(options as typeof right), kind);
    assertEquals(error.message, `Cannot make withHeader() ${message}`);
  }
});
