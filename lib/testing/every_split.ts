/** Splits the same bytes into pieces in every possible way. @module */

import { bad, checkKeys, checkNumber, isPromiseLike } from "../check.ts";
import { extendMessage } from "../errors.ts";

/** Most runs of one call; more are a mistake rather than a test, which would not end. */
const MOST_RUNS = 1_000_000;

/**
 * How thoroughly to split.
 *
 * @example Every possible way
 * ```ts
 * import { everySplit, type SplitOptions } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const all: SplitOptions = { pieces: Infinity };
 * let runs = 0;
 * everySplit(new Uint8Array(8), () => void runs++, all);
 * assertEquals(runs, 2 ** 7);
 * ```
 *
 * @category Testing
 */
export interface SplitOptions {
  /**
   * The most pieces. With 2 there is one run per byte, with 3 half the square of the number of bytes;
   * with `Infinity` each byte doubles the runs.
   *
   * @default {3}
   */
  pieces?: number;
}

/** The defaults. */
export const SPLIT_DEFAULTS: Required<SplitOptions> = Object.freeze({ pieces: 3 });

/**
 * Runs something with the same bytes split into at most three pieces in every way, and once more a
 * byte at a time: what reads a stream must not depend on where it was split. The fewest pieces come
 * first.
 *
 * The message of an error that `run` throws says which split it was.
 *
 * @param bytes What arrives.
 * @param run Called with the pieces, each in a buffer of its own; with none if there are no bytes.
 * @param options How thoroughly to split.
 * @returns A promise if `run` returns one: then each is awaited before the next begins.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If `pieces` is out of range, or there are more than a million ways.
 *
 * @example A codec takes its frames from any pieces
 * ```ts
 * import { connection, framed, lines } from "@usher/server";
 * import { everySplit, pair } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = new TextEncoder().encode("one\r\n\r\ntwo\n");
 * await everySplit(bytes, async (pieces) => {
 *   const [sender, receiver] = pair();
 *   for (const piece of pieces) await sender.write(piece);
 *   await sender.closeWrite();
 *   await using conn = connection(receiver);
 *   assertEquals(await Array.fromAsync(framed(conn, lines())), [
 *     "one",
 *     "",
 *     "two",
 *   ]);
 *   sender.close();
 * });
 * ```
 *
 * @category Testing
 */
export function everySplit(
  bytes: Uint8Array,
  run: (pieces: Uint8Array<ArrayBuffer>[]) => Promise<unknown>,
  options?: SplitOptions,
): Promise<void>;
/**
 * The same for synchronous code.
 *
 * @param bytes What arrives.
 * @param run Called with the pieces.
 * @param options How thoroughly to split.
 *
 * @example A decoder of text
 * ```ts
 * import { everySplit } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * everySplit(new TextEncoder().encode("žluťoučký"), (pieces) => {
 *   const decoder = new TextDecoder();
 *   const text = pieces.map((piece) => decoder.decode(piece, { stream: true }))
 *     .join("");
 *   assertEquals(text, "žluťoučký");
 * });
 * ```
 *
 * @category Testing
 */
export function everySplit(
  bytes: Uint8Array,
  run: (pieces: Uint8Array<ArrayBuffer>[]) => void,
  options?: SplitOptions,
): void;
export function everySplit(
  bytes: Uint8Array,
  run: Run,
  options: SplitOptions = {},
): Promise<void> | void {
  const verb = "split";
  checkKeys(verb, options, Object.keys(SPLIT_DEFAULTS));
  const { pieces = SPLIT_DEFAULTS.pieces } = options;
  checkNumber(verb, "pieces", pieces, 1, Infinity, true);
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(bad(verb, "bytes", bytes, "a Uint8Array"));
  }
  const { length } = bytes;
  if (countOf(length, pieces) > MOST_RUNS) {
    throw new RangeError(
      `Cannot split ${length} bytes into up to ${pieces} pieces in every way, which is more than ` +
        `${MOST_RUNS} runs: use fewer bytes, or 'pieces' of less`,
    );
  }
  const ways = waysToCut(length, pieces);
  for (let way; !(way = ways.next()).done;) {
    const running = runOne(cut(bytes, way.value), run);
    // From the first promise on, each run is awaited.
    if (running !== undefined) return goOn(running, ways, bytes, run);
  }
}

type Run = (pieces: Uint8Array<ArrayBuffer>[]) => unknown;

async function goOn(
  first: Promise<unknown>,
  ways: Iterator<readonly number[]>,
  bytes: Uint8Array,
  run: Run,
): Promise<void> {
  await first;
  for (let way; !(way = ways.next()).done;) await runOne(cut(bytes, way.value), run);
}

function runOne(pieces: Uint8Array<ArrayBuffer>[], run: Run): Promise<unknown> | undefined {
  const failed = (error: unknown): never => {
    extendMessage(error, `With the bytes cut into ${pieces.map((p) => p.length).join(" + ")}: `);
    throw error;
  };
  try {
    const running = run(pieces);
    return isPromiseLike(running) ? Promise.resolve(running).catch(failed) : undefined;
  } catch (error) {
    return failed(error);
  }
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array<ArrayBuffer>[] {
  if (bytes.length === 0) return [];
  return [...places, bytes.length].map((end, i) =>
    new Uint8Array(bytes.subarray(places[i - 1] ?? 0, end))
  );
}

/** Lists of offsets to split at, the shortest first. */
function* waysToCut(length: number, pieces: number): Generator<readonly number[]> {
  for (let cuts = 0; cuts < Math.min(pieces, Math.max(length, 1)); cuts++) {
    yield* combinations(cuts, 1, length);
  }
  if (length > pieces) yield Array.from({ length: length - 1 }, (_, i) => i + 1);
}

/** All lists of `count` growing numbers from `from` up to but not including `to`. */
function* combinations(count: number, from: number, to: number): Generator<readonly number[]> {
  if (count === 0) return yield [];
  for (let first = from; first <= to - count; first++) {
    for (const rest of combinations(count - 1, first + 1, to)) yield [first, ...rest];
  }
}

/** How many ways there are, as far as that matters. */
function countOf(length: number, pieces: number): number {
  let count = 1;
  for (let cuts = 1, ways = 1; cuts < Math.min(pieces, length) && count <= MOST_RUNS; cuts++) {
    ways *= (length - cuts) / cuts;
    count += ways;
  }
  return count;
}
