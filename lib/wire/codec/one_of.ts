/** Chooses the decoder of each frame by its first bytes. @module */

import { bad, isObject } from "../../check.ts";
import { ProtocolError } from "../../errors.ts";
import type { Codec, Decoded, Decoder, Encoder, Need } from "./codec.ts";
import { encodeAt, type PlacingEncoder } from "./encode_at.ts";

/**
 * Makes a codec that decodes each frame with the decoder that its first bytes call for: text or
 * binary, an old framing or a new one.
 *
 * `pick` is called at the beginning of each frame with all bytes that have arrived, at least one,
 * until it returns a decoder; it should need only a few of them, and 64 KiB are the most. Its choice
 * must not change when more bytes arrive. A decoder that answers with itself as {@linkcode Decoded.next} stays: the next frame
 * is decoded by it without a call of `pick`.
 *
 * @typeParam T The type of a frame.
 * @param pick Looks at the first bytes of a frame and returns its decoder, or `null` where more are
 * needed. It may throw a `ProtocolError`, which refuses a peer that speaks another protocol at once.
 * @param encoder The encoder of all frames, such as a codec.
 * @returns The codec. It throws what `pick`, the decoders and the encoder throw.
 * @throws {TypeError} If an argument is not what it should be.
 *
 * @example Syslog over TCP: `<` begins a line, a digit a length (RFC 6587)
 * ```ts
 * import {
 *   type Decoder,
 *   lines,
 *   mapped,
 *   oneOf,
 *   ProtocolError,
 *   withHeader,
 * } from "@usher/server";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const counted = mapped(
 *   withHeader<null>({
 *     parse(bytes) {
 *       const space = bytes.indexOf(32);
 *       if (space > 5 || (space < 0 && bytes.length > 5)) {
 *         throw new ProtocolError("Cannot decode a length of more than 5 digits");
 *       }
 *       if (space < 0) return null;
 *       const size = Number(new TextDecoder().decode(bytes.subarray(0, space)));
 *       return { header: null, taken: space + 1, size };
 *     },
 *     encode: (_header, size) => new TextEncoder().encode(`${size} `),
 *   }),
 *   {
 *     decode: ({ body }) => new TextDecoder().decode(body),
 *     encode: (text) => ({ header: null, body: new TextEncoder().encode(text) }),
 *   },
 * );
 * const line = lines();
 * const syslog = oneOf((bytes): Decoder<string> => {
 *   if (bytes[0] === 60) return line;
 *   if (bytes[0]! > 48 && bytes[0]! < 58) return counted;
 *   throw new ProtocolError(
 *     "Cannot decode a message that begins with neither < nor a digit",
 *   );
 * }, counted);
 *
 * const bytes = new TextEncoder().encode("<13>one\n7 <13>two");
 * assertEquals(syslog.decode(bytes, 0, false), { frame: "<13>one", taken: 8 });
 * assertEquals(syslog.decode(bytes.subarray(8), 0, false), {
 *   frame: "<13>two",
 *   taken: 9,
 * });
 * const request = new TextEncoder().encode("GET / HTTP/1.1\r\n");
 * assertThrows(() => syslog.decode(request, 0, false), ProtocolError, "neither");
 * ```
 *
 * @category Frames
 */
export function oneOf<T>(
  pick: (bytes: Uint8Array) => Decoder<T> | null,
  encoder: Encoder<T>,
): Codec<T> {
  const attempt = "make oneOf()";
  if (typeof pick !== "function") throw new TypeError(bad(attempt, "pick", pick, "a function"));
  if (!isObject(encoder) || typeof encoder.encode !== "function") {
    throw new TypeError(bad(attempt, "encoder", encoder, "an object with encode, such as a codec"));
  }
  return new OneOf(pick, encoder);
}

type Answer<T> = Decoded<T> | Need<T> | null;

/** The most bytes by which to pick, so that a frame for which nothing is picked is not kept. */
const MOST_BYTES = 65_536;

class OneOf<T> implements Codec<T> {
  readonly #pick: (bytes: Uint8Array) => Decoder<T> | null;
  readonly #encoder: Encoder<T>;
  readonly encodeInto?: (frame: T, room: Uint8Array) => number | null;
  readonly [encodeAt]?: (frame: T, room: Uint8Array, at: number) => number | null;

  constructor(pick: (bytes: Uint8Array) => Decoder<T> | null, encoder: PlacingEncoder<T>) {
    this.#pick = pick;
    this.#encoder = encoder;
    if (encoder.encodeInto !== undefined) {
      this.encodeInto = (frame, room) => encoder.encodeInto!(frame, room);
    }
    if (encoder[encodeAt] !== undefined) {
      this[encodeAt] = (frame, room, at) => encoder[encodeAt]!(frame, room, at);
    }
  }

  decode(bytes: Uint8Array, _seen: number, end: boolean): Answer<T> {
    const picked = this.#pick(bytes);
    if (picked === null) {
      if (bytes.length < MOST_BYTES) return null;
      throw new ProtocolError(`Cannot pick a decoder by the first ${MOST_BYTES} bytes of a frame`);
    }
    const answer = picked.decode(bytes, 0, end);
    // The commonest case: a whole frame, after which the codec is called again.
    if (answer !== null && !("need" in answer) && answer.next === undefined) return answer;
    return new Picked(this, picked, picked, 0).wrap(answer, bytes.length);
  }

  encode(frame: T): Uint8Array {
    return this.#encoder.encode(frame);
  }
}

/** The decoder that was picked, or another one that it has brought in for the same frame. */
class Picked<T> implements Decoder<T> {
  readonly #codec: OneOf<T>;
  readonly #picked: Decoder<T>;
  readonly #decoder: Decoder<T>;
  readonly #seen: number;

  /** @param seen Bytes for which `decoder` has already answered that it needs more. */
  constructor(codec: OneOf<T>, picked: Decoder<T>, decoder: Decoder<T>, seen: number) {
    this.#codec = codec;
    this.#picked = picked;
    this.#decoder = decoder;
    this.#seen = seen;
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Answer<T> {
    // A decoder that has stayed is between frames here, where the stream may end.
    if (bytes.length === 0 && this.#decoder === this.#picked) {
      return { taken: 0, next: this.#codec };
    }
    return this.wrap(this.#decoder.decode(bytes, Math.max(seen, this.#seen), end), bytes.length);
  }

  /** Wraps what the decoder has answered for so many bytes. */
  wrap(answer: Answer<T>, length: number): Answer<T> {
    if (answer === null) return { need: length + 1, next: this.#with(this.#decoder, length) };
    const { next } = answer;
    if ("need" in answer) {
      const wrapped = next === undefined ? this.#with(this.#decoder, length) : this.#with(next, 0);
      return { ...answer, next: wrapped };
    }
    const isOver = this.#decoder === this.#picked ? next === undefined : next === this.#picked;
    if (isOver || next === this.#codec) return { ...answer, next: this.#codec };
    return { ...answer, next: this.#with(next ?? this.#decoder, 0) };
  }

  #with(decoder: Decoder<T>, seen: number): Decoder<T> {
    return new Picked(this.#codec, this.#picked, decoder, seen);
  }
}
