import { assert, assertEquals, assertThrows } from "@std/assert";
import { completeFleetOptions } from "../../lib/fleet/fleet_options.ts";

Deno.test("completeFleetOptions() takes a worker for each core, and the heap of this thread", () => {
  const { workers, maxHeap, startTimeout, hangTimeout } = completeFleetOptions({});
  assertEquals(workers, navigator.hardwareConcurrency);
  assert(maxHeap > 2 ** 26);
  assertEquals([startTimeout, hangTimeout], [60_000, 10_000]);
});

const WRONG: [Record<string, unknown>, typeof TypeError | typeof RangeError, string][] = [
  [{ threads: 2 }, TypeError, "an unknown option 'threads': known here are workers, maxHeap"],
  [{ workers: 0 }, RangeError, "'workers' of 0: use a whole number from 1 to 1024"],
  [{ workers: 1.5 }, RangeError, "'workers' of 1.5"],
  [{ workers: "2" }, TypeError, "'workers' of \"2\""],
  [{ maxHeap: 1000 }, RangeError, "'maxHeap' of 1000: use a whole number from 16777216 up"],
  [{ startTimeout: -1 }, RangeError, "'startTimeout' of -1"],
  [{ hangTimeout: 100 }, RangeError, "'hangTimeout' of 100: use milliseconds from 500 up"],
  [{ hangTimeout: "1" }, TypeError, "'hangTimeout' of \"1\""],
  [{ onError: 5 }, TypeError, "'onError' of 5: use a function"],
  [{ onWorkerEnd: {} }, TypeError, "'onWorkerEnd' of an object: use a function"],
  [{ signal: {} }, TypeError, "'signal' that is none: use an AbortSignal"],
];

for (const [options, Class, message] of WRONG) {
  Deno.test(`completeFleetOptions() refuses ${JSON.stringify(options)}`, () => {
    assertThrows(() => completeFleetOptions(options), Class, "Cannot start a fleet with");
    assertThrows(() => completeFleetOptions(options), Class, message);
  });
}
