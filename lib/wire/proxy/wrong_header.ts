/** How is it said what is wrong with a PROXY header? @module */

import { ProxyHeaderError } from "../../errors.ts";

/** The error for a header; `what` is wrong, and begins `at` this byte of it. */
export function wrong(what: string, at: number): ProxyHeaderError {
  return new ProxyHeaderError(`Cannot take a PROXY header: ${what}, at byte ${at}`, at);
}

/** A byte as specifications write it. */
export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, "0")}`;
}
