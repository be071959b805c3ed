/** Decodes and encodes lines of text. @module */

import { FrameTooLargeError, ProtocolError } from "../../errors.ts";
import { ByteSearch } from "./byte_search.ts";
import { bad, checkBoolean, checkChoice, checkKeys, checkNumber, show } from "../../check.ts";
import type { Batch, Codec, Decoded, Oversize } from "./codec.ts";
import { DropThrough } from "./drop.ts";
import { encodeAt } from "./encode_at.ts";

/**
 * The options of {@linkcode lines}.
 *
 * @example The lines of an IRC server
 * ```ts
 * import { lines, type LinesOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: LinesOptions = {
 *   limit: 510,
 *   ending: "\r\n",
 *   onOversize: "truncate",
 * };
 * assertEquals(
 *   lines(options).encode("PING"),
 *   new TextEncoder().encode("PING\r\n"),
 * );
 * ```
 *
 * @category Frames
 */
export interface LinesOptions {
  /**
   * The most bytes of a line's content, its LF or CRLF not counted; 1 to 2²⁸.
   *
   * @default {65_536}
   */
  limit?: number;
  /**
   * What happens to a line with more content than `limit`. `"truncate"` leaves out a character that
   * does not fit whole.
   *
   * @default {"error"}
   */
  onOversize?: Oversize;
  /**
   * How content without an LF at the end of the stream is taken: as a broken line, so that the end
   * is an error, or as the last line.
   *
   * @default {"error"}
   */
  unterminated?: "error" | "frame";
  /**
   * The encoding of the text: any that `TextDecoder` knows and in which byte 0x0A is always a line
   * feed, and nothing else is. That is all but UTF-16 and ISO-2022-JP. In encodings other than UTF-8
   * only characters of one byte can be sent.
   *
   * @default {"utf-8"}
   */
  encoding?: string;
  /**
   * Whether bytes that are not text in the encoding are an error; otherwise they become U+FFFD, as
   * do lone surrogates that are sent.
   *
   * @default {false}
   */
  fatal?: boolean;
  /**
   * What ends the lines that are sent.
   *
   * @default {"\n"}
   */
  ending?: "\n" | "\r\n";
}

/** The defaults of {@linkcode LinesOptions}. */
export const LINES_DEFAULTS: Required<LinesOptions> = Object.freeze({
  limit: 65_536,
  onOversize: "error",
  unterminated: "error",
  encoding: "utf-8",
  fatal: false,
  ending: "\n",
});

const LF = 10;
const CR = 13;

/** The highest limit in bytes: V8 allows a string twice as much, and text has no more characters than bytes. */
const HIGHEST_LIMIT = 2 ** 28;

/** What failed, as messages about wrong options say it. */
const ATTEMPT = "make lines()";

/**
 * The most bytes to decode in one go, since a line that is kept keeps them all. 8 KiB would save 11 ns
 * of 44 for a line of 16 bytes.
 */
const BATCH = 1024;

/** The longest line to encode character by character: up to there it beats `TextEncoder`. */
const SHORT = 32;

/** Encodings in which 0x0A may be half a character, or depends on the bytes before it. */
const WITHOUT_LINES = ["utf-16le", "utf-16be", "iso-2022-jp"];

/** Finds the end of a line that is dropped. */
const lineEnd = new ByteSearch([Uint8Array.of(LF)]);

const encoder = new TextEncoder();

/**
 * Makes a codec for lines of text, each of which ends with LF or CRLF.
 *
 * The CR right before an LF belongs to the line's end, any other is content; so is a byte order
 * mark. Lines that arrive together are decoded together, up to 1 KiB at a time: that is 7 times as
 * fast, and a line that is kept may keep that much text of its neighbours in memory.
 *
 * @param options The limit, what is done beyond it, and the encoding of the text.
 * @returns The codec. Its `decode` throws `FrameTooLargeError` for more than `limit` bytes of
 * content if `onOversize` is `"error"`, and `ProtocolError` for bytes that are not text if `fatal`
 * is set; the line is not taken then. Its `encode` throws `RangeError` for text over the limit, with
 * an LF in it, with a CR at its end if `ending` is `"\n"` (it would be lost in decoding), or with a
 * character that the encoding cannot send.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If an option is out of range, or the encoding is unknown or has no lines.
 *
 * @example Both line ends, and a line that has not arrived whole
 * ```ts
 * import { lines } from "@usher/server";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const codec = lines({ limit: 1024 });
 * const bytes = new TextEncoder().encode("one\ntwo\r\nthr");
 * assertEquals(codec.decode(bytes, 0, false), { frame: "one", taken: 4 });
 * assertEquals(codec.decode(bytes.subarray(4), 0, false), {
 *   frame: "two",
 *   taken: 5,
 * });
 * assertEquals(codec.decode(bytes.subarray(9), 0, false), null);
 *
 * assertEquals(codec.encode("four"), new TextEncoder().encode("four\n"));
 * assertThrows(() => codec.encode("four\nfive"), RangeError, "LF");
 * ```
 *
 * @category Frames
 */
export function lines(options: LinesOptions = {}): Codec<string> {
  const defaults = LINES_DEFAULTS;
  checkKeys(ATTEMPT, options, Object.keys(defaults));
  const {
    limit = defaults.limit,
    onOversize = defaults.onOversize,
    unterminated = defaults.unterminated,
    encoding = defaults.encoding,
    fatal = defaults.fatal,
    ending = defaults.ending,
  } = options;
  checkNumber(ATTEMPT, "limit", limit, 1, HIGHEST_LIMIT);
  checkChoice(ATTEMPT, "onOversize", onOversize, ["error", "skip", "truncate"]);
  checkChoice(ATTEMPT, "unterminated", unterminated, ["error", "frame"]);
  checkBoolean(ATTEMPT, "fatal", fatal);
  checkChoice(ATTEMPT, "ending", ending, ["\n", "\r\n"]);
  checkEncoding(encoding);
  return new Lines({ limit, onOversize, unterminated, encoding, fatal, ending });
}

function checkEncoding(encoding: unknown): void {
  const wanted = 'an encoding in which 0x0A is always a line feed, such as "utf-8"';
  if (typeof encoding !== "string") {
    throw new TypeError(bad(ATTEMPT, "encoding", encoding, wanted));
  }
  let name: string | undefined;
  try {
    name = new TextDecoder(encoding).encoding;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  if (name === undefined || WITHOUT_LINES.includes(name)) {
    throw new RangeError(bad(ATTEMPT, "encoding", encoding, wanted));
  }
}

class Lines implements Codec<string> {
  readonly #options: Required<LinesOptions>;
  readonly #decoder: TextDecoder;
  readonly #isUtf8: boolean;
  readonly #limit: number;
  /** The most bytes of a batch: no complete line in it can be over the limit. */
  readonly #batch: number;
  /** The one-byte characters of an encoding other than UTF-8, made when first needed. */
  #codes: Map<number, number> | undefined;

  constructor(options: Required<LinesOptions>) {
    this.#options = options;
    this.#decoder = newDecoder(options);
    this.#isUtf8 = this.#decoder.encoding === "utf-8";
    this.#limit = options.limit;
    this.#batch = Math.min(BATCH, options.limit + 1);
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<string> | null {
    const limit = this.#limit;
    const lf = bytes.indexOf(LF, seen);
    if (lf >= 0) {
      const size = lf > 0 && bytes[lf - 1] === CR ? lf - 1 : lf;
      if (size > limit) return this.#oversize(bytes, lf + 1, true);
      return { frame: withoutEnd(this.#text(bytes.subarray(0, lf + 1))), taken: lf + 1 };
    }
    const size = bytes.length;
    // A CR as the first byte over the limit may yet belong to the line's end.
    if (size > limit && (size > limit + 1 || bytes[limit] !== CR)) {
      return this.#oversize(bytes, size, false);
    }
    if (!end || this.#options.unterminated === "error" || size === 0) return null;
    if (size > limit) return this.#oversize(bytes, size, true);
    return { frame: this.#text(bytes), taken: size };
  }

  decodeAll(bytes: Uint8Array): Batch<string> | null {
    const part = bytes.length > this.#batch ? bytes.subarray(0, this.#batch) : bytes;
    const taken = part.lastIndexOf(LF) + 1;
    if (taken === 0) return null;
    let text;
    try {
      text = this.#decoder.decode(part.subarray(0, taken));
    } catch {
      return this.#untilInvalid(part);
    }
    // The same as `decode` returns, as no encoding here carries state across an LF.
    const frames: string[] = [];
    for (let from = 0, lf; (lf = text.indexOf("\n", from)) >= 0; from = lf + 1) {
      frames.push(text.slice(from, lf > from && text.charCodeAt(lf - 1) === CR ? lf - 1 : lf));
    }
    return { frames, taken, seen: part.length - taken };
  }

  /** The lines before the first that is not text. */
  #untilInvalid(bytes: Uint8Array): Batch<string> | null {
    const frames: string[] = [];
    let taken = 0;
    try {
      for (let lf; (lf = bytes.indexOf(LF, taken)) >= 0; taken = lf + 1) {
        frames.push(withoutEnd(this.#decoder.decode(bytes.subarray(taken, lf + 1))));
      }
    } catch {
      // `decode` reports the line itself.
    }
    return frames.length === 0 ? null : { frames, taken };
  }

  #text(bytes: Uint8Array): string {
    try {
      return this.#decoder.decode(bytes);
    } catch {
      throw this.#invalid(bytes);
    }
  }

  /** Handles a line over the limit of which `taken` bytes have arrived, all of it or not. */
  #oversize(bytes: Uint8Array, taken: number, complete: boolean): Decoded<string> {
    const { limit, onOversize, unterminated } = this.#options;
    if (onOversize === "error") {
      throw new FrameTooLargeError(
        `Cannot decode a line of more than ${limit} bytes: raise 'limit' to accept longer ones`,
        limit,
      );
    }
    const frame = onOversize === "truncate"
      ? this.#wholeCharacters(bytes.subarray(0, limit))
      : undefined;
    if (!complete) {
      const after = { next: this, frame, orEnd: unterminated === "frame" };
      return { taken, next: new DropThrough(lineEnd, 0, after) };
    }
    return frame === undefined ? { taken } : { frame, taken };
  }

  /** Decodes all but a character at the end that may have been cut. */
  #wholeCharacters(bytes: Uint8Array): string {
    try {
      return newDecoder(this.#options).decode(bytes, { stream: true });
    } catch {
      throw this.#invalid(bytes);
    }
  }

  /** Finds, by bisection, the longest prefix that is text. */
  #invalid(bytes: Uint8Array): ProtocolError {
    let valid = 0;
    for (let invalid = bytes.length + 1; valid + 1 < invalid;) {
      const middle = (valid + invalid) >> 1;
      try {
        newDecoder(this.#options).decode(bytes.subarray(0, middle), { stream: true });
        valid = middle;
      } catch {
        invalid = middle;
      }
    }
    return new ProtocolError(
      `Cannot decode a line that is not ${this.#decoder.encoding}: its byte ${valid} is wrong`,
    );
  }

  encode(frame: string): Uint8Array {
    this.#check(frame);
    const { limit, ending } = this.#options;
    const text = frame + ending;
    const bytes = this.#isUtf8 ? encoder.encode(text) : this.#oneByteEach(text);
    if (bytes.length - ending.length > limit) throw tooLong(limit);
    return bytes;
  }

  encodeInto(frame: string, room: Uint8Array): number | null {
    const placed = this[encodeAt](frame, room, 0);
    if (placed !== null) return placed;
    this.#check(frame);
    const { limit, ending } = this.#options;
    if (frame.length + ending.length > room.length) return null;
    if (!this.#isUtf8) return copyInto(this.encode(frame), room);
    const { read, written } = encoder.encodeInto(frame, room);
    if (read < frame.length) return null;
    if (written > limit) throw tooLong(limit);
    if (written + ending.length > room.length) return null;
    let size = written;
    if (ending === "\r\n") room[size++] = CR;
    room[size++] = LF;
    return size;
  }

  [encodeAt](frame: string, room: Uint8Array, at: number): number | null {
    if (typeof frame !== "string" || frame.length > SHORT) return null;
    const { limit, ending } = this.#options;
    const size = writeAscii(frame, room, at);
    if (size < 0 || size > limit) return null;
    let end = at + size;
    if (ending === "\r\n") room[end++] = CR;
    else if (size > 0 && room[end - 1] === CR) return null;
    if (end >= room.length) return null;
    room[end++] = LF;
    return end - at;
  }

  /** Refuses text that would not be decoded to the same text. */
  #check(frame: string): void {
    if (typeof frame !== "string") {
      throw new TypeError(`Cannot encode ${show(frame)} as a line: use a string`);
    }
    if (frame.includes("\n")) {
      throw new RangeError("Cannot encode a line with an LF in it: send it as several lines");
    }
    const { ending, fatal } = this.#options;
    if (ending === "\n" && frame.endsWith("\r")) {
      throw new RangeError(
        "Cannot encode a line with a CR at its end: with an 'ending' of LF it would be lost in decoding",
      );
    }
    if (fatal && !frame.isWellFormed()) {
      throw new RangeError(
        "Cannot encode a line with a lone surrogate in it: use well-formed text, or no 'fatal'",
      );
    }
  }

  #oneByteEach(text: string): Uint8Array {
    this.#codes ??= oneByteCharacters(this.#options);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) {
      const byte = this.#codes.get(text.charCodeAt(i));
      if (byte === undefined) {
        const character = show(String.fromCodePoint(text.codePointAt(i)!));
        throw new RangeError(
          `Cannot encode ${character}: it is not one byte in ${this.#decoder.encoding}`,
        );
      }
      bytes[i] = byte;
    }
    return bytes;
  }
}

function newDecoder({ encoding, fatal }: Required<LinesOptions>): TextDecoder {
  return new TextDecoder(encoding, { fatal, ignoreBOM: true });
}

function withoutEnd(line: string): string {
  return line.slice(0, line.charCodeAt(line.length - 2) === CR ? -2 : -1);
}

function tooLong(limit: number): RangeError {
  return new RangeError(
    `Cannot encode a line of more than ${limit} bytes: raise 'limit' to send longer ones`,
  );
}

/** Writes text from `at` on if it is ASCII without an LF, as far as the room reaches; its length, or -1. */
function writeAscii(text: string, room: Uint8Array, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127 || code === LF) return -1;
    room[at + i] = code;
  }
  return text.length;
}

function copyInto(bytes: Uint8Array, room: Uint8Array): number | null {
  if (bytes.length > room.length) return null;
  room.set(bytes);
  return bytes.length;
}

/** The characters that are one byte in an encoding, each with that byte. */
function oneByteCharacters(options: Required<LinesOptions>): Map<number, number> {
  const decoder = newDecoder({ ...options, fatal: false });
  const codes = new Map<number, number>();
  for (let byte = 0; byte < 256; byte++) {
    // With an LF after it, the first byte of a longer character decodes to something else.
    const text = decoder.decode(Uint8Array.of(byte, LF));
    if (text.length === 2 && text[0] !== "\ufffd") codes.set(text.charCodeAt(0), byte);
  }
  return codes;
}
