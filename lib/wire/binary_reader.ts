/** Reads binary fields from bytes that a peer has sent. @module */

import { bad, checkChoice, checkKeys } from "../check.ts";
import { ProtocolError } from "../errors.ts";

/**
 * The field in front of a block that says how many bytes it has: an unsigned integer of 1 to 8 bytes,
 * or a varint.
 *
 * @example Two bytes, as in MQTT
 * ```ts
 * import { BinaryReader, type LengthWidth } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const width: LengthWidth = 2;
 * const bytes = new Uint8Array([0, 2, 104, 105]);
 * assertEquals(new BinaryReader(bytes).prefixedString(width), "hi");
 * ```
 *
 * @category Frames
 */
export type LengthWidth = 1 | 2 | 3 | 4 | 8 | "varint";

/**
 * The options of {@linkcode BinaryReader}.
 *
 * @example Little endian, with the name of the message in errors
 * ```ts
 * import {
 *   BinaryReader,
 *   type BinaryReaderOptions,
 *   ProtocolError,
 * } from "@usher/server/wire";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const options: BinaryReaderOptions = { endian: "little", name: "a login" };
 * const reader = new BinaryReader(new Uint8Array([1, 2, 3]), options);
 * assertEquals(reader.u16(), 0x201);
 * const error = assertThrows(() => reader.u16(), ProtocolError);
 * assertEquals(
 *   error.message,
 *   "Cannot read 2 bytes of a login at byte 2: 1 is left",
 * );
 * ```
 *
 * @category Frames
 */
export interface BinaryReaderOptions {
  /**
   * The byte order of numbers.
   *
   * @default {"big"}
   */
  endian?: "big" | "little";
  /**
   * What the bytes are, as messages of errors say it.
   *
   * @default {"a message"}
   */
  name?: string;
}

/** The defaults of {@linkcode BinaryReaderOptions}. */
export const READER_DEFAULTS: Required<BinaryReaderOptions> = Object.freeze({
  endian: "big",
  name: "a message",
});

const ATTEMPT = "make a BinaryReader";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The most bytes of a varint: enough for 64 bits. */
const LONGEST_VARINT = 10;

/**
 * Reads the fields of a binary message one after the other.
 *
 * The bytes are a peer's, so each bound is checked: a field that reaches beyond the end, a text that
 * is not UTF-8 or a number that is too large is a {@linkcode ProtocolError} that says where, and
 * nothing is read then. Whatever the bytes are, no other error is thrown. Bytes that are returned are
 * views: nothing is copied.
 *
 * @example A login: a version, a user, a list of rights
 * ```ts
 * import { BinaryReader, ProtocolError } from "@usher/server/wire";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * function parseLogin(bytes: Uint8Array) {
 *   const reader = new BinaryReader(bytes, { name: "a login" });
 *   const version = reader.u8();
 *   const user = reader.prefixedString(2);
 *   const rights: number[] = [];
 *   for (const list = reader.block(1); list.left > 0;) rights.push(list.u16());
 *   reader.end();
 *   return { version, user, rights };
 * }
 *
 * const login = new Uint8Array([1, 0, 3, 65, 100, 97, 4, 0, 7, 1, 0]);
 * assertEquals(parseLogin(login), { version: 1, user: "Ada", rights: [7, 256] });
 * assertThrows(
 *   () => parseLogin(login.subarray(0, 5)),
 *   ProtocolError,
 *   "a login at byte 3: 2 are left",
 * );
 * ```
 *
 * @category Frames
 */
export class BinaryReader {
  readonly #bytes: Uint8Array;
  #isLittle = false;
  #name = READER_DEFAULTS.name;
  #at = 0;
  /** The end of this reader's part of the bytes. */
  #to: number;

  /**
   * A reader of all of the bytes, from the first on.
   *
   * @param bytes The bytes to read.
   * @param options The byte order, and the name of the bytes in errors.
   * @throws {TypeError} If an argument or option is unknown or of the wrong type.
   */
  constructor(bytes: Uint8Array, options?: BinaryReaderOptions) {
    if (!(bytes instanceof Uint8Array)) {
      throw new TypeError(bad(ATTEMPT, "bytes", bytes, "a Uint8Array"));
    }
    this.#bytes = bytes;
    this.#to = bytes.length;
    if (options === undefined) return;
    checkKeys(ATTEMPT, options, Object.keys(READER_DEFAULTS));
    const { endian = READER_DEFAULTS.endian, name = READER_DEFAULTS.name } = options;
    checkChoice(ATTEMPT, "endian", endian, ["big", "little"]);
    if (typeof name !== "string") throw new TypeError(bad(ATTEMPT, "name", name, "a string"));
    this.#isLittle = endian === "little";
    this.#name = name;
  }

  /** The index of the next byte, counted from the first of all bytes, in a block as well. */
  get at(): number {
    return this.#at;
  }

  /** How many bytes are left. */
  get left(): number {
    return this.#to - this.#at;
  }

  /** Reads an unsigned integer of 1 byte. */
  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  /** Reads an unsigned integer of 2 bytes. */
  u16(): number {
    const at = this.#take(2);
    const bytes = this.#bytes;
    return this.#isLittle ? bytes[at]! | bytes[at + 1]! << 8 : bytes[at]! << 8 | bytes[at + 1]!;
  }

  /** Reads an unsigned integer of 3 bytes. */
  u24(): number {
    const at = this.#take(3);
    const bytes = this.#bytes;
    return this.#isLittle
      ? bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16
      : bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
  }

  /** Reads an unsigned integer of 4 bytes. */
  u32(): number {
    return this.i32() >>> 0;
  }

  /** Reads an unsigned integer of 8 bytes. */
  u64(): bigint {
    return this.#view(8).getBigUint64(0, this.#isLittle);
  }

  /** Reads an integer of 1 byte. */
  i8(): number {
    return this.u8() << 24 >> 24;
  }

  /** Reads an integer of 2 bytes. */
  i16(): number {
    return this.u16() << 16 >> 16;
  }

  /** Reads an integer of 4 bytes. */
  i32(): number {
    const at = this.#take(4);
    const bytes = this.#bytes;
    return this.#isLittle
      ? bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24
      : bytes[at]! << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
  }

  /** Reads an integer of 8 bytes. */
  i64(): bigint {
    return this.#view(8).getBigInt64(0, this.#isLittle);
  }

  /** Reads a floating-point number of 4 bytes. */
  f32(): number {
    return this.#view(4).getFloat32(0, this.#isLittle);
  }

  /** Reads a floating-point number of 8 bytes. */
  f64(): number {
    return this.#view(8).getFloat64(0, this.#isLittle);
  }

  /**
   * Reads an unsigned integer of 7 bits in each byte, the lowest first, as in Protocol Buffers and
   * MQTT.
   *
   * @param most The most bytes it may have, 1 to 10; MQTT allows 4.
   * @throws {ProtocolError} If it has more, or is above 2⁵³ - 1.
   */
  varint(most: number = LONGEST_VARINT): number {
    const bytes = this.#bytes;
    let value = 0;
    for (let at = this.#at, scale = 1; at < this.#to; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) {
        if (!Number.isSafeInteger(value)) throw this.#wrong("a varint", "it is above 2⁵³ - 1");
        this.#at = at;
        return value;
      }
      if (at - this.#at >= most) throw this.#wrong("a varint", `it has more than ${most} bytes`);
    }
    throw this.#wrong("a varint", "it has no end");
  }

  /**
   * Reads so many bytes.
   *
   * @returns A view of them.
   */
  bytes(count: number): Uint8Array {
    if (!Number.isInteger(count)) throw this.#beyond(count);
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Reads all bytes that are left, possibly none. */
  rest(): Uint8Array {
    return this.bytes(this.left);
  }

  /** Leaves out so many bytes. */
  skip(count: number): void {
    if (!Number.isInteger(count)) throw this.#beyond(count);
    this.#take(count);
  }

  /**
   * Reads a text of so many bytes of UTF-8.
   *
   * @throws {ProtocolError} If they are not UTF-8.
   */
  string(count: number): string {
    const from = this.#at;
    return this.#text(this.bytes(count), from);
  }

  /**
   * Reads a text of UTF-8 up to the next NUL, which is taken, too.
   *
   * @throws {ProtocolError} If there is no NUL, or the bytes before it are not UTF-8.
   */
  cstring(): string {
    const from = this.#at;
    const left = this.#bytes.subarray(from, this.#to);
    const size = left.indexOf(0);
    if (size < 0) throw this.#wrong("a C string", "it has no NUL");
    const text = this.#text(left.subarray(0, size), from);
    this.#at = from + size + 1;
    return text;
  }

  /**
   * Reads a length, and as many bytes.
   *
   * @param width The field of the length.
   * @returns A view of the bytes.
   */
  prefixed(width: LengthWidth): Uint8Array {
    const from = this.#at;
    const size = this.#length(width);
    if (size > this.left) {
      const error = this.#beyond(size);
      this.#at = from;
      throw error;
    }
    return this.bytes(size);
  }

  /**
   * Reads a length, and a text of as many bytes of UTF-8.
   *
   * @param width The field of the length.
   * @throws {ProtocolError} If they are not UTF-8.
   */
  prefixedString(width: LengthWidth): string {
    const from = this.#at;
    return this.#text(this.prefixed(width), from);
  }

  /**
   * Reads a length, and gives a reader of as many bytes, which are taken here.
   *
   * @param width The field of the length.
   * @returns A reader that ends where the block ends.
   */
  block(width: LengthWidth): BinaryReader {
    const { length } = this.prefixed(width);
    const block = new BinaryReader(this.#bytes);
    block.#isLittle = this.#isLittle;
    block.#name = this.#name;
    block.#at = this.#at - length;
    block.#to = this.#at;
    return block;
  }

  /**
   * Makes sure that nothing is left.
   *
   * @throws {ProtocolError} If there are more bytes.
   */
  end(): void {
    if (this.left > 0) throw this.#wrong("the end", `${this.#count(this.left)} left`);
  }

  #length(width: LengthWidth): number {
    switch (width) {
      case 1:
        return this.u8();
      case 2:
        return this.u16();
      case 3:
        return this.u24();
      case 4:
        return this.u32();
      case 8:
        return Number(this.u64());
      case "varint":
        return this.varint();
      default:
        checkChoice("read a length", "width", width, [1, 2, 3, 4, 8, "varint"]);
        return NaN;
    }
  }

  /** Passes so many bytes, and gives the index of the first. */
  #take(count: number): number {
    const at = this.#at;
    if (!(count >= 0 && count <= this.#to - at)) throw this.#beyond(count);
    this.#at = at + count;
    return at;
  }

  #view(size: number): DataView {
    const at = this.#take(size);
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at, size);
  }

  /** Decodes bytes that were taken from `from` on, which are given back if they are not text. */
  #text(bytes: Uint8Array, from: number): string {
    try {
      return utf8.decode(bytes);
    } catch {
      this.#at = from;
      throw this.#wrong("text", "it is not UTF-8");
    }
  }

  #beyond(count: number): ProtocolError {
    const what = count === 1 ? "1 byte" : `${count} bytes`;
    return this.#wrong(what, `${this.#count(this.left)} left`);
  }

  #count(bytes: number): string {
    return bytes === 1 ? "1 is" : `${bytes} are`;
  }

  #wrong(what: string, why: string): ProtocolError {
    return new ProtocolError(`Cannot read ${what} of ${this.#name} at byte ${this.#at}: ${why}`);
  }
}
