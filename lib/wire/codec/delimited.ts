/** Decodes and encodes frames that end with a delimiter. @module */

import { FrameTooLargeError } from "../../errors.ts";
import { ByteSearch } from "./byte_search.ts";
import { bad, checkChoice, checkKeys, checkNumber, show } from "../../check.ts";
import type { Batch, Codec, Decoded, Decoder, Need, Oversize } from "./codec.ts";
import { DropThrough } from "./drop.ts";

/**
 * The options of {@linkcode delimited}.
 *
 * @example Words, the last of which needs no space after it
 * ```ts
 * import { delimited, type DelimitedOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: DelimitedOptions = { unterminated: "frame" };
 * const word = new TextEncoder().encode("end");
 * assertEquals(delimited(" ", options).decode(word, 0, true), {
 *   frame: word,
 *   taken: 3,
 * });
 * ```
 *
 * @category Frames
 */
export interface DelimitedOptions {
  /**
   * The most bytes of a frame's content, its delimiter not counted; 1 to 2³².
   *
   * @default {65_536}
   */
  limit?: number;
  /**
   * What happens to a frame with more content than `limit`.
   *
   * @default {"error"}
   */
  onOversize?: Oversize;
  /**
   * How content without a delimiter at the end of the stream is taken: as a broken frame, so that
   * the end is an error, or as the last frame.
   *
   * @default {"error"}
   */
  unterminated?: "error" | "frame";
}

/** The defaults of {@linkcode DelimitedOptions}. */
export const DELIMITED_DEFAULTS: Required<DelimitedOptions> = Object.freeze({
  limit: 65_536,
  onOversize: "error",
  unterminated: "error",
});

/** The highest limit in bytes: more than any buffer holds. */
const HIGHEST_LIMIT = 2 ** 32;

/** Frames to decode in one go: a view of each is some 100 bytes, which small frames are not. */
const MOST_TOGETHER = 64;

/** Bytes to look for them in: `decode` looks again at those that hold no end of one. */
const BATCH = 16_384;

/** What failed, as messages about wrong options say it. */
const ATTEMPT = "make delimited()";

const encoder = new TextEncoder();

/**
 * Makes a codec for frames that end with a delimiter: any bytes, or the first to come of several.
 *
 * Of several delimiters the one that ends first counts, and of those that end together the longest:
 * with `["\r\n", "\n"]` a frame that ends with CRLF does not keep its CR. Frames are returned
 * without their delimiter, as views of the bytes that were received: nothing is copied, and a frame
 * that is kept keeps its chunk in memory.
 *
 * Each byte is looked at once, however long the delimiters are and however the bytes arrive.
 * Frames are sent with the first delimiter.
 *
 * @param delimiter One delimiter or several; a string stands for its UTF-8 bytes.
 * @param options The limit, and what is done beyond it and at the end of the stream.
 * @returns The codec. Its `decode` throws `FrameTooLargeError` for more than `limit` bytes of
 * content if `onOversize` is `"error"`; its `encode` throws `RangeError` for content over the limit
 * or with a delimiter in it.
 * @throws {TypeError} If an argument or option is of the wrong type, or an option is unknown.
 * @throws {RangeError} If an option is out of range, a delimiter is empty, or one can never be
 * found because another one always ends before it.
 *
 * @example Records that end with NUL
 * ```ts
 * import { delimited } from "@usher/server";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const codec = delimited("\0", { limit: 1024 });
 * const bytes = codec.encode(new Uint8Array([1, 2, 3]));
 * assertEquals(bytes, new Uint8Array([1, 2, 3, 0]));
 * assertEquals(codec.decode(bytes, 0, false), {
 *   frame: new Uint8Array([1, 2, 3]),
 *   taken: 4,
 * });
 * assertThrows(() => codec.encode(bytes), RangeError, "delimiter");
 * ```
 *
 * @category Frames
 */
export function delimited(
  delimiter: string | Uint8Array | readonly (string | Uint8Array)[],
  options: DelimitedOptions = {},
): Codec<Uint8Array> {
  const defaults = DELIMITED_DEFAULTS;
  checkKeys(ATTEMPT, options, Object.keys(defaults));
  const {
    limit = defaults.limit,
    onOversize = defaults.onOversize,
    unterminated = defaults.unterminated,
  } = options;
  checkNumber(ATTEMPT, "limit", limit, 1, HIGHEST_LIMIT);
  checkChoice(ATTEMPT, "onOversize", onOversize, ["error", "skip", "truncate"]);
  checkChoice(ATTEMPT, "unterminated", unterminated, ["error", "frame"]);
  return new Delimited(toDelimiters(delimiter), { limit, onOversize, unterminated });
}

function toDelimiters(given: unknown): Uint8Array[] {
  const list: unknown[] = Array.isArray(given) ? given : [given];
  const wanted = "a string or Uint8Array that is not empty, or an array of such";
  if (list.length === 0) throw new RangeError(bad(ATTEMPT, "delimiter", given, wanted));
  return list.map((one) => {
    if (typeof one !== "string" && !(one instanceof Uint8Array)) {
      throw new TypeError(bad(ATTEMPT, "delimiter", one, wanted));
    }
    if (one.length === 0) {
      throw new RangeError(`Cannot make delimited() with an empty 'delimiter': use ${wanted}`);
    }
    return typeof one === "string" ? encoder.encode(one) : one.slice();
  });
}

class Delimited implements Codec<Uint8Array> {
  readonly #search: ByteSearch;
  readonly #delimiter: Uint8Array;
  readonly #options: Required<DelimitedOptions>;

  constructor(delimiters: Uint8Array[], options: Required<DelimitedOptions>) {
    this.#search = new ByteSearch(delimiters);
    this.#delimiter = delimiters[0]!;
    this.#options = options;
  }

  decode(
    bytes: Uint8Array,
    seen: number,
    end: boolean,
  ): Decoded<Uint8Array> | Need<Uint8Array> | null {
    // No delimiter ends in what was seen, but one may begin there.
    return this.search(bytes, Math.max(0, seen - (this.#search.longest - 1)), 0, end);
  }

  decodeAll(bytes: Uint8Array): Batch<Uint8Array> | null {
    const { limit } = this.#options;
    const part = bytes.length > BATCH ? bytes.subarray(0, BATCH) : bytes;
    const frames: Uint8Array[] = [];
    let taken = 0;
    let seen = 0;
    while (frames.length < MOST_TOGETHER) {
      const { at, length } = this.#search.find(part, taken, 0);
      if (length === 0) seen = at - taken;
      // Whatever is no complete frame within the limit is left to `decode`.
      if (length === 0 || at - length - taken > limit) break;
      frames.push(bytes.subarray(taken, at - length));
      taken = at;
    }
    return frames.length === 0 ? null : { frames, taken, seen };
  }

  /** Decodes, given how far an earlier search got. */
  search(
    bytes: Uint8Array,
    from: number,
    before: number,
    end: boolean,
  ): Decoded<Uint8Array> | Need<Uint8Array> | null {
    const { limit, unterminated } = this.#options;
    const { at, length, state } = this.#search.find(bytes, from, before);
    const size = at - length;
    if (length > 0) {
      return size > limit
        ? this.#oversize(bytes, at, undefined)
        : { frame: bytes.subarray(0, size), taken: at };
    }
    // The last bytes may be the beginning of a delimiter, which is not content.
    if (size - (this.#search.longest - 1) > limit) return this.#oversize(bytes, at, state);
    if (!end && this.#search.longest > 1) {
      return { need: at + 1, next: new Resumed(this, at, state) };
    }
    if (!end || unterminated === "error" || at === 0) return null;
    return size > limit ? this.#oversize(bytes, at, undefined) : { frame: bytes, taken: at };
  }

  /** Handles a frame over the limit that ends at `taken`, or continues there in `state`. */
  #oversize(bytes: Uint8Array, taken: number, state: number | undefined): Decoded<Uint8Array> {
    const { limit, onOversize, unterminated } = this.#options;
    if (onOversize === "error") {
      throw new FrameTooLargeError(
        `Cannot decode a frame of more than ${limit} bytes: raise 'limit' to accept larger ones`,
        limit,
      );
    }
    const frame = onOversize === "truncate" ? bytes.subarray(0, limit) : undefined;
    if (state !== undefined) {
      const after = { next: this, frame, orEnd: unterminated === "frame" };
      return { taken, next: new DropThrough(this.#search, state, after) };
    }
    return frame === undefined ? { taken } : { frame, taken };
  }

  encode(frame: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(this.#checkedSize(frame));
    this.encodeInto(frame, bytes);
    return bytes;
  }

  encodeInto(frame: Uint8Array, room: Uint8Array): number | null {
    const size = this.#checkedSize(frame);
    if (size > room.length) return null;
    room.set(frame);
    room.set(this.#delimiter, frame.length);
    // Searched with the delimiter in place: the two may form another delimiter between them.
    const { at, length } = this.#search.find(room.subarray(0, size), 0, 0);
    if (at < size || length !== this.#delimiter.length) {
      throw new RangeError(
        `Cannot encode a frame with a delimiter in it, at byte ${at - length}: use content without`,
      );
    }
    return size;
  }

  /** How many bytes the frame is with its delimiter. */
  #checkedSize(frame: Uint8Array): number {
    if (!(frame instanceof Uint8Array)) {
      throw new TypeError(`Cannot encode ${show(frame)}: use a Uint8Array`);
    }
    const { limit } = this.#options;
    if (frame.length > limit) {
      throw new RangeError(
        `Cannot encode a frame of ${frame.length} bytes: raise 'limit', which is ${limit}`,
      );
    }
    return frame.length + this.#delimiter.length;
  }
}

/** Continues a frame where the bytes ended, and looks at none of them again. */
class Resumed implements Decoder<Uint8Array> {
  readonly #codec: Delimited;
  readonly #at: number;
  readonly #state: number;

  constructor(codec: Delimited, at: number, state: number) {
    this.#codec = codec;
    this.#at = at;
    this.#state = state;
  }

  decode(
    bytes: Uint8Array,
    _seen: number,
    end: boolean,
  ): Decoded<Uint8Array> | Need<Uint8Array> | null {
    const answer = this.#codec.search(bytes, this.#at, this.#state, end);
    return answer === null || "need" in answer ? answer : { next: this.#codec, ...answer };
  }
}
