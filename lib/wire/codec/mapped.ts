/** Turns a codec for frames of one type into a codec for another. @module */

import { bad, checkKeys, isObject } from "../../check.ts";
import type { Batch, Codec, Decoded, Decoder, Need } from "./codec.ts";

/**
 * How {@linkcode mapped} turns frames of one type into frames of another, and back.
 *
 * @typeParam T The frames of the codec that is given.
 * @typeParam U The frames of the codec that is returned.
 *
 * @example Lines that are numbers
 * ```ts
 * import { lines, mapped, type Mapping, ProtocolError } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const mapping: Mapping<string, number> = {
 *   decode(line) {
 *     if (!/^\d{1,9}$/.test(line)) {
 *       throw new ProtocolError(`Cannot decode "${line}": send digits`);
 *     }
 *     return Number(line);
 *   },
 *   encode: (number) => `${number}`,
 * };
 *
 * assertEquals(
 *   mapped(lines(), mapping).encode(42),
 *   new TextEncoder().encode("42\n"),
 * );
 * ```
 *
 * @category Frames
 */
export interface Mapping<T, U> {
  /**
   * Turns a decoded frame into one of the other type. It is a pure function, and may be called more
   * than once for a frame.
   *
   * @throws {ProtocolError} If there is none for it.
   */
  decode(frame: T): U;
  /**
   * Turns a frame to send into one that the codec encodes.
   *
   * @throws {RangeError} If there is none for it.
   */
  encode(frame: U): T;
}

/**
 * Makes a codec for frames of another type out of one that there is: JSON out of lines, messages out
 * of length-prefixed bytes.
 *
 * Frames that the codec decodes together are mapped together. An error of `decode` is thrown when its
 * frame is the next, after all frames before it were returned.
 *
 * @typeParam T The frames of the codec that is given.
 * @typeParam U The frames of the codec that is returned.
 * @param codec The codec that finds the frames.
 * @param mapping The two functions between the types.
 * @returns The codec. It throws what the given one and the two functions throw.
 * @throws {TypeError} If an argument is not what it should be.
 *
 * @example One JSON value on each line
 * ```ts
 * import { lines, mapped, ProtocolError } from "@usher/server";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const json = mapped<string, unknown>(lines(), {
 *   decode(line) {
 *     try {
 *       return JSON.parse(line);
 *     } catch {
 *       throw new ProtocolError("Cannot decode a line that is not JSON");
 *     }
 *   },
 *   encode: (value) => JSON.stringify(value),
 * });
 *
 * const bytes = json.encode({ ok: true });
 * assertEquals(json.decode(bytes, 0, false), { frame: { ok: true }, taken: 12 });
 * assertThrows(
 *   () => json.decode(new TextEncoder().encode("{\n"), 0, false),
 *   ProtocolError,
 *   "JSON",
 * );
 * ```
 *
 * @category Frames
 */
export function mapped<T, U>(codec: Codec<T>, mapping: Mapping<T, U>): Codec<U> {
  const attempt = "map a codec";
  if (!isObject(codec) || typeof codec.decode !== "function") {
    throw new TypeError(bad(attempt, "codec", codec, "an object with decode and encode"));
  }
  checkKeys(attempt, mapping, ["decode", "encode"], "mapping");
  for (const name of ["decode", "encode"] as const) {
    if (typeof mapping[name] === "function") continue;
    throw new TypeError(bad(attempt, `mapping.${name}`, mapping[name], "a function"));
  }
  return new Mapped(codec, mapping);
}

class Mapped<T, U> implements Codec<U> {
  readonly #codec: Codec<T>;
  readonly #mapping: Mapping<T, U>;
  readonly decodeAll?: (bytes: Uint8Array) => Batch<U> | null;
  readonly encodeInto?: (frame: U, room: Uint8Array) => number | null;

  constructor(codec: Codec<T>, mapping: Mapping<T, U>) {
    this.#codec = codec;
    this.#mapping = mapping;
    if (codec.decodeAll !== undefined) {
      this.decodeAll = (bytes) => this.mapAll(codec, codec.decodeAll!(bytes), bytes);
    }
    if (codec.encodeInto !== undefined) {
      this.encodeInto = (frame, room) => codec.encodeInto!(mapping.encode(frame), room);
    }
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<U> | Need<U> | null {
    return this.map(this.#codec.decode(bytes, seen, end));
  }

  encode(frame: U): Uint8Array {
    return this.#codec.encode(this.#mapping.encode(frame));
  }

  /** Maps the answer of any decoder of the codec. */
  map(answer: Decoded<T> | Need<T> | null): Decoded<U> | Need<U> | null {
    if (answer === null) return null;
    const { next, ...rest } = answer;
    const mapped: Decoded<U> | Need<U> = "frame" in rest
      ? { ...rest, frame: this.#mapping.decode(rest.frame!) }
      : rest as Decoded<U> | Need<U>;
    return next === undefined ? mapped : { ...mapped, next: this.#decoderFor(next) };
  }

  /** Maps a batch, or those of its frames that come before one that cannot be mapped. */
  mapAll(decoder: Decoder<T>, batch: Batch<T> | null, bytes: Uint8Array): Batch<U> | null {
    if (batch === null) return null;
    const frames: U[] = [];
    try {
      for (const frame of batch.frames) frames.push(this.#mapping.decode(frame));
      return { ...batch, frames };
    } catch {
      // `decode` throws it when it is the next. How far the frames before it reach is not known.
      const taken = sizeOf(decoder, bytes, frames.length);
      return taken > 0 ? { frames, taken } : null;
    }
  }

  /** The codec where it comes back to itself, so that an end of the stream is between frames. */
  #decoderFor(decoder: Decoder<T>): Decoder<U> {
    return decoder === this.#codec ? this : new MappedDecoder(this, decoder);
  }
}

/** Another decoder that a mapped codec has brought in. */
class MappedDecoder<T, U> implements Decoder<U> {
  readonly #codec: Mapped<T, U>;
  readonly #decoder: Decoder<T>;
  readonly decodeAll?: (bytes: Uint8Array) => Batch<U> | null;

  constructor(codec: Mapped<T, U>, decoder: Decoder<T>) {
    this.#codec = codec;
    this.#decoder = decoder;
    if (decoder.decodeAll !== undefined) {
      this.decodeAll = (bytes) => codec.mapAll(decoder, decoder.decodeAll!(bytes), bytes);
    }
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<U> | Need<U> | null {
    return this.#codec.map(this.#decoder.decode(bytes, seen, end));
  }
}

/** Bytes that the first `count` frames take; 0 if the decoder does not return them one by one. */
function sizeOf<T>(decoder: Decoder<T>, bytes: Uint8Array, count: number): number {
  let taken = 0;
  for (let i = 0; i < count; i++) {
    const answer = decoder.decode(bytes.subarray(taken), 0, false);
    if (answer === null || !("frame" in answer) || answer.taken > bytes.length - taken) return 0;
    taken += answer.taken;
  }
  return taken;
}
