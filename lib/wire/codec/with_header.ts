/** Decodes and encodes frames whose header says how long their body is. @module */

import { FrameTooLargeError, ProtocolError } from "../../errors.ts";
import { bad, checkKeys, checkNumber } from "../../check.ts";
import type { Codec, Decoded, Decoder, Need } from "./codec.ts";
import { encodeAt } from "./encode_at.ts";

/**
 * A frame of {@linkcode withHeader}.
 *
 * @typeParam H The type of a header.
 *
 * @example Answer with the same header
 * ```ts
 * import type { Message } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const pong = ({ header }: Message<number>): Message<number> => ({
 *   header: header + 1,
 *   body: new Uint8Array(),
 * });
 * assertEquals(pong({ header: 1, body: new Uint8Array(3) }).header, 2);
 * ```
 *
 * @category Frames
 */
export interface Message<H> {
  /** What `parse` made of the bytes before the body. */
  readonly header: H;
  /** The bytes after the header: a view of what was received. */
  readonly body: Uint8Array;
}

/**
 * What `parse` of {@linkcode withHeader} has found.
 *
 * @typeParam H The type of a header.
 *
 * @example A type and a length
 * ```ts
 * import type { ParsedHeader } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const parse = (bytes: Uint8Array): ParsedHeader<number> | null =>
 *   bytes.length < 2 ? null : { header: bytes[0]!, taken: 2, size: bytes[1]! };
 * assertEquals(parse(new Uint8Array([7, 5])), { header: 7, taken: 2, size: 5 });
 * ```
 *
 * @category Frames
 */
export interface ParsedHeader<H> {
  /** The header. */
  readonly header: H;
  /** Bytes of the header. */
  readonly taken: number;
  /** Bytes of the body that follows. */
  readonly size: number;
}

/**
 * The options of {@linkcode withHeader}.
 *
 * @typeParam H The type of a header.
 *
 * @example A header of four bytes
 * ```ts
 * import { withHeader, type WithHeaderOptions } from "@usher/server";
 * import { BinaryReader, BinaryWriter } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const options: WithHeaderOptions<{ type: number; stream: number }> = {
 *   parse(bytes) {
 *     if (bytes.length < 4) return { need: 4 };
 *     const reader = new BinaryReader(bytes);
 *     const [type, stream, size] = [reader.u8(), reader.u8(), reader.u16()];
 *     return { header: { type, stream }, taken: 4, size };
 *   },
 *   encode: ({ type, stream }, size) =>
 *     new BinaryWriter().u8(type).u8(stream).u16(size).finish(),
 * };
 * const message = { header: { type: 1, stream: 2 }, body: new Uint8Array([9]) };
 * assertEquals(
 *   withHeader(options).encode(message),
 *   new Uint8Array([1, 2, 0, 1, 9]),
 * );
 * ```
 *
 * @category Frames
 */
export interface WithHeaderOptions<H> {
  /**
   * Parses the header at the front of the bytes.
   *
   * @param bytes The bytes that have arrived, at least one.
   * @param seen The number of bytes for which it has already answered that it needs more.
   * @returns The header; `null` to be called again when more has arrived; or how many bytes are
   * needed.
   * @throws {ProtocolError} If the bytes are not a header.
   */
  parse(bytes: Uint8Array, seen: number): ParsedHeader<H> | { readonly need: number } | null;
  /**
   * Encodes the header of a body of `size` bytes.
   *
   * @throws {RangeError} If there is no such header.
   */
  encode(header: H, size: number): Uint8Array;
  /**
   * The most bytes of a body; 1 to 2³². A header has at most 64 KiB.
   *
   * @default {65_536}
   */
  limit?: number;
}

/** The default of {@linkcode WithHeaderOptions}. */
export const WITH_HEADER_DEFAULTS: { readonly limit: number } = Object.freeze({ limit: 65_536 });

/** The highest limit in bytes: more than any buffer holds. */
const HIGHEST_LIMIT = 2 ** 32;

/** The most bytes of a header, so that one that never ends is not kept: far more than any has. */
const LONGEST_HEADER = 65_536;

/**
 * Makes a codec for frames that begin with a header, such as a type, flags and a length, which is
 * parsed once and returned with its body.
 *
 * Its size is checked as soon as the header has arrived, and no memory is reserved for it. Bodies are
 * views of the bytes that were received: nothing is copied, and one that is kept keeps its chunk in
 * memory. Where the header is only a length, {@linkcode lengthPrefixed} does without functions.
 *
 * @typeParam H The type of a header.
 * @param options How a header is parsed and encoded, and the limit.
 * @returns The codec. Its `decode` throws `FrameTooLargeError` for a body of more than `limit` bytes
 * and for a header of more than 64 KiB, `ProtocolError` for a body of a negative size, and what
 * `parse` throws. Its `encode` throws `RangeError` for a body over the limit, and what `encode`
 * throws.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If the limit is out of range.
 *
 * @example The messages of PostgreSQL: a type, and a length that counts itself
 * ```ts
 * import { withHeader } from "@usher/server";
 * import { BinaryReader, BinaryWriter } from "@usher/server/wire";
 * import { assertEquals } from "@std/assert";
 *
 * const messages = withHeader<string>({
 *   parse(bytes) {
 *     if (bytes.length < 5) return { need: 5 };
 *     const reader = new BinaryReader(bytes);
 *     return { header: reader.string(1), taken: 5, size: reader.u32() - 4 };
 *   },
 *   encode: (type, size) =>
 *     new BinaryWriter().string(type).u32(size + 4).finish(),
 * });
 *
 * const query = { header: "Q", body: new TextEncoder().encode("select 1\0") };
 * const bytes = messages.encode(query);
 * assertEquals(bytes.subarray(0, 5), new Uint8Array([0x51, 0, 0, 0, 13]));
 * assertEquals(messages.decode(bytes, 0, false), { frame: query, taken: 14 });
 * ```
 *
 * @category Frames
 */
export function withHeader<H>(options: WithHeaderOptions<H>): Codec<Message<H>> {
  const attempt = "make withHeader()";
  checkKeys(attempt, options, ["parse", "encode", "limit"]);
  const { limit = WITH_HEADER_DEFAULTS.limit } = options;
  for (const name of ["parse", "encode"] as const) {
    if (typeof options[name] === "function") continue;
    throw new TypeError(bad(attempt, name, options[name], "a function"));
  }
  checkNumber(attempt, "limit", limit, 1, HIGHEST_LIMIT);
  return new WithHeader(options, limit);
}

class WithHeader<H> implements Codec<Message<H>> {
  readonly #options: WithHeaderOptions<H>;
  readonly #limit: number;

  constructor(options: WithHeaderOptions<H>, limit: number) {
    this.#options = options;
    this.#limit = limit;
  }

  decode(bytes: Uint8Array, seen: number): Decoded<Message<H>> | Need<Message<H>> | null {
    const limit = this.#limit;
    const found = this.#options.parse(bytes, seen);
    if (found === null || "need" in found) {
      const need = found?.need ?? bytes.length + 1;
      if (need > LONGEST_HEADER) {
        throw new FrameTooLargeError(
          `Cannot decode a header of more than ${LONGEST_HEADER} bytes`,
          LONGEST_HEADER,
        );
      }
      return found === null ? null : { need: Math.max(need, bytes.length + 1) };
    }
    const { header, taken, size } = found;
    if (!(taken > 0 && taken <= bytes.length)) {
      throw new TypeError(bad("decode a header", "taken", taken, `1 to ${bytes.length} bytes`));
    }
    if (!(size >= 0) || (size <= limit && !Number.isInteger(size))) {
      throw new ProtocolError(`Cannot decode a body of ${size} bytes`);
    }
    if (size > limit) {
      throw new FrameTooLargeError(
        `Cannot decode a body of ${size} bytes: raise 'limit', which is ${limit}`,
        limit,
        size,
      );
    }
    if (bytes.length < taken + size) {
      return { need: taken + size, next: new Body(this, header, taken, size) };
    }
    return { frame: { header, body: bytes.subarray(taken, taken + size) }, taken: taken + size };
  }

  encode(frame: Message<H>): Uint8Array {
    const header = this.#headerOf(frame);
    const bytes = new Uint8Array(header.length + frame.body.length);
    bytes.set(header);
    bytes.set(frame.body, header.length);
    return bytes;
  }

  encodeInto(frame: Message<H>, room: Uint8Array): number | null {
    return this[encodeAt](frame, room, 0);
  }

  [encodeAt](frame: Message<H>, room: Uint8Array, at: number): number | null {
    // The header is at least a byte: what certainly does not fit is not encoded twice.
    if (at + frame?.body?.length >= room.length) return null;
    const header = this.#headerOf(frame);
    const size = header.length + frame.body.length;
    if (at + size > room.length) return null;
    room.set(header, at);
    room.set(frame.body, at + header.length);
    return size;
  }

  #headerOf({ header, body }: Message<H>): Uint8Array {
    if (!(body instanceof Uint8Array)) {
      throw new TypeError(bad("encode a frame", "body", body, "a Uint8Array"));
    }
    if (body.length > this.#limit) {
      throw new RangeError(
        `Cannot encode a body of ${body.length} bytes: raise 'limit', which is ${this.#limit}`,
      );
    }
    return this.#options.encode(header, body.length);
  }
}

/** Waits for the body of a header that is parsed. */
class Body<H> implements Decoder<Message<H>> {
  readonly #codec: Codec<Message<H>>;
  readonly #header: H;
  readonly #from: number;
  readonly #to: number;

  constructor(codec: Codec<Message<H>>, header: H, taken: number, size: number) {
    this.#codec = codec;
    this.#header = header;
    this.#from = taken;
    this.#to = taken + size;
  }

  decode(bytes: Uint8Array): Decoded<Message<H>> | Need<Message<H>> {
    const to = this.#to;
    if (bytes.length < to) return { need: to };
    const frame = { header: this.#header, body: bytes.subarray(this.#from, to) };
    return { frame, taken: to, next: this.#codec };
  }
}
