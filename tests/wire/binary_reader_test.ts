/** Fields are read as they were written, and no bytes make a reader cross a bound. @module */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { ProtocolError } from "../../lib/errors.ts";
import { everySplit } from "../../lib/testing/mod.ts";
import {
  BinaryReader,
  type BinaryReaderOptions,
  type LengthWidth,
} from "../../lib/wire/binary_reader.ts";
import { bytes } from "../support/bytes.ts";
import { counted } from "./codec/drive.ts";
import { propertyTest } from "./property.ts";

const WIDTHS: LengthWidth[] = [1, 2, 3, 4, 8, "varint"];

/** A method that reads one field, with its arguments. */
type Read = (reader: BinaryReader) => unknown;

/** Every method, with arguments that a protocol would take from the bytes, too. */
const READS: Record<string, (count: number) => Read> = {
  ...Object.fromEntries(
    (["u8", "u16", "u24", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"] as const).map((
      name,
    ) => [name, () => (reader: BinaryReader) => reader[name]()]),
  ),
  varint: (count) => (reader) => reader.varint(Math.max(1, Math.abs(count) % 11)),
  bytes: (count) => (reader) => reader.bytes(count),
  rest: () => (reader) => reader.rest(),
  skip: (count) => (reader) => reader.skip(count),
  string: (count) => (reader) => reader.string(count),
  cstring: () => (reader) => reader.cstring(),
  prefixed: (count) => (reader) => reader.prefixed(WIDTHS[Math.abs(count) % 6]!),
  prefixedString: (count) => (reader) => reader.prefixedString(WIDTHS[Math.abs(count) % 6]!),
  block: (count) => (reader) => {
    const block = reader.block(WIDTHS[Math.abs(count) % 6]!);
    return block.left === 0 ? undefined : block.u8();
  },
  end: () => (reader) => reader.end(),
};

const reads = fc.array(
  fc.tuple(fc.constantFrom(...Object.keys(READS)), fc.integer({ min: -2, max: 12 })),
  { maxLength: 12 },
);

propertyTest(
  "BinaryReader throws nothing but ProtocolError, reads nothing then, and no byte thrice",
  [
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.array(fc.constantFrom(0, 1, 2, 97, 128, 255), { maxLength: 40 }).map((list) =>
        Uint8Array.from(list)
      ),
    ),
    reads,
    fc.constantFrom("big" as const, "little" as const),
  ],
  (bytes, reads, endian) => {
    const tally = { examined: 0 };
    const reader = new BinaryReader(counted(bytes, tally), { endian });
    for (const [name, count] of reads) {
      const { at } = reader;
      try {
        READS[name]!(count)(reader);
      } catch (error) {
        assertInstanceOf(error, ProtocolError);
        assertEquals(error.message.includes("NaN"), false);
        // A block has its own reader, which may fail after the block was taken.
        if (name !== "block") assertEquals(reader.at, at);
        tally.examined = 0;
      }
      assert(reader.at >= at && reader.left >= 0 && reader.at + reader.left === bytes.length);
      assert(tally.examined <= 2 * bytes.length);
    }
  },
  20,
);

Deno.test("BinaryReader reads each field in both byte orders", () => {
  const fields: [string, Read, unknown, unknown][] = [
    ["81", (reader) => reader.u8(), 0x81, 0x81],
    ["81", (reader) => reader.i8(), -127, -127],
    ["8102", (reader) => reader.u16(), 0x8102, 0x281],
    ["8102", (reader) => reader.i16(), 0x8102 - 0x10000, 0x281],
    ["810203", (reader) => reader.u24(), 0x810203, 0x30281],
    ["81020304", (reader) => reader.u32(), 0x81020304, 0x4030281],
    ["04030281", (reader) => reader.u32(), 0x4030281, 0x81020304],
    ["81020304", (reader) => reader.i32(), 0x81020304 - 2 ** 32, 0x4030281],
    ["8102030405060708", (reader) => reader.u64(), 0x8102030405060708n, 0x807060504030281n],
    [
      "8102030405060708",
      (reader) => reader.i64(),
      0x8102030405060708n - 2n ** 64n,
      0x807060504030281n,
    ],
    ["3f800000", (reader) => reader.f32(), 1, 4.600602988224807e-41],
    ["0000803f", (reader) => reader.f32(), 4.600602988224807e-41, 1],
    ["bff8000000000000", (reader) => reader.f64(), -1.5, 3.14616e-319],
    ["ac02", (reader) => reader.varint(), 300, 300],
    ["ffffffffffffff0f", (reader) => reader.varint(), 2 ** 53 - 1, 2 ** 53 - 1],
    ["808080808080808000", (reader) => reader.varint(), 0, 0],
    ["c3a9", (reader) => reader.string(2), "é", "é"],
    ["efbbbf61", (reader) => reader.string(4), "\ufeffa", "\ufeffa"],
    ["", (reader) => reader.string(0), "", ""],
    ["616200", (reader) => reader.cstring(), "ab", "ab"],
    ["026162", (reader) => reader.prefixedString(1), "ab", "ab"],
    ["00026162", (reader) => reader.prefixed(2).toHex(), "6162", undefined],
    ["0000026162", (reader) => reader.prefixed(3).toHex(), "6162", undefined],
    ["000000026162", (reader) => reader.prefixedString(4), "ab", undefined],
    ["02000000000000006162", (reader) => reader.prefixedString(8), undefined, "ab"],
    ["026162", (reader) => reader.prefixedString("varint"), "ab", "ab"],
    ["0102", (reader) => reader.rest().toHex(), "0102", "0102"],
    ["0102", (reader) => (reader.skip(2), reader.at), 2, 2],
  ];
  for (const [digits, read, big, little] of fields) {
    for (const [endian, wanted] of [["big", big], ["little", little]] as const) {
      if (wanted === undefined) continue;
      const input = Uint8Array.fromHex(digits);
      // In the middle of other memory.
      const memory = Uint8Array.of(9, 9, 9, ...input, 9);
      const part = memory.subarray(3, 3 + input.length);
      const reader = new BinaryReader(part, { endian });
      assertEquals(read(reader), wanted, `${digits} ${endian}`);
      reader.end();
    }
  }
});

Deno.test("BinaryReader says which bound was crossed, and where", () => {
  const input = Uint8Array.of(1, 2, 3, 4);
  const refusals: [string, Read, string][] = [
    ["61", (reader) => reader.u16(), "2 bytes of a message at byte 0: 1 is left"],
    ["", (reader) => reader.u8(), "1 byte of a message at byte 0: 0 are left"],
    [
      "616263",
      (reader) => (reader.u8(), reader.u64()),
      "8 bytes of a message at byte 1: 2 are left",
    ],
    ["6162", (reader) => reader.f32(), "4 bytes of a message at byte 0: 2 are left"],
    ["6162", (reader) => reader.bytes(-1), "-1 bytes of a message at byte 0: 2 are left"],
    ["6162", (reader) => reader.skip(1.5), "1.5 bytes of a message at byte 0: 2 are left"],
    ["6162", (reader) => reader.string(3), "3 bytes of a message at byte 0: 2 are left"],
    ["6162", (reader) => reader.cstring(), "a C string of a message at byte 0: it has no NUL"],
    ["61ff00", (reader) => reader.cstring(), "text of a message at byte 0: it is not UTF-8"],
    ["eda080", (reader) => reader.string(3), "text of a message at byte 0: it is not UTF-8"],
    [
      "02c361",
      (reader) => reader.prefixedString(1),
      "text of a message at byte 0: it is not UTF-8",
    ],
    ["0361", (reader) => reader.prefixed(1), "3 bytes of a message at byte 1: 1 is left"],
    ["0361", (reader) => reader.block(1), "3 bytes of a message at byte 1: 1 is left"],
    [
      "ffffffffffffffff",
      (reader) => reader.prefixed(8),
      "18446744073709552000 bytes of a message at byte 8: 0 are left",
    ],
    ["8080", (reader) => reader.varint(), "a varint of a message at byte 0: it has no end"],
    ["", (reader) => reader.varint(), "a varint of a message at byte 0: it has no end"],
    [
      "80808080 80808080 8080",
      (reader) => reader.varint(),
      "a varint of a message at byte 0: it has more than 10 bytes",
    ],
    [
      "8080808001",
      (reader) => reader.varint(4),
      "a varint of a message at byte 0: it has more than 4 bytes",
    ],
    [
      "ffffffffffffff10",
      (reader) => reader.varint(),
      "a varint of a message at byte 0: it is above 2⁵³ - 1",
    ],
    ["0102", (reader) => (reader.u8(), reader.end()), "the end of a message at byte 1: 1 is left"],
    [
      "02616263",
      (reader) => (reader.block(1).u24()),
      "3 bytes of a message at byte 1: 2 are left",
    ],
  ];
  for (const [digits, read, message] of refusals) {
    const reader = new BinaryReader(Uint8Array.fromHex(digits.replaceAll(" ", "")));
    assertEquals(assertThrows(() => read(reader), ProtocolError).message, `Cannot read ${message}`);
  }
  const named = new BinaryReader(input, { name: "a login" });
  named.u8();
  assertThrows(() => named.u32(), ProtocolError, "Cannot read 4 bytes of a login at byte 1");
});

Deno.test("BinaryReader copies nothing", () => {
  const memory = Uint8Array.of(2, 7, 8, 9);
  for (const read of [(r: BinaryReader) => r.prefixed(1), (r: BinaryReader) => r.bytes(1)]) {
    assertStrictEquals(read(new BinaryReader(memory)).buffer, memory.buffer);
  }
});

Deno.test("a block ends where its length says, has the options of its reader, and is taken there", () => {
  const reader = new BinaryReader(Uint8Array.of(9, 3, 0, 1, 2, 0, 5, 5), {
    endian: "little",
    name: "a list",
  });
  reader.skip(1);
  const block = reader.block(2);
  assertEquals([block.at, block.left, reader.at], [3, 3, 6]);
  assertEquals([block.u8(), block.u16()], [1, 2]);
  block.end();
  assertThrows(
    () => block.u8(),
    ProtocolError,
    "Cannot read 1 byte of a list at byte 6: 0 are left",
  );
  assertEquals(reader.u16(), 0x505);
  const text = new BinaryReader(Uint8Array.of(2, 97, 98, 0)).block(1);
  assertThrows(() => text.cstring(), ProtocolError, "it has no NUL");
});

Deno.test("BinaryReader refuses every proper part of a message, at every split", () => {
  const whole = Uint8Array.of(1, 0, 2, 104, 105, 3, 97, 98, 0, 0xac, 2, 0, 0, 0, 0);
  const read = (bytes: Uint8Array) => {
    const reader = new BinaryReader(bytes);
    const fields = [reader.u8(), reader.prefixedString(2), reader.block(1).cstring()];
    return [...fields, reader.varint(), reader.f32()];
  };
  assertEquals(read(whole), [1, "hi", "ab", 300, 0]);
  everySplit(whole, ([first]) => {
    if (first!.length === whole.length) assertEquals(read(first!), read(whole));
    else assertThrows(() => read(first!), ProtocolError);
  });
});

Deno.test("BinaryReader refuses wrong arguments", () => {
  const refusals: [unknown, unknown, string][] = [
    ["text", {}, `with 'bytes' of "text": use a Uint8Array`],
    [bytes``, 7, "with 7 as options: use an object"],
    [bytes``, { endian: 1 }, `with 'endian' of 1: use one of "big", "little"`],
    [bytes``, { name: 7 }, "with 'name' of 7: use a string"],
    [bytes``, { size: 1 }, "with an unknown option 'size': known here are endian, name"],
  ];
  for (const [input, options, message] of refusals) {
    const call = () => new BinaryReader(input as Uint8Array, options as BinaryReaderOptions);
    assertEquals(assertThrows(call, TypeError).message, `Cannot make a BinaryReader ${message}`);
  }
  assertThrows(
    () => new BinaryReader(Uint8Array.of(1)).prefixed(5 as 4),
    RangeError,
    `Cannot read a length with 'width' of 5: use one of 1, 2, 3, 4, 8, "varint"`,
  );
});
