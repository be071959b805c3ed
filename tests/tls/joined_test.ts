/** Bytes are put behind others. @module */

import { assertEquals } from "@std/assert";
import { joined } from "../../lib/tls/joined.ts";

Deno.test("joined() has the bytes of both, in order, and shares memory with neither", () => {
  const one = Uint8Array.of(1, 2);
  const other = Uint8Array.of(0, 3, 4).subarray(1);
  const both = joined(one, other);
  one.fill(9);
  other.fill(9);
  assertEquals(both, Uint8Array.of(1, 2, 3, 4));
});

Deno.test("joined() of nothing is nothing", () => {
  assertEquals(joined(new Uint8Array(0), new Uint8Array(0)).length, 0);
});
