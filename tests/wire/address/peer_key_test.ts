/** Two addresses of one peer have one key, and two peers have two. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { writeIp } from "../../../lib/wire/address/ip_address.ts";
import { peerKey } from "../../../lib/wire/address/peer_key.ts";
import { propertyTest } from "../property.ts";

const few = (size: number) =>
  fc.array(fc.constantFrom(0, 1, 255), { minLength: size, maxLength: size })
    .map((list) => Uint8Array.from(list));

propertyTest(
  "peerKey() is the same for two IPv6 addresses if their first 64 bits are",
  [few(16), few(16), fc.boolean()],
  (one, other, related) => {
    if (related) other.set(one.subarray(0, 8));
    const text = [one, other].map((bytes) => [...bytes.subarray(0, 8)].join());
    const isMapped = [one, other].some((bytes) => writeIp(bytes).startsWith("::ffff:"));
    if (isMapped) return;
    assertEquals(peerKey(writeIp(one)) === peerKey(writeIp(other)), text[0] === text[1]);
  },
);

propertyTest(
  "peerKey() of a mapped IPv4 address is that address",
  [few(4), few(4)],
  (one, other) => {
    assertEquals(peerKey(`::ffff:${one.join(".")}`), one.join("."));
    assertEquals(peerKey(one.join(".")) === peerKey(other.join(".")), one.join() === other.join());
  },
);

Deno.test("peerKey() accepts any spelling and any zone, and leaves alone what is not an address", () => {
  const keys = {
    "192.0.2.1": "192.0.2.1",
    "::FFFF:c000:0201": "192.0.2.1",
    "2001:DB8:0:0:1::": "2001:db8::/64",
    "fe80::1%eth0": "fe80::/64",
    "::1": "::/64",
    "localhost": "localhost",
    "not:an:address": "not:an:address",
    "": "",
  };
  for (const [hostname, key] of Object.entries(keys)) assertEquals(peerKey(hostname), key);
});
