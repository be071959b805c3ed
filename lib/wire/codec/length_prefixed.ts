/** Decodes and encodes frames that begin with their length. @module */

import { FrameTooLargeError, ProtocolError } from "../../errors.ts";
import { checkBoolean, checkChoice, checkKeys, checkNumber, show } from "../../check.ts";
import type { Batch, Codec, Decoded, Need, Oversize } from "./codec.ts";
import { DropBytes } from "./drop.ts";
import { encodeAt } from "./encode_at.ts";

/**
 * The options of {@linkcode lengthPrefixed}: where the length is, what it counts, its limit.
 *
 * @example The messages of PostgreSQL: a type, and a length that counts itself
 * ```ts
 * import { lengthPrefixed, type LengthPrefixedOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: LengthPrefixedOptions = {
 *   offset: 1,
 *   adjustment: -4,
 *   includePrefix: true,
 * };
 * const sync = new Uint8Array([0x53, 0, 0, 0, 4]);
 * assertEquals(lengthPrefixed(options).decode(sync, 0, false), {
 *   frame: sync,
 *   taken: 5,
 * });
 * ```
 *
 * @category Frames
 */
export interface LengthPrefixedOptions {
  /**
   * Bytes of the length field, an unsigned integer; or `"varint"` for 7 bits in each of at most 10
   * bytes, the lowest first, as in Protocol Buffers.
   *
   * @default {4}
   */
  bytes?: 1 | 2 | 3 | 4 | 8 | "varint";
  /**
   * The byte order of the length. A varint has its own.
   *
   * @default {"big"}
   */
  endian?: "big" | "little";
  /**
   * Bytes before the length field, such as a type; 0 to 65,535. They are part of the prefix: visible
   * only with `includePrefix`, and not counted by `limit`.
   *
   * @default {0}
   */
  offset?: number;
  /**
   * What to add to the length to get the number of bytes after the length field; -2³² to 2³². For
   * a length that counts its own 4 bytes, -4.
   *
   * @default {0}
   */
  adjustment?: number;
  /**
   * Whether a frame is everything from its first byte on, instead of what follows the length field.
   * Frames to send then include their prefix, with the right length in it.
   *
   * @default {false}
   */
  includePrefix?: boolean;
  /**
   * The most bytes of a frame's content, which is what follows the length field; 1 to 2³².
   *
   * @default {65_536}
   */
  limit?: number;
  /**
   * What happens to a frame with more content than `limit`. More than 2⁵³ - 1 bytes of it are an
   * error in any case.
   *
   * @default {"error"}
   */
  onOversize?: Oversize;
}

/** The defaults of {@linkcode LengthPrefixedOptions}. */
export const LENGTH_PREFIXED_DEFAULTS: Required<LengthPrefixedOptions> = Object.freeze({
  bytes: 4,
  endian: "big",
  offset: 0,
  adjustment: 0,
  includePrefix: false,
  limit: 65_536,
  onOversize: "error",
});

/** The highest limit and adjustment in bytes: more than any buffer holds. */
const HIGHEST = 2 ** 32;

/** The most bytes before a length: more than any protocol has. */
const HIGHEST_OFFSET = 65535;

/** The most bytes of a varint: enough for 64 bits. */
const LONGEST_VARINT = 10;

/** Frames to decode in one go: a view of each is some 100 bytes, which small frames are not. */
const MOST_TOGETHER = 64;

/**
 * Makes a codec for frames that begin with the length of their content.
 *
 * The length is checked as soon as it has arrived, and no memory is reserved for it: announcing a
 * gigabyte costs the receiver nothing. Frames are views of the bytes that were received: nothing is
 * copied, and a frame that is kept keeps its chunk in memory.
 *
 * Where more than the length is in front of a frame, such as a type, {@linkcode withHeader} parses it
 * once and hands it over.
 *
 * @param options Where the length is, what it counts, and how large it may be.
 * @returns The codec. Its `decode` throws `FrameTooLargeError` for more than `limit` bytes of
 * content if `onOversize` is `"error"`, and `ProtocolError` for a length that is negative after
 * `adjustment`, and for a varint of more than 10 bytes. Its `encode` throws `RangeError` for content
 * over the limit, for a length that the field cannot hold, for a frame whose prefix has another
 * length, and if there is an `offset` without `includePrefix`, since it is not known what belongs
 * there.
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
 * assertEquals(codec.decode(bytes, 0, false), {
 *   frame: new Uint8Array([7, 8, 9]),
 *   taken: 5,
 * });
 * assertEquals(codec.decode(bytes.subarray(0, 1), 0, false), { need: 2 });
 * ```
 *
 * @category Frames
 */
export function lengthPrefixed(options: LengthPrefixedOptions = {}): Codec<Uint8Array> {
  const defaults = LENGTH_PREFIXED_DEFAULTS;
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
    throw new TypeError(`Cannot ${attempt} with 'endian' for a varint: its byte order is fixed`);
  }
  checkNumber(attempt, "offset", offset, 0, HIGHEST_OFFSET);
  checkNumber(attempt, "adjustment", adjustment, -HIGHEST, HIGHEST);
  checkBoolean(attempt, "includePrefix", includePrefix);
  checkNumber(attempt, "limit", limit, 1, HIGHEST);
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

/** Where a frame's content begins, and its size in bytes: `Infinity` beyond 2⁵³ - 1. */
interface Extent {
  readonly start: number;
  readonly size: number;
}

class LengthPrefixed implements Codec<Uint8Array> {
  readonly #options: Required<LengthPrefixedOptions>;
  /** The largest number in the length field; a power for each frame would be 2 % of its echo. */
  readonly #most: number;

  constructor(options: Required<LengthPrefixedOptions>) {
    this.#options = options;
    this.#most = options.bytes === "varint" ? Infinity : 256 ** options.bytes - 1;
  }

  decode(bytes: Uint8Array): Decoded<Uint8Array> | Need<Uint8Array> {
    const extent = this.#extent(bytes);
    if ("need" in extent) return extent;
    const { start, size } = extent;
    const { adjustment, includePrefix, limit, onOversize } = this.#options;
    if (Number.isNaN(size)) {
      throw new ProtocolError(
        `Cannot decode a frame whose length is a varint of more than ${LONGEST_VARINT} bytes`,
      );
    }
    if (size < 0) {
      throw new ProtocolError(
        `Cannot decode a frame of length ${
          size - adjustment
        }: with the 'adjustment' of ${adjustment} it is negative`,
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

  decodeAll(bytes: Uint8Array): Batch<Uint8Array> | null {
    const { includePrefix, limit } = this.#options;
    const frames: Uint8Array[] = [];
    let taken = 0;
    while (taken < bytes.length && frames.length < MOST_TOGETHER) {
      const extent = this.#extent(bytes, taken);
      // Whatever is no complete frame within the limit is left to `decode`.
      if ("need" in extent || !(extent.size >= 0 && extent.size <= limit)) break;
      const end = extent.start + extent.size;
      if (end > bytes.length) break;
      frames.push(bytes.subarray(includePrefix ? taken : extent.start, end));
      taken = end;
    }
    return frames.length === 0 ? null : { frames, taken };
  }

  /** Reads the length of the frame that begins at `from`; the size is `NaN` if it is malformed. */
  #extent(bytes: Uint8Array, from = 0): Extent | Need<Uint8Array> {
    const { adjustment, bytes: width, endian } = this.#options;
    const offset = from + this.#options.offset;
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
    // Beyond 2⁵³ - 1 the sums above are rounded, but never below it.
    return { start, size: Number.isSafeInteger(length) ? length + adjustment : Infinity };
  }

  encode(frame: Uint8Array): Uint8Array {
    const start = this.#prefixSize(frame);
    const bytes = new Uint8Array(start + frame.length);
    this.#write(frame, bytes, 0, start);
    return bytes;
  }

  encodeInto(frame: Uint8Array, room: Uint8Array): number | null {
    return this[encodeAt](frame, room, 0);
  }

  [encodeAt](frame: Uint8Array, room: Uint8Array, at: number): number | null {
    const start = this.#prefixSize(frame);
    const size = start + frame.length;
    if (at + size > room.length) return null;
    this.#write(frame, room, at, start);
    return size;
  }

  /** Checks a frame, and says how many bytes to write in front of it. */
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
            "need" in extent ? "is incomplete" : "has another length"
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
    if (length < 0 || length > this.#most) {
      throw new RangeError(
        `Cannot encode a frame of ${frame.length} bytes: its length would be ${length}, and the field holds 0 to ${this.#most}`,
      );
    }
    return width === "varint" ? varintSize(length) : width;
  }

  #write(frame: Uint8Array, room: Uint8Array, at: number, prefix: number): void {
    room.set(frame, at + prefix);
    const { adjustment, bytes: width, endian } = this.#options;
    let rest = frame.length - adjustment;
    for (let i = 0; i < prefix; i++) {
      if (width === "varint") {
        room[at + i] = rest % 128 + (i < prefix - 1 ? 128 : 0);
        rest = Math.floor(rest / 128);
      } else {
        room[at + (endian === "big" ? prefix - 1 - i : i)] = rest % 256;
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
    `Cannot decode a frame of ${
      exact ? size : "more than 2⁵³ - 1"
    } bytes: raise 'limit', which is ${limit}`,
    limit,
    exact ? size : undefined,
  );
}

function tooLargeToSend(size: number, limit: number): RangeError {
  return new RangeError(
    `Cannot encode a frame of ${size} bytes: raise 'limit', which is ${limit}`,
  );
}
