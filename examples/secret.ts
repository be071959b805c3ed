/** Compares secrets, for examples that ask for a password. @module */

import { timingSafeEqual } from "node:crypto";

/** Whether both are equal, in a time that depends only on the given text. */
export function isEqual(given: string, wanted: string): boolean {
  const encoder = new TextEncoder();
  const one = encoder.encode(given), other = encoder.encode(wanted);
  return one.length === other.length && timingSafeEqual(one, other);
}
