/** A million writes that are not awaited cost a slow reader's server little memory and time. @module */

import { assertEquals, assertLess } from "@std/assert";
import { serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";

const WRITES = 1_000_000;

/** More bytes than the kernel takes for a peer that does not read. */
const STUCK = 8 << 20;

/** Bytes of memory more, ms until all is written once the peer reads, and ms that a busy machine takes. */
const MEMORY = 16 << 20, TIME = 2000, SLACK = 3000;

netTest("a million un-awaited writes of a byte take 16 MiB at most, and leave in 2 s", async () => {
  const queued = Promise.withResolvers<number>();
  const written = Promise.withResolvers<void>();
  await using server = serve(LOOPBACK, async (conn) => {
    conn.write(new Uint8Array(STUCK));
    const p = Uint8Array.of(7);
    const before = memory();
    for (let i = 0; i < WRITES; i++) conn.write(p);
    queued.resolve(memory() - before);
    await conn.closeWrite();
    written.resolve();
  });
  using client = await dial(server.addr);
  assertLess(await queued.promise, MEMORY);
  const since = performance.now();
  const p = new Uint8Array(1 << 20);
  let read = 0;
  for (let n; (n = await client.read(p)) !== null;) read += n;
  await written.promise;
  assertEquals(read, STUCK + WRITES);
  assertLess(performance.now() - since, TIME + SLACK);
});

function memory(): number {
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}
