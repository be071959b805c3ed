/** Keeps a thread from its event loop. @module */

/** Computes until a time in ms since 1970. */
export function busyUntil(end: number): void {
  while (Date.now() < end);
}
