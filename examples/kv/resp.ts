/** RESP2, the protocol of Redis, as codecs. @module */

import {
  type Batch,
  type Codec,
  type Decoded,
  type Decoder,
  type Need,
  ProtocolError,
} from "jsr:@usher/server@^0.2.0";
import { fromLatin1, latin1, parseInteger } from "./text.ts";
import { wordsOf } from "./words.ts";

/** A command: its name and its arguments, each of which may be any bytes. */
export type Command = readonly Uint8Array[];

/** A reply to a command. */
export type Reply = Status | Failure | number | bigint | Uint8Array | null | readonly Reply[];

/** One line of text, encoded once and sent often. */
class Line {
  readonly text: string;
  readonly line: Uint8Array;

  constructor(mark: string, text: string) {
    // An LF inside would end it, and the rest would be taken for another reply.
    this.text = text.replaceAll(/[\r\n]/g, " ");
    this.line = new TextEncoder().encode(`${mark}${this.text}\r\n`);
  }
}

/** A simple string: success, and which kind. */
export class Status extends Line {
  constructor(text: string) {
    super("+", text);
  }
}

/** A simple error; its first word is the kind of error. */
export class Failure extends Line {
  constructor(text: string) {
    super("-", text);
  }
}

/** Bytes of one string: 1 MiB. */
const MOST_BYTES = 1_048_576;

/** Members of one array. Each takes 100 bytes of memory, however small it is. */
const MOST_MEMBERS = 65_536;

/** Bytes of one command or reply in total: 16 MiB. */
const MOST_IN_ALL = 16_777_216;

/** Bytes of a line; more than any with a number needs. */
const LONGEST_LINE = 65_536;

/** Nested arrays; in a command there are none. */
const DEEPEST = 8;

/** Character codes. */
const LF = 10, CR = 13, SPACE = 32, QUOTE = 34, APOSTROPHE = 39, ZERO = 48;

/** The type bytes. */
const BULK = 36, ARRAY = 42, STATUS = 43, FAILURE = 45, NUMBER = 58;

/**
 * Commands: a server reads them, a client writes them. A command is an array of strings, or a line of
 * words as people type it. Empty ones are skipped, as in Redis.
 */
export const commands: Codec<Command> = {
  decode: (bytes, seen) =>
    bytes[0] === ARRAY ? scan(COMMANDS, START, bytes, seen) : scanWords(bytes, seen),

  /** A loop for well-formed commands takes a tenth of the time that {@linkcode scan} does. */
  decodeAll(bytes): Batch<Command> | null {
    const frames: Command[] = [];
    const cursor = new Cursor(bytes);
    let taken = 0;
    for (let command; (command = cursor.command()) !== null; taken = cursor.at) {
      frames.push(command);
    }
    return taken === 0 ? null : { frames, taken };
  },

  encode,
  encodeInto,
};

/** Replies: a server writes them, a client reads them. */
export const replies: Codec<Reply> = {
  decode: (bytes, seen) => scan(REPLIES, START, bytes, seen),
  encode,
  encodeInto,
};

/** Reads ordinary commands that have arrived whole, and leaves the rest to `decode`. */
class Cursor {
  /** The offset after the last command. */
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  command(): Uint8Array[] | null {
    return this.#bytes[this.at] === ARRAY ? this.#strings() : this.#words();
  }

  #strings(): Uint8Array[] | null {
    const bytes = this.#bytes;
    const from = this.at;
    const count = this.#number(ARRAY);
    if (count < 1 || count > MOST_MEMBERS) return null;
    const command: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const size = this.#number(BULK);
      if (size < 0 || size > MOST_BYTES) return null;
      const end = this.at + size;
      if (end + 2 > bytes.length || end + 2 - from > MOST_IN_ALL) return null;
      if (bytes[end] !== CR || bytes[end + 1] !== LF) return null;
      command.push(bytes.subarray(this.at, end));
      this.at = end + 2;
    }
    return command;
  }

  /** A line of words with nothing but spaces between them. */
  #words(): Uint8Array[] | null {
    const bytes = this.#bytes;
    const command: Uint8Array[] = [];
    const last = Math.min(bytes.length, this.at + LONGEST_LINE);
    for (let at = this.at, word = at; at < last; at++) {
      const byte = bytes[at]!;
      if (byte > SPACE && byte !== QUOTE && byte !== APOSTROPHE) continue;
      const size = byte === LF ? 1 : byte === CR && bytes[at + 1] === LF ? 2 : 0;
      if (size === 0 && byte !== SPACE) return null;
      if (at > word) command.push(bytes.subarray(word, at));
      word = at + 1;
      if (size === 0) continue;
      this.at = at + size;
      return command.length > 0 ? command : null;
    }
    return null;
  }

  /** The number of a line; -1 if it has not arrived, or needs a closer look by `decode`. */
  #number(mark: number): number {
    const bytes = this.#bytes;
    if (bytes[this.at] !== mark) return -1;
    const first = this.at + 1;
    let at = first;
    let value = 0;
    for (; at < bytes.length; at++) {
      const digit = bytes[at]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (at === first || (at > first + 1 && bytes[first] === ZERO)) return -1;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return -1;
    this.at = at + 2;
    return value;
  }
}

/** What may come, and what to continue with after it. */
interface Grammar<T> {
  readonly isCommand: boolean;
  readonly codec: Codec<T>;
}

const COMMANDS: Grammar<Command> = { isCommand: true, codec: commands };
const REPLIES: Grammar<Reply> = { isCommand: false, codec: replies };

/**
 * The progress in a value that has not arrived whole. It is immutable: decoding stays pure, and still
 * no member of an array is read twice.
 */
interface Place {
  /** The offset after the last line or string. */
  readonly at: number;
  /** Bytes of the string that begins there; -1 for a line. */
  readonly size: number;
  /** The innermost array that is not complete. */
  readonly open: OpenArray | null;
}

interface OpenArray {
  /** Members that are missing. */
  readonly left: number;
  readonly last: Member | null;
  /** The array that contains it. */
  readonly around: OpenArray | null;
  readonly depth: number;
}

interface Member {
  readonly value: Reply;
  readonly before: Member | null;
}

const START: Place = { at: 0, size: -1, open: null };

/** Resumes a value where it stopped. */
class Rest<T> implements Decoder<T> {
  readonly #grammar: Grammar<T>;
  readonly #place: Place;

  constructor(grammar: Grammar<T>, place: Place) {
    this.#grammar = grammar;
    this.#place = place;
  }

  decode(bytes: Uint8Array, seen: number): Decoded<T> | Need<T> | null {
    return scan(this.#grammar, this.#place, bytes, seen);
  }
}

function scan<T>(
  grammar: Grammar<T>,
  from: Place,
  bytes: Uint8Array,
  seen: number,
): Decoded<T> | Need<T> | null {
  let { at, size, open } = from;
  for (;;) {
    let value: Reply | undefined;
    if (size < 0) {
      if (at < bytes.length) checkMark(bytes[at]!, open, grammar);
      const lf = bytes.indexOf(LF, Math.max(at, seen));
      if ((lf < 0 ? bytes.length : lf) - at > LONGEST_LINE) throw tooLong(bytes[at]!);
      if (lf < 0) {
        // From the same offset with the same decoder, so that `seen` goes on counting.
        if (at === from.at) return null;
        return { need: bytes.length + 1, next: new Rest(grammar, { at, size, open }) };
      }
      const mark = bytes[at]!;
      const line = lineOf(bytes.subarray(at + 1, lf), mark);
      at = lf + 1;
      if (mark === BULK) {
        size = lengthOf(line, mark, MOST_BYTES);
        if (size < 0) {
          if (size < -1 || grammar.isCommand) throw invalid(mark);
          value = null;
        }
      } else if (mark === ARRAY) {
        const left = lengthOf(line, mark, MOST_MEMBERS);
        if (left <= 0 && grammar.isCommand) return { taken: at, next: grammar.codec };
        if (left < -1) throw invalid(mark);
        if (left <= 0) value = left === 0 ? [] : null;
        else {
          open = { left, last: null, around: open, depth: open === null ? 1 : open.depth + 1 };
          if (open.depth > DEEPEST) throw new ProtocolError("Protocol error: arrays too deep");
        }
      } else if (mark === NUMBER) value = numberOf(line);
      else value = mark === STATUS ? new Status(line) : new Failure(line);
      if (at + Math.max(0, size) > MOST_IN_ALL) {
        throw new ProtocolError("Protocol error: too big request");
      }
    }
    if (size >= 0) {
      const end = at + size;
      if (bytes.length < end + 2) {
        return { need: end + 2, next: new Rest(grammar, { at, size, open }) };
      }
      if (bytes[end] !== CR || bytes[end + 1] !== LF) throw invalid(BULK);
      value = bytes.subarray(at, end);
      at = end + 2;
      size = -1;
    }
    if (value === undefined) continue; // an array has begun

    while (open !== null) {
      const last: Member = { value, before: open.last };
      if (open.left > 1) {
        open = { ...open, left: open.left - 1, last };
        break;
      }
      value = members(last);
      open = open.around;
    }
    if (open === null) return { frame: value as T, taken: at, next: grammar.codec };
  }
}

function members(last: Member): Reply[] {
  const values: Reply[] = [];
  for (let member: Member | null = last; member !== null; member = member.before) {
    values.push(member.value);
  }
  return values.reverse();
}

function checkMark(mark: number, open: OpenArray | null, { isCommand }: Grammar<unknown>): void {
  if (isCommand) {
    if (mark === (open === null ? ARRAY : BULK)) return;
    throw new ProtocolError(`Protocol error: expected '$', got '${printable(mark)}'`);
  }
  if ([BULK, ARRAY, STATUS, FAILURE, NUMBER].includes(mark)) return;
  throw new ProtocolError(`Protocol error: no reply begins with '${printable(mark)}'`);
}

/** The text of a line; `bytes` has its CR, but not its LF. */
function lineOf(bytes: Uint8Array, mark: number): string {
  if (bytes[bytes.length - 1] !== CR) throw invalid(mark);
  const text = bytes.subarray(0, -1);
  return mark === STATUS || mark === FAILURE ? new TextDecoder().decode(text) : latin1(text);
}

function lengthOf(line: string, mark: number, most: number): number {
  const length = parseInteger(line);
  if (length === null || length > most) throw invalid(mark);
  return Number(length);
}

function numberOf(line: string): number | bigint {
  const number = parseInteger(line);
  if (number === null) throw invalid(NUMBER);
  return Number.isSafeInteger(Number(number)) ? Number(number) : number;
}

/** An error in the words of Redis. */
function invalid(mark: number): ProtocolError {
  if (mark === ARRAY) return new ProtocolError("Protocol error: invalid multibulk length");
  if (mark === BULK) return new ProtocolError("Protocol error: invalid bulk length");
  return new ProtocolError("Protocol error: invalid line");
}

function tooLong(mark: number): ProtocolError {
  if (mark === ARRAY) return new ProtocolError("Protocol error: too big mbulk count string");
  if (mark === BULK) return new ProtocolError("Protocol error: too big bulk count string");
  return new ProtocolError("Protocol error: too big inline request");
}

/** A byte as a character that is safe in a message. */
function printable(byte: number): string {
  return byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`;
}

/** Reads an inline command: a line of words, some in quotes, as people type it. */
function scanWords(bytes: Uint8Array, seen: number): Decoded<Command> | null {
  const lf = bytes.indexOf(LF, seen);
  if ((lf < 0 ? bytes.length : lf) > LONGEST_LINE) throw tooLong(STATUS);
  if (lf < 0) return null;
  const command = wordsOf(latin1(bytes.subarray(0, lf)));
  const taken = lf + 1;
  return command.length === 0 ? { taken, next: commands } : { frame: command, taken };
}

/** Writes a reply, or a command, which is an array of strings. */
function encode(reply: Reply): Uint8Array {
  const bytes = new Uint8Array(sizeOf(reply));
  write(reply, bytes, 0);
  return bytes;
}

function encodeInto(reply: Reply, room: Uint8Array): number | null {
  const size = write(reply, room, 0);
  return size < 0 ? null : size;
}

function sizeOf(reply: Reply): number {
  if (reply instanceof Uint8Array) return headerSize(reply.length) + reply.length + 2;
  if (reply instanceof Line) return reply.line.length;
  if (reply === null) return NULL.length;
  if (!isArray(reply)) return String(reply).length + 3;
  return reply.reduce<number>((sum, member) => sum + sizeOf(member), headerSize(reply.length));
}

/** Writes at `at`; returns the offset after it, or -1 if there is no room. */
function write(reply: Reply, room: Uint8Array, at: number): number {
  if (reply instanceof Uint8Array) {
    const { length } = reply;
    if (at + headerSize(length) + length + 2 > room.length) return -1;
    at = writeHeader(BULK, length, room, at);
    room.set(reply, at);
    room[at + length] = CR;
    room[at + length + 1] = LF;
    return at + length + 2;
  }
  if (reply instanceof Line) return writeBytes(reply.line, room, at);
  if (reply === null) return writeBytes(NULL, room, at);
  if (!isArray(reply)) return writeBytes(new TextEncoder().encode(`:${reply}\r\n`), room, at);
  if (at + headerSize(reply.length) > room.length) return -1;
  at = writeHeader(ARRAY, reply.length, room, at);
  for (let i = 0; i < reply.length && at >= 0; i++) at = write(reply[i]!, room, at);
  return at;
}

const NULL = fromLatin1("$-1\r\n");

function writeBytes(bytes: Uint8Array, room: Uint8Array, at: number): number {
  if (at + bytes.length > room.length) return -1;
  room.set(bytes, at);
  return at + bytes.length;
}

/** A mark, the digits, CR and LF. */
function headerSize(length: number): number {
  let size = 4;
  for (let most = 10; length >= most; most *= 10) size++;
  return size;
}

function writeHeader(mark: number, length: number, room: Uint8Array, at: number): number {
  const end = at + headerSize(length);
  room[at] = mark;
  for (let i = end - 3, rest = length; i > at; i--) {
    room[i] = ZERO + rest % 10;
    rest = Math.trunc(rest / 10);
  }
  room[end - 2] = CR;
  room[end - 1] = LF;
  return end;
}

/** Like `Array.isArray`, which does not narrow a readonly array. */
function isArray(reply: Reply): reply is readonly Reply[] {
  return Array.isArray(reply);
}
