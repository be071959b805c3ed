/** Asks a server that servers/counting.ts was loaded into what it has counted. @module */

import type { Child } from "./children.ts";

/** Since the server was started, but for what it holds at present. */
export interface Count {
  /** Chunks that the handler was given: its writes where it echoes; the socket's reads without usher. */
  readonly chunks: number;
  /** Reads of the socket that brought bytes, and writes to it. */
  readonly reads: number;
  readonly writes: number;
  /** Bytes copied from one buffer to another, and bytes of buffers made. */
  readonly copied: number;
  readonly allocated: number;
  /** Bytes behind a collection: of JavaScript's objects, and of the memory of buffers. */
  readonly heap: number;
  readonly external: number;
}

/** Milliseconds until a server that does not answer counts as stuck. */
const LIMIT = 15_000;

/** What `deno run` takes besides, so that a server counts. */
export const COUNTING: readonly string[] = [
  "--preload=servers/counting.ts",
  "--v8-flags=--expose-gc",
];

export async function askCount(child: Child): Promise<Count> {
  await child.tell("count");
  return JSON.parse(await child.line(LIMIT));
}
