/** Each byte that is written leaves once, in order, and memory stays bounded. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  broadcast,
  type Connection,
  connection,
  type ConnectionOptions,
  framed,
  lines,
  serve,
} from "../../mod.ts";
import { ByteWriter } from "../../lib/connection/byte_writer.ts";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { Lifeline } from "../../lib/connection/lifeline.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { Rooms } from "../../lib/connection/rooms.ts";
import { byChance } from "../support/chance.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, assertReadsPattern, fillPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  resettablePair,
  socketPair,
} from "../support/peers.ts";
import { ENOUGH_TURNS, turn, turns, until } from "../support/wait.ts";
import { Program } from "../support/program.ts";
import { type Scripted, scripted } from "../support/scripted_connection.ts";
import { Switchboard } from "../support/switchboard.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { noteEnds } from "../support/noting.ts";

const MIB = 1 << 20;

/** Bytes of a write that is not joined with others while it waits. */
const LARGE = 5000;

/** Bytes of memory that sending may take besides what is sent: two buffers, and what V8 adds. */
const MEMORY = 24 * MIB;

/** A connection over a scripted socket that takes only what the test lets it. */
function stuck(options?: ConnectionOptions): Scripted {
  const { socket, conn } = scripted(options);
  socket.takes = undefined;
  return { socket, conn };
}

/** A writer over a socket whose options are still to be set. */
function unset(): { socket: Switchboard; writer: ByteWriter } {
  const socket = new Switchboard();
  const life = new Lifeline(socket, new CoarseClock(false), DEFAULT_LIMITS);
  life.noDelayDue = life.keepAliveDue = true;
  return { socket, writer: new ByteWriter(life, MIB, new Rooms()) };
}

Deno.test("write() turns Nagle's algorithm off before the second write, as the first is never held back", async () => {
  const { socket, writer } = unset();
  await writer.write(bytes`one`);
  assertEquals(socket.set, []);
  for (const word of [bytes`two`, bytes`three`]) {
    const writing = writer.write(word);
    assertEquals(socket.set, ["noDelay true"]);
    await writing;
  }
});

Deno.test("write() turns Nagle's algorithm off before a first write that may be more than one segment", async () => {
  const { socket, writer } = unset();
  const writing = writer.write(new Uint8Array(513));
  assertEquals(socket.set, ["noDelay true"]);
  await writing;
});

Deno.test("write() turns Nagle's algorithm off before a second write that had to wait for the first", async () => {
  const { socket, writer } = unset();
  socket.takes = undefined;
  const writing = [writer.write(bytes`one`), writer.write(bytes`two`)];
  assertEquals(socket.set, []); // while a write is pending no option can be set
  socket.writes[0]!.take();
  await until(() => socket.writes.length > 1 || socket.set.length > 0);
  assertEquals(socket.set, ["noDelay true"]);
  socket.writes.at(-1)!.take();
  await Promise.all(writing);
});

netTest(
  "64 MiB written piece by piece to a slow reader arrive whole, in bounded memory",
  async () => {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    using _client = client;
    const length = 64 * MIB;
    const before = Deno.memoryUsage().external;
    let most = 0;
    const reading = assertReadsPattern(client, length, 32_768, () => {
      most = Math.max(most, Deno.memoryUsage().external - before);
      return turn(); // slower than what is sent
    });
    const p = new Uint8Array(65536);
    for (let at = 0; at < length; at += p.length) {
      const written = conn.write(fillPattern(p, at)); // p is free again once it is written
      assertLessOrEqual(conn.unsentBytes, p.length);
      assertEquals(await written, p.length);
    }
    assertEquals(conn.unsentBytes, 0);
    assertEquals(conn.bytesWritten, length);
    await conn.closeWrite();
    await reading;
    assertLess(most, MEMORY);
  },
);

netTest("64 MiB in one write arrive whole, and sending them copies nothing", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  const p = pattern(0, 64 * MIB);
  const before = Deno.memoryUsage().external;
  let most = 0;
  const written = conn.write(p);
  conn.closeWrite();
  await assertReadsPattern(client, p.length, 65536, () => {
    most = Math.max(most, Deno.memoryUsage().external - before);
    assertEquals(conn.bytesWritten + conn.unsentBytes, p.length);
    return turn();
  });
  assertEquals(await written, p.length);
  assertLess(most, MEMORY);
});

netTest("8 writers of 1 MiB each at once do not interleave", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket, { maxUnsent: 8 * MIB });
  const writers = Array.from({ length: 8 }, (_, i) => conn.write(new Uint8Array(MIB).fill(i)));
  conn.closeWrite();
  const received = await readAll(client);
  assertEquals(await Promise.all(writers), Array(8).fill(MIB));
  assertEquals(received.length, 8 * MIB);
  for (let i = 0; i < 8; i++) {
    assert(received.subarray(i * MIB, (i + 1) * MIB).every((byte) => byte === i), `writer ${i}`);
  }
});

netTest("writes of many sizes from many callers arrive in the order of the calls", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket, { maxUnsent: 64 * MIB });
  const reading = readAll(client);
  let at = 0;
  const caller = async (id: number) => {
    for (let i = 0; i < 40; i++) {
      const size = [1, 100, 4096, 70_000, 300_000][(i * 7 + id) % 5]!;
      const p = pattern(at, size);
      at += size; // no await between taking the place and writing
      const written = conn.write(p);
      if ((i + id) % 3 === 0) assertEquals(await written, size);
      if ((i + id) % 4 === 0) await turn();
    }
  };
  await Promise.all([0, 1, 2, 3, 4].map(caller));
  await conn.closeWrite();
  const received = await reading;
  assertEquals(received.length, at);
  assertPattern(received, 0);
});

Deno.test("what a socket takes only in part is offered again until it is whole", async () => {
  const sizes: ((p: Uint8Array) => number)[] = [
    () => 1,
    (p) => Math.min(p.length, 7),
    (p) => Math.ceil(p.length / 2),
    (p) => p.length,
  ];
  for (const takes of sizes) {
    const { socket, conn } = scripted();
    socket.takes = takes;
    const writes = [conn.write(pattern(0, 1000)), conn.write(pattern(1000, 1))];
    writes.push(conn.write(pattern(1001, 999)));
    await conn.closeWrite();
    assertEquals(await Promise.all(writes), [1000, 1, 999]);
    assertEquals(socket.takenBytes, 2000);
    assertPattern(socket.taken, 0);
    assertEquals(socket.mostWrites, 1);
    assertEquals(socket.finishedAt, [2000]);
    assertEquals(conn.bytesWritten, 2000);
    conn.close();
  }
});

Deno.test("a write to a socket that takes nothing, ever, rejects instead of trying forever", async () => {
  const { socket, conn } = scripted();
  let asked = 0;
  socket.takes = (p) => asked++ === 0 ? Math.min(p.length, 10) : 0;
  const write = conn.write(pattern(0, 95));
  const queued = conn.write(bytes`x`);
  const error = await assertRejects(() => write, Deno.errors.WriteZero);
  assertStrictEquals(await queued.catch((error) => error), error);
  assertEquals(socket.taken, pattern(0, 10));
  assert(socket.closed);
});

Deno.test("one write at a time reaches the socket, however late it settles", async () => {
  const { socket, conn } = stuck();
  const settled: number[] = [];
  const writes = Array.from({ length: 5 }, (_, i) => {
    const write = conn.write(pattern(i * LARGE, LARGE));
    write.then(() => settled.push(i));
    return write;
  });
  for (let i = 0; i < 5; i++) {
    await until(() => socket.writes.length === 1);
    socket.writes[0]!.take(3);
    await until(() => socket.writes[0]?.bytes.length === LARGE - 3);
    assertEquals(settled.length, i);
    socket.writes[0]!.take();
    await writes[i];
    assertEquals(settled.length, i + 1);
  }
  assertEquals(settled, [0, 1, 2, 3, 4]);
  assertEquals(socket.taken, pattern(0, 5 * LARGE));
  assertEquals(socket.mostWrites, 1);
  conn.close();
});

Deno.test("small writes that wait leave in few writes, and each resolves with its own length", async () => {
  const { socket, conn } = stuck();
  const sizes = Array.from({ length: 3000 }, (_, i) => [1, 20, 300][i % 3]!);
  let at = 0;
  const writes = [
    conn.write(bytes`!`),
    ...sizes.map((size) => {
      const p = pattern(at, size);
      at += size;
      const write = conn.write(p);
      p.fill(0); // it was copied
      return write;
    }),
  ];
  assertEquals(conn.unsentBytes, at + 1);
  conn.closeWrite();
  const lengths: number[] = [];
  while (socket.finishedAt.length === 0) {
    await until(() => socket.writes.length === 1 || socket.finishedAt.length === 1);
    const [write] = socket.writes;
    if (write !== undefined) lengths.push(write.bytes.length);
    write?.take();
    await turn();
  }
  assertEquals(await Promise.all(writes), [1, ...sizes]);
  assertPattern(socket.taken.subarray(1), 0);
  assertLessOrEqual(Math.max(...lengths), 16_384);
  assertLessOrEqual(lengths.length, 1 + Math.ceil(at / (16_384 - 300)));
  conn.close();
});

Deno.test("a large write that waits is borrowed, not copied, and small ones keep their place around it", async () => {
  const { socket, conn } = stuck();
  const large = pattern(0, LARGE);
  conn.write(bytes`a`);
  conn.write(bytes`b`);
  conn.write(large);
  conn.write(bytes`c`);
  conn.write(bytes`d`);
  large.fill(7); // the caller must not; it shows that there is one copy
  socket.takes = (p) => p.length;
  socket.writes[0]!.take();
  await conn.closeWrite();
  assertEquals(text(socket.taken.subarray(0, 2)), "ab");
  assertEquals(socket.taken.subarray(2, -2), new Uint8Array(LARGE).fill(7));
  assertEquals(text(socket.taken.subarray(-2)), "cd");
  conn.close();
});

Deno.test("order is kept by chance, whatever waits and whatever the peer takes", () =>
  byChance(async (chance) => {
    const { socket, conn } = stuck({ maxUnsent: Infinity });
    let at = 0;
    const writes: Promise<number>[] = [];
    const sizes: number[] = [];
    for (let i = 0; i < 400; i++) {
      const size = chance.pick([1, 1, 7, 100, 2047, 2048, 2049, 9000, 40_000]);
      sizes.push(size);
      writes.push(conn.write(pattern(at, size)));
      at += size;
      if (!chance.onceIn(3)) continue;
      await turn();
      const [write] = socket.writes;
      write?.take(Math.min(write.bytes.length, chance.pick([1, 1000, MIB])));
    }
    await turn();
    socket.takes = (p) => p.length;
    socket.writes[0]?.take();
    await conn.closeWrite();
    assertEquals(await Promise.all(writes), sizes);
    assertEquals(socket.takenBytes, at);
    assertPattern(socket.taken, 0);
    assertEquals(socket.mostWrites, 1);
    conn.close();
  }));

Deno.test("a write from the callback of an earlier one queues behind those made meanwhile", async () => {
  const { socket, conn } = stuck();
  const first = conn.write(bytes`1`).then(() => conn.write(bytes`3`));
  conn.write(bytes`2`);
  while (socket.takenBytes < 3) {
    await until(() => socket.writes.length === 1);
    socket.writes[0]!.take();
    await turn();
  }
  assertEquals(await first, 1);
  assertEquals(text(socket.taken), "123");
  conn.close();
});

Deno.test("p is free once its write has settled", async () => {
  const { socket, conn } = scripted();
  const p = bytes`hello`;
  await conn.write(p);
  p.fill(0);
  assertEquals(text(socket.taken), "hello");
  conn.close();
});

Deno.test("write() of no length gives 0 at once, also while another write is stuck", async () => {
  const { socket, conn } = stuck();
  assertEquals(await conn.write(new Uint8Array(0)), 0);
  assertEquals(socket.writes.length, 0);
  conn.write(bytes`stuck`);
  assertEquals(await conn.write(new Uint8Array(0)), 0);
  conn.close();
  await assertRejects(() => conn.write(new Uint8Array(0)), Deno.errors.BadResource);
});

netTest("closeWrite() sends FIN behind every earlier write, and reading goes on", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket, { maxUnsent: 8 * MIB });
  for (let i = 0; i < 8; i++) conn.write(pattern(i * MIB, MIB));
  const finished = conn.closeWrite();
  await assertReadsPattern(client, 8 * MIB);
  await finished;
  await client.write(bytes`thank you`);
  client.close();
  assertEquals(text(await readAll(conn)), "thank you");
});

Deno.test("closeWrite() settles when FIN has been sent, not before", async () => {
  const { socket, conn } = stuck();
  conn.write(bytes`a`);
  conn.write(bytes`b`);
  let finished = false;
  const finish = conn.closeWrite().then(() => void (finished = true));
  for (const expected of ["a", "b"]) {
    await until(() => socket.writes.length === 1);
    assertEquals(text(socket.writes[0]!.bytes), expected);
    assertEquals(socket.finishedAt, []);
    assertFalse(finished);
    socket.writes[0]!.take();
    await turn();
  }
  await finish;
  assertEquals(socket.finishedAt, [2]);
  conn.close();
});

Deno.test("closeWrite() twice sends one FIN", async () => {
  const { socket, conn } = stuck();
  conn.write(bytes`a`);
  const finished = [conn.closeWrite(), conn.closeWrite()];
  socket.writes[0]!.take();
  await Promise.all(finished);
  await conn.closeWrite();
  assertEquals(socket.finishedAt, [1]);
  conn.close();
});

netTest("closeWrite() twice, or more often, is harmless", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  conn.write(bytes`all`);
  await Promise.all([conn.closeWrite(), conn.closeWrite(), conn.closeWrite()]);
  await conn.closeWrite();
  assertEquals(text(await readAll(client)), "all");
  assertFalse(conn.signal.aborted);
  await conn.end();
  assertEquals(await conn.read(new Uint8Array(0)), 0);
});

netTest("write() after closeWrite() rejects with BrokenPipe, and ends nothing", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  conn.closeWrite(); // not yet sent
  const message = "Cannot write after closeWrite() or end()";
  await assertRejects(() => conn.write(bytes`x`), Deno.errors.BrokenPipe, message);
  await conn.closeWrite();
  await assertRejects(() => conn.write(bytes`x`), Deno.errors.BrokenPipe, message);
  await client.write(bytes`hello`);
  assertEquals(await conn.read(new Uint8Array(8)), 5);
  assertEquals(text(await readAll(client)), "");
});

netTest("write() and closeWrite() after end() reject, before and after it is done", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const ended = conn.end();
  await assertRejects(() => conn.write(bytes`x`), Deno.errors.BrokenPipe);
  assertEquals(text(await readAll(client)), "");
  await ended;
  await assertRejects(() => conn.write(bytes`x`), Deno.errors.BadResource);
  await assertRejects(() => conn.closeWrite(), Deno.errors.BadResource);
});

netTest("write() and closeWrite() after close() reject with BadResource", async () => {
  const [socket, client] = await socketPair();
  using _client = client;
  const conn = connection(socket);
  conn.close();
  for (const operation of [() => conn.write(bytes`x`), () => conn.closeWrite()]) {
    const error = await assertRejects(operation, Deno.errors.BadResource);
    assertEquals(error.message, "Cannot use a connection that is closed");
  }
});

netTest("close() drops what waits, and pending operations reject with Interrupted", async () => {
  const [socket, client] = await socketPair();
  const conn = connection(socket, { maxUnsent: 64 * MIB });
  const pending: Promise<unknown>[] = [
    conn.write(new Uint8Array(32 * MIB)),
    conn.write(new Uint8Array(MIB)),
    conn.closeWrite(),
    conn.read(new Uint8Array(1)),
  ];
  await until(() => conn.bytesWritten > 0);
  conn.close();
  assertEquals(conn.unsentBytes, 0);
  for (const operation of pending) await assertRejects(() => operation, Deno.errors.Interrupted);
  assertLess((await readAll(client)).length, 32 * MIB);
});

Deno.test("a write whose last part was on the way when close() came has been written", async () => {
  const { socket, conn } = stuck();
  socket.settlesLate = true;
  const write = conn.write(bytes`hello`);
  const queued = conn.write(bytes`more`);
  conn.close();
  await assertRejects(() => queued, Deno.errors.Interrupted);
  socket.writes[0]!.take();
  assertEquals(await write, 5);
  assertEquals(conn.bytesWritten, 5);
});

Deno.test("a write of which a part was on the way when close() came rejects with Interrupted", async () => {
  for (const place of ["first", "queued", "begun"]) {
    const { socket, conn } = stuck();
    socket.settlesLate = true;
    if (place === "queued") {
      conn.write(bytes`before`);
      const write = conn.write(bytes`hello`);
      socket.writes[0]!.take();
      await until(() => socket.writes[0]?.bytes.length === 5);
      conn.close();
      socket.writes[0]!.take(2);
      await assertRejects(() => write, Deno.errors.Interrupted, "", place);
      continue;
    }
    const write = conn.write(bytes`hello`);
    if (place === "begun") {
      socket.writes[0]!.take(1);
      await until(() => socket.writes[0]?.bytes.length === 4);
    }
    conn.close();
    socket.writes[0]!.take(2);
    await assertRejects(() => write, Deno.errors.Interrupted, "", place);
    await turns();
  }
});

Deno.test("a write that finds maxUnsent already waiting ends the connection at once, and none before does", async () => {
  const { socket, conn } = stuck({ maxUnsent: 10_000 });
  const writes = [conn.write(new Uint8Array(1000)), conn.write(new Uint8Array(5000))];
  writes.push(conn.write(new Uint8Array(8000))); // finds 5000, and its own size does not matter
  assertEquals(conn.unsentBytes, 14_000);
  assertFalse(conn.signal.aborted);
  const over = conn.write(new Uint8Array(1));
  assert(conn.signal.aborted);
  assert(socket.closed);
  assertEquals(conn.unsentBytes, 0);
  const error = await assertRejects(() => over, Deno.errors.WouldBlock);
  assertEquals(
    error.message,
    "Cannot queue 1 more bytes: 13000 already wait behind the write in progress, 14024 with their " +
      "overhead, and 'maxUnsent' is 10000; await each write, or look at 'unsentBytes' first",
  );
  writes.push(conn.write(bytes`later`), conn.read(new Uint8Array(1)) as Promise<number>);
  for (const write of writes) {
    assertStrictEquals(await write.catch((error) => error), error);
  }
  assertStrictEquals(conn.signal.reason, error);
});

Deno.test("one write is taken however large it is, alone and behind the write in progress", async () => {
  const { socket, conn } = stuck({ maxUnsent: 1000 });
  const writes = [conn.write(new Uint8Array(10 * MIB)), conn.write(new Uint8Array(10 * MIB))];
  assertFalse(conn.signal.aborted);
  socket.takes = (p) => p.length;
  socket.writes[0]!.take();
  assertEquals(await Promise.all(writes), [10 * MIB, 10 * MIB]);
  conn.close();
});

Deno.test("maxUnsent counts what it takes to hold the writes, so that no size of them makes it cheaper", () => {
  for (const size of [1, 10, 2048, 2049, 100_000]) {
    const { conn } = stuck();
    let queued = 0;
    conn.write(bytes`stuck`);
    for (let i = 0; !conn.signal.aborted; i++) {
      // Small ones of many lengths, each of which has a promise of its own.
      const length = size > 10 ? size : 1 + i % 2000;
      conn.write(new Uint8Array(length));
      queued += length + (size > 2048 ? 450 : 0);
      assertLess(queued, MIB + 2 * (size + 2000));
    }
  }
});

Deno.test("maxUnsent counts what waits behind the write in progress, and frees it as that moves on", async () => {
  const { socket, conn } = stuck({ maxUnsent: 5000 });
  conn.write(new Uint8Array(10_000));
  conn.write(new Uint8Array(6000));
  socket.writes[0]!.take();
  await until(() => socket.writes[0]?.bytes.length === 6000);
  assertEquals(conn.unsentBytes, 6000); // in progress now
  conn.write(new Uint8Array(6000));
  conn.closeWrite(); // which has no length
  assertEquals(conn.unsentBytes, 12_000);
  socket.writes[0]!.take(2000);
  await until(() => socket.writes[0]?.bytes.length === 4000);
  assertEquals(conn.unsentBytes, 10_000);
  assertFalse(conn.signal.aborted);
  socket.takes = (p) => p.length;
  socket.writes[0]!.take();
  await until(() => socket.finishedAt.length === 1);
  assertEquals(conn.unsentBytes, 0);
  assertEquals(socket.takenBytes, 22_000);
  conn.close();
});

Deno.test("maxUnsent of 0 lets nothing wait but what has no length", async () => {
  const { conn } = stuck({ maxUnsent: 0 });
  const first = conn.write(bytes`hello`);
  assertEquals(await conn.write(new Uint8Array(0)), 0);
  assertFalse(conn.signal.aborted);
  const error = await assertRejects(() => conn.write(bytes`x`), Deno.errors.WouldBlock);
  assertStrictEquals(await first.catch((error) => error), error);
});

Deno.test("maxUnsent of Infinity lets everything wait", async () => {
  const { socket, conn } = stuck({ maxUnsent: Infinity });
  for (let i = 0; i < 100; i++) conn.write(new Uint8Array(MIB));
  assertEquals(conn.unsentBytes, 100 * MIB);
  assertFalse(conn.signal.aborted);
  socket.takes = (p) => p.length;
  socket.writes[0]!.take();
  await conn.closeWrite();
  assertEquals(conn.bytesWritten, 100 * MIB);
  conn.close();
});

netTest(
  "a write past maxUnsent is the end reason of its connection, whatever the handler does",
  async () => {
    const { ended, onEnd } = noteEnds();
    const client = Promise.withResolvers<void>();
    await using server = serve(
      { ...LOOPBACK, maxUnsent: MIB, onEnd },
      async (conn) => {
        for (let i = 0; i < 64 && !conn.signal.aborted; i++) conn.write(new Uint8Array(MIB));
        await client.promise;
      },
    );
    const peer = await dial(server.addr);
    await readAll(peer); // closed, though the handler has not returned
    client.resolve();
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "write_overflow");
    assertInstanceOf(ended[0]!.error, Deno.errors.WouldBlock);
  },
);

netTest("a broadcaster that looks at unsentBytes skips the slow and keeps all", async () => {
  const limit = 256 * 1024;
  const message = new Uint8Array(64 * 1024);
  const pairs = await Promise.all([socketPair(), socketPair()]);
  using fast = connection(pairs[0][0], { maxUnsent: limit });
  using slow = connection(pairs[1][0], { maxUnsent: limit });
  using _slowClient = pairs[1][1];
  const received = readAll(pairs[0][1]);
  const sent = new Map<Connection, number>([[fast, 0], [slow, 0]]);
  for (let i = 0; i < 500; i++) {
    for (const conn of [fast, slow]) {
      if (conn.unsentBytes > limit) continue;
      conn.write(message);
      sent.set(conn, sent.get(conn)! + 1);
      assertLessOrEqual(conn.unsentBytes, limit + message.length);
    }
    await until(() => fast.unsentBytes === 0);
  }
  assertEquals(sent.get(fast), 500);
  assertLess(sent.get(slow)!, 500); // 32 MiB are more than the kernel takes
  assertGreater(slow.unsentBytes, limit);
  assertFalse(slow.signal.aborted);
  await fast.closeWrite();
  assertEquals((await received).length, 500 * message.length);
});

netTest(
  "a write to a peer that has left rejects, and every later one with the same error",
  async () => {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    client.close();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    let error: unknown;
    while (error === undefined) {
      await conn.write(bytes`x`).catch((thrown) => error = thrown);
      await turn();
    }
    assert(error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset);
    assertStrictEquals(conn.signal.reason, error);
    for (
      const operation of [conn.write(bytes`x`), conn.closeWrite(), conn.read(new Uint8Array(1))]
    ) {
      assertStrictEquals(await operation.catch((error) => error), error);
    }
    await conn.end();
  },
);

netTest(
  "a write that waits for its peer rejects when that resets, with all behind it",
  async () => {
    const [socket, peer] = await resettablePair();
    using conn = connection(socket, { maxUnsent: Infinity });
    const writes = Array.from({ length: 4 }, () => conn.write(new Uint8Array(32 * MIB)));
    const finish = conn.closeWrite();
    await until(() => conn.bytesWritten > 0);
    await peer.reset();
    const error = await assertRejects(() => writes[0]!, Deno.errors.ConnectionReset);
    for (const operation of [...writes, finish]) {
      assertStrictEquals(await operation.catch((error) => error), error);
    }
    assertEquals(conn.unsentBytes, 0);
  },
);

Deno.test("a write that fails without a code ends the connection and its queue with that error", async () => {
  for (const queued of [false, true]) {
    const { socket, conn } = stuck();
    const writes = [conn.write(bytes`a`), conn.write(bytes`b`), conn.write(bytes`c`)];
    const failure = new Error("No buffer space available (os error 105)");
    if (queued) {
      socket.writes[0]!.take();
      assertEquals(await writes.shift(), 1);
      await until(() => socket.writes.length === 1);
    }
    socket.writes[0]!.fail(failure);
    for (const write of writes) assertStrictEquals(await write.catch((error) => error), failure);
    assert(socket.closed);
    assertStrictEquals(await conn.write(bytes`x`).catch((error) => error), failure);
  }
});

netTest("un-awaited writes to a peer that has left end nothing but their connection", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const { signal } = conn;
  client.close();
  const unhandled = await unhandledDuring(async () => {
    while (!signal.aborted) {
      conn.write(bytes`x`);
      conn.write(bytes`y`);
      await turn();
    }
    conn.write(bytes`refused`);
    conn.closeWrite();
    conn.end();
  });
  assertEquals(unhandled, []);
  assertStrictEquals(await conn.write(bytes`x`).catch((error) => error), signal.reason);
});

Deno.test("forgotten promises of writing end nothing, whatever becomes of them", async () => {
  const mishaps: Record<string, (scripted: Scripted) => void | Promise<void>> = {
    "close()": ({ conn }) => {
      conn.closeWrite();
      conn.close();
    },
    "end(), cut short": ({ conn }) => {
      conn.end();
      conn.write(bytes`too late`);
      conn.closeWrite();
      conn.close();
    },
    "overflow": ({ conn }) => {
      for (let i = 0; i < 2; i++) conn.write(new Uint8Array(2 * MIB));
    },
    "failure of the first": ({ socket, conn }) => {
      conn.closeWrite();
      conn.closeWrite();
      socket.writes[0]!.fail(new Error("lost"));
    },
    "failure of a rest": async ({ socket, conn }) => {
      conn.closeWrite();
      socket.writes[0]!.take(1);
      await until(() => socket.writes.length === 1 && socket.writes[0]!.bytes.length < 5);
      socket.writes[0]!.fail(new Error("lost"));
    },
    "failure in the queue": async ({ socket }) => {
      socket.writes[0]!.take();
      await until(() => socket.writes[0]?.bytes.length === 6);
      socket.writes[0]!.fail(new Error("lost"));
    },
  };
  for (const [name, mishap] of Object.entries(mishaps)) {
    const both = stuck();
    const { socket, conn } = both;
    const unhandled = await unhandledDuring(async () => {
      conn.write(bytes`hello`);
      conn.write(bytes`second`);
      await mishap(both);
      await until(() => socket.closed);
      conn.write(bytes`x`);
      conn.closeWrite();
      conn.end();
      conn[Symbol.asyncDispose]();
    });
    assertEquals(unhandled, [], name);
    await assertRejects(() => conn.write(bytes`x`), Error, "", name);
  }
});

netTest("a process lives through every promise of a connection that it forgot", async () => {
  await using program = new Program(new URL("./programs/forgotten.ts", import.meta.url));
  assertEquals(await program.lines(), [
    "read: ConnectionReset",
    "next: ConnectionReset",
    "write: gone",
    "closeWrite: BadResource",
    "write after end: BrokenPipe",
    "overflow: WouldBlock",
    "Busy: served on",
    "alive",
  ]);
  assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
});

netTest("bytesWritten counts what the kernel took, also of a write that failed", async () => {
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const write = conn.write(new Uint8Array(64 * MIB));
  await until(() => conn.bytesWritten > 0);
  conn.close();
  await assertRejects(() => write, Deno.errors.Interrupted);
  assertEquals((await readAll(client)).length, conn.bytesWritten);
});

netTest("small writes and large ones from both ends at once go through", async () => {
  const [socket, client] = await socketPair();
  using a = connection(socket);
  using b = connection(client);
  const length = 8 * MIB;
  const send = async (conn: Connection) => {
    for (let at = 0, i = 0; at < length; i++) {
      const size = Math.min([1, 1000, 100_000, MIB][i % 4]!, length - at);
      await conn.write(pattern(at, size));
      at += size;
    }
    await conn.closeWrite();
  };
  await Promise.all([
    send(a),
    send(b),
    assertReadsPattern(a, length),
    assertReadsPattern(b, length),
  ]);
});

netTest("a reply in two writes arrives whole", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    for await (const _ of conn) {
      conn.write(bytes`head,`);
      conn.write(bytes`body`);
    }
  });
  using client = await dial(server.addr);
  for (let i = 0; i < 20; i++) {
    await client.write(bytes`?`);
    assertEquals(text(await readExactly(client, 9)), "head,body");
  }
});

// Waiting for room

Deno.test("unsentBelow() resolves once fewer bytes are unsent, at once if they are", async () => {
  const { socket, conn } = stuck();
  await conn.unsentBelow(1);
  conn.write(new Uint8Array(50_000));
  conn.write(new Uint8Array(50_000));
  const resolved: number[] = [];
  for (const n of [1, 20_000, 50_001, 100_000, 100_001]) {
    conn.unsentBelow(n).then(() => resolved.push(n));
  }
  await turn();
  assertEquals(resolved, [100_001]);
  socket.writes[0]!.take(1);
  await turn();
  assertEquals(resolved, [100_001, 100_000]);
  socket.writes[0]!.take();
  await turn();
  assertEquals(resolved, [100_001, 100_000, 50_001]);
  socket.takes = (p) => p.length;
  socket.writes[0]!.take(30_001);
  await turn();
  assertEquals(resolved, [100_001, 100_000, 50_001, 20_000, 1]);
  conn.close();
});

/** What may first be asked for while a write is in progress; each settles once it is done. */
const ASKED: Record<string, { ask(conn: Connection): Promise<unknown>; leaves: string }> = {
  "write()": { ask: (conn) => conn.write(bytes`b`), leaves: "b" },
  "unsentBelow()": { ask: (conn) => conn.unsentBelow(1), leaves: "" },
  "closeWrite()": { ask: (conn) => conn.closeWrite(), leaves: "" },
  "send()": {
    async ask(conn) {
      const io = framed(conn, lines());
      io.send("b");
      await io.flush();
    },
    leaves: "b\n",
  },
  "a broadcast's send()": {
    async ask(conn) {
      const room = broadcast(lines());
      room.join(conn);
      room.send("b");
      await framed(conn, lines()).flush();
    },
    leaves: "b\n",
  },
};

for (const [what, { ask, leaves }] of Object.entries(ASKED)) {
  Deno.test(`${what} is done behind a write in progress before which there were only writes`, async () => {
    const { socket, conn } = stuck();
    const first = conn.write(bytes`a`);
    const asked = ask(conn);
    await turns(ENOUGH_TURNS);
    socket.takes = (p) => p.length;
    socket.writes[0]!.take();
    assertEquals(await first, 1);
    await asked;
    assertEquals(text(socket.taken), `a${leaves}`);
    assertEquals(conn.unsentBytes, 0);
    conn.close();
  });
}

Deno.test("write() leaves behind what a broadcast sent just before, also as the first write of all", async () => {
  const { socket, conn } = scripted();
  const room = broadcast(lines());
  room.join(conn);
  room.send("a");
  await conn.write(bytes`b`);
  assertEquals(text(socket.taken), "a\nb");
  conn.close();
});

Deno.test("unsentBelow() waits for less than 64 KiB unless a number is given, frames included", async () => {
  const { socket, conn } = stuck();
  conn.write(new Uint8Array(65_530));
  framed(conn, lines()).send("hello");
  const below = conn.unsentBelow();
  let done = false;
  below.then(() => done = true);
  await turns(ENOUGH_TURNS);
  assertFalse(done);
  socket.writes[0]!.take(1);
  await below;
  conn.close();
});

Deno.test("unsentBelow() rejects with what ends the connection, before and after, and may be left alone", async () => {
  const { socket, conn } = stuck();
  conn.write(new Uint8Array(10));
  const failure = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  const unhandled = await unhandledDuring(async () => {
    conn.unsentBelow(1);
    const below = conn.unsentBelow(1);
    socket.writes[0]!.fail(failure);
    assertStrictEquals(await below.catch((error) => error), failure);
    assertStrictEquals(await conn.unsentBelow().catch((error) => error), failure);
    conn.unsentBelow();
  });
  assertEquals(unhandled, []);
  const closed = stuck().conn;
  closed.write(new Uint8Array(10));
  const below = closed.unsentBelow(1);
  closed.close();
  await assertRejects(() => below, Deno.errors.BadResource);
});

Deno.test("unsentBelow() refuses what is no number of bytes", async () => {
  const { conn } = stuck();
  for (const n of ["5", null, NaN]) {
    await assertRejects(() => conn.unsentBelow(n as number), TypeError, "with 'n' of");
  }
  await assertRejects(
    () => conn.unsentBelow(0),
    RangeError,
    "Cannot wait for room with 'n' of 0: use a whole number from 1 up, or Infinity",
  );
  conn.close();
});

netTest("a producer that waits for unsentBelow() goes no faster than its peer reads", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  let most = 0;
  const sending = (async () => {
    for (let at = 0; at < 16 * MIB; at += 1000) {
      conn.write(pattern(at, Math.min(1000, 16 * MIB - at)));
      await conn.unsentBelow();
      most = Math.max(most, conn.unsentBytes);
    }
    await conn.closeWrite();
  })();
  await assertReadsPattern(client, 16 * MIB);
  await sending;
  client.close();
  assertLess(most, 65_536);
});
