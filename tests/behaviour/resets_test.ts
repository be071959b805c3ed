/** Clients that reset before they are accepted end nothing. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectAndReset, dial, readExactly } from "../support/peers.ts";
import { openDescriptors, Program } from "../support/program.ts";

/** How many clients connect and reset. */
const RESETS = 10_000;

/** Fewer than fit into any kernel's queue: the default was 128 on older ones. */
const BATCH = 100;

/** Bytes by which the heap may differ from one collection to the next, and what the system adds. */
const HEAP_NOISE = 2 << 20;
const RSS_NOISE = 48 << 20;

/** The output of reset_server.ts. */
interface Holdings {
  rss: number;
  held: number;
  accepted: number;
  aborted: number;
  resources: number;
}

function at(port: string): Deno.NetAddr {
  return { transport: "tcp", hostname: "127.0.0.1", port: Number(port) };
}

netTest("one reset ends the plain loop; ten thousand leave no trace in a server", async () => {
  await using plain = new Program(new URL("./programs/plain_loop.ts", import.meta.url));
  const plainAddr = at(await plain.line());
  await connectAndReset(plainAddr);
  using _next = await dial(plainAddr);
  await plain.tell("go");
  assertEquals((await plain.status).code, 1);
  assertEquals(await plain.lines(), []); // the next client was not served
  assertMatch((await plain.complaints()).join("\n"), /Uncaught \(in promise\) NotConnected/);

  await using program = new Program(new URL("./programs/reset_server.ts", import.meta.url), {
    flags: ["--v8-flags=--expose-gc"],
  });
  const addr = at(await program.line());
  const holdings = async (command: string) => JSON.parse(await program.ask(command)) as Holdings;
  /** Clients that reset while the server is paused, and one among them that does not. */
  const batch = async (aborted: number): Promise<Holdings> => {
    await program.ask("pause");
    using client = await dial(addr);
    await program.ask("overLimit"); // now no accept is pending, and all connections wait
    await Promise.all(Array.from({ length: BATCH }, () => connectAndReset(addr)));
    await program.ask("resume");
    await client.write(bytes`still here?`);
    assertEquals(text(await readExactly(client, 11)), "still here?");
    client.close();
    return await holdings(`aborted ${aborted}`);
  };

  let aborted = 0;
  const warm = await batch(aborted += BATCH);
  const descriptors = await openDescriptors(program.pid);
  let now = warm;
  while (aborted < RESETS) now = await batch(aborted += BATCH);
  assertEquals([now.aborted, now.resources, now.accepted], [RESETS, 0, RESETS / BATCH]);
  assert(now.held - warm.held < HEAP_NOISE, `the heap grew by ${now.held - warm.held} bytes`);
  assert(now.rss - warm.rss < RSS_NOISE, `the process grew by ${now.rss - warm.rss} bytes`);
  assertEquals(await openDescriptors(program.pid), descriptors);
}, { os: ["linux"] });
