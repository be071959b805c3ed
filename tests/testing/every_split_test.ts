/** The same bytes are split in every way, and each way once. @module */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { everySplit, type SplitOptions } from "../../lib/testing/every_split.ts";
import { pattern } from "../support/pattern.ts";

/** The sizes of the pieces of each run. */
function sizesOf(length: number, options?: SplitOptions): number[][] {
  const bytes = pattern(0, length);
  const runs: number[][] = [];
  everySplit(bytes, (pieces) => {
    assertEquals(pieces.flatMap((piece) => [...piece]), [...bytes]);
    runs.push(pieces.map(({ length }) => length));
  }, options);
  assertEquals(new Set(runs.map(String)).size, runs.length, "a way came twice");
  return runs;
}

Deno.test("everySplit() splits into at most three pieces, the fewest first, and then into bytes", () => {
  assertEquals(sizesOf(4), [[4], [1, 3], [2, 2], [3, 1], [1, 1, 2], [1, 2, 1], [2, 1, 1], [
    1,
    1,
    1,
    1,
  ]]);
});

Deno.test("everySplit() splits few bytes as far as possible", () => {
  assertEquals(sizesOf(0), [[]]);
  assertEquals(sizesOf(1), [[1]]);
  assertEquals(sizesOf(3), [[3], [1, 2], [2, 1], [1, 1, 1]]);
});

Deno.test("everySplit() splits into as many pieces as its option says", () => {
  assertEquals(sizesOf(4, { pieces: 1 }), [[4], [1, 1, 1, 1]]);
  for (let length = 1; length < 12; length++) {
    assertEquals(sizesOf(length, { pieces: Infinity }).length, 2 ** (length - 1));
    assertEquals(sizesOf(length, { pieces: length }).length, 2 ** (length - 1));
  }
  assertEquals(sizesOf(100, { pieces: 2 }).length, 100 + 1);
  assertEquals(sizesOf(100).length, 1 + 99 + 99 * 98 / 2 + 1);
});

Deno.test("everySplit() gives each piece a buffer of its own", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  everySplit(bytes, (pieces) => {
    for (const piece of pieces) {
      assertEquals(piece.byteLength, piece.buffer.byteLength);
      piece.fill(0);
    }
  });
  assertEquals(bytes, Uint8Array.of(1, 2, 3));
});

Deno.test("everySplit() says which way failed, and stops there", () => {
  let runs = 0;
  const wrong = new RangeError("too short");
  const error = assertThrows(() =>
    everySplit(new Uint8Array(5), ([first]) => {
      runs++;
      if (first!.length === 2) throw wrong;
    })
  );
  assert(error === wrong);
  assertEquals([wrong.message, runs], ["With the bytes cut into 2 + 3: too short", 3]);
});

Deno.test("everySplit() waits for each run before the next begins, and says which failed", async () => {
  let running = 0, runs = 0;
  const all = everySplit(new Uint8Array(5), async () => {
    assertEquals(running++, 0);
    await null;
    running--;
    runs++;
  });
  assert(all instanceof Promise);
  await all;
  assertEquals(runs, 1 + 4 + 6 + 1);

  const failing = async ([first]: Uint8Array[]) => {
    await null;
    if (first!.length < 5) throw new RangeError("too short");
  };
  await assertRejects(
    () => everySplit(new Uint8Array(5), failing),
    RangeError,
    "With the bytes cut into 1 + 4: too short",
  );
});

Deno.test("everySplit() refuses more runs than would end", () => {
  const run = () => {
    throw new TypeError("It was run");
  };
  assertThrows(
    () => everySplit(new Uint8Array(1500), run),
    RangeError,
    "Cannot split 1500 bytes into up to 3 pieces in every way, which is more than 1000000 runs: " +
      "use fewer bytes, or 'pieces' of less",
  );
  assertThrows(() => everySplit(new Uint8Array(30), run, { pieces: Infinity }), RangeError);
  assertThrows(
    () => everySplit(new Uint8Array(2), run, { pieces: 0 }),
    RangeError,
    "'pieces' of 0",
  );
  assertThrows(
    () => everySplit(new Uint8Array(2), run, { parts: 2 } as SplitOptions),
    TypeError,
    "Cannot split with an unknown option 'parts': known here are pieces",
  );
});
