/** Checks and completes the faults of one direction of a connection. @module */

import { checkKeys, checkNumber } from "../check.ts";

/**
 * Faults in one direction of a connection; without any, it behaves as an ordinary network does.
 *
 * @example A line arrives byte by byte
 * ```ts
 * import { connect, type Faults } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const dribble: Faults = { bytesPerRead: 1 };
 * await using client = connect(async (conn) => {
 *   await conn.write(new TextEncoder().encode(`${await conn.readLine()}!\n`));
 * }, { toHandler: dribble });
 *
 * await client.write(new TextEncoder().encode("hello\n"));
 * assertEquals(await client.readLine(), "hello!");
 * ```
 *
 * @category Testing
 */
export interface Faults {
  /**
   * Bytes that fit between the two ends, as into the kernel's buffers. A write waits while that many
   * are unread; with a small number, backpressure from a slow reader comes soon.
   *
   * @default {65_536}
   */
  capacity?: number;
  /**
   * The most bytes that one read returns.
   *
   * @default {Infinity}
   */
  bytesPerRead?: number;
  /**
   * The most bytes that one write takes, so that the rest has to be written again. A connection of
   * usher does that by itself; a plain `Deno.Conn` leaves it to the caller.
   *
   * @default {Infinity}
   */
  bytesPerWrite?: number;
  /**
   * Bytes after which nothing more arrives, the end of the stream included. The writer notices when
   * `capacity` is full. A reset still arrives.
   *
   * @default {Infinity}
   */
  stallAfter?: number;
  /**
   * Bytes after which the connection is reset, at both ends and in both directions. Those bytes
   * still arrive, if they are read before anything is written.
   *
   * @default {Infinity}
   */
  resetAfter?: number;
}

/** The defaults. */
export const NO_FAULTS: Required<Faults> = Object.freeze({
  capacity: 65_536,
  bytesPerRead: Infinity,
  bytesPerWrite: Infinity,
  stallAfter: Infinity,
  resetAfter: Infinity,
});

/** The least value of each: with less, nothing would ever pass. */
const LEAST: Required<Faults> = {
  capacity: 1,
  bytesPerRead: 1,
  bytesPerWrite: 1,
  stallAfter: 0,
  resetAfter: 0,
};

/** Checks and completes the faults of one direction. */
export function completeFaults(verb: string, name: string, faults: Faults = {}): Required<Faults> {
  const attempt = `${verb} with '${name}'`;
  checkKeys(attempt, faults, Object.keys(LEAST));
  const complete = { ...NO_FAULTS };
  for (const key of Object.keys(LEAST) as (keyof Faults)[]) {
    const value = faults[key];
    if (value === undefined) continue;
    complete[key] = checkNumber(verb, `${name}.${key}`, value, LEAST[key], Infinity, true);
  }
  return complete;
}
