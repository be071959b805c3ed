/** Says what must hold for every stream, whatever is in it. @module */

import { assert, assertEquals } from "@std/assert";
import { ProtocolError } from "../../lib/errors.ts";
import { BinaryReader } from "../../lib/wire/binary_reader.ts";
import { BinaryWriter } from "../../lib/wire/binary_writer.ts";
import { type ClientHello, clientHello } from "../../lib/wire/client_hello.ts";
import type { Codec } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { mapped } from "../../lib/wire/codec/mapped.ts";
import { oneOf } from "../../lib/wire/codec/one_of.ts";
import { withHeader } from "../../lib/wire/codec/with_header.ts";
import type { Chance } from "../support/chance.ts";
import { counted, cut, drive, outcome } from "../wire/codec/drive.ts";
import { type Outcome, takeHeader } from "../wire/proxy/take_header.ts";
import { HEADERS, type Sample } from "./headers.ts";
import { HELLOS } from "./hellos.ts";
import { READS } from "./reads.ts";
import { WRITES } from "./writes.ts";

/** One stream to try. */
export interface Trial {
  readonly stream: Uint8Array;
  /** Decodes all of it at once, which is timed. */
  run(): void;
  /** Asserts what must hold. */
  check(): void;
}

/** The kinds of trials. */
export const TRIALS: Record<string, (chance: Chance) => Trial> = {
  ...Object.fromEntries(
    Object.entries(HEADERS).map(([name, make]) => [
      name,
      (chance: Chance) => headerTrial(make(chance), chance),
    ]),
  ),
  "lines()": (chance) =>
    codecTrial(
      lines({
        limit: chance.from(1, 12),
        onOversize: chance.pick(["error", "skip", "truncate"]),
        unterminated: chance.pick(["error", "frame"]),
        fatal: chance.onceIn(2),
      }),
      few(chance, [97, 98, 10, 13, 0xc3, 0xa9, 0xff]),
      chance,
    ),
  "delimited()": (chance) =>
    codecTrial(
      delimited(chance.pick([["ab"], ["\r\n", "\n"], ["aab", "b"], ["\0"]]), {
        limit: chance.from(1, 12),
        onOversize: chance.pick(["error", "skip", "truncate"]),
        unterminated: chance.pick(["error", "frame"]),
      }),
      few(chance, [97, 97, 98, 10, 13, 0, 99]),
      chance,
    ),
  "lengthPrefixed()": (chance) =>
    codecTrial(
      lengthPrefixed({
        bytes: chance.pick([1, 2, 4, 8, "varint"]),
        limit: chance.from(1, 12),
        onOversize: chance.pick(["error", "skip", "truncate"]),
        includePrefix: chance.onceIn(2),
      }),
      few(chance, [0, 0, 0, 1, 2, 5, 9, 128, 255]),
      chance,
    ),
  "mapped()": (chance) =>
    codecTrial(
      mapped<string, number>(lines({ limit: 9, onOversize: chance.pick(["error", "skip"]) }), {
        decode(line) {
          if (!/^\d+$/.test(line)) throw new ProtocolError("Cannot decode what is not a number");
          return Number(line);
        },
        encode: String,
      }),
      few(chance, [48, 49, 50, 57, 10, 10, 13, chance.pick([48, 120])]),
      chance,
      // A CR before the LF.
      1,
    ),
  "withHeader()": (chance) =>
    codecTrial(
      withHeader<number>({
        parse(bytes) {
          if (bytes.length < 3) return { need: 3 };
          const reader = new BinaryReader(bytes);
          return { header: reader.u8(), taken: 3, size: reader.u16() - 2 };
        },
        encode: (type, size) => Uint8Array.of(type, 0, size + 2),
        limit: chance.from(1, 9),
      }),
      few(chance, [0, 0, 0, 2, 3, 5, 9, 128]),
      chance,
      0,
    ),
  "oneOf()": (chance) => {
    const onOversize = chance.pick(["error", "skip", "truncate"] as const);
    const text = delimited(["--", "\n"], { limit: 6, onOversize });
    const binary = lengthPrefixed({ bytes: 2, limit: 6, onOversize, offset: 1 });
    const codec = oneOf(([first, second]) => {
      if (first === 97) return text;
      if (second === undefined) return null;
      if (first === 1) return binary;
      throw new ProtocolError("Cannot decode what begins otherwise");
    }, text);
    return codecTrial(codec, few(chance, [97, 97, 45, 45, 10, 0, 0, 1, 1, 2, 128]), chance, 0);
  },
  "BinaryWriter": (chance) => writerTrial(chance),
  "BinaryReader": (chance) => readerTrial(few(chance, [0, 1, 2, 3, 97, 128, 0xc3, 255]), chance),
  ...Object.fromEntries(
    Object.entries(HELLOS).map(([name, make]) => [
      `ClientHello: ${name}`,
      (chance: Chance) => helloTrial(make(chance), chance),
    ]),
  ),
};

function headerTrial({ stream, right }: Sample, chance: Chance): Trial {
  const sizes = sizesOf(chance, stream.length);
  const bytewise = chance.onceIn(8);
  return {
    stream,
    run: () => void takeHeader(stream, []),
    check() {
      const before = stream.slice();
      const whole = takeHeader(stream, []);
      if (right !== undefined) assertEquals(whole.outcome, right);
      checkCost(stream, [], whole.outcome);
      checkCost(stream, sizes, whole.outcome);
      if (bytewise) checkCost(stream, new Array(stream.length).fill(1), whole.outcome);
      assertEquals(text(before), text(stream), "the stream was written to");
      if (typeof whole.outcome === "object" && "header" in whole.outcome) {
        // The bytes after it change nothing.
        const { outcome } = takeHeader(stream.subarray(0, whole.outcome.taken), []);
        assertEquals(text(outcome), text(whole.outcome));
      }
    },
  };
}

/** However a stream arrives, the outcome is the same, and no byte is looked at more than twice. */
function checkCost(stream: Uint8Array, sizes: number[], wanted: Outcome): void {
  const { outcome, arrived, examined } = takeHeader(stream, sizes, true);
  assertEquals(text(outcome), text(wanted), `in chunks of ${sizes}`);
  const length = typeof outcome === "object" && "header" in outcome ? outcome.taken : arrived;
  assert(examined <= 2 * length, `${examined} looks at ${length} bytes, in chunks of ${sizes}`);
}

/** A value as text, which compares much faster than objects. */
function text(value: unknown): string {
  return JSON.stringify(
    value,
    (_, value) =>
      typeof value === "bigint" ? `${value}n` : value instanceof Uint8Array ? value.toHex() : value,
  );
}

/** The most bytes that a codec with a limit of 12 keeps: what it needs, and the last chunk. */
const MOST_KEPT = 12 + 10 + 3;

/** @param looks Also counts the bytes that are looked at: each twice, and so many more in each call. */
function codecTrial<T>(codec: Codec<T>, stream: Uint8Array, chance: Chance, looks?: number): Trial {
  const sizes = sizesOf(chance, stream.length);
  return {
    stream,
    run: () => void drive(codec, [stream]),
    check() {
      const whole = drive(codec, [stream]);
      const { end } = whole;
      const error = typeof end === "object" ? end.error : "ProtocolError:";
      assert(/^(ProtocolError|FrameTooLargeError):/.test(error), error);
      const cost = drive(codec, cut(stream, sizes));
      assertEquals(text(outcome(cost)), text(outcome(whole)), `in chunks of ${sizes}`);
      assert(cost.kept <= MOST_KEPT + Math.max(0, ...sizes), `${cost.kept} bytes were kept`);
      if (looks === undefined) return;
      const { examined, calls } = drive(codec, cut(stream, sizes), { count: true });
      assert(examined <= 2 * stream.length + looks * calls, `${examined} looks, ${calls} calls`);
    },
  };
}

/** What was written is read back. */
function writerTrial(chance: Chance): Trial {
  const endian = chance.pick(["big", "little"] as const);
  const fields = Array.from({ length: chance.from(1, 20) }, () => chance.pick(WRITES)(chance));
  const write = () => {
    const writer = new BinaryWriter({ endian });
    for (const field of fields) field.write(writer);
    return writer.finish();
  };
  const stream = write();
  return {
    stream,
    run: () => void write(),
    check() {
      const tally = { examined: 0 };
      const reader = new BinaryReader(counted(stream, tally), { endian });
      for (const { read, value } of fields) assertEquals<unknown>(read(reader), value);
      reader.end();
      assert(tally.examined <= 2 * stream.length, `${tally.examined} looks`);
    },
  };
}

function readerTrial(stream: Uint8Array, chance: Chance): Trial {
  const endian = chance.pick(["big", "little"] as const);
  const reads = Array.from({ length: chance.from(1, 9) }, () => chance.pick(READS)(chance));
  return {
    stream,
    run: () => void readAll(new BinaryReader(stream, { endian }), reads),
    check() {
      const tally = { examined: 0 };
      const reader = new BinaryReader(counted(stream, tally), { endian });
      const error = readAll(reader, reads);
      assert(error === null || error instanceof ProtocolError, String(error));
      assert(reader.left >= 0 && reader.at + reader.left === stream.length);
      assert(tally.examined <= 2 * stream.length, `${tally.examined} looks`);
    },
  };
}

/** Reads until something fails, as a handler does. */
function readAll(
  reader: BinaryReader,
  reads: readonly ((reader: BinaryReader) => unknown)[],
): unknown {
  try {
    for (const read of reads) read(reader);
    return null;
  } catch (error) {
    return error;
  }
}

/** @param right The facts, where nothing is wrong. */
function helloTrial(
  { stream, right }: { stream: Uint8Array; right?: ClientHello },
  chance: Chance,
): Trial {
  const sizes = sizesOf(chance, stream.length);
  return {
    stream,
    run: () => void helloOf(stream),
    check() {
      const whole = helloOf(stream);
      if (right !== undefined) assertEquals<unknown>(whole, right);
      // As many bytes as are asked for, and in chunks of any size.
      let calls = 0;
      const tally = { examined: 0 };
      for (let need = 0; need <= stream.length; calls++) {
        const facts = helloOf(counted(stream.subarray(0, need), tally));
        if (typeof facts === "string" || !("need" in facts)) {
          assertEquals(text(facts), text(whole));
          break;
        }
        assert(facts.need > need, "a need that is met already");
        need = facts.need;
      }
      assert(calls <= 514, `${calls} calls`);
      assert(tally.examined <= MOST_LOOKS * stream.length, `${tally.examined} looks`);
      let at = 0;
      for (const size of sizes) {
        const facts = helloOf(stream.subarray(0, at += size));
        if (typeof facts === "string" || !("need" in facts)) {
          return assertEquals(text(facts), text(whole));
        }
        assert(facts.need > Math.min(at, stream.length) && facts.need <= MOST_HELLO);
      }
    },
  };
}

/**
 * Times that a byte of a ClientHello is looked at. It is twice or less, but each record costs a walk over
 * the heads of those before it, which is most where every record has one byte.
 */
const MOST_LOOKS = 13;

/** The most bytes of a ClientHello with the heads of its records. */
const MOST_HELLO = 16_384 + 257 * 5;

function helloOf(stream: Uint8Array): ClientHello | { need: number } | string {
  try {
    return clientHello(stream);
  } catch (error) {
    assert(error instanceof ProtocolError, String(error));
    return error.message;
  }
}

function few(chance: Chance, values: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: chance.from(0, 60) }, () => chance.pick(values));
}

/** Sizes of chunks, mostly small ones, so that the beginning is split, too. */
function sizesOf(chance: Chance, length: number): number[] {
  const sizes: number[] = [];
  const most = chance.pick([2, 8, 64, 1024]);
  for (let at = 0; at < length && sizes.length < 40;) {
    const size = chance.from(1, most);
    sizes.push(size);
    at += size;
  }
  return sizes;
}
