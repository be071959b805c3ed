/** Bytes pass in order, whatever the faults. @module */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { NO_FAULTS } from "../../lib/testing/faults.ts";
import { Pipe } from "../../lib/testing/pipe.ts";
import { assertPattern, pattern } from "../support/pattern.ts";

/** The tests try the same inputs each time. */
const SEED = 20_260_401;

const fates = () => ({ reset: false, reported: false });

Deno.test("a Pipe gives the bytes that it takes, each once and in order, whatever its faults", async () => {
  const few = fc.integer({ min: 1, max: 9 });
  const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 30 });
  const faults = fc.record({ capacity: few, bytesPerRead: few, bytesPerWrite: few });
  const property = fc.asyncProperty(sizes, sizes, faults, async (writes, reads, faults) => {
    const pipe = new Pipe({ ...NO_FAULTS, ...faults }, fates(), fates(), () => {});
    let sent = 0;
    const writing = (async () => {
      for (const size of writes) {
        const n = await pipe.write(pattern(sent, size));
        assert(n > 0 && n <= Math.min(size, faults.bytesPerWrite, faults.capacity));
        sent += n;
      }
      await pipe.write(null);
    })();
    let read = 0;
    for (let i = 0;; i++) {
      const p = new Uint8Array(reads[i % reads.length]!);
      const n = await pipe.read(p);
      if (n === null) break;
      assert(n > 0 && n <= faults.bytesPerRead);
      assertPattern(p.subarray(0, n), read);
      read += n;
      assert(sent - read <= faults.capacity);
    }
    await writing;
    assertEquals(read, sent);
  });
  await fc.assert(property, { seed: SEED, numRuns: 200 });
});

Deno.test("a Pipe resets after its byte, once, and stalls after its byte", async () => {
  const at = fc.integer({ min: 0, max: 30 });
  const property = fc.asyncProperty(at, at, async (resetAfter, stallAfter) => {
    const [reader, writer] = [fates(), fates()];
    let resets = 0;
    const pipe = new Pipe({ ...NO_FAULTS, resetAfter, stallAfter }, reader, writer, () => {
      if (writer.reset) return;
      resets++;
      reader.reset = writer.reset = true;
    });
    pipe.move();
    let sent = 0;
    const writing = (async () => {
      for (;;) sent += await pipe.write(pattern(sent, 4));
    })();
    await writing.catch((error) => assert(error instanceof Deno.errors.ConnectionReset));
    let read = 0;
    for (const p = new Uint8Array(7);;) {
      const n = await pipe.read(p).catch(() => null);
      if (n === null) break;
      assertPattern(p.subarray(0, n), read);
      read += n;
    }
    assertEquals({ resets, sent, read }, {
      resets: 1,
      sent: resetAfter,
      read: Math.min(resetAfter, stallAfter),
    });
  });
  await fc.assert(property, { seed: SEED, numRuns: 200 });
});
