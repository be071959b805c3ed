/** Addresses are read and written as the standards say, and nothing else is accepted. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  mapped,
  readHostname,
  readIp,
  unmapped,
  writeIp,
} from "../../../lib/wire/address/ip_address.ts";
import { bytesOf, propertyTest } from "../property.ts";

/** What the URL parser, an independent implementation, makes of an IPv6 address. */
function canonical(text: string): string | null {
  return URL.parse(`http://[${text}]/`)?.hostname.slice(1, -1) ?? null;
}

const v6 = bytesOf([0, 0, 0, 0, 0, 0, 1, 15, 16, 255], 16).map((bytes) => {
  const whole = new Uint8Array(16);
  whole.set(bytes, 16 - bytes.length);
  return whole;
});

/** Addresses and near misses: an empty group makes `::`. */
const nearly = fc.array(
  fc.constantFrom("", "0", "0", "1", "ffff", "00ff", "FFFF", "1.2.3.4", "g", "12345"),
  { minLength: 2, maxLength: 10 },
).map((parts) => parts.join(":"));

propertyTest(
  "readIp() accepts what the URL parser accepts as IPv6, and writeIp() writes the same",
  [nearly],
  (text) => {
    const bytes = readIp(text);
    const wanted = canonical(text);
    if (bytes === null) return assertEquals(wanted, null, text);
    // The URL standard writes mapped addresses in hexadecimal; RFC 5952 and Deno do not.
    assertEquals(canonical(writeIp(bytes)), wanted, text);
    if (!writeIp(bytes).includes(".")) assertEquals(writeIp(bytes), wanted);
  },
  20,
);

propertyTest("readIp() reads what writeIp() wrote", [v6], (bytes) => {
  assertEquals(readIp(writeIp(bytes)), bytes);
  const url = canonical(writeIp(bytes));
  if (!writeIp(bytes).includes(".")) assertEquals(writeIp(bytes), url);
  const v4 = bytes.slice(12);
  assertEquals(readIp(writeIp(v4)), v4);
  assertEquals(writeIp(v4), [...v4].join("."));
});

propertyTest(
  "readIp() accepts four decimal numbers up to 255 without leading zeros, and no others",
  [
    fc.array(fc.constantFrom("", "0", "1", "9", "25", "255", "256", "01", "-1", " 1", "a"), {
      minLength: 3,
      maxLength: 5,
    }).map((parts) => parts.join(".")),
  ],
  (text) => {
    const parts = text.split(".");
    const isOne = parts.length === 4 &&
      parts.every((part) => /^\d+$/.test(part) && `${Number(part)}` === part && Number(part) < 256);
    assertEquals(readIp(text), isOne ? Uint8Array.from(parts, Number) : null);
  },
  20,
);

Deno.test("writeIp() writes IPv6 as RFC 5952 recommends, and mapped IPv4 as Deno does", () => {
  const spellings = {
    "2001:0DB8::0001": "2001:db8::1",
    "2001:db8:0:0:0:0:2:1": "2001:db8::2:1",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "0:0:0:0:0:0:0:0": "::",
    "1:0:0:0:0:0:0:0": "1::",
    "::FFFF:192.0.2.1": "::ffff:192.0.2.1",
    "::ffff:c000:201": "::ffff:192.0.2.1",
    "::192.0.2.1": "::c000:201",
    "64:ff9b::192.0.2.1": "64:ff9b::c000:201",
  };
  for (const [text, wanted] of Object.entries(spellings)) {
    assertEquals(writeIp(readIp(text)!), wanted);
  }
});

Deno.test("readIp() accepts no zone, brackets, port, or name as part of an address", () => {
  const others = [
    ...["", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.4:80", "[::1]"],
    ...["fe80::1%eth0", "1::2::3", ":::", ":1", "1:", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"],
    ...[
      "::1:2:3:4:5:6:7:8",
      "1:2:3:4:5:6:7::8",
      "1.2.3.4::",
      "::1.2.3",
      "::1.2.3.04",
      "::1.2.3.4:5",
    ],
  ];
  for (const text of others) assertEquals(readIp(text), null, text);
});

Deno.test("unmapped() returns the IPv4 address of a mapped one, and any other as it is", () => {
  const cases = { "::ffff:192.0.2.1": "192.0.2.1", "::fffe:c000:201": "::fffe:c000:201" };
  for (const [text, wanted] of Object.entries(cases)) {
    assertEquals(writeIp(unmapped(readIp(text)!)), wanted);
  }
  assertEquals(writeIp(unmapped(readIp("192.0.2.1")!)), "192.0.2.1");
});

Deno.test("readHostname() reads an address without its zone, and mapped IPv4 as IPv4", () => {
  const read = (hostname: string) => readHostname(hostname)?.join();
  assertEquals(read("192.0.2.7"), "192,0,2,7");
  assertEquals(read("::ffff:192.0.2.7"), "192,0,2,7");
  assertEquals(read("fe80::1%eth0"), read("fe80::1"));
  for (const none of ["localhost", "", "%", "192.0.2.7/32"]) assertEquals(read(none), undefined);
});

Deno.test("mapped() maps IPv4 into IPv6, and returns IPv6 as it is", () => {
  const v4 = readIp("192.0.2.1")!;
  assertEquals(writeIp(mapped(v4)), "::ffff:192.0.2.1");
  assertEquals(unmapped(mapped(v4)), v4);
  assertEquals(mapped(readIp("2001:db8::1")!), readIp("2001:db8::1")!);
});
