/** What is a codec? @module */

/**
 * How bytes become frames.
 *
 * A decoder is a pure function with a name: it keeps nothing between two calls, so one of them
 * serves any number of connections at once. What it has to remember, it says in its answer, as
 * {@linkcode Decoded.next}.
 *
 * @typeParam T What a frame is.
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
 */
export interface Decoder<T> {
  /**
   * Takes the first frame from the front of what has arrived.
   *
   * The memory of `bytes` is never written again by whoever asks, so a frame may be a view of it.
   *
   * Throwing is final: nothing is taken, the bytes stay with the connection, and this decoder is
   * not asked again.
   *
   * @param bytes What has arrived and is not taken. It is empty only at the end of the stream, and
   * then only if a {@linkcode Decoded.next} brought this decoder in.
   * @param seen For how many bytes at the front this decoder has answered `null` or a
   * {@linkcode Need}, so that nothing is searched twice. 0 for a new frame and a new decoder.
   * @param end Whether this is all there will ever be. A `null` or a {@linkcode Need} then means
   * that the stream ended inside a frame, which is reported as `Deno.errors.UnexpectedEof`.
   * @returns What was taken; `null` to be asked again when more has arrived; or how much more is
   * needed.
   */
  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<T> | Need<T> | null;

  /**
   * Takes every complete frame from the front in one go, or as many of them as it likes.
   *
   * Where it exists it is asked first for each new frame (when `seen` would be 0); `decode` is
   * asked when it has none. It must give the frames that `decode` would give, one after the other,
   * and so leaves whatever is not an ordinary complete frame to `decode`: what is too large,
   * skipped, wrong or brings in another decoder. It does not throw.
   *
   * @param bytes What has arrived and is not taken.
   * @returns The frames, at least one, or `null`.
   */
  decodeAll?(bytes: Uint8Array): Batch<T> | null;
}

/**
 * How frames become bytes and back.
 *
 * @typeParam T What a frame is.
 *
 * @example One JSON value on each line
 * ```ts
 * import { type Codec, lines, ProtocolError } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const line = lines();
 * const json: Codec<unknown> = {
 *   decode(bytes, seen, end) {
 *     const found = line.decode(bytes, seen, end);
 *     if (found === null || "need" in found || found.frame === undefined) return null;
 *     try {
 *       return { frame: JSON.parse(found.frame), taken: found.taken };
 *     } catch {
 *       throw new ProtocolError("Cannot take a line that is not JSON");
 *     }
 *   },
 *   encode: (frame) => line.encode(JSON.stringify(frame)),
 * };
 *
 * const bytes = json.encode({ ok: true });
 * assertEquals(json.decode(bytes, 0, false), { frame: { ok: true }, taken: 12 });
 * ```
 */
export interface Codec<T> extends Decoder<T> {
  /**
   * Writes a frame down in memory of its own: nobody changes it later, and it is no part of
   * `frame`.
   *
   * @param frame The frame.
   * @returns Its bytes, as `decode` takes them.
   * @throws {RangeError} If no bytes would decode to this frame.
   */
  encode(frame: T): Uint8Array;

  /**
   * Writes a frame down at the front of `room`, which saves an allocation for each small frame.
   * Where it exists it is asked first.
   *
   * @param frame The frame.
   * @param room Where to write. What is in it after `null` or an error does not matter.
   * @returns How many bytes were written, or `null` if the frame does not fit: then `encode` is
   * asked.
   * @throws {RangeError} If no bytes would decode to this frame.
   */
  encodeInto?(frame: T, room: Uint8Array): number | null;
}

/**
 * What a decoder took from the front of the bytes.
 *
 * Something must happen: if nothing is taken, there must be a `next`.
 *
 * @typeParam T What a frame is.
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
 * assertEquals(decode(new TextEncoder().encode("hello\n")), { frame: "hello", taken: 6 });
 * ```
 */
export interface Decoded<T> {
  /** The frame. Without one, bytes were taken and belong to none. */
  readonly frame?: T;
  /**
   * How many bytes were taken. It may be more than there were: the rest is dropped as it comes, and
   * if the stream ends before that, it ended inside a frame.
   */
  readonly taken: number;
  /**
   * The decoder for what follows; the same one if left out. This is how "skip to the next line" or
   * "now the body" is remembered. As long as it is not the codec itself again, the end of the
   * stream is inside a frame, unless this decoder, asked with no bytes left, brings the codec back.
   *
   * A codec that wraps another one must wrap this, too.
   */
  readonly next?: Decoder<T>;
}

/**
 * How many bytes must be there before it makes sense to ask again.
 *
 * @typeParam T What a frame is.
 *
 * @example Ask for the whole frame at once
 * ```ts
 * import { lengthPrefixed, type Need } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const missing: Need<Uint8Array> = { need: 2 + 300 };
 * const prefix = new Uint8Array([1, 44]);
 * assertEquals(lengthPrefixed({ bytes: 2 }).decode(prefix, 0, false), missing);
 * ```
 */
export interface Need<T> {
  /** The least length of `bytes` at which to ask again; it is more than there were. */
  readonly need: number;
  /**
   * The decoder to ask then, if it is another one: it remembers what is in these bytes. If somebody
   * else takes them meanwhile, it is of no use, and the decoder that gave this answer is asked
   * again.
   */
  readonly next?: Decoder<T>;
}

/**
 * Several frames that were taken at once.
 *
 * @typeParam T What a frame is.
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
 */
export interface Batch<T> {
  /** The frames, in order; at least one. */
  readonly frames: T[];
  /** How many bytes they took. */
  readonly taken: number;
  /**
   * How many bytes after those are known to hold no end of a frame: `seen` for the next question.
   * 0 if left out.
   */
  readonly seen?: number;
}

/**
 * What becomes of a frame whose content is larger than `limit`.
 *
 * - `"error"`: a `FrameTooLargeError` is thrown, and nothing of the frame is taken.
 * - `"skip"`: its bytes are dropped as they come, and the next frame is taken.
 * - `"truncate"`: the frame is cut to `limit` bytes; it comes when all of it has come, the rest is
 *   dropped.
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
 * assertEquals(codec.decode(bytes.subarray(9), 0, false), { frame: "short", taken: 6 });
 * ```
 */
export type Oversize = "error" | "skip" | "truncate";
