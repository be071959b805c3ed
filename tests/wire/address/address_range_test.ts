/** An address or a range is parsed to its first address and its length, and nothing else is. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { addressRange } from "../../../lib/wire/address/address_range.ts";
import { writeIp } from "../../../lib/wire/address/ip_address.ts";

const read = (text: unknown) => addressRange("serve", "allow[1]", text);

Deno.test("addressRange() parses addresses and prefixes of both families", () => {
  const rows: [string, string, number][] = [
    ["192.0.2.7", "192.0.2.7", 32],
    ["10.0.0.0/8", "10.0.0.0", 8],
    ["0.0.0.0/0", "0.0.0.0", 0],
    ["2001:DB8::/32", "2001:db8::", 32],
    ["::1", "::1", 128],
    ["::/0", "::", 0],
    // Mapped IPv4 is IPv4, and a prefix that is shorter than the mapped one is not.
    ["::ffff:192.0.2.7", "192.0.2.7", 32],
    ["::ffff:10.0.0.0/104", "10.0.0.0", 8],
    ["::ffff:0:0/96", "0.0.0.0", 0],
    ["::fffe:0:0/95", "::fffe:0:0", 95],
  ];
  for (const [text, first, bits] of rows) {
    const range = read(text);
    assertEquals([writeIp(range.first), range.bits], [first, bits], text);
  }
});

Deno.test("addressRange() takes unix for the peers that have no address", () => {
  assertEquals(read("unix"), { first: new Uint8Array(0), bits: 0 });
});

Deno.test("addressRange() says what is wrong, and what to use", () => {
  const example = `an address or a range, such as "10.0.0.0/8" or "2001:db8::/32"`;
  const refusals: [unknown, typeof Error, string, string][] = [
    [7, TypeError, "7", example],
    [undefined, TypeError, "undefined", example],
    ["localhost", RangeError, '"localhost"', example],
    ["", RangeError, '""', example],
    ["UNIX", RangeError, '"UNIX"', example],
    ["10.0.0.0/", RangeError, '"10.0.0.0/"', example],
    ["10.0.0.0/08", RangeError, '"10.0.0.0/08"', example],
    ["10.0.0.0/8/8", RangeError, '"10.0.0.0/8/8"', example],
    ["10.0.0.0/33", RangeError, '"10.0.0.0/33"', "a prefix of at most 32 bits"],
    ["::/129", RangeError, '"::/129"', "a prefix of at most 128 bits"],
    ["10.0.0.1/8", RangeError, '"10.0.0.1/8"', `"10.0.0.0/8", or the address alone`],
    ["2001:DB8::1/33", RangeError, '"2001:DB8::1/33"', `"2001:db8::/33", or the address alone`],
    [
      "fe80::1%eth0",
      RangeError,
      '"fe80::1%eth0"',
      "the address without its zone, which would be ignored",
    ],
  ];
  for (const [text, kind, shown, use] of refusals) {
    const { message } = assertThrows(() => read(text), kind);
    assertEquals(message, `Cannot serve with 'allow[1]' of ${shown}: use ${use}`);
  }
});
