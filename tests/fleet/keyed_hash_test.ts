/** The hash is the one of the specification, and depends on its key. @module */

import { assertEquals, assertNotEquals } from "@std/assert";
import { keyedHash } from "../../lib/fleet/keyed_hash.ts";

function hash(bytes: Uint8Array, k0: number, k1: number): string {
  const out = new Int32Array(2);
  keyedHash(bytes, bytes.length, k0, k1, out);
  return [...new Uint8Array(out.buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Of the bytes 0, 1, 2, ... under the key 0, 1, ... 7: as the authors' reference implementation has them. */
const VECTORS = [
  "218d1f59b9b83cc8",
  "be552412f8387315",
  "064f39ef7c50eb57",
  "ce0f1a45f7060679",
  "d5e78a175be52ea1",
  "cb9d7c3f2f3db580",
  "ce3e91358aa2bc25",
  "ff202728b07bc684",
  "edfee820bce4858c",
  "5b51cccc13888307",
];

Deno.test("keyedHash() gives the reference implementation's results", () => {
  for (const [length, expected] of VECTORS.entries()) {
    const bytes = Uint8Array.from({ length }, (_, i) => i);
    assertEquals(hash(bytes, 0x03020100, 0x07060504), expected);
  }
});

Deno.test("keyedHash() depends on each half of its key", () => {
  const peer = new TextEncoder().encode("192.0.2.1");
  assertNotEquals(hash(peer, 1, 2), hash(peer, 2, 2));
  assertNotEquals(hash(peer, 1, 2), hash(peer, 1, 1));
});
