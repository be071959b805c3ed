/** Says what must hold for every stream, whatever is in it. @module */

import { assert, assertEquals } from "@std/assert";
import type { Codec } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import type { Chance } from "../support/chance.ts";
import { cut, drive, outcome } from "../wire/codec/drive.ts";
import { type Outcome, takeHeader } from "../wire/proxy/take_header.ts";
import { HEADERS, type Sample } from "./headers.ts";

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

function codecTrial<T>(codec: Codec<T>, stream: Uint8Array, chance: Chance): Trial {
  const sizes = sizesOf(chance, stream.length);
  return {
    stream,
    run: () => void drive(codec, [stream]),
    check() {
      const whole = text(outcome(drive(codec, [stream])));
      assertEquals(text(outcome(drive(codec, cut(stream, sizes)))), whole, `in chunks of ${sizes}`);
    },
  };
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
