/** How does a length before them end frames? @module */

import { FrameTooLargeError, ProtocolError } from "../../errors.ts";
import { checkBoolean, checkChoice, checkKeys, checkNumber, show } from "../../check.ts";
import type { Codec, Decoded, Decoder, Need, Oversize } from "./codec.ts";
import { CODEC_DEFAULTS } from "./defaults.ts";

/**
 * Where {@linkcode lengthPrefixed} finds the length, what it means, and how large it may be.
 *
 * @example The messages of PostgreSQL: a type, and a length that counts itself
 * ```ts
 * import { lengthPrefixed, type LengthPrefixedOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: LengthPrefixedOptions = { offset: 1, adjustment: -4, includePrefix: true };
 * const sync = new Uint8Array([0x53, 0, 0, 0, 4]);
 * assertEquals(lengthPrefixed(options).decode(sync, 0, false), { frame: sync, taken: 5 });
 * ```
 */
export interface LengthPrefixedOptions {
  /**
   * Bytes of the length field, which is an unsigned number; or `"varint"` for 7 bits in each of at
   * most 10 bytes, the lowest first, as Protocol Buffers have it.
   *
   * @default {4}
   */
  bytes?: 1 | 2 | 3 | 4 | 8 | "varint";
  /**
   * Whether the highest byte of the length comes first or last. A varint has its own order.
   *
   * @default {"big"}
   */
  endian?: "big" | "little";
  /**
   * Bytes before the length field, such as a type; 0 to 65,535. They are part of the prefix: seen
   * only with `includePrefix`, and not counted by `limit`.
   *
   * @default {0}
   */
  offset?: number;
  /**
   * What to add to the length to get the bytes that follow the length field; -2³² to 2³². If the
   * length counts its own 4 bytes, -4.
   *
   * @default {0}
   */
  adjustment?: number;
  /**
   * Whether a frame is everything from its first byte on, instead of what follows the length field.
   * Frames to send then bring their prefix, with the right length in it.
   *
   * @default {false}
   */
  includePrefix?: boolean;
  /**
   * Bytes of a frame's content, which is what follows the length field; 1 to 2³².
   *
   * @default {1_048_576}
   */
  limit?: number;
  /**
   * What becomes of a frame with more content than `limit`. One with more than 2⁵³ - 1 bytes of it
   * is an error in any case.
   *
   * @default {"error"}
   */
  onOversize?: Oversize;
}

/** Where the numbers of the options end: more than any buffer holds. */
const MOST = 2 ** 32;

/** Bytes before a length: more than any protocol has. */
const MOST_OFFSET = 65535;

/** Bytes of a varint: enough for 64 bits. */
const LONGEST_VARINT = 10;

/**
 * Frames that begin with the length of their content.
 *
 * The length is checked as soon as it is there, and nothing is reserved for it: a peer that
 * announces a gigabyte makes nobody hold one. Frames come as views of the bytes that were received:
 * nothing is copied, and a frame that is kept keeps its chunk.
 *
 * @param options Where the length is, what it means, and how large it may be.
 * @returns The codec. Its `decode` throws `FrameTooLargeError` for more than `limit` bytes of
 * content if `onOversize` is `"error"`, and `ProtocolError` for a length that is less than nothing
 * after `adjustment`, and for a varint of more than 10 bytes. Its `encode` throws `RangeError` for
 * content over the limit, for a length that the field cannot hold, for a prefix that does not fit
 * its frame, and if there is an `offset` without `includePrefix`: what to write there is not known.
 * @throws {TypeError} If an option is unknown or of the wrong type, or `endian` is given for a
 * varint.
 * @throws {RangeError} If an option is out of range.
 *
 * @example A length of two bytes
 * ```ts
 * import { lengthPrefixed } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const codec = lengthPrefixed({ bytes: 2, limit: 1024 });
 * const bytes = codec.encode(new Uint8Array([7, 8, 9]));
 * assertEquals(bytes, new Uint8Array([0, 3, 7, 8, 9]));
 * assertEquals(codec.decode(bytes, 0, false), { frame: new Uint8Array([7, 8, 9]), taken: 5 });
 * assertEquals(codec.decode(bytes.subarray(0, 1), 0, false), { need: 2 });
 * ```
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Codec<Uint8Array> {
  const defaults = CODEC_DEFAULTS.lengthPrefixed;
  const attempt = "make lengthPrefixed()";
  checkKeys(attempt, options, Object.keys(defaults));
  const {
    bytes = defaults.bytes,
    endian = defaults.endian,
    offset = defaults.offset,
    adjustment = defaults.adjustment,
    includePrefix = defaults.includePrefix,
    limit = defaults.limit,
    onOversize = defaults.onOversize,
  } = options;
  checkChoice(attempt, "bytes", bytes, [1, 2, 3, 4, 8, "varint"]);
  checkChoice(attempt, "endian", endian, ["big", "little"]);
  if (bytes === "varint" && options.endian !== undefined) {
    throw new TypeError(`Cannot ${attempt} with 'endian' for a varint: it has its own order`);
  }
  checkNumber(attempt, "offset", offset, 0, MOST_OFFSET);
  checkNumber(attempt, "adjustment", adjustment, -MOST, MOST);
  checkBoolean(attempt, "includePrefix", includePrefix);
  checkNumber(attempt, "limit", limit, 1, MOST);
  checkChoice(attempt, "onOversize", onOversize, ["error", "skip", "truncate"]);
  return new LengthPrefixed({
    bytes,
    endian,
    offset,
    adjustment,
    includePrefix,
    limit,
    onOversize,
  });
}

/** Where a frame's content begins, and how many bytes it is: `Infinity` beyond 2⁵³ - 1. */
interface Extent {
  readonly start: number;
  readonly size: number;
}

class LengthPrefixed implements Codec<Uint8Array> {
  readonly #options: Required<LengthPrefixedOptions>;

  constructor(options: Required<LengthPrefixedOptions>) {
    this.#options = options;
  }

  decode(bytes: Uint8Array): Decoded<Uint8Array> | Need<Uint8Array> {
    const extent = this.#extent(bytes);
    if ("need" in extent) return extent;
    const { start, size } = extent;
    const { adjustment, includePrefix, limit, onOversize } = this.#options;
    if (Number.isNaN(size)) {
      throw new ProtocolError(
        `Cannot take a frame whose length is a varint of more than ${LONGEST_VARINT} bytes`,
      );
    }
    if (size < 0) {
      throw new ProtocolError(
        `Cannot take a frame of length ${
          size - adjustment
        }: with the 'adjustment' of ${adjustment} that is less than nothing`,
      );
    }
    if (size > limit) {
      if (onOversize === "error" || size === Infinity) throw tooLarge(size, limit);
      if (onOversize === "skip") return { taken: start + size };
    }
    const taken = start + Math.min(size, limit);
    if (bytes.length < taken) return { need: taken };
    const frame = bytes.subarray(includePrefix ? 0 : start, taken);
    return size > limit
      ? { taken, next: new DropBytes(size - limit, frame, this) }
      : { frame, taken };
  }

  /** Reads the length; a size of `NaN` says that it is none. */
  #extent(bytes: Uint8Array): Extent | Need<Uint8Array> {
    const { adjustment, bytes: width, endian, offset } = this.#options;
    let start = offset;
    let length = 0;
    if (width === "varint") {
      for (let scale = 1, more = true; more; scale *= 128) {
        if (start - offset === LONGEST_VARINT) return { start, size: NaN };
        if (start >= bytes.length) return { need: start + 1 };
        const byte = bytes[start++]!;
        length += (byte & 127) * scale;
        more = byte > 127;
      }
    } else {
      start += width;
      if (bytes.length < start) return { need: start };
      for (let i = 0; i < width; i++) {
        length = length * 256 + bytes[endian === "big" ? offset + i : start - 1 - i]!;
      }
    }
    // Beyond 2⁵³ - 1 the sums above are rounded, but never to below it.
    return { start, size: Number.isSafeInteger(length) ? length + adjustment : Infinity };
  }

  encode(frame: Uint8Array): Uint8Array {
    const start = this.#prefixSize(frame);
    const bytes = new Uint8Array(start + frame.length);
    this.#write(frame, bytes, start);
    return bytes;
  }

  encodeInto(frame: Uint8Array, room: Uint8Array): number | null {
    const start = this.#prefixSize(frame);
    const size = start + frame.length;
    if (size > room.length) return null;
    this.#write(frame, room, start);
    return size;
  }

  /** Checks a frame. How many bytes have to be put before it? */
  #prefixSize(frame: Uint8Array): number {
    if (!(frame instanceof Uint8Array)) {
      throw new TypeError(`Cannot encode ${show(frame)}: use a Uint8Array`);
    }
    const { adjustment, bytes: width, includePrefix, limit, offset } = this.#options;
    if (includePrefix) {
      const extent = this.#extent(frame);
      if ("need" in extent || extent.start + extent.size !== frame.length) {
        throw new RangeError(
          `Cannot encode a frame of ${frame.length} bytes: its prefix ${
            "need" in extent ? "is incomplete" : "says something else"
          }`,
        );
      }
      if (extent.size > limit) throw tooLargeToSend(extent.size, limit);
      return 0;
    }
    if (offset > 0) {
      throw new RangeError(
        `Cannot encode a frame without the ${offset} bytes before its length: use 'includePrefix'`,
      );
    }
    if (frame.length > limit) throw tooLargeToSend(frame.length, limit);
    const length = frame.length - adjustment;
    const most = width === "varint" ? Infinity : 256 ** width - 1;
    if (length < 0 || length > most) {
      throw new RangeError(
        `Cannot encode a frame of ${frame.length} bytes: its length would be ${length}, and the field holds 0 to ${most}`,
      );
    }
    return width === "varint" ? varintSize(length) : width;
  }

  #write(frame: Uint8Array, room: Uint8Array, start: number): void {
    room.set(frame, start);
    const { adjustment, bytes: width, endian } = this.#options;
    let rest = frame.length - adjustment;
    for (let i = 0; i < start; i++) {
      if (width === "varint") {
        room[i] = rest % 128 + (i < start - 1 ? 128 : 0);
        rest = Math.floor(rest / 128);
      } else {
        room[endian === "big" ? start - 1 - i : i] = rest % 256;
        rest = Math.floor(rest / 256);
      }
    }
  }
}

function varintSize(length: number): number {
  let size = 1;
  for (let rest = length; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}

function tooLarge(size: number, limit: number): FrameTooLargeError {
  const exact = Number.isSafeInteger(size);
  return new FrameTooLargeError(
    `Cannot take a frame of ${exact ? size : "more than 2⁵³ - 1"} bytes: 'limit' is ${limit}`,
    limit,
    exact ? size : undefined,
  );
}

function tooLargeToSend(size: number, limit: number): RangeError {
  return new RangeError(
    `Cannot encode a frame of ${size} bytes: 'limit' is ${limit}`,
  );
}

/** Drops what of a frame is over the limit, as it comes; then the frame is complete. */
class DropBytes implements Decoder<Uint8Array> {
  readonly #count: number;
  readonly #frame: Uint8Array;
  readonly #next: Decoder<Uint8Array>;

  constructor(count: number, frame: Uint8Array, next: Decoder<Uint8Array>) {
    this.#count = count;
    this.#frame = frame;
    this.#next = next;
  }

  decode(bytes: Uint8Array): Decoded<Uint8Array> | null {
    const left = this.#count - bytes.length;
    if (left <= 0) return { frame: this.#frame, taken: this.#count, next: this.#next };
    if (bytes.length === 0) return null;
    return { taken: bytes.length, next: new DropBytes(left, this.#frame, this.#next) };
  }
}
