/** What is written is what is read, and what a field cannot hold is refused. @module */

import { assert, assertEquals, assertNotStrictEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BinaryReader, type LengthWidth } from "../../lib/wire/binary_reader.ts";
import { BinaryWriter, type BinaryWriterOptions } from "../../lib/wire/binary_writer.ts";
import { bytes } from "../support/bytes.ts";
import { propertyTest } from "./property.ts";

/** A field: how it is written, and how it is read. */
interface Field {
  write(writer: BinaryWriter): unknown;
  read(reader: BinaryReader): unknown;
  readonly value: unknown;
}

function integer(name: "u8" | "u16" | "u24" | "u32" | "i8" | "i16" | "i32") {
  const bits = Number(name.slice(1));
  const [min, max] = name[0] === "u"
    ? [0, 2 ** bits - 1]
    : [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  return fc.oneof(fc.constantFrom(min, max), fc.integer({ min, max })).map((value): Field => ({
    write: (writer) => writer[name](value),
    read: (reader) => reader[name](),
    value,
  }));
}

function bigint(name: "u64" | "i64") {
  const [min, max] = name === "u64" ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
  return fc.oneof(fc.constantFrom(min, max), fc.bigInt({ min, max })).map((value): Field => ({
    write: (writer) => writer[name](value),
    read: (reader) => reader[name](),
    value,
  }));
}

const width = fc.constantFrom<LengthWidth>(1, 2, 3, 4, 8, "varint");
const text = fc.string({ unit: "binary", maxLength: 20 });

const field: fc.Arbitrary<Field> = fc.oneof(
  ...(["u8", "u16", "u24", "u32", "i8", "i16", "i32"] as const).map(integer),
  ...(["u64", "i64"] as const).map(bigint),
  fc.float().map((value): Field => ({
    write: (writer) => writer.f32(value),
    read: (reader) => reader.f32(),
    value,
  })),
  fc.double().map((value): Field => ({
    write: (writer) => writer.f64(value),
    read: (reader) => reader.f64(),
    value,
  })),
  fc.oneof(fc.nat(300), fc.nat(Number.MAX_SAFE_INTEGER)).map((value): Field => ({
    write: (writer) => writer.varint(value),
    read: (reader) => reader.varint(),
    value,
  })),
  fc.uint8Array({ maxLength: 30 }).map((value): Field => ({
    write: (writer) => writer.bytes(value),
    read: (reader) => reader.bytes(value.length),
    value,
  })),
  text.map((value): Field => ({
    write: (writer) => writer.string(value),
    read: (reader) => reader.string(new TextEncoder().encode(value).length),
    value,
  })),
  text.filter((text) => !text.includes("\0")).map((value): Field => ({
    write: (writer) => writer.cstring(value),
    read: (reader) => reader.cstring(),
    value,
  })),
  fc.tuple(width, fc.uint8Array({ maxLength: 200 })).map(([width, value]): Field => ({
    write: (writer) => writer.prefixed(width, value),
    read: (reader) => reader.prefixed(width),
    value,
  })),
  fc.tuple(width, text).map(([width, value]): Field => ({
    write: (writer) => writer.prefixedString(width, value),
    read: (reader) => reader.prefixedString(width),
    value,
  })),
);

propertyTest(
  "BinaryReader reads what BinaryWriter wrote, in blocks, too",
  [fc.array(field, { maxLength: 12 }), width, fc.constantFrom("big" as const, "little" as const)],
  (fields, width, endian) => {
    const writer = new BinaryWriter({ endian });
    // A block of one byte holds some of it only.
    const inBlock = fields.slice(0, width === 1 ? 1 : undefined);
    writer.block(width, (writer) => {
      for (const field of inBlock) field.write(writer);
    });
    for (const field of fields) field.write(writer);
    const { length } = writer;
    const bytes = writer.finish();
    assertEquals([bytes.length, writer.length], [length, 0]);
    const reader = new BinaryReader(bytes, { endian });
    const block = reader.block(width);
    for (const { read, value } of inBlock) assertEquals(read(block), value);
    block.end();
    for (const { read, value } of fields) assertEquals(read(reader), value);
    reader.end();
  },
  5,
);

Deno.test("BinaryWriter writes the bytes of each field", () => {
  const fields: [string, (writer: BinaryWriter) => BinaryWriter, BinaryWriterOptions?][] = [
    ["81", (writer) => writer.u8(0x81)],
    ["8102", (writer) => writer.u16(0x8102)],
    ["0281", (writer) => writer.u16(0x8102), { endian: "little" }],
    ["810203", (writer) => writer.u24(0x810203)],
    ["04030281", (writer) => writer.u32(0x81020304), { endian: "little" }],
    ["fffffffe", (writer) => writer.i32(-2)],
    ["fffffffffffffffe", (writer) => writer.i64(-2n)],
    ["3f800000", (writer) => writer.f32(1)],
    ["000000000000f8bf", (writer) => writer.f64(-1.5), { endian: "little" }],
    ["ac02", (writer) => writer.varint(300)],
    ["ffffffffffffff0f", (writer) => writer.varint(2 ** 53 - 1)],
    ["c3a900", (writer) => writer.cstring("é")],
    ["efbfbd", (writer) => writer.string("\ud800")],
    ["00026162", (writer) => writer.prefixedString(2, "ab")],
    ["026162", (writer) => writer.prefixed("varint", bytes`ab`)],
    [
      "05 01 0002 6162".replaceAll(" ", ""),
      (writer) => writer.block(1, (list) => list.u8(1).prefixedString(2, "ab")),
    ],
    [`8802${"61".repeat(264)}`, (writer) => writer.prefixedString("varint", "a".repeat(264))],
    [
      "0300000000000000616263",
      (writer) => writer.prefixedString(8, "abc"),
      { endian: "little" },
    ],
    ["", (writer) => writer],
  ];
  for (const [digits, write, options] of fields) {
    assertEquals(write(new BinaryWriter(options)).finish().toHex(), digits);
  }
});

Deno.test("BinaryWriter hands over its memory, and begins another message", () => {
  const writer = new BinaryWriter();
  const one = writer.u8(1).finish();
  const two = writer.u8(2).finish();
  assertEquals([one, two, writer.finish()], [Uint8Array.of(1), Uint8Array.of(2), bytes``]);
  assertNotStrictEquals(one.buffer, two.buffer);
});

Deno.test("BinaryWriter grows by doubling", () => {
  const writer = new BinaryWriter();
  for (let i = 0; i < 100_000; i++) writer.u8(i & 255);
  const written = writer.finish();
  assertEquals(written.length, 100_000);
  assert(written.buffer.byteLength <= 200_000);
  assert(written.every((byte, i) => byte === (i & 255)));
});

Deno.test("BinaryWriter says what a field cannot hold, and writes nothing then", () => {
  const refusals: [(writer: BinaryWriter) => unknown, typeof Error, string][] = [
    [
      (w) => w.u8(256),
      RangeError,
      "write a u8 with 'value' of 256: use a whole number from 0 to 255",
    ],
    [
      (w) => w.u8(-1),
      RangeError,
      "write a u8 with 'value' of -1: use a whole number from 0 to 255",
    ],
    [(w) => w.u8(1.5), RangeError, "write a u8 with 'value' of 1.5"],
    [(w) => w.u16(NaN), TypeError, "write a u16 with 'value' of NaN"],
    [(w) => w.u32("1" as unknown as number), TypeError, `write a u32 with 'value' of "1"`],
    [
      (w) => w.i8(128),
      RangeError,
      "write an i8 with 'value' of 128: use a whole number from -128 to 127",
    ],
    [
      (w) => w.u64(-1n),
      RangeError,
      "write a u64 with 'value' of -1n: use a bigint from 0n to 18446744073709551615n",
    ],
    [(w) => w.i64(2n ** 63n), RangeError, "write an i64 with 'value' of 9223372036854775808n"],
    [
      (w) => w.i64(1 as unknown as bigint),
      TypeError,
      "write an i64 with 'value' of 1: use a bigint",
    ],
    [
      (w) => w.f64("1" as unknown as number),
      TypeError,
      `write an f64 with 'value' of "1": use a number`,
    ],
    [(w) => w.varint(2 ** 53), RangeError, "write a varint with 'value' of 9007199254740992"],
    [
      (w) => w.bytes([1] as unknown as Uint8Array),
      TypeError,
      "write bytes with 'bytes' of an array",
    ],
    [
      (w) => w.string(1 as unknown as string),
      TypeError,
      "write text with 'text' of 1: use a string",
    ],
    [(w) => w.cstring("a\0"), RangeError, "write a C string with a NUL in it: use text without"],
    [
      (w) => w.prefixed(1, new Uint8Array(256)),
      RangeError,
      "write a block of 256 bytes with a length of 8 bits: use at most 255",
    ],
    [(w) => w.prefixed(2, 7 as unknown as Uint8Array), TypeError, "write bytes with 'bytes' of 7"],
    [
      (w) => w.block(5 as 4, () => {}),
      RangeError,
      `write a block with 'width' of 5: use one of 1, 2, 3, 4, 8, "varint"`,
    ],
  ];
  for (const [write, kind, message] of refusals) {
    const writer = new BinaryWriter().u8(7);
    const error = assertThrows(() => write(writer), kind);
    assert(error.message.startsWith(`Cannot ${message}`), error.message);
    assertEquals(writer.u8(8).finish(), Uint8Array.of(7, 8));
  }
  const fault = new Error("mine");
  const writer = new BinaryWriter();
  const broken = () =>
    writer.block(2, (block) => {
      block.u8(1);
      throw fault;
    });
  assertThrows(broken, Error, "mine");
  assertEquals(writer.finish(), bytes``);
  assertThrows(
    () => new BinaryWriter({ endian: "middle" as "big" }),
    RangeError,
    `Cannot make a BinaryWriter with 'endian' of "middle"`,
  );
});
