/** Lists the fields that a BinaryReader is asked for, with arguments as hostile as a peer's. @module */

import type { BinaryReader, LengthWidth } from "../../lib/wire/binary_reader.ts";
import type { Chance } from "../support/chance.ts";

const WIDTHS: readonly LengthWidth[] = [1, 2, 3, 4, 8, "varint"];

const NUMBERS = [
  "u8",
  "u16",
  "u24",
  "u32",
  "u64",
  "i8",
  "i16",
  "i32",
  "i64",
  "f32",
  "f64",
] as const;

/** Ways to read one field. */
export const READS: readonly ((chance: Chance) => (reader: BinaryReader) => unknown)[] = [
  ...NUMBERS.map((name) => () => (reader: BinaryReader) => reader[name]()),
  (chance) => {
    const most = chance.from(1, 10);
    return (reader) => reader.varint(most);
  },
  () => (reader) => reader.cstring(),
  () => (reader) => reader.end(),
  ...(["bytes", "skip", "string"] as const).map((name) => (chance: Chance) => {
    const count = chance.pick([-1, 0, 1, 2, 3, 1.5, NaN, Infinity, 2 ** 53]);
    return (reader: BinaryReader) => reader[name](count);
  }),
  ...(["prefixed", "prefixedString", "block"] as const).map((name) => (chance: Chance) => {
    const width = chance.pick(WIDTHS);
    return (reader: BinaryReader) => reader[name](width);
  }),
];
