/** What the next read is expected to bring follows what the last ones brought. @module */

import { assert, assertEquals, assertLess } from "@std/assert";
import { ReadSize } from "../../lib/connection/read_size.ts";

/** What is expected after reads that brought so many bytes, none of which filled its room. */
function after(...reads: number[]): number {
  const size = new ReadSize();
  for (const n of reads) size.learn(n, false);
  return size.expected;
}

Deno.test("a larger read is expected again at once", () => {
  assertEquals(after(), 256);
  assertEquals(after(4096), 4096);
  assertEquals(after(4096, 16_384), 16_384);
  assertEquals(after(10, 4096), 4096);
});

Deno.test("a read that filled its room may have been larger: twice as much is expected", () => {
  const size = new ReadSize();
  size.learn(512, true);
  assertEquals(size.expected, 1024);
  for (let i = 0; i < 20; i++) size.learn(size.expected, true);
  assertEquals(size.expected, ReadSize.MOST);
});

Deno.test("smaller reads are followed slowly, as messages of two sizes in turn are common", () => {
  const size = new ReadSize();
  for (let i = 0; i < 100; i++) {
    size.learn(i % 2 === 0 ? 16_384 : 8192, false);
    assert(size.expected > 15_000);
  }
  for (let i = 0; i < 200; i++) size.learn(8192, false);
  assertLess(size.expected, 8192 + 16);
});

Deno.test("a read that brings as much again and again is what is expected, whatever came before", () => {
  for (const n of [256, 300, 4096, 16_384, 65_536]) {
    assertEquals(after(2 * n, ...new Array(200).fill(n)), n);
  }
});

Deno.test("much smaller reads change nothing until 16 have come in a row", () => {
  const small = new Array(15).fill(10);
  assertEquals(after(65_536, ...small), 65_536);
  assertEquals(after(65_536, ...small, 65_536, ...small), 65_536);
  assertEquals(after(65_536, ...small, 10), 256);
  assertEquals(after(65_536, ...small, 1000), 1000);
});
