/** Makes and drops 8 GiB of memory to be read into, of which 4 MiB are held at a time. @module */

import "../../../mod.ts"; // the heap of a server is larger than that of a bare program
import { FreshMemory } from "../../../lib/connection/fresh_memory.ts";
import { turn } from "../../support/wait.ts";

const make = Deno.args[0] === "fresh"
  ? (size: number) => FreshMemory.of(size)
  : (size: number) => new ArrayBuffer(size);
// As in a server that has run for a while: the first limit of a process is never reached.
(globalThis as unknown as { gc(): void }).gc();
const held: ArrayBuffer[] = [];
for (let i = 0; i < 2 ** 17; i++) {
  held[i % 64] = make(2 ** 16);
  if (i % 64 === 0) await turn();
}
