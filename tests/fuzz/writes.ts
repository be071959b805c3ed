/** Lists the fields that a BinaryWriter writes, each with how it is read back. @module */

import type { BinaryReader, LengthWidth } from "../../lib/wire/binary_reader.ts";
import type { BinaryWriter } from "../../lib/wire/binary_writer.ts";
import type { Chance } from "../support/chance.ts";

/** One field. */
export interface Field {
  /** What reading it gives. */
  readonly value: unknown;
  write(writer: BinaryWriter): void;
  read(reader: BinaryReader): unknown;
}

const WIDTHS: readonly LengthWidth[] = [1, 2, 3, 4, 8, "varint"];

const TEXTS = ["", "a", "né", "\u{1f600}", "a longer text of some more bytes, ".repeat(9)];

/** The bits of each integer. */
const INTEGERS = { u8: 8, u16: 16, u24: 24, u32: 32, i8: 8, i16: 16, i32: 32 } as const;

/** Ways to write one field. */
export const WRITES: readonly ((chance: Chance) => Field)[] = [
  ...(Object.keys(INTEGERS) as (keyof typeof INTEGERS)[]).map((name) => (chance: Chance) => {
    const least = name.startsWith("i") ? -(2 ** (INTEGERS[name] - 1)) : 0;
    const most = least + 2 ** INTEGERS[name] - 1;
    return field(name, chance.pick([least, most, chance.from(least, most)]));
  }),
  (chance) =>
    field("u64", chance.pick([0n, 2n ** 64n - 1n, BigInt(chance.from(0, 2 ** 32)) << 20n])),
  (chance) => field("i64", chance.pick([-(2n ** 63n), 2n ** 63n - 1n, BigInt(chance.from(-9, 9))])),
  (chance) => field("f32", chance.pick([0, -0, 1.5, Infinity, -(2 ** -140)])),
  (chance) => field("f64", chance.pick([0, -0, 0.1, -Infinity, Number.MIN_VALUE])),
  (chance) => field("varint", chance.pick([0, 127, 128, 2 ** 53 - 1, chance.from(0, 2 ** 32)])),
  (chance) => field("cstring", chance.pick(TEXTS)),
  (chance) => {
    const value = bytes(chance, chance.from(0, 90));
    return { value, write: (to) => to.bytes(value), read: (from) => from.bytes(value.length) };
  },
  (chance) => {
    const [width, value] = [chance.pick(WIDTHS), bytes(chance, chance.from(0, 200))];
    return {
      value,
      write: (to) => to.prefixed(width, value),
      read: (from) => from.prefixed(width),
    };
  },
  (chance) => {
    const [width, value] = [chance.pick(WIDTHS), chance.pick(TEXTS.slice(0, 4))];
    return {
      value,
      write: (to) => to.prefixedString(width, value),
      read: (from) => from.prefixedString(width),
    };
  },
];

type Plain = keyof typeof INTEGERS | "u64" | "i64" | "f32" | "f64" | "varint" | "cstring";

function field<N extends Plain>(name: N, value: ReturnType<BinaryReader[N]>): Field {
  return {
    value,
    write: (writer) => (writer[name] as (value: unknown) => void)(value),
    read: (reader) => reader[name](),
  };
}

function bytes(chance: Chance, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => chance.from(0, 255));
}
