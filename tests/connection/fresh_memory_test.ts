import { assert, assertEquals } from "@std/assert";
import { FreshMemory } from "../../lib/connection/fresh_memory.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";

Deno.test("FreshMemory.of() makes zeroed memory of the size that was asked for, each its own", () => {
  for (const size of [0, 1, 512, 65_792, 262_144]) {
    const [one, other] = [FreshMemory.of(size), FreshMemory.of(size)];
    assertEquals([one.byteLength, other.byteLength], [size, size]);
    new Uint8Array(one).fill(7);
    assertEquals(new Uint8Array(other), new Uint8Array(size));
  }
});

Deno.test("FreshMemory.copyOf() copies, into memory of the copy's own", () => {
  for (const size of [0, 1, 64, 512, 513, 65_536]) {
    const bytes = new Uint8Array(size + 2).fill(7).subarray(1, size + 1);
    const copy = FreshMemory.copyOf(bytes, size);
    assertEquals(copy, bytes);
    bytes.fill(8);
    assertEquals(copy, new Uint8Array(size).fill(7));
  }
});

netTest(
  "V8 collects young memory every 16 MiB, and marks more rarely than it would by itself",
  async () => {
    const own = await collections("own");
    assert(own.young < 150 && own.marked / own.young > 0.2, JSON.stringify(own));
    // Where V8 gets little of the processor, it may take longer to mark than it is given: that is tried later again.
    for (let left = 3;;) {
      const fresh = await collections("fresh");
      if (fresh.young > 150 && fresh.marked / fresh.young < 0.2) break;
      assert(--left > 0, `${JSON.stringify(fresh)} of 512`);
    }
  },
);

netTest("with a small heap V8 collects as by itself", async () => {
  const { young } = await collections("fresh", "--max-old-space-size=256");
  assert(young < 150, `${young}`);
});

/** V8's collections in the program. */
async function collections(memory: string, ...more: string[]) {
  const flags = [`--v8-flags=${["--trace-gc", "--expose-gc", ...more].join()}`];
  const url = new URL("programs/collected.ts", import.meta.url);
  await using program = new Program(url, { args: [memory], flags });
  const lines = await program.lines();
  const count = (kind: string) => lines.filter((line) => line.includes(` ${kind} `)).length;
  return { young: count("Scavenge"), marked: count("Mark-Compact") };
}
