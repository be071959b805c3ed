/** Codecs as users would write them, one that checks how it is called, and streams for all of them. @module */

import { assert, assertEquals, assertFalse } from "@std/assert";
import fc from "fast-check";
import type { Codec, Decoded, Decoder, Need } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { bytes, text } from "./bytes.ts";

/** One byte with the length of the text that follows. */
export const short: Codec<string> = {
  decode(bytes) {
    const end = 1 + (bytes[0] ?? 0);
    return bytes.length < end ? { need: end } : { frame: text(bytes.subarray(1, end)), taken: end };
  },
  encode: (frame) => new Uint8Array([frame.length, ...bytes`${frame}`]),
};

/** The same, decoding as many as have arrived at once. */
export const shortInBatches: Codec<string> = {
  ...short,
  decodeAll(bytes) {
    const frames: string[] = [];
    let taken = 0;
    for (let found; (found = short.decode(bytes.subarray(taken), 0, false)) !== null;) {
      if ("need" in found || taken === bytes.length) break;
      frames.push(found.frame!);
      taken += found.taken;
    }
    return frames.length === 0 ? null : { frames, taken };
  },
};

/** Letters that end with a dot; `null` until that has arrived, with a count of scanned bytes. */
export class Dotted implements Codec<string> {
  looked = 0;

  decode(bytes: Uint8Array, seen: number): Decoded<string> | null {
    const at = bytes.indexOf(46, seen);
    this.looked += (at < 0 ? bytes.length : at + 1) - seen;
    return at < 0 ? null : { frame: text(bytes.subarray(0, at)), taken: at + 1 };
  }

  encode(frame: string): Uint8Array {
    return bytes`${frame}.`;
  }
}

/** A header of one byte with the length of the body, and another decoder for that. */
export const headed: Codec<string> = {
  decode(head) {
    return { taken: 1, next: bodyOf(head[0]!) };
  },
  encode: short.encode,
};

function bodyOf(length: number): Decoder<string> {
  return {
    decode: (bytes) =>
      bytes.length < length
        ? { need: length }
        : { frame: text(bytes.subarray(0, length)), taken: length, next: headed },
  };
}

/** Decodes with `decode` and does nothing else. */
export function decoding<T>(decode: Decoder<T>["decode"]): Codec<T> {
  return { decode, encode: () => new Uint8Array(0) };
}

/**
 * A codec that fails unless it is asked as its contract says: about bytes that only grow, with how many
 * of them it has seen, never too early, never again after an error.
 */
export class Strict<T> implements Codec<T> {
  readonly #codec: Codec<T>;
  readonly #wrapped = new Map<Decoder<T>, Decoder<T>>();
  #last: { by: Decoder<T>; bytes: Uint8Array; need: number } | undefined;
  /** What the last batch said of the bytes behind it. */
  #seen = 0;
  #failed = false;
  readonly decodeAll?: NonNullable<Codec<T>["decodeAll"]>;

  constructor(codec: Codec<T>) {
    this.#codec = codec;
    this.#wrapped.set(codec, this);
    if (codec.decodeAll !== undefined) {
      this.decodeAll = (bytes) => {
        assert(bytes.length > 0);
        assertEquals(this.#last, undefined, "asked for all though some was seen");
        assertEquals(this.#seen, 0, "asked for all though the last batch has seen some");
        const batch = codec.decodeAll!(bytes);
        this.#seen = batch?.seen ?? 0;
        return batch;
      };
    }
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<T> | Need<T> | null {
    return this.#ask(this.#codec, bytes, seen, end);
  }

  encode(frame: T): Uint8Array {
    return this.#codec.encode(frame);
  }

  #ask(by: Decoder<T>, bytes: Uint8Array, seen: number, end: boolean) {
    assertFalse(this.#failed, "asked again after an error");
    assert(bytes.length > 0 || (end && by !== this.#codec), "asked about nothing");
    if (this.#last !== undefined) {
      assertEquals(bytes.subarray(0, this.#last.bytes.length), this.#last.bytes);
      assert(end || bytes.length > this.#last.bytes.length, "asked again about the same");
      assert(end || bytes.length >= this.#last.need, "asked too early");
    }
    if (this.#last === undefined) assertEquals(seen, this.#seen);
    else assertEquals(seen, this.#last.bytes.length);
    this.#seen = 0;
    let answer;
    try {
      answer = by.decode(bytes, seen, end);
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    if (answer === null) this.#last = { by, bytes: bytes.slice(), need: 0 };
    else if ("need" in answer) {
      this.#last = { by: answer.next ?? by, bytes: bytes.slice(), need: answer.need };
      if (this.#last.by !== by) this.#last.bytes = bytes.slice();
    } else this.#last = undefined;
    if (answer?.next === undefined) return answer;
    return { ...answer, next: this.#wrap(answer.next) };
  }

  #wrap(decoder: Decoder<T>): Decoder<T> {
    let wrapped = this.#wrapped.get(decoder);
    if (wrapped === undefined) {
      wrapped = { decode: (bytes, seen, end) => this.#askNext(decoder, bytes, seen, end) };
      this.#wrapped.set(decoder, wrapped);
    }
    return wrapped;
  }

  /** A decoder that a `Need` brings in starts anew, with bytes that another one has seen. */
  #askNext(by: Decoder<T>, bytes: Uint8Array, seen: number, end: boolean) {
    if (this.#last?.by === by && seen === 0) this.#last = undefined;
    return this.#ask(by, bytes, seen, end);
  }
}

/** One of each kind, including the library's own. */
export const CODECS: Record<string, () => Codec<unknown>> = {
  "a toy": () => short,
  "a toy in batches": () => shortInBatches,
  "a toy that returns null": () => new Dotted(),
  "a toy of two decoders": () => headed,
  "lines()": () => lines(),
  "lines() with a limit": () => lines({ limit: 4 }),
  "lines() that skip": () => lines({ limit: 3, onOversize: "skip" }),
  "lines() that truncate": () => lines({ limit: 3, onOversize: "truncate" }),
  "lines() that truncate, the last without an end": () =>
    lines({ limit: 3, onOversize: "truncate", unterminated: "frame" }),
  "delimited() by a byte": () => delimited("a"),
  "delimited() by many": () => delimited("aba", { unterminated: "frame" }),
  "delimited() by several": () => delimited(["\r\n", "\n", "bb"], { limit: 5 }),
  "delimited() that skip": () => delimited("aba", { limit: 2, onOversize: "skip" }),
  "delimited() that truncate": () =>
    delimited("\r\n", { limit: 2, onOversize: "truncate", unterminated: "frame" }),
  "lengthPrefixed()": () => lengthPrefixed({ bytes: 1 }),
  "lengthPrefixed() that skip": () => lengthPrefixed({ bytes: 1, limit: 3, onOversize: "skip" }),
  "lengthPrefixed() that truncate": () =>
    lengthPrefixed({ bytes: 1, limit: 3, onOversize: "truncate" }),
  "lengthPrefixed() by varint": () => lengthPrefixed({ bytes: "varint", limit: 9 }),
};

/** Bytes of which many are special to a codec. */
export const streams: fc.Arbitrary<Uint8Array> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...bytes`ab\r\n.`) },
    { weight: 2, arbitrary: fc.nat(6) },
    fc.constantFrom(0, 128, 255, 46),
  ),
  { maxLength: 60, size: "max" },
).map((list) => Uint8Array.from(list));

/** Sizes of the chunks of a stream. */
export const sizes: fc.Arbitrary<number[]> = fc.array(
  fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 12 })),
  {
    maxLength: 60,
    size: "max",
  },
);
