/** Everything up to the end of an unwanted frame is dropped, and nothing else. @module */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { ByteSearch } from "../../../lib/wire/codec/byte_search.ts";
import type { Codec } from "../../../lib/wire/codec/codec.ts";
import { DropBytes, DropThrough } from "../../../lib/wire/codec/drop.ts";
import { bytes } from "../../support/bytes.ts";
import { cut, drive, outcome } from "./drive.ts";
import { propertyTest, sizes } from "../property.ts";

/** Brings in the decoder under test, then returns what follows byte by byte. */
function dropping(frame: number | undefined, orEnd: boolean): Codec<number> {
  const rest: Codec<number> = {
    decode: (bytes) => bytes.length === 0 ? null : { frame: bytes[0]!, taken: 1 },
    encode: () => new Uint8Array(),
  };
  const drop = new DropThrough(new ByteSearch([bytes`--`]), 0, { next: rest, frame, orEnd });
  let begun = false;
  rest.decode = (bytes) => {
    if (!begun) return begun = true, { taken: 0, next: drop };
    return bytes.length === 0 ? null : { frame: bytes[0]!, taken: 1 };
  };
  return rest;
}

propertyTest(
  "DropThrough drops through the first delimiter, however the stream is cut",
  [fc.string({ unit: fc.constantFrom("-", "x"), minLength: 1, maxLength: 30 }), sizes],
  (text, sizes) => {
    const at = text.indexOf("--");
    const frames = at < 0 ? [] : [...bytes`${text.slice(at + 2)}`];
    const { end, ...rest } = outcome(drive(dropping(undefined, false), cut(bytes`${text}`, sizes)));
    assertEquals(rest, { frames, taken: text.length });
    assertEquals(end, at < 0 ? "inside" : "between");
  },
);

Deno.test("DropThrough returns the frame with the delimiter, and not before", () => {
  assertEquals(drive(dropping(7, false), [bytes`xx-`, bytes`-a`]).frames, [7, 97]);
  assertEquals(drive(dropping(7, false), [bytes`xx-`]).frames, []);
});

Deno.test("DropThrough takes the end of the stream for a delimiter where `orEnd` is set", () => {
  const { frames, end } = drive(dropping(7, true), [bytes`xx-`]);
  assertEquals([frames, end], [[7], "between"]);
});

Deno.test("DropThrough keeps nothing", () => {
  const { kept } = drive(
    dropping(undefined, false),
    cut(new Uint8Array(1000), Array(10).fill(100)),
  );
  assert(kept === 0);
});

Deno.test("DropBytes returns the frame with the last byte, and keeps nothing", () => {
  const next: Codec<string> = { decode: () => null, encode: () => new Uint8Array() };
  const drop = new DropBytes(5, "cut", next);
  assertEquals(drop.decode(bytes`123456`), { frame: "cut", taken: 5, next });
  assertEquals(drop.decode(bytes``), null);
  const answer = drop.decode(bytes`123`);
  assert(answer !== null && answer.frame === undefined && answer.taken === 3);
  assertEquals(answer.next!.decode(bytes`45`, 0, false), { frame: "cut", taken: 2, next });
});
