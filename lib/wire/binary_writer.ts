/** Writes binary fields into a message. @module */

import { bad, checkChoice, checkKeys, checkNumber } from "../check.ts";
import type { LengthWidth } from "./binary_reader.ts";

/**
 * The options of {@linkcode BinaryWriter}.
 *
 * @example Little endian
 * ```ts
 * import { BinaryWriter, type BinaryWriterOptions } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const options: BinaryWriterOptions = { endian: "little" };
 * assertEquals(
 *   new BinaryWriter(options).u16(0x201).finish(),
 *   new Uint8Array([1, 2]),
 * );
 * ```
 *
 * @category Frames
 */
export interface BinaryWriterOptions {
  /**
   * The byte order of numbers.
   *
   * @default {"big"}
   */
  endian?: "big" | "little";
}

/** The defaults of {@linkcode BinaryWriterOptions}. */
export const WRITER_DEFAULTS: Required<BinaryWriterOptions> = Object.freeze({ endian: "big" });

/** Bytes to begin with; most messages fit. */
const FIRST_ROOM = 64;

const EMPTY = new Uint8Array(0);

const encoder = new TextEncoder();

/**
 * Writes the fields of a binary message one after the other, into memory that grows.
 *
 * Each method returns the writer, so calls can be chained. Values are checked: a number that its field
 * cannot hold is a `RangeError`, and nothing is written then.
 *
 * @example What {@linkcode BinaryReader} reads
 * ```ts
 * import { BinaryReader, BinaryWriter } from "@usher/server/wire";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const bytes = new BinaryWriter()
 *   .u8(1)
 *   .prefixedString(2, "Ada")
 *   .block(1, (list) => list.u16(7).u16(256))
 *   .finish();
 * assertEquals(bytes, new Uint8Array([1, 0, 3, 65, 100, 97, 4, 0, 7, 1, 0]));
 *
 * const reader = new BinaryReader(bytes);
 * assertEquals([reader.u8(), reader.prefixedString(2)], [1, "Ada"]);
 * assertThrows(
 *   () => new BinaryWriter().u8(256),
 *   RangeError,
 *   "use a whole number from 0 to 255",
 * );
 * ```
 *
 * @category Frames
 */
export class BinaryWriter {
  #isLittle = false;
  #room: Uint8Array<ArrayBuffer> = EMPTY;
  #length = 0;

  /**
   * A writer of an empty message.
   *
   * @param options The byte order.
   * @throws {TypeError} If an option is unknown or of the wrong type.
   */
  constructor(options?: BinaryWriterOptions) {
    if (options === undefined) return;
    const attempt = "make a BinaryWriter";
    checkKeys(attempt, options, Object.keys(WRITER_DEFAULTS));
    const { endian = WRITER_DEFAULTS.endian } = options;
    checkChoice(attempt, "endian", endian, ["big", "little"]);
    this.#isLittle = endian === "little";
  }

  /** How many bytes were written. */
  get length(): number {
    return this.#length;
  }

  /** Writes an unsigned integer of 1 byte. */
  u8(value: number): this {
    return this.#integer("u8", value, 1, 0, 0xff);
  }

  /** Writes an unsigned integer of 2 bytes. */
  u16(value: number): this {
    return this.#integer("u16", value, 2, 0, 0xffff);
  }

  /** Writes an unsigned integer of 3 bytes. */
  u24(value: number): this {
    return this.#integer("u24", value, 3, 0, 0xffffff);
  }

  /** Writes an unsigned integer of 4 bytes. */
  u32(value: number): this {
    return this.#integer("u32", value, 4, 0, 0xffffffff);
  }

  /** Writes an unsigned integer of 8 bytes. */
  u64(value: bigint): this {
    return this.#bigint("u64", value, 0n, 2n ** 64n - 1n);
  }

  /** Writes an integer of 1 byte. */
  i8(value: number): this {
    return this.#integer("i8", value, 1, -0x80, 0x7f);
  }

  /** Writes an integer of 2 bytes. */
  i16(value: number): this {
    return this.#integer("i16", value, 2, -0x8000, 0x7fff);
  }

  /** Writes an integer of 4 bytes. */
  i32(value: number): this {
    return this.#integer("i32", value, 4, -0x80000000, 0x7fffffff);
  }

  /** Writes an integer of 8 bytes. */
  i64(value: bigint): this {
    return this.#bigint("i64", value, -(2n ** 63n), 2n ** 63n - 1n);
  }

  /** Writes a floating-point number of 4 bytes, the nearest there is. */
  f32(value: number): this {
    checkFloat("f32", value);
    this.#view(4).setFloat32(0, value, this.#isLittle);
    return this;
  }

  /** Writes a floating-point number of 8 bytes. */
  f64(value: number): this {
    checkFloat("f64", value);
    this.#view(8).setFloat64(0, value, this.#isLittle);
    return this;
  }

  /**
   * Writes an unsigned integer of 7 bits in each byte, the lowest first, as in Protocol Buffers and
   * MQTT.
   *
   * @param value A whole number up to 2⁵³ - 1.
   */
  varint(value: number): this {
    checkNumber("write a varint", "value", value, 0, Number.MAX_SAFE_INTEGER);
    this.#putVarint(value, this.#reserve(varintSize(value)));
    return this;
  }

  /** Writes bytes as they are. */
  bytes(bytes: Uint8Array): this {
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError(bad("write bytes", "bytes", bytes, "a Uint8Array"));
    }
    const at = this.#reserve(bytes.length);
    this.#room.set(bytes, at);
    return this;
  }

  /** Writes a text as UTF-8; lone surrogates become U+FFFD. */
  string(text: string): this {
    if (typeof text !== "string") throw new TypeError(bad("write text", "text", text, "a string"));
    // No character of UTF-16 has more than three bytes of UTF-8.
    const at = this.#reserve(3 * text.length);
    this.#length = at + encoder.encodeInto(text, this.#room.subarray(at)).written;
    return this;
  }

  /**
   * Writes a text as UTF-8, and a NUL.
   *
   * @throws {RangeError} If there is a NUL in the text.
   */
  cstring(text: string): this {
    if (typeof text === "string" && text.includes("\0")) {
      throw new RangeError("Cannot write a C string with a NUL in it: use text without");
    }
    return this.string(text).u8(0);
  }

  /**
   * Writes the length of bytes, and the bytes.
   *
   * @param width The field of the length.
   * @throws {RangeError} If the length does not fit into its field.
   */
  prefixed(width: LengthWidth, bytes: Uint8Array): this {
    return this.block(width, () => this.bytes(bytes));
  }

  /**
   * Writes the length of a text in UTF-8, and the text.
   *
   * @param width The field of the length.
   * @throws {RangeError} If the length does not fit into its field.
   */
  prefixedString(width: LengthWidth, text: string): this {
    return this.block(width, () => this.string(text));
  }

  /**
   * Writes a block with its length in front: all that is written while `write` runs.
   *
   * @param width The field of the length.
   * @param write Called once, with this writer. What it has written is taken back if it throws.
   * @throws {RangeError} If the length does not fit into its field.
   */
  block(width: LengthWidth, write: (writer: this) => unknown): this {
    checkChoice("write a block", "width", width, [1, 2, 3, 4, 8, "varint"]);
    const start = this.#length;
    // A varint gets its room when the length is known.
    const reserved = width === "varint" ? 0 : width;
    try {
      this.#reserve(reserved);
      write(this);
      this.#putLength(width, start, this.#length - start - reserved);
    } catch (error) {
      this.#length = start;
      throw error;
    }
    return this;
  }

  /**
   * Ends the message.
   *
   * @returns Its bytes, in memory that is not written again: what is written next is another message.
   */
  finish(): Uint8Array<ArrayBuffer> {
    const bytes = this.#room.subarray(0, this.#length);
    this.#room = EMPTY;
    this.#length = 0;
    return bytes;
  }

  #integer(field: string, value: number, size: number, least: number, most: number): this {
    if (!(Number.isInteger(value) && value >= least && value <= most)) {
      checkNumber(attempt(field), "value", value, least, most);
    }
    const at = this.#reserve(size);
    const room = this.#room;
    for (let i = 0; i < size; i++) {
      room[this.#isLittle ? at + i : at + size - 1 - i] = value >>> 8 * i;
    }
    return this;
  }

  #bigint(field: string, value: bigint, least: bigint, most: bigint): this {
    const wanted = `a bigint from ${least}n to ${most}n`;
    if (typeof value !== "bigint") {
      throw new TypeError(bad(attempt(field), "value", value, wanted));
    }
    if (value < least || value > most) {
      throw new RangeError(bad(attempt(field), "value", value, wanted));
    }
    this.#view(8).setBigUint64(0, value, this.#isLittle);
    return this;
  }

  /** Writes the length of a block into its field, which is at `start`. */
  #putLength(width: LengthWidth, start: number, size: number): void {
    if (width === "varint") {
      const shift = varintSize(size);
      this.#reserve(shift);
      this.#room.copyWithin(start + shift, start, start + size);
      return this.#putVarint(size, start);
    }
    const most = 256 ** width - 1;
    if (size > most) {
      throw new RangeError(
        `Cannot write a block of ${size} bytes with a length of ${
          8 * width
        } bits: use at most ${most}`,
      );
    }
    for (let i = 0, rest = size; i < width; i++) {
      this.#room[this.#isLittle ? start + i : start + width - 1 - i] = rest % 256;
      rest = Math.floor(rest / 256);
    }
  }

  #putVarint(value: number, at: number): void {
    for (; value > 127; value = Math.floor(value / 128)) this.#room[at++] = value % 128 + 128;
    this.#room[at] = value;
  }

  /** Makes room for so many bytes, and gives the index of the first. */
  #reserve(count: number): number {
    const at = this.#length;
    const wanted = at + count;
    if (wanted > this.#room.length) {
      const room = new Uint8Array(Math.max(FIRST_ROOM, 2 * this.#room.length, wanted));
      room.set(this.#room.subarray(0, at));
      this.#room = room;
    }
    this.#length = wanted;
    return at;
  }

  #view(size: number): DataView {
    const at = this.#reserve(size);
    return new DataView(this.#room.buffer, this.#room.byteOffset + at, size);
  }
}

function attempt(field: string): string {
  return `write ${field.startsWith("u") ? "a" : "an"} ${field}`;
}

function checkFloat(field: string, value: unknown): void {
  if (typeof value === "number") return;
  throw new TypeError(bad(attempt(field), "value", value, "a number"));
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}
