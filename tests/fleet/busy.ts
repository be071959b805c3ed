/** Keeps a thread from its event loop. @module */

import { existsSync } from "node:fs";

/** Computes until a time in ms since 1970. */
export function busyUntil(end: number): void {
  while (Date.now() < end);
}

/** Computes as long as a file exists. */
export function busyWhile(path: string): void {
  while (existsSync(path));
}
