/** Bytes that show their offset in a stream. @module */

import { assertEquals } from "@std/assert";

/** The bytes of the stream from `start` on. */
export function pattern(start: number, length: number): Uint8Array<ArrayBuffer> {
  return fillPattern(new Uint8Array(length), start);
}

/** Fills `p` with the bytes of the stream from `start` on: each word of 4 is a hash of its offset. */
export function fillPattern<P extends Uint8Array>(p: P, start: number): P {
  for (let i = 0; i < p.length; i++) {
    const place = start + i;
    p[i] = Math.imul(place >>> 2, 0x9e3779b1) >>> (8 * (place & 3));
  }
  return p;
}

/** Fails unless `p` is the stream from `start` on, and says where it first differs. Allocates nothing. */
export function assertPattern(p: Uint8Array, start: number): void {
  for (let i = 0; i < p.length; i++) {
    const place = start + i;
    const byte = (Math.imul(place >>> 2, 0x9e3779b1) >>> (8 * (place & 3))) & 0xff;
    if (p[i] !== byte) assertEquals(p[i], byte, `byte ${place} is wrong`);
  }
}

/**
 * Reads to the end and fails unless it was the first `length` bytes of the stream.
 *
 * @param atOnce Bytes per read.
 * @param between Called after each read.
 */
export async function assertReadsPattern(
  conn: Pick<Deno.Conn, "read">,
  length: number,
  atOnce = 65536,
  between: () => void | Promise<void> = () => {},
): Promise<void> {
  const p = new Uint8Array(atOnce);
  let at = 0;
  for (let n; (n = await conn.read(p)) !== null; at += n) {
    assertPattern(p.subarray(0, n), at);
    await between();
  }
  assertEquals(at, length);
}
