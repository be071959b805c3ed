/** The first end is found wherever a search was interrupted, each byte looked at once. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ByteSearch } from "../../../lib/wire/codec/byte_search.ts";
import { bytes } from "../../support/bytes.ts";
import { counted } from "./drive.ts";
import { bytesOf, propertyTest } from "../property.ts";

/** The earliest end, and the longest sequence that ends there, found the slow way. */
function expected(sequences: readonly Uint8Array[], input: Uint8Array): [number, number] {
  for (let at = 1; at <= input.length; at++) {
    const ending = sequences.filter((sequence) =>
      sequence.length <= at &&
      sequence.every((byte, i) => byte === input[at - sequence.length + i])
    );
    if (ending.length > 0) return [at, Math.max(...ending.map((sequence) => sequence.length))];
  }
  return [input.length, 0];
}

function newSearch(sequences: readonly Uint8Array[]): ByteSearch | null {
  try {
    return new ByteSearch(sequences);
  } catch (error) {
    assert(error instanceof RangeError);
    return null;
  }
}

/** Sequences of few different bytes, so that they overlap in every way. */
const sequenceSets = fc.array(
  bytesOf([97, 98, 99], 6).filter((sequence) => sequence.length > 0),
  { minLength: 1, maxLength: 4 },
);
const input = bytesOf([97, 98, 99, 100], 60);

propertyTest(
  "find() finds the earliest end, and of those the longest sequence",
  [sequenceSets, input],
  (sequences, input) => {
    const { at, length } = newSearch(sequences)?.find(input, 0, 0) ?? {};
    if (at !== undefined) assertEquals([at, length], expected(sequences, input));
  },
  10,
);

propertyTest(
  "find() continues where it stopped, and looks at no byte twice",
  [sequenceSets, input, fc.array(fc.integer({ min: 1, max: 40 }))],
  (sequences, input, steps) => {
    const search = newSearch(sequences);
    if (search === null) return;
    const tally = { examined: 0 };
    let [at, length, state] = [0, 0, 0];
    for (const step of [...steps, input.length]) {
      const part = counted(input.subarray(0, at + step), tally);
      if (length === 0) ({ at, length, state } = search.find(part, at, state));
    }
    assertEquals([at, length], expected(sequences, input));
    assertEquals(tally.examined, at);
  },
  10,
);

propertyTest(
  "a search is refused only if one of its sequences can never be found",
  [sequenceSets],
  (sequences) => {
    const dead = sequences.some((one) => expected(sequences, one)[0] < one.length);
    assertEquals(newSearch(sequences) === null, dead);
  },
  5,
);

Deno.test("find() looks at each byte once, however much looks like the beginning", () => {
  const size = 20_000;
  const inputs = {
    a: "a",
    ab: "ab",
    aaab: "aaab",
    ba: "ba",
    x: "x",
    "0..20 x": "xxxxxxxxxxxxxxxxxxxxa",
  };
  for (const sequence of ["\r\n", `${"a".repeat(50)}b`, `b${"a".repeat(50)}`, "abababac", "aaab"]) {
    for (const [name, pattern] of Object.entries(inputs)) {
      const input = bytes`${pattern.repeat(size).slice(0, size)}`;
      const tally = { examined: 0 };
      const { at } = new ByteSearch([bytes`${sequence}`]).find(counted(input, tally), 0, 0);
      assertEquals(tally.examined, at, `${sequence} in ${name}`);
    }
  }
});

Deno.test("ByteSearch says which sequence can never be found", () => {
  assertThrows(
    () => new ByteSearch([bytes`\r\n`, bytes`\r`]),
    RangeError,
    "Cannot search for the bytes 13,10: another delimiter always ends first, after 13",
  );
});

Deno.test("ByteSearch accepts any byte, all of them, and the same sequence twice", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const search = new ByteSearch([all, all.toReversed(), all]);
  assertEquals(search.longest, 256);
  assertEquals(search.find(new Uint8Array([...all.subarray(1), ...all]), 0, 0), {
    at: 511,
    length: 256,
    state: 0,
  });
});
