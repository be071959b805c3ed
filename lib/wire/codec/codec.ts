/** Defines the contract between a codec and what reads and writes with it. @module */

/**
 * Turns bytes into frames.
 *
 * A decoder is a pure function with a name: it keeps nothing between two calls, so one decoder
 * serves any number of connections at once. What must be remembered is part of its answer, as
 * {@linkcode Decoded.next}.
 *
 * @typeParam T The type of a frame.
 *
 * @example Frames of three bytes
 * ```ts
 * import type { Decoder } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const triples: Decoder<Uint8Array> = {
 *   decode: (bytes) =>
 *     bytes.length < 3 ? { need: 3 } : { frame: bytes.subarray(0, 3), taken: 3 },
 * };
 *
 * assertEquals(triples.decode(new Uint8Array(2), 0, false), { need: 3 });
 * assertEquals(triples.decode(new Uint8Array(4), 2, false), {
 *   frame: new Uint8Array(3),
 *   taken: 3,
 * });
 * ```
 *
 * @category Frames
 */
export interface Decoder<T> {
  /**
   * Takes the first frame from the front of what has arrived.
   *
   * The memory of `bytes` is never written again by the caller, so a frame may be a view of it.
   *
   * Throwing is final: nothing is taken, the bytes stay with the connection, and this decoder is
   * not called again.
   *
   * @param bytes The bytes that have arrived and are not taken. It is empty only at the end of the
   * stream, and then only for a decoder that came in as a {@linkcode Decoded.next}.
   * @param seen The number of bytes at the front for which this decoder has already answered `null`
   * or a {@linkcode Need}, so that nothing is searched twice. 0 for a new frame and a new decoder.
   * @param end Whether the stream has ended and nothing more will arrive. A `null` or a
   * {@linkcode Need} then means that it ended inside a frame, which is reported as
   * `Deno.errors.UnexpectedEof`.
   * @returns What was taken; `null` to be called again when more has arrived; or how many bytes are
   * needed.
   */
  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<T> | Need<T> | null;

  /**
   * Takes complete frames from the front in one go, all of them or as many as suits it.
   *
   * Where it exists it is called first for each new frame (when `seen` would be 0), and `decode`
   * when it returns `null`. It must return the frames that `decode` would return one by one, and so
   * leaves everything but ordinary complete frames to `decode`: frames that are too large, skipped
   * or malformed, and those that bring in another decoder. It does not throw.
   *
   * @param bytes The bytes that have arrived and are not taken.
   * @returns The frames, at least one, or `null`.
   */
  decodeAll?(bytes: Uint8Array): Batch<T> | null;
}

/**
 * Turns frames into bytes.
 *
 * @typeParam T The type of a frame.
 *
 * @example Send numbers as one byte each
 * ```ts
 * import type { Encoder } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes: Encoder<number> = { encode: (number) => Uint8Array.of(number) };
 * assertEquals(bytes.encode(7), new Uint8Array([7]));
 * ```
 *
 * @category Frames
 */
export interface Encoder<T> {
  /**
   * Encodes a frame into memory of its own, which shares nothing with `frame` and does not change
   * later.
   *
   * @param frame The frame.
   * @returns Its bytes, as a decoder takes them.
   * @throws {RangeError} If no bytes would decode to this frame.
   */
  encode(frame: T): Uint8Array;

  /**
   * Encodes a frame into the front of `room`, which saves an allocation for each small frame.
   * Where it exists it is called first.
   *
   * @param frame The frame.
   * @param room The memory to write to, which holds nothing of other connections. Its content after
   * `null` or an error does not matter.
   * @returns How many bytes were written, or `null` if the frame does not fit: `encode` is called
   * then. A number that is no such count rejects the `send()` with a `RangeError`.
   * @throws {RangeError} If no bytes would decode to this frame.
   */
  encodeInto?(frame: T, room: Uint8Array): number | null;
}

/**
 * Turns bytes into frames and frames into bytes.
 *
 * Before writing one from scratch, see whether {@linkcode mapped}, {@linkcode oneOf} or
 * {@linkcode withHeader} builds it from those there are.
 *
 * @typeParam T The type of a frame.
 *
 * @example Numbers of one byte each
 * ```ts
 * import { type Codec, ProtocolError } from "@usher/server";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const digits: Codec<number> = {
 *   decode(bytes) {
 *     const digit = bytes[0]! - 48;
 *     if (digit < 0 || digit > 9) {
 *       throw new ProtocolError("Cannot decode what is not a digit");
 *     }
 *     return { frame: digit, taken: 1 };
 *   },
 *   encode: (digit) => Uint8Array.of(48 + digit),
 * };
 *
 * assertEquals(digits.decode(digits.encode(7), 0, false), { frame: 7, taken: 1 });
 * assertThrows(
 *   () => digits.decode(new TextEncoder().encode("x"), 0, false),
 *   ProtocolError,
 * );
 * ```
 *
 * @category Frames
 */
export interface Codec<T> extends Decoder<T>, Encoder<T> {}

/**
 * What a decoder took from the front of the bytes.
 *
 * There must be progress: if nothing is taken, there must be a `next`.
 *
 * @typeParam T The type of a frame.
 *
 * @example Empty lines are skipped
 * ```ts
 * import { type Decoded, lines } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const line = lines();
 * function decode(bytes: Uint8Array): Decoded<string> | null {
 *   const found = line.decode(bytes, 0, false);
 *   if (found === null || "need" in found) return null;
 *   return found.frame === "" ? { taken: found.taken } : found;
 * }
 *
 * assertEquals(decode(new TextEncoder().encode("\r\nhello\n")), { taken: 2 });
 * assertEquals(decode(new TextEncoder().encode("hello\n")), {
 *   frame: "hello",
 *   taken: 6,
 * });
 * ```
 *
 * @category Frames
 */
export interface Decoded<T> {
  /** The frame; left out where the bytes that were taken complete none. */
  readonly frame?: T;
  /**
   * How many bytes were taken. It may exceed what has arrived: the rest is dropped as it arrives,
   * and a stream that ends before that has ended inside a frame.
   */
  readonly taken: number;
  /**
   * The decoder for what follows; the same one if left out. This is how "skip to the next line" or
   * "now the body" is remembered. Until it is the codec itself again, an end of the stream is
   * inside a frame, unless this decoder, called with no bytes left, brings the codec back.
   *
   * A codec that wraps another one must wrap this, too; {@linkcode mapped} does.
   */
  readonly next?: Decoder<T>;
}

/**
 * How many bytes must have arrived before it makes sense to call the decoder again.
 *
 * @typeParam T The type of a frame.
 *
 * @example Wait for the whole frame
 * ```ts
 * import { lengthPrefixed, type Need } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const missing: Need<Uint8Array> = { need: 2 + 300 };
 * const prefix = new Uint8Array([1, 44]);
 * assertEquals(lengthPrefixed({ bytes: 2 }).decode(prefix, 0, false), missing);
 * ```
 *
 * @category Frames
 */
export interface Need<T> {
  /** The least length of `bytes` at which to call again; more than there were this time. */
  readonly need: number;
  /**
   * The decoder to call then, if it is another one: it remembers what is in these bytes. Where they
   * are read by other means in the meantime it is discarded, and the decoder that gave this answer
   * is called again.
   */
  readonly next?: Decoder<T>;
}

/**
 * Several frames that were taken at once.
 *
 * @typeParam T The type of a frame.
 *
 * @example Every complete line of a chunk
 * ```ts
 * import { type Batch, lines } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const chunk = new TextEncoder().encode("one\ntwo\nth");
 * const batch: Batch<string> | null = lines().decodeAll!(chunk);
 * assertEquals(batch, { frames: ["one", "two"], taken: 8, seen: 2 });
 * ```
 *
 * @category Frames
 */
export interface Batch<T> {
  /** The frames, in order; at least one. */
  readonly frames: T[];
  /** How many bytes they took. */
  readonly taken: number;
  /**
   * How many bytes after those are known to hold no end of a frame: `seen` of the next call. 0 if
   * left out.
   */
  readonly seen?: number;
}

/**
 * What happens to a frame whose content is larger than `limit`.
 *
 * - `"error"`: a `FrameTooLargeError` is thrown, and nothing of the frame is taken.
 * - `"skip"`: its bytes are dropped as they arrive, and decoding goes on with the next frame.
 * - `"truncate"`: the frame is cut to `limit` bytes and returned once all of it has arrived; the
 *   rest is dropped.
 *
 * @example Drop lines that are too long
 * ```ts
 * import { lines, type Oversize } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const onOversize: Oversize = "skip";
 * const codec = lines({ limit: 5, onOversize });
 * const bytes = new TextEncoder().encode("too long\nshort\n");
 * assertEquals(codec.decode(bytes, 0, false), { taken: 9 });
 * assertEquals(codec.decode(bytes.subarray(9), 0, false), {
 *   frame: "short",
 *   taken: 6,
 * });
 * ```
 *
 * @category Frames
 */
export type Oversize = "error" | "skip" | "truncate";
