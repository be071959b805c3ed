/** Finds the next frame in the bytes that have arrived. @module */

import type { Batch, Decoded, Decoder, Need } from "../wire/codec/codec.ts";
import { Slab } from "./slab.ts";

/**
 * Bytes up to which all that has arrived is copied before frames that are small parts of it are decoded:
 * what one that is kept keeps then, as by `Slab.ownedAll`. A copy of each frame was 15 % of an echo of
 * 64 bytes at a depth of 4 and of 12.
 */
const MOST_COPIED = 1024;

/** The bytes that an {@linkcode Unframer} takes frames from. */
export interface Arrived {
  /** Those that have arrived and are not taken; their memory is not written again. */
  readonly buffered: Uint8Array<ArrayBuffer>;
  /** How many those are. */
  readonly length: number;
  /** Where in the stream the first of them stands. */
  readonly position: number;
  /** Takes the first `n` of them; frames may be views of them. */
  drop(n: number): void;
  /** Has room made for `length` bytes in one piece. */
  reserve(length: number): void;
  /** What has to rewind before anything else takes bytes. */
  readAhead: ReadAhead | undefined;
}

/** A reader that decoded frames ahead of its consumer. */
export interface ReadAhead {
  /** Takes the bytes of the frames that were given out, and no others. */
  rewind(): void;
}

/** Frames that were decoded together, of which the first `given` were given out. */
interface Ahead<T> extends Batch<T> {
  given: number;
}

/**
 * Drives a decoder over bytes as they arrive: the one place that knows where the decoder stands
 * between two frames and inside one. Synchronous, and without a socket: the same bytes give the same
 * frames, however they were cut on the way.
 *
 * Bytes that something else takes from the same stream meanwhile are noticed by their position: the
 * decoder then begins with a new frame.
 *
 * @typeParam T What a frame is.
 */
export class Unframer<T> implements ReadAhead {
  /** No frame is complete; `null` and `undefined` may be frames. */
  static readonly NO_FRAME: unique symbol = Symbol("no frame");

  readonly #arrived: Arrived;
  readonly #codec: Decoder<T>;
  #decoder: Decoder<T>;
  /** What a `need` has put in place of the decoder for the bytes that are here: it remembers them. */
  #resumed: Decoder<T> | undefined;
  /** Frames decoded together; their bytes are taken when the last was given out. */
  #ahead: Ahead<T> | undefined;
  /** Decode all that is complete together: pays unless something else reads between the frames. */
  #together: boolean;
  /** The frames of the last batch were parts of what they are too small to keep. */
  #copiesFirst = false;
  /** Where in the stream the decoder has got to: everything before is taken. */
  #at = 0;
  /** Bytes behind that place which hold no end of a frame. */
  #seen = 0;
  /** Bytes behind that place without which asking the decoder is useless. */
  #need = 1;
  /** Bytes behind that place which belong to no frame: they are dropped as they come. */
  #drop = 0;
  /** What the decoder threw, which is final. */
  #failure: { readonly error: unknown } | undefined;
  /** Boundaries between frames that were passed: as long as it stays, the same frame has begun. */
  boundaries = 0;

  /**
   * @param arrived Where the bytes are.
   * @param codec Decodes the first frame, and every one after it until it names another decoder.
   * @param together Whether several frames may be decoded before the first is given out.
   */
  constructor(arrived: Arrived, codec: Decoder<T>, together: boolean) {
    this.#arrived = arrived;
    this.#codec = codec;
    this.#decoder = codec;
    this.#together = together;
  }

  /** A part of a frame has arrived, though it may be dropped already. */
  get begun(): boolean {
    return this.#arrived.length > 0 || this.#drop > 0 || this.#decoder !== this.#codec;
  }

  /** Where the stream is when it ends here: inside what; `undefined` between frames. */
  get inside(): string | undefined {
    if (this.#drop > 0) return `${this.#drop} bytes before a frame's end`;
    return this.begun ? `inside a frame, after ${this.#arrived.length} bytes of it` : undefined;
  }

  /** Some of the frames that were decoded together are not given out. */
  get hasAhead(): boolean {
    const ahead = this.#ahead;
    return ahead !== undefined && ahead.given < ahead.frames.length;
  }

  /** The next of the frames that were decoded together. */
  nextAhead(): T | typeof Unframer.NO_FRAME {
    const ahead = this.#ahead;
    if (ahead === undefined || ahead.given === ahead.frames.length) return Unframer.NO_FRAME;
    return ahead.frames[ahead.given++]!;
  }

  /**
   * The first frame in what has arrived. Any that was decoded ahead comes first, see
   * {@linkcode nextAhead}, and {@linkcode rewind} before anything else.
   *
   * @param end Whether nothing more will arrive.
   * @throws What the decoder throws, now and each time from then on; the bytes stay.
   */
  next(end: boolean): T | typeof Unframer.NO_FRAME {
    if (this.#failure !== undefined) throw this.#failure.error;
    for (;;) {
      if (this.#at !== this.#arrived.position) this.#skipTaken();
      if (this.#drop > 0) this.#dropArrived();
      const { buffered } = this.#arrived;
      if (!this.#isAskable(buffered.length, end)) {
        // Room is made as more comes, not once as it was announced.
        if (buffered.length > 0) this.#arrived.reserve(this.#need);
        return Unframer.NO_FRAME;
      }
      if (this.#together && this.#seen === 0 && this.#resumed === undefined) {
        const frame = this.#decodeTogether(buffered);
        if (frame !== Unframer.NO_FRAME) return frame;
      }
      const answer = this.#ask(buffered, end);
      if (answer === null || "need" in answer) return Unframer.NO_FRAME;
      if ("frame" in answer) {
        this.boundaries++;
        return owned(answer.frame!, buffered);
      }
    }
  }

  rewind(): void {
    const ahead = this.#ahead;
    if (ahead === undefined) return;
    this.#ahead = undefined;
    this.#arrived.readAhead = undefined;
    if (ahead.given === ahead.frames.length) {
      this.#take(ahead.taken);
      this.#seen = ahead.seen ?? 0;
      return;
    }
    // Decoding is pure: the same bytes give the same frames again, one by one this time. A protocol
    // that does this once will do it again, and decoding ahead is then work in vain.
    this.#together = false;
    for (let i = 0; i < ahead.given; i++) {
      const decoded = this.#decoder.decode(this.#arrived.buffered, 0, false) as Decoded<T>;
      this.#take(decoded.taken);
    }
  }

  #isAskable(length: number, end: boolean): boolean {
    if (length > 0) return end || length >= this.#need;
    // A decoder that was brought in may have kept a frame for the end.
    return end && this.#drop === 0 && this.#decoder !== this.#codec;
  }

  #decodeTogether(bytes: Uint8Array<ArrayBuffer>): T | typeof Unframer.NO_FRAME {
    if (bytes.length === 0) return Unframer.NO_FRAME;
    const isCopied = this.#copiesFirst && bytes.length <= MOST_COPIED &&
      bytes.buffer.byteLength > MOST_COPIED;
    const from = isCopied ? bytes.slice() : bytes;
    const batch = this.#decoder.decodeAll?.(from) ?? null;
    if (batch === null) return Unframer.NO_FRAME;
    const { taken, seen = 0 } = batch;
    if (!(taken > 0) || batch.frames.length === 0) throw tookNothing();
    const frames = isCopied ? batch.frames : ownedAll(batch.frames, bytes);
    this.#copiesFirst = isCopied ? isPart(frames[0], from) : frames[0] !== batch.frames[0];
    this.#ahead = { frames, taken, seen, given: 1 };
    this.#arrived.readAhead = this;
    this.boundaries++;
    return frames[0]!;
  }

  /** Asks for one frame, and takes what belongs to it. */
  #ask(bytes: Uint8Array, end: boolean): Decoded<T> | Need<T> | null {
    const decoder = this.#resumed ?? this.#decoder;
    let answer;
    try {
      answer = decoder.decode(bytes, this.#seen, end);
    } catch (error) {
      // Asked again it might take half a frame for a whole one.
      this.#failure = { error };
      throw error;
    }
    if (answer === null) {
      this.#seen = bytes.length;
      this.#need = bytes.length + 1;
    } else if ("need" in answer) {
      this.#seen = bytes.length;
      this.#need = answer.need;
      this.#arrived.reserve(answer.need);
      if (answer.next !== undefined) {
        this.#resumed = answer.next;
        this.#seen = 0;
      }
    } else {
      if (!(answer.taken > 0) && answer.next === undefined) throw tookNothing();
      this.#decoder = answer.next ?? decoder;
      this.#drop = Math.max(0, answer.taken - bytes.length);
      this.#take(answer.taken - this.#drop);
      this.#passBoundary();
    }
    return answer;
  }

  /** Takes the first `n` bytes: the decoder begins behind them, with a frame it has seen nothing of. */
  #take(n: number): void {
    this.#arrived.drop(n);
    this.#at = this.#arrived.position;
    this.#resumed = undefined;
    this.#seen = 0;
    this.#need = 1;
  }

  #dropArrived(): void {
    const n = Math.min(this.#drop, this.#arrived.length);
    this.#drop -= n;
    this.#take(n);
    this.#passBoundary();
  }

  #passBoundary(): void {
    if (this.#drop === 0 && this.#decoder === this.#codec) this.boundaries++;
  }

  /** Something else has taken bytes: what was seen of a frame is gone, and so may be what to drop. */
  #skipTaken(): void {
    this.#drop = Math.max(0, this.#drop - (this.#arrived.position - this.#at));
    this.#take(0);
    this.boundaries++;
  }
}

/** The frame, without the memory of the others where it is a small part of that. */
function owned<T>(frame: T, bytes: Uint8Array<ArrayBuffer>): T {
  return isPart(frame, bytes) ? Slab.owned(frame) as T & Uint8Array<ArrayBuffer> : frame;
}

function isPart(frame: unknown, bytes: Uint8Array<ArrayBuffer>): frame is Uint8Array<ArrayBuffer> {
  return frame instanceof Uint8Array && frame.buffer === bytes.buffer;
}

/** The same for the frames of a batch. */
function ownedAll<T>(frames: T[], bytes: Uint8Array<ArrayBuffer>): T[] {
  let parts = 0;
  for (const frame of frames) if (isPart(frame, bytes)) parts++;
  if (parts === 0) return frames;
  if (parts < frames.length) return frames.map((frame) => owned(frame, bytes));
  return Slab.ownedAll(frames as Uint8Array<ArrayBuffer>[]) as T[];
}

function tookNothing(): TypeError {
  return new TypeError("Cannot decode: the codec took nothing, so it would be asked forever");
}
