/** Each byte that arrives reaches one reader, once, and stays as it was. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { type Connection, connection, type RequiredRecord, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  resettablePair,
  socketPair,
  writeAll,
} from "../support/peers.ts";
import { turn, until } from "../support/wait.ts";
import { scripted, scriptedAfter } from "../support/scripted_connection.ts";
import { unhandledDuring } from "../support/unhandled.ts";

/** Every way to begin a read, with what it gave as text; `null` for the end. */
const READS: Record<string, (conn: Connection) => Promise<string | null>> = {
  "read()": async (conn) => {
    const p = new Uint8Array(1024);
    const n = await conn.read(p);
    return n === null ? null : text(p.subarray(0, n));
  },
  "next()": async (conn) => {
    const { done, value } = await conn[Symbol.asyncIterator]().next();
    return done ? null : text(value);
  },
  "readable": async (conn) => {
    const reader = conn.readable.getReader();
    try {
      const { done, value } = await reader.read();
      return done ? null : text(value);
    } finally {
      reader.releaseLock();
    }
  },
};

netTest("read() fills p itself and nothing behind what arrived", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  const memory = new Uint8Array(16).fill(0xff);
  await client.write(bytes`hello`);
  assertEquals(await conn.read(memory.subarray(4, 14)), 5);
  assertEquals([...memory], [
    255,
    255,
    255,
    255,
    ...bytes`hello`,
    255,
    255,
    255,
    255,
    255,
    255,
    255,
  ]);
});

netTest("read() gives what fits and the rest to the reads after it", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  await client.write(bytes`hello`);
  const p = new Uint8Array(2);
  assertEquals([await conn.read(p), text(p)], [2, "he"]);
  assertEquals([await conn.read(p), text(p)], [2, "ll"]);
  assertEquals(await conn.read(p), 1);
  assertEquals(conn.bytesRead, 5);
});

Deno.test("read() of no length gives 0 at once, also while another read is pending", async () => {
  const { socket, conn } = scripted();
  assertEquals(await conn.read(new Uint8Array(0)), 0);
  const pending = conn.read(new Uint8Array(8));
  assertEquals(await conn.read(new Uint8Array(0)), 0);
  socket.arrive(bytes`still`);
  assertEquals(await pending, 5);
  assertEquals(socket.mostReads, 1);
  conn.close();
});

netTest(
  "iteration gives every byte in order, of messages small and large and of a stream",
  async () => {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    const sizes = [
      1,
      7,
      64,
      511,
      512,
      513,
      1023,
      1024,
      1025,
      4096,
      5000,
      16384,
      16385,
      65536,
      70_000,
    ];
    const chunks = conn[Symbol.asyncIterator]();
    let at = 0;
    // Each message on its own, twice in a row, so that a waiting read meets it.
    for (const size of [...sizes, ...sizes]) {
      const sent = writeAll(client, pattern(at, size));
      for (const end = at + size; at < end;) {
        const { value } = await chunks.next();
        assertPattern(value!, at);
        at += value!.length;
      }
      await sent;
    }
    // Then as much as there is room for.
    const rest = 8 << 20;
    const sent = writeAll(client, pattern(at, rest)).then(() => client.close());
    const end = at + rest;
    for await (const chunk of conn) {
      assert(chunk.length > 0);
      assertPattern(chunk, at);
      at += chunk.length;
    }
    assertEquals(at, end);
    assertEquals(conn.bytesRead, end);
    await sent;
  },
);

Deno.test("iteration gives every byte however it was cut up on the way", async () => {
  const { socket, conn } = scripted();
  const length = 300_000;
  const arrivals: number[] = [];
  for (let at = 0, i = 0; at < length; i++) {
    const size = Math.min([1, 1024, 300, 16_384, 65_536, 2, 40_000][i % 7]!, length - at);
    arrivals.push(size);
    socket.arrive(pattern(at, size));
    at += size;
  }
  socket.finish();
  let at = 0;
  for await (const chunk of conn) {
    assertPattern(chunk, at);
    at += chunk.length;
  }
  assertEquals(at, length);
  conn.close();
});

Deno.test("a read of the socket that brings nothing is not the end", async () => {
  for (const [name, read] of Object.entries(READS)) {
    const { socket, conn } = scripted();
    socket.arrive(new Uint8Array(0));
    socket.arrive(bytes`hello`);
    socket.finish();
    let got = "";
    for (let part; (part = await read(conn)) !== null;) got += part;
    assertEquals(got, "hello", name);
    conn.close();
  }
});

netTest(
  "chunks kept from one connection are unchanged after a thousand others were served",
  async () => {
    const kept: { chunk: Uint8Array; copy: Uint8Array }[] = [];
    let keeping = 0;
    const echo = async (conn: Connection) => {
      for await (const chunk of conn) await conn.write(chunk);
    };
    await using server = serve(LOOPBACK, async (conn) => {
      if (conn.id !== keeping) return await echo(conn);
      for await (const chunk of conn) {
        kept.push({ chunk, copy: chunk.slice() });
        await conn.write(bytes`.`);
      }
    });
    keeping = 1;
    const keeper = await dial(server.addr);
    let keptBytes = 0;
    const keep = async (size: number) => {
      const sent = writeAll(keeper, pattern(keptBytes, size));
      keptBytes += size;
      await until(() => kept.reduce((sum, { chunk }) => sum + chunk.length, 0) === keptBytes);
      await sent;
    };
    for (const size of [1, 64, 64, 1000, 5000, 64]) await keep(size);
    for (let i = 0; i < 1000; i++) {
      const client = await dial(server.addr);
      const size = [1, 64, 1024, 3000, 20_000][i % 5]!;
      const sent = writeAll(client, pattern(i, size));
      assertPattern(await readExactly(client, size), i);
      await sent;
      client.close();
      if (i % 100 === 0) await keep(64 + i);
      if (i % 300 === 0) await keep(200_000);
    }
    keeper.close();
    let at = 0;
    for (const { chunk, copy } of kept) {
      assertPattern(copy, at);
      assertPattern(chunk, at);
      at += chunk.length;
    }
    assertEquals(at, keptBytes);
  },
);

Deno.test("no two chunks share memory, so that writing into one changes no other", async () => {
  const connections = Array.from({ length: 3 }, scripted);
  const chunks: { chunk: Uint8Array<ArrayBuffer>; copy: Uint8Array }[] = [];
  const sizes = [
    10,
    64,
    1024,
    1024,
    4096,
    16_384,
    65_536,
    65_536,
    65_536,
    20_000,
    40_000,
    5,
    512,
    3,
  ];
  for (let i = 0; i < 10 * sizes.length; i++) {
    for (const { socket, conn } of connections) {
      const size = sizes[i % sizes.length]!;
      socket.arrive(pattern(i, size));
      for (let got = 0; got < size;) {
        const { value } = await conn[Symbol.asyncIterator]().next();
        got += value!.length;
        chunks.push({ chunk: value!, copy: value!.slice() });
      }
    }
  }
  const places = chunks.map(({ chunk: { buffer, byteOffset, length } }) => ({
    buffer,
    start: byteOffset,
    end: byteOffset + length,
  }));
  const byBuffer = Map.groupBy(places, ({ buffer }) => buffer);
  for (const inOne of byBuffer.values()) {
    inOne.sort((a, b) => a.start - b.start);
    for (let i = 1; i < inOne.length; i++) assert(inOne[i]!.start >= inOne[i - 1]!.end);
  }
  for (let i = 0; i < chunks.length; i += 2) chunks[i]!.chunk.fill(0);
  for (let i = 1; i < chunks.length; i += 2) assertEquals(chunks[i]!.chunk, chunks[i]!.copy);
  for (const { conn } of connections) conn.close();
});

Deno.test("a chunk whose memory was transferred away harms no later one", async () => {
  const { socket, conn } = scripted();
  const chunks = conn[Symbol.asyncIterator]();
  let at = 0;
  for (let i = 0; i < 100; i++) {
    const size = [10, 100, 1000, 20_000, 65_536, 65_536][i % 6]!;
    socket.arrive(pattern(at, size));
    for (const end = at + size; at < end;) {
      const { value } = await chunks.next();
      assertPattern(value!, at);
      at += value!.length;
      assertEquals(value!.buffer.transfer().detached, false);
    }
  }
  conn.close();
});

for (const [name, first] of Object.entries(READS)) {
  Deno.test(`a second read of any kind while ${name} is pending is Busy, and the first goes on`, async () => {
    for (const [otherName, second] of Object.entries(READS)) {
      if (name === "readable" && otherName === "readable") continue; // a stream has one lock
      const { socket, conn } = scripted();
      const pending = first(conn);
      await turn(); // a stream reads a microtask later
      assertEquals(socket.mostReads, 1);
      const error = await assertRejects(() => second(conn), Deno.errors.Busy, "", otherName);
      assertEquals(
        error.message,
        "Cannot read while another read is pending: await that one first",
      );
      assertFalse(conn.signal.aborted);
      socket.arrive(bytes`hello`);
      assertEquals(await pending, "hello");
      assertEquals(socket.mostReads, 1);
      if (otherName !== "readable") { // a stream that has failed once stays so
        socket.arrive(bytes`again`);
        assertEquals(await second(conn), "again");
      }
      conn.close();
    }
  });
}

for (const [name, read] of Object.entries(READS)) {
  netTest(
    `${name} gives the data that came before FIN, then the end, again and again`,
    async () => {
      const [socket, client] = await socketPair();
      using conn = connection(socket);
      await client.write(bytes`last words`);
      client.close();
      assertEquals(await read(conn), "last words");
      for (let i = 0; i < 3; i++) assertEquals(await read(conn), null);
      assertFalse(conn.signal.aborted); // a peer that has finished is no failure
    },
  );

  netTest(
    `${name} gives the data that came before RST, then the error, again and again`,
    async () => {
      const [socket, peer] = await resettablePair();
      using conn = connection(socket);
      peer.write(bytes`last words`);
      assertEquals(await read(conn), "last words");
      const pending = read(conn);
      await peer.reset();
      const error = await assertRejects(() => pending, Deno.errors.ConnectionReset);
      for (let i = 0; i < 3; i++) {
        assertStrictEquals(await read(conn).catch((error) => error), error);
      }
      assertStrictEquals(conn.signal.reason, error);
    },
  );

  Deno.test(`${name} rejects with what the socket said, also when that has no code`, async () => {
    const { socket, conn } = scripted();
    const failure = new Error("Protocol error (os error 71)");
    socket.failRead(failure);
    assertStrictEquals(await read(conn).catch((error) => error), failure);
    assert(socket.closed);
    assertStrictEquals(await read(conn).catch((error) => error), failure);
    assertStrictEquals(await conn.write(bytes`x`).catch((error) => error), failure);
  });

  Deno.test(`${name} after close() rejects with BadResource`, async () => {
    const { conn } = scripted();
    conn.close();
    const error = await assertRejects(() => read(conn), Deno.errors.BadResource);
    assertEquals(error.message, "Cannot use a connection that is closed");
  });

  netTest(`${name} rejects with Interrupted when close() comes meanwhile`, async () => {
    const [socket, client] = await socketPair();
    using _client = client;
    const conn = connection(socket);
    const pending = read(conn);
    await turn(); // a stream reads a microtask later
    conn.close();
    const error = await assertRejects(() => pending, Deno.errors.Interrupted);
    const later = await read(conn).catch((error) => error);
    if (name === "readable") assertStrictEquals(later, error); // a stream keeps its error
    else assertInstanceOf(later, Deno.errors.BadResource);
  });
}

netTest("data that arrived with the RST, before any read, is delivered first", async () => {
  const [socket, peer] = await resettablePair();
  using conn = connection(socket);
  peer.write(bytes`last words`);
  // Seen on the raw socket's other end: the bytes have left before the reset is asked for.
  const p = new Uint8Array(4);
  assertEquals(await conn.read(p), 4);
  await peer.reset();
  assertEquals(await conn.read(new Uint8Array(16)), 6);
  await assertRejects(() => conn.read(p), Deno.errors.ConnectionReset);
});

netTest("break leaves the connection open and the rest readable, in any way", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  await client.write(bytes`one`);
  for await (const chunk of conn) {
    assertEquals(text(chunk), "one");
    break;
  }
  await client.write(bytes`two`);
  for await (const chunk of conn) {
    assertEquals(text(chunk), "two");
    break;
  }
  await client.write(bytes`three`);
  assertEquals(await READS["read()"]!(conn), "three");
  await client.write(bytes`four`);
  for await (const chunk of conn.readable.values({ preventCancel: true })) {
    assertEquals(text(chunk), "four");
    break;
  }
  await client.write(bytes`five`);
  assertEquals(await READS["next()"]!(conn), "five");
  await conn.write(bytes`still open`);
  assertEquals(text(await readExactly(client, 10)), "still open");
  client.close();
  for await (const _ of conn) assert(false, "nothing is left");
});

netTest("an error thrown in the loop leaves the connection open", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  await client.write(bytes`one`);
  await assertRejects(async () => {
    for await (const _ of conn) throw new RangeError("not what I wanted");
  }, RangeError);
  await client.write(bytes`two`);
  assertEquals(await READS["next()"]!(conn), "two");
});

netTest("two iterators of one connection share its bytes", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const [a, b] = [conn[Symbol.asyncIterator](), conn[Symbol.asyncIterator]()];
  await client.write(bytes`one`);
  assertEquals(text((await a.next()).value!), "one");
  await client.write(bytes`two`);
  assertEquals(text((await b.next()).value!), "two");
  client.close();
  for (const iterator of [a, b, a, b]) {
    assertEquals(await iterator.next(), { done: true, value: undefined });
  }
  assertStrictEquals(a[Symbol.asyncIterator](), a);
});

netTest("iterating again after the end gives the end", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  await client.write(bytes`all`);
  client.close();
  const rounds: string[] = [];
  for (let i = 0; i < 3; i++) {
    rounds.push("");
    for await (const chunk of conn) rounds[i] += text(chunk);
  }
  assertEquals(rounds, ["all", "", ""]);
});

netTest("ways to read may take turns on one stream", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const length = 1 << 20;
  const sent = writeAll(client, pattern(0, length)).then(() => client.close());
  const iterator = conn[Symbol.asyncIterator]();
  const p = new Uint8Array(3000);
  let at = 0;
  for (let turn = 0;; turn++) {
    let chunk: Uint8Array | null;
    if (turn % 2 === 0) chunk = (await iterator.next()).value ?? null;
    else {
      const n = await conn.read(p);
      chunk = n === null ? null : p.subarray(0, n);
    }
    if (chunk === null) break;
    assertPattern(chunk, at);
    at += chunk.length;
  }
  assertEquals(at, length);
  await sent;
});

netTest("a forgotten read of a peer that resets ends nothing but its connection", async () => {
  const ways = [
    (conn: Connection) => conn.read(new Uint8Array(1)),
    (conn: Connection) => conn[Symbol.asyncIterator]().next(),
  ];
  for (const begin of ways) {
    const [socket, peer] = await resettablePair();
    using conn = connection(socket);
    const { signal } = conn;
    const unhandled = await unhandledDuring(async () => {
      begin(conn);
      await peer.reset();
      await until(() => signal.aborted);
      begin(conn); // refused, which may be forgotten as well
    });
    assertEquals(unhandled, []);
    const error = await assertRejects(() => conn.read(new Uint8Array(1)));
    assertInstanceOf(error, Deno.errors.ConnectionReset);
    assertStrictEquals(await conn.write(bytes`x`).catch((error) => error), error);
  }
});

Deno.test("a forgotten read that is Busy ends nothing", async () => {
  const { socket, conn } = scripted();
  const first = conn.read(new Uint8Array(8));
  const unhandled = await unhandledDuring(() => {
    conn.read(new Uint8Array(8));
    conn[Symbol.asyncIterator]().next();
  });
  assertEquals(unhandled, []);
  socket.arrive(bytes`hello`);
  assertEquals(await first, 5);
  conn.close();
});

netTest("a connection that waits pins little memory, also after a burst", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const chunks = conn[Symbol.asyncIterator]();
  const burst = 4 << 20;
  const sent = writeAll(client, pattern(0, burst));
  for (let at = 0; at < burst;) at += (await chunks.next()).value!.length;
  await sent;
  // What it waits on is seen in the memory behind the next chunk.
  for (let i = 0; i < 18; i++) {
    const next = chunks.next();
    await client.write(bytes`x`);
    const { value } = await next;
    if (i > 16) assert(value!.buffer.byteLength <= 4096, `${value!.buffer.byteLength}`);
  }
  client.close();
  assertEquals(text(await readAll(conn)), "");
});

/** Each read of a record, for which a stream that ends before it is `null` or too few bytes. */
const REQUIRED: Record<string, (conn: Connection) => Promise<unknown>> = {
  "readLine()": (conn) => conn.readLine({ required: true }),
  "readUntil()": (conn) => conn.readUntil(";", { required: true }),
  "readExactly()": (conn) => conn.readExactly(3, { required: true }),
  "peek()": (conn) => conn.peek(3, { required: true }),
};

for (const [name, read] of Object.entries(REQUIRED)) {
  Deno.test(`${name} with required rejects where the stream ends before the record, too`, async () => {
    const { conn } = scriptedAfter(null);
    await assertRejects(() => read(conn), Deno.errors.UnexpectedEof, "The stream ended");
    conn.close();
  });
}

Deno.test("a record that is required and there is what it is without, and its type has no null", async () => {
  const { conn } = scriptedAfter(bytes`one\ntwo;abc`);
  const line: string = await conn.readLine({ required: true });
  const part: Uint8Array = await conn.readUntil(";", { required: true });
  const peeked: Uint8Array = await conn.peek(3, { required: true });
  const last: Uint8Array = await conn.readExactly(3, { required: true });
  assertEquals([line, text(part), text(peeked), text(last)], ["one", "two", "abc", "abc"]);
  conn.close();
});

Deno.test("a required that is neither true nor false is refused", async () => {
  const { conn } = scripted();
  const options = { required: 1 } as unknown as RequiredRecord;
  await assertRejects(
    () => conn.readLine(options),
    TypeError,
    "'required' of 1: use true or false",
  );
  conn.close();
});

Deno.test("skip() drops so many bytes, however they come, and what follows is read", async () => {
  const { socket, conn } = scriptedAfter(bytes`0123`);
  const skipped = conn.skip(200_004);
  for (let i = 0; i < 20; i++) {
    socket.arrive(new Uint8Array(10_000));
    await turn();
  }
  socket.arrive(bytes`rest\n`);
  await skipped;
  assertEquals(await conn.readLine(), "rest");
  await conn.skip(0);
  conn.close();
});

Deno.test("skip() rejects where the stream ends before, and for what is no count", async () => {
  const { conn } = scriptedAfter(bytes`0123`, null);
  const message = "The stream ended after 4 of 5 bytes to skip";
  await assertRejects(() => conn.skip(5), Deno.errors.UnexpectedEof, message);
  await assertRejects(() => conn.skip(-1), RangeError, "Cannot skip with 'n' of -1");
  conn.close();
});
