/** Every wrong option of a codec is refused, with a message that says what to use. @module */

import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { delimited, DELIMITED_DEFAULTS } from "../../../lib/wire/codec/delimited.ts";
import {
  LENGTH_PREFIXED_DEFAULTS,
  lengthPrefixed,
} from "../../../lib/wire/codec/length_prefixed.ts";
import { lines, LINES_DEFAULTS } from "../../../lib/wire/codec/lines.ts";

const MAKERS = {
  lines: (options: unknown) => lines(options as object),
  delimited: (options: unknown) => delimited("\n", options as object),
  lengthPrefixed: (options: unknown) => lengthPrefixed(options as object),
};

type Maker = keyof typeof MAKERS;

const DEFAULTS: Record<Maker, object> = {
  lines: LINES_DEFAULTS,
  delimited: DELIMITED_DEFAULTS,
  lengthPrefixed: LENGTH_PREFIXED_DEFAULTS,
};

const POLICIES = `one of "error", "skip", "truncate"`;
const TO_4_GIB = "a whole number from 1 to 4294967296";
const TO_STRING = "a whole number from 1 to 268435456";

const REFUSALS: [Maker, string, unknown, typeof Error, string][] = [
  ["lines", "limit", 0, RangeError, `0: use ${TO_STRING}`],
  ["lines", "limit", 2 ** 29, RangeError, `536870912: use ${TO_STRING}`],
  ["lines", "limit", 1.5, RangeError, `1.5: use ${TO_STRING}`],
  ["lines", "limit", Infinity, RangeError, `Infinity: use ${TO_STRING}`],
  ["lines", "limit", NaN, TypeError, `NaN: use ${TO_STRING}`],
  ["lines", "limit", "1", TypeError, `"1": use ${TO_STRING}`],
  ["lines", "limit", null, TypeError, `null: use ${TO_STRING}`],
  ["lines", "limit", 9n, TypeError, `9n: use ${TO_STRING}`],
  ["lines", "onOversize", "drop", RangeError, `"drop": use ${POLICIES}`],
  ["lines", "onOversize", () => {}, TypeError, `a function: use ${POLICIES}`],
  ["lines", "unterminated", "skip", RangeError, `"skip": use one of "error", "frame"`],
  ["lines", "unterminated", true, TypeError, `true: use one of "error", "frame"`],
  ["lines", "fatal", 1, TypeError, "1: use true or false"],
  ["lines", "ending", "\r", RangeError, `"\\r": use one of "\\n", "\\r\\n"`],
  ["lines", "ending", ["\n"], TypeError, `an array: use one of "\\n", "\\r\\n"`],
  [
    "lines",
    "encoding",
    {},
    TypeError,
    `an object: use an encoding in which 0x0A is always a line feed, such as "utf-8"`,
  ],
  ["delimited", "limit", 0, RangeError, `0: use ${TO_4_GIB}`],
  ["delimited", "onOversize", "", RangeError, `"": use ${POLICIES}`],
  ["delimited", "unterminated", "", RangeError, `"": use one of "error", "frame"`],
  ["lengthPrefixed", "bytes", 5, RangeError, `5: use one of 1, 2, 3, 4, 8, "varint"`],
  ["lengthPrefixed", "bytes", [], TypeError, `an empty array: use one of 1, 2, 3, 4, 8, "varint"`],
  ["lengthPrefixed", "endian", "middle", RangeError, `"middle": use one of "big", "little"`],
  ["lengthPrefixed", "offset", -1, RangeError, "-1: use a whole number from 0 to 65535"],
  [
    "lengthPrefixed",
    "adjustment",
    2 ** 33,
    RangeError,
    "8589934592: use a whole number from -4294967296 to 4294967296",
  ],
  ["lengthPrefixed", "includePrefix", "yes", TypeError, `"yes": use true or false`],
  ["lengthPrefixed", "limit", 2 ** 33, RangeError, `8589934592: use ${TO_4_GIB}`],
  ["lengthPrefixed", "onOversize", 0, TypeError, `0: use ${POLICIES}`],
];

Deno.test("every option of every codec is checked", () => {
  for (const [codec, name, value, kind, message] of REFUSALS) {
    const error = assertThrows(() => MAKERS[codec]({ [name]: value }), kind);
    assertStrictEquals(error.message, `Cannot make ${codec}() with '${name}' of ${message}`);
  }
  for (const [codec, defaults] of Object.entries(DEFAULTS)) {
    const checked = REFUSALS.filter(([maker]) => maker === codec).map(([, name]) => name);
    assertEquals(new Set(checked), new Set(Object.keys(defaults)));
  }
});

Deno.test("unknown options are refused, unless they are undefined", () => {
  for (const [codec, make] of Object.entries(MAKERS)) {
    const known = Object.keys(DEFAULTS[codec as Maker]).join(", ");
    const error = assertThrows(() => make({ maxLength: 5 }), TypeError);
    assertStrictEquals(
      error.message,
      `Cannot make ${codec}() with an unknown option 'maxLength': known here are ${known}`,
    );
    assert(make({ maxLength: undefined, limit: undefined }));
  }
});

Deno.test("options that are not an object are refused", () => {
  for (const [codec, make] of Object.entries(MAKERS)) {
    for (const [options, shown] of [[null, "null"], [7, "7"], ["limit", `"limit"`]]) {
      const error = assertThrows(() => make(options), TypeError);
      assertStrictEquals(
        error.message,
        `Cannot make ${codec}() with ${shown} as options: use an object`,
      );
    }
  }
});
