/** Tests that the page writes figures as people read them. @module */

import { assertEquals, assertMatch } from "@std/assert";
import fc from "fast-check";
import { FORMAT } from "../../../lib/watch/page/format.ts";

const { bytes, count, figure, time } = await import(
  `data:text/javascript,${encodeURIComponent(FORMAT)}`
) as Record<"bytes" | "count" | "figure" | "time", (value: number) => string>;

Deno.test("count() groups thousands", () => {
  assertEquals([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
});

Deno.test("figure() has three digits and no more than that of a fraction", () => {
  assertEquals([0, 0.04, 1.23456, 12.345, 1234.5].map(figure), [
    "0",
    "0.04",
    "1.23",
    "12.3",
    "1,235",
  ]);
});

Deno.test("bytes() takes the unit in which there are at most three digits", () => {
  const wanted: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "0.977 KiB"],
    [1024, "1 KiB"],
    [1_048_576, "1 MiB"],
    [1_572_864, "1.5 MiB"],
    [2 ** 40, "1 TiB"],
  ];
  for (const [value, text] of wanted) assertEquals(bytes(value), text);
  fc.assert(fc.property(fc.maxSafeNat(), (value) => {
    assertMatch(bytes(value), /^(\d{1,3}|\d\.\d{1,3}|\d\d\.\d|0\.9\d\d) ([KMGTP]i)?B$|^\d+ PiB$/);
  }));
});

Deno.test("time() says two units at most", () => {
  const wanted: [number, string][] = [
    [0, "0 s"],
    [99, "0 s"],
    [100, "0.1 s"],
    [999, "0.9 s"],
    [59_999, "59 s"],
    [61_000, "1 min 1 s"],
    [3_600_000, "1 h 0 min"],
    [90_061_000, "1 d 1 h"],
  ];
  for (const [ms, text] of wanted) assertEquals(time(ms), text);
});
