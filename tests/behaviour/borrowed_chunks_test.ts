/** Borrowed chunks give every byte once, and a handler that keeps one fails its test. @module */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type ChunkOptions, type Connection, connection, serve } from "../../mod.ts";
import { pair } from "../../lib/testing/pair.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { dial, LOOPBACK, readExactly, socketPair, writeAll } from "../support/peers.ts";
import { restOf, scripted, scriptedAfter } from "../support/scripted_connection.ts";

const MIB = 1 << 20;

const reuse: ChunkOptions = { reuse: true };

netTest("borrowed chunks have every byte of a stream, in order", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const length = 8 * MIB;
  const sent = writeAll(client, pattern(0, length)).then(() => client.close());
  let at = 0;
  for await (const chunk of conn.chunks(reuse)) {
    assertPattern(chunk, at);
    at += chunk.length;
  }
  assertEquals([at, conn.bytesRead], [length, length]);
  await sent;
});

netTest("an echo of borrowed chunks is served to many at once, each with its own", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    for await (const chunk of conn.chunks({ reuse: true })) await conn.write(chunk);
  });
  await Promise.all(Array.from({ length: 20 }, async (_, id) => {
    using client = await dial(server.addr);
    for (const size of [1, 64, 5000, 16_384, 65_536, 200_000, 64, 64, 64]) {
      const sent = writeAll(client, pattern(id, size));
      assertPattern(await readExactly(client, size), id);
      await sent;
    }
  }));
});

Deno.test("a borrowed chunk shows the next one when that is asked for", async () => {
  const { socket, conn } = scriptedAfter(bytes`one`, bytes`two`);
  const chunks = conn.chunks(reuse);
  const { value } = await chunks.next();
  assertEquals(text(value!), "one");
  await chunks.next();
  assertEquals(text(value!), "two");
  socket.finish();
  assertEquals(await chunks.next(), { done: true, value: undefined });
  conn.close();
});

Deno.test("chunks() without reuse, or with false, gives chunks that stay as they are", async () => {
  for (const options of [undefined, {}, { reuse: false }]) {
    const { conn } = scriptedAfter(bytes`one`, bytes`two`, null);
    const kept: Uint8Array[] = [];
    for await (const chunk of conn.chunks(options)) kept.push(chunk);
    assertEquals(kept.map(text), ["one", "two"]);
    conn.close();
  }
});

Deno.test("chunks() rejects unknown and invalid options", () => {
  const { conn } = scripted();
  const given: [options: unknown, message: string][] = [
    [{ again: true }, "an unknown option 'again'"],
    [{ reuse: 1 }, "'reuse' of 1"],
    [null, "null as options"],
  ];
  for (const [options, message] of given) {
    assertThrows(() => conn.chunks(options as ChunkOptions), TypeError, message);
  }
  conn.close();
});

Deno.test("break leaves the rest to reads of any kind, and they leave it to borrowed chunks", async () => {
  const { socket, conn } = scriptedAfter(bytes`one`, bytes`two\nthree`);
  for await (const chunk of conn.chunks(reuse)) {
    assertEquals(text(chunk), "one");
    break;
  }
  assertEquals(await conn.readLine(), "two");
  for await (const chunk of conn.chunks(reuse)) {
    assertEquals(text(chunk), "three");
    break;
  }
  socket.arrive(bytes`four`);
  assertEquals(text((await conn.readExactly(4))!), "four");
  socket.arrive(bytes`five`);
  socket.finish();
  assertEquals(await restOf(conn), "five");
  conn.close();
});

Deno.test("an owned chunk is never lent memory, also where a read of the one kind brings what the other gets", async () => {
  const { socket, conn } = scripted();
  const kept: { chunk: Uint8Array; copy: Uint8Array }[] = [];
  for (let i = 0; i < 200; i++) {
    const isOwned = i % 3 === 0;
    const chunks = isOwned ? conn.chunks() : conn.chunks(reuse);
    const size = [10, 700, 20_000, 65_536][i % 4]!;
    if (i % 5 === 0) {
      // A read that gives up leaves its memory to the next.
      await assertRejects(() => conn.readExactly(1, { timeout: 0 }), DOMException);
    }
    socket.arrive(pattern(i, size));
    for (let got = 0; got < size;) {
      const { value } = await chunks.next();
      assertPattern(value!, i + got);
      got += value!.length;
      if (isOwned) kept.push({ chunk: value!, copy: value!.slice() });
    }
  }
  for (const { chunk, copy } of kept) assertEquals(chunk, copy);
  conn.close();
});

Deno.test("transferring a borrowed chunk's buffer affects no later one", async () => {
  const { socket, conn } = scripted();
  const chunks = conn.chunks(reuse);
  for (let i = 0; i < 20; i++) {
    const size = [10, 5000, 65_536][i % 3]!;
    socket.arrive(pattern(i, size));
    const { value } = await chunks.next();
    assertPattern(value!, i);
    structuredClone(value, { transfer: [value!.buffer] });
  }
  conn.close();
});

Deno.test("a second read while a borrowed chunk is awaited is Busy", async () => {
  const { socket, conn } = scripted();
  const next = conn.chunks(reuse).next();
  await assertRejects(() => conn.chunks(reuse).next(), Deno.errors.Busy);
  await assertRejects(() => conn.readLine(), Deno.errors.Busy);
  socket.arrive(bytes`x`);
  assertEquals(text((await next).value!), "x");
  conn.close();
});

Deno.test("in tests a chunk that a handler keeps is overwritten", async () => {
  const [near, far] = pair();
  await using conn: Connection = connection(near);
  const kept: Uint8Array[] = [];
  const reading = (async () => {
    for await (const chunk of conn.chunks({ reuse: true })) kept.push(chunk);
  })();
  const sizes = [5, 600, 20_000, 7];
  for (const [i, size] of sizes.entries()) await far.write(new Uint8Array(size).fill(i + 1));
  far.close();
  await reading;
  assertEquals(kept.length, sizes.length);
  // Some are from freed memory.
  kept.forEach((chunk, i) => assert(chunk.length === 0 || !chunk.includes(i + 1), `${i}`));
});
