/** Holds frames that many connections send, once for all of them. @module */

import type { Rooms } from "./rooms.ts";

/** Bytes of a new buffer at least: it mostly takes one short frame, or some of one turn. */
const LEAST_SIZE = 256;

/** Bytes from which on the next frame gets a new buffer, as a slow connection keeps all of this one. */
const MOST_JOINED = 65536;

/**
 * Frames one behind the other, of which each connection sends a range. A peer that does not read holds
 * one range, however many frames it is behind, and the bytes only together with all others.
 */
export class SharedFrames {
  #bytes: Uint8Array;
  #length = 0;
  /** Ranges that have not left. */
  #held = 0;
  /** What counts the memory meanwhile, once: that of the first connection which holds a range. */
  #rooms: Rooms | undefined;
  /** The range given out last: most connections send the same. */
  #view: Uint8Array | undefined;

  constructor(size: number) {
    this.#bytes = new Uint8Array(Math.max(size, LEAST_SIZE));
  }

  /** Bytes of all frames. */
  get length(): number {
    return this.#length;
  }

  /** Whether further frames belong here: some connection has not sent the ones before. */
  get isOpen(): boolean {
    return this.#held > 0 && this.#length < MOST_JOINED;
  }

  /** Copies a frame behind the others. */
  append(frame: Uint8Array): void {
    const length = this.#length + frame.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#rooms?.take(larger.length - this.#bytes.length);
      this.#bytes = larger;
      this.#view = undefined;
    }
    this.#bytes.set(frame, this.#length);
    this.#length = length;
  }

  /** The bytes of a range. They are not written to again. */
  slice(from: number, to: number): Uint8Array {
    const view = this.#view;
    if (view?.byteOffset === from && view.length === to - from) return view;
    return this.#view = this.#bytes.subarray(from, to);
  }

  /** A range of it is to be sent by a connection whose memory `rooms` counts. */
  hold(rooms: Rooms): void {
    if (this.#held++ > 0) return;
    this.#rooms = rooms;
    rooms.take(this.#bytes.length);
  }

  /** It has left, or never will. */
  release(): void {
    if (--this.#held > 0) return;
    this.#rooms!.give(this.#bytes.length);
    this.#rooms = undefined;
  }
}

/** What one connection has still to send of {@linkcode SharedFrames}. */
export class SharedRange {
  readonly #frames: SharedFrames;
  readonly #from: number;
  #to: number;
  #isHeld = true;

  /** @param rooms What counts the memory of the connection's server. */
  constructor(frames: SharedFrames, from: number, to: number, rooms: Rooms) {
    this.#frames = frames;
    this.#from = from;
    this.#to = to;
    frames.hold(rooms);
  }

  get length(): number {
    return this.#to - this.#from;
  }

  get bytes(): Uint8Array {
    return this.#frames.slice(this.#from, this.#to);
  }

  /** Takes in what follows directly; whether it does. */
  extend(frames: SharedFrames, from: number, to: number): boolean {
    if (frames !== this.#frames || from !== this.#to) return false;
    this.#to = to;
    return true;
  }

  /** It has left, or never will; safe to call twice, for what had just left when its connection closed. */
  release(): void {
    if (this.#isHeld) this.#frames.release();
    this.#isHeld = false;
  }
}
