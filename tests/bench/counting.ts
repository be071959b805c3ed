/** Reads the counts of a server that servers/counting.ts was loaded into. @module */

import type { Child } from "./children.ts";

/** Since the start of the server, except for what it holds at present. */
export interface Count {
  /** Chunks that the handler got: its writes where it echoes; the socket's reads without usher. */
  readonly chunks: number;
  /** Reads of the socket that brought bytes, and writes to it. */
  readonly reads: number;
  readonly writes: number;
  /** Bytes copied from one buffer to another, and bytes of new buffers. */
  readonly copied: number;
  readonly allocated: number;
  /** Bytes after a collection: of JavaScript objects, and of the memory of buffers. */
  readonly heap: number;
  readonly external: number;
}

/** Milliseconds until a server that does not answer counts as stuck. */
const LIMIT = 15_000;

/** Additional arguments of `deno run` that make a server count. */
export const COUNTING: readonly string[] = [
  "--preload=servers/counting.ts",
  "--v8-flags=--expose-gc",
];

export async function askCount(child: Child): Promise<Count> {
  await child.tell("count");
  return JSON.parse(await child.line(LIMIT));
}
