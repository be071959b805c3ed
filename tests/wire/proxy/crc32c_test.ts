/** The checksum is the one of the standards, whole or in parts. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { crc32c } from "../../../lib/wire/proxy/crc32c.ts";
import { bytes } from "../../support/bytes.ts";
import { propertyTest } from "../property.ts";

/** Bit by bit, as the polynomial division that it is: the highest power first. */
function expected(input: Uint8Array): number {
  let rest = 0xffffffffn;
  for (const byte of input) {
    for (let bit = 0; bit < 8; bit++) {
      const carry = ((rest >> 31n) ^ BigInt((byte >> bit) & 1)) & 1n;
      rest = ((rest << 1n) & 0xffffffffn) ^ (carry * 0x1edc6f41n);
    }
  }
  const reversed = [...rest.toString(2).padStart(32, "0")].toReversed().join("");
  return Number(BigInt(`0b${reversed}`) ^ 0xffffffffn);
}

Deno.test("crc32c() returns the published checksums of known inputs", () => {
  const digits = bytes`123456789`;
  assertEquals(crc32c(digits, 0, 9, 0), 0xe3069283);
  // RFC 3720, B.4, as numbers.
  const up = Uint8Array.from({ length: 32 }, (_, i) => i);
  const known: [Uint8Array, number][] = [
    [new Uint8Array(32), 0x8a9136aa],
    [new Uint8Array(32).fill(255), 0x62a8ab43],
    [up, 0x46dd794e],
    [up.toReversed(), 0x113fdb5c],
    [new Uint8Array(), 0],
  ];
  for (const [input, sum] of known) assertEquals(crc32c(input, 0, input.length, 0), sum);
});

propertyTest(
  "crc32c() is the remainder of a division, and continues from the checksum of a prefix",
  [fc.uint8Array({ maxLength: 40 }), fc.nat(40)],
  (input, at) => {
    const middle = Math.min(at, input.length);
    const sum = crc32c(input, 0, input.length, 0);
    assertEquals(sum, expected(input));
    assertEquals(crc32c(input, middle, input.length, crc32c(input, 0, middle, 0)), sum);
  },
);
