/** Registers tests of properties that hold for all inputs. @module */

import fc from "fast-check";

/** Runs of one property, unless `FUZZ_RUNS` says otherwise. */
const RUNS = 400;

/** The same inputs each time, so that a failure can be repeated. */
const SEED = 20_260_401;

/**
 * Registers a test that a property holds for all inputs.
 *
 * `FUZZ_RUNS=100000 deno test --allow-env=FUZZ_RUNS tests/wire` tries other inputs, and more of
 * them.
 */
export function propertyTest<T extends [unknown, ...unknown[]]>(
  name: string,
  inputs: { [K in keyof T]: fc.Arbitrary<T[K]> },
  holds: (...input: T) => void,
  /** A multiple of the usual number of runs. */
  often = 1,
): void {
  const runs = fuzzRuns();
  const options = runs === undefined ? { seed: SEED, numRuns: RUNS * often } : { numRuns: runs };
  Deno.test(name, () => fc.assert(fc.property<T>(...inputs, holds), options));
}

function fuzzRuns(): number | undefined {
  const permission = { name: "env", variable: "FUZZ_RUNS" } as const;
  if (Deno.permissions.querySync(permission).state !== "granted") return undefined;
  const runs = Deno.env.get("FUZZ_RUNS");
  return runs === undefined ? undefined : Number(runs);
}

/** Bytes out of a few values, so that the interesting ones are frequent. */
export function bytesOf(few: readonly number[], maxLength: number): fc.Arbitrary<Uint8Array> {
  return fc.array(fc.constantFrom(...few), { maxLength }).map((list) => Uint8Array.from(list));
}

/** Sizes of chunks to cut a stream into. */
export const sizes: fc.Arbitrary<number[]> = fc.array(fc.integer({ min: 1, max: 9 }), {
  maxLength: 80,
});
