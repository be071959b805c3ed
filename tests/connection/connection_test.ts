/**
 * A connection says what it knows of its peer, ends as it should, and streams both ways.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Codec, type Connection, connection, framed, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, assertReadsPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  resettablePair,
  socketPair,
  unixPair,
  writeAll,
} from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { Program } from "../support/program.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { scripted } from "../support/scripted_connection.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { noteEnds, serveNoting } from "../support/noting.ts";

const MIB = 1 << 20;

// Addresses and counts

netTest("a connection has the addresses of its socket, also after it is closed", async () => {
  for (const pair of [socketPair, unixPair]) {
    const [socket, client] = await pair();
    using _client = client;
    const { localAddr, remoteAddr } = socket;
    const conn = connection<Deno.Addr>(socket);
    for (let i = 0; i < 2; i++) {
      assertEquals(conn.localAddr, localAddr);
      assertEquals(conn.remoteAddr, remoteAddr);
      assertEquals(conn.peerAddr, remoteAddr);
      conn.close();
    }
  }
});

netTest("a server counts its connections from 1 and knows since when they are open", async () => {
  using time = new FakeTime();
  const seen: [id: number, openedAt: number][] = [];
  const { server, ended } = serveNoting((conn) => {
    seen.push([conn.id, conn.openedAt]);
    return Promise.resolve();
  });
  await using _server = server;
  const start = time.now;
  for (let i = 1; i <= 3; i++) {
    await readAll(await dial(server.addr));
    await until(() => ended.length === i);
    time.tick(1000);
  }
  assertEquals(seen, [[1, start], [2, start + 1000], [3, start + 2000]]);
  assertEquals(ended.map(({ id, openedAt }) => [id, openedAt]), seen);
});

netTest("a connection counts what it has read and written, in any way", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  assertEquals([conn.bytesRead, conn.bytesWritten, conn.unsentBytes], [0, 0, 0]);
  await client.write(bytes`12345`);
  await conn.read(new Uint8Array(8));
  await client.write(bytes`678`);
  await conn[Symbol.asyncIterator]().next();
  const reader = conn.readable.getReader();
  await client.write(bytes`90`);
  await reader.read();
  assertEquals(conn.bytesRead, 10);
  await conn.write(bytes`123`);
  await conn.writable.getWriter().write(bytes`4567`);
  assertEquals([conn.bytesWritten, conn.unsentBytes], [7, 0]);
});

// Signals

Deno.test("signal and drainSignal are the same at each access", () => {
  const { conn } = scripted();
  assertStrictEquals(conn.signal, conn.signal);
  assertStrictEquals(conn.drainSignal, conn.drainSignal);
  assertFalse(conn.signal.aborted);
  assertFalse(conn.drainSignal.aborted);
  conn.close();
});

for (const early of [true, false]) {
  const when = early ? "accessed before" : "first accessed after";

  netTest(`signal, ${when}, aborts when the connection is closed`, async () => {
    for (const end of ["close", "end", "dispose"]) {
      const [socket, client] = await socketPair();
      using _client = client;
      const conn = connection(socket);
      const signal = early ? conn.signal : undefined;
      if (end === "end") {
        client.closeWrite();
        await conn.end();
      } else if (end === "close") conn.close();
      else conn[Symbol.dispose]();
      if (signal !== undefined) assertStrictEquals(conn.signal, signal);
      assert(conn.signal.aborted, end);
      assertInstanceOf(conn.signal.reason, DOMException, end);
      assertEquals(conn.signal.reason.name, "AbortError");
      assertEquals(conn.signal.reason.message, "The connection is closed");
    }
  });

  netTest(`signal, ${when}, aborts with the error when the peer resets`, async () => {
    const [socket, peer] = await resettablePair();
    using conn = connection(socket);
    const signal = early ? conn.signal : undefined;
    const read = conn.read(new Uint8Array(1));
    await peer.reset();
    const error = await assertRejects(() => read, Deno.errors.ConnectionReset);
    assertStrictEquals((signal ?? conn.signal).reason, error);
  });

  netTest(`signal, ${when}, aborts with the error of a timeout`, async () => {
    using time = new FakeTime();
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket, { idleTimeout: 1000 });
    const signal = early ? conn.signal : undefined;
    const read = conn.read(new Uint8Array(1));
    time.tick(1100);
    const error = await assertRejects(() => read, DOMException);
    assertEquals(error.name, "TimeoutError");
    assertStrictEquals((signal ?? conn.signal).reason, error);
  });

  netTest(`signal, ${when}, aborts when the server forces the connection`, async () => {
    const inside = Promise.withResolvers<Connection>();
    const { server, ended } = serveNoting(async (conn) => {
      if (early) assertFalse(conn.signal.aborted);
      inside.resolve(conn);
      await conn.read(new Uint8Array(1));
    });
    using _client = await dial(server.addr);
    const conn = await inside.promise;
    await server.shutdown({ timeout: 0 });
    assert(conn.signal.aborted);
    assertInstanceOf(conn.signal.reason, Deno.errors.Interrupted);
    assertEquals(ended.map(({ reason }) => reason), ["forced"]);
    assertStrictEquals(ended[0]!.error, conn.signal.reason);
  });

  netTest(`drainSignal, ${when}, aborts when the server begins to stop`, async () => {
    const inside = Promise.withResolvers<Connection>();
    let signal: AbortSignal | undefined;
    const { server } = serveNoting(async (conn) => {
      if (early) signal = conn.drainSignal;
      assertFalse(conn.draining);
      inside.resolve(conn);
      await conn.read(new Uint8Array(1));
    });
    const client = await dial(server.addr);
    const conn = await inside.promise;
    assertNotEquals(signal?.aborted, true);
    const stopped = server.shutdown();
    await until(() => conn.draining);
    signal ??= conn.drainSignal;
    assert(signal.aborted);
    assertStrictEquals(conn.drainSignal, signal);
    assertEquals(conn.drainSignal.reason.name, "AbortError");
    assertEquals(conn.drainSignal.reason.message, "The server is stopping");
    assertFalse(conn.signal.aborted);
    client.close();
    await stopped;
  });
}

netTest("signal tells its listeners, once", async () => {
  const [socket, client] = await socketPair();
  using _client = client;
  const conn = connection(socket);
  let calls = 0;
  conn.signal.addEventListener("abort", () => calls++);
  conn.close();
  conn.close();
  await conn.end();
  assertEquals(calls, 1);
});

netTest(
  "draining is never true for a connection that was only wrapped, and FIN is no abort",
  async () => {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    client.close();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    assertFalse(conn.draining);
    assertFalse(conn.drainSignal.aborted);
    assertFalse(conn.signal.aborted);
  },
);

// The polite close

netTest("end() delivers what waits, then FIN, then closes once the peer has closed", async () => {
  const [socket, client] = await socketPair();
  const conn = connection(socket, { maxUnsent: 16 * MIB });
  for (let i = 0; i < 8; i++) conn.write(pattern(i * MIB, MIB));
  const ended = conn.end();
  await assertReadsPattern(client, 8 * MIB);
  assertFalse(conn.signal.aborted);
  client.close();
  await ended;
  assert(conn.signal.aborted);
});

netTest("a handler's un-awaited writes are delivered after it has returned", async () => {
  const { server, ended } = serveNoting((conn) => {
    for (let i = 0; i < 100; i++) conn.write(pattern(i * 10_000, 10_000));
    return Promise.resolve();
  });
  await using _server = server;
  using client = await dial(server.addr);
  await assertReadsPattern(client, 1_000_000);
  client.close();
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "completed");
  assertEquals(ended[0]!.bytesWritten, 1_000_000);
});

for (
  const [answer, request] of [[5, 6 * MIB], [MIB, 512 * 1024], [MIB, 3 * MIB]] as const
) {
  netTest(
    `a peer that sends ${request} bytes gets all ${answer} of an answer that came before it was done`,
    async () => {
      const { server, ended } = serveNoting(async (conn) => {
        await conn.read(new Uint8Array(100)); // and no more
        conn.write(pattern(0, answer));
      });
      await using _server = server;
      using client = await dial(server.addr);
      const sending = writeAll(client, new Uint8Array(request));
      await assertReadsPattern(client, answer);
      await sending; // not reset either
      client.close();
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, "completed");
    },
  );
}

netTest(
  "a peer that reads its answer only after it has sent everything gets it whole",
  async () => {
    const { server } = serveNoting(async (conn) => {
      await conn.read(new Uint8Array(100));
      conn.write(pattern(0, 2 * MIB));
    });
    await using _server = server;
    using client = await dial(server.addr);
    await writeAll(client, new Uint8Array(2 * MIB));
    await assertReadsPattern(client, 2 * MIB);
  },
);

netTest("end() stops reading from a peer that never stops sending", async () => {
  using _time = new FakeTime(); // in which no 500 ms pass
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  let stop = false;
  const sending = (async () => {
    const p = new Uint8Array(65536);
    while (!stop) await client.write(p);
  })();
  await conn.end();
  assertGreaterOrEqual(conn.bytesRead, 8 * MIB);
  assertLess(conn.bytesRead, 9 * MIB);
  assert(conn.signal.aborted);
  stop = true;
  await sending.catch(() => {}); // whether a last write met the reset is up to the kernel
  client.close();
});

netTest(
  "end() waits 500 ms for the FIN of its peer, never less and a tick more at most",
  async () => {
    using time = new FakeTime();
    for (let offset = 0; offset < 100; offset += 7) {
      const [socket, client] = await socketPair();
      const conn = connection(socket);
      time.tick(offset);
      const ended = conn.end();
      assertEquals(await client.read(new Uint8Array(1)), null); // the FIN is there
      await turns();
      let waited = 0;
      for (; waited < 5000 && !conn.signal.aborted; waited++) time.tick(1);
      assertGreater(waited, 499, `begun ${offset} ms after a tick`);
      assertLessOrEqual(waited, 600, `begun ${offset} ms after a tick`);
      await ended;
      client.close();
    }
  },
);

netTest("a peer that trickles does not lengthen the 500 ms of end()", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const ended = conn.end();
  assertEquals(await client.read(new Uint8Array(1)), null);
  for (let i = 1; i <= 5; i++) {
    await client.write(bytes`x`);
    await until(() => conn.bytesRead === i);
    assertFalse(conn.signal.aborted);
    time.tick(100);
  }
  time.tick(100);
  assert(conn.signal.aborted);
  await ended;
  client.close();
});

netTest("end() does not wait when the FIN of the peer was seen before", async () => {
  using _time = new FakeTime(); // in which no 500 ms pass
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  await client.closeWrite();
  assertEquals(await conn.read(new Uint8Array(1)), null);
  const written = conn.write(bytes`answer`);
  await conn.end();
  assertEquals(await written, 6);
  assertEquals(text(await readAll(client)), "answer");
});

Deno.test("end() closes in one step when the peer has finished and nothing waits", () => {
  const { socket, conn } = scripted();
  socket.finish();
  return conn.read(new Uint8Array(1)).then(() => {
    conn.end();
    assert(socket.closed);
    assertEquals(socket.finishedAt, []); // closing says it
  });
});

netTest(
  "a frame that was sent is delivered though the FIN of the peer was seen before",
  async () => {
    const codec: Codec<Uint8Array> = { decode: () => null, encode: (frame) => frame };
    const { server, ended } = serveNoting(async (conn) => {
      for await (const _ of conn);
      await framed(conn, codec).send(bytes`all read`);
    });
    await using _server = server;
    const client = await dial(server.addr);
    await client.closeWrite();
    assertEquals(text(await readAll(client)), "all read");
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.bytesWritten, 8);
  },
);

netTest(
  "a read left pending by a handler gets what comes first, and the rest is thrown away",
  async () => {
    const left = Promise.withResolvers<Promise<number | null>>();
    const p = new Uint8Array(16);
    const { server, ended } = serveNoting(async (conn) => {
      await conn.write(bytes`bye`);
      left.resolve(conn.read(p));
    });
    await using _server = server;
    const client = await dial(server.addr);
    assertEquals(text(await readExactly(client, 3)), "bye");
    await client.write(bytes`first`);
    assertEquals(await left.promise, 5);
    assertEquals(text(p.subarray(0, 5)), "first");
    await client.write(bytes`second`);
    assertEquals(text(await readAll(client)), "");
    await until(() => ended.length === 1);
    assertEquals(text(p.subarray(0, 5)), "first");
    assertEquals(ended[0]!.reason, "completed");
  },
);

netTest("a read left pending by a handler rejects when the 500 ms are over", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const read = conn.read(new Uint8Array(1));
  const ended = conn.end();
  assertEquals(await client.read(new Uint8Array(1)), null);
  time.tick(600);
  await assertRejects(() => read, Deno.errors.Interrupted);
  await ended;
  client.close();
});

Deno.test("a peer that resets while end() waits for its FIN is no failure", async () => {
  const listener = scriptedListener([]);
  const { ended, onEnd } = noteEnds();
  await using _server = serve(
    { listeners: [listener], onEnd },
    (conn) => conn.write(bytes`bye`),
  );
  const socket = new ScriptedSocket();
  listener.play(socket);
  await until(() => socket.finishedAt.length === 1 && socket.reading);
  socket.failRead(new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"));
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "completed");
  assertEquals(ended[0]!.error, undefined);
  assert(socket.closed);
});

netTest("end() gives up on a peer that does not read, after writeTimeout", async () => {
  using time = new FakeTime();
  const { server, ended } = serveNoting((conn) => {
    conn.write(new Uint8Array(64 * MIB));
    return Promise.resolve();
  }, { writeTimeout: 1000 });
  await using _server = server;
  using client = await dial(server.addr);
  await until(() => ([...server.connections][0]?.bytesWritten ?? 0) > 0);
  time.tick(1100);
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "write_timeout");
  client.close();
});

netTest("end() settles with the rest of the queue when the peer leaves", async () => {
  const [socket, peer] = await resettablePair();
  const conn = connection(socket, { maxUnsent: Infinity });
  const writes = [conn.write(new Uint8Array(64 * MIB)), conn.write(bytes`behind`)];
  const ended = conn.end();
  await until(() => conn.bytesWritten > 0);
  await peer.reset();
  await ended;
  for (const write of writes) await assertRejects(() => write, Deno.errors.ConnectionReset);
  assertInstanceOf(conn.signal.reason, Deno.errors.ConnectionReset);
});

netTest("end() twice is one end, and close() after it cuts it short", async () => {
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const [first, second] = [conn.end(), conn.end()];
  assertStrictEquals(first, second);
  assertEquals(await client.read(new Uint8Array(1)), null);
  assertFalse(conn.signal.aborted);
  conn.close();
  assert(conn.signal.aborted);
  await first;
  await conn.end();
  client.close();
});

netTest("close() while end() still sends drops the rest and settles end()", async () => {
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const write = conn.write(new Uint8Array(64 * MIB));
  const ended = conn.end();
  await until(() => conn.bytesWritten > 0);
  conn.close();
  await ended;
  await assertRejects(() => write, Deno.errors.Interrupted);
  client.close();
});

netTest("end() after close(), and close() twice, are harmless", async () => {
  const [socket, client] = await socketPair();
  using _client = client;
  const conn = connection(socket);
  conn.close();
  conn.close();
  await conn.end();
  conn[Symbol.dispose]();
  await conn[Symbol.asyncDispose]();
});

netTest("end() of a connection that has failed settles at once", async () => {
  const [socket, peer] = await resettablePair();
  const conn = connection(socket);
  const read = conn.read(new Uint8Array(1));
  await peer.reset();
  await assertRejects(() => read, Deno.errors.ConnectionReset);
  await conn.end();
});

netTest("a handler that ended its connection itself has completed", async () => {
  const { server, ended } = serveNoting(async (conn) => {
    await conn.write(bytes`bye`);
    if (conn.id === 1) await conn.end();
    else conn.close();
  });
  await using _server = server;
  for (let i = 1; i <= 2; i++) {
    assertEquals(text(await readAll(await dial(server.addr))), "bye");
    await until(() => ended.length === i);
  }
  assertEquals(ended.map(({ reason }) => reason), ["completed", "completed"]);
});

// using

netTest("using closes a connection at once, await using politely", async () => {
  {
    const [socket, client] = await socketPair();
    {
      using conn = connection(socket);
      conn.write(new Uint8Array(64 * MIB));
    }
    assertLess((await readAll(client)).length, 64 * MIB);
  }
  {
    const [socket, client] = await socketPair();
    const received = readAll(client);
    {
      await using conn = connection(socket);
      conn.write(pattern(0, 16 * MIB));
    }
    assertEquals((await received).length, 16 * MIB);
  }
});

// Streams

netTest("readable gives every chunk, then ends and leaves the connection open", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const sending = writeAll(client, pattern(0, 4 * MIB)).then(() => client.closeWrite());
  let at = 0;
  for await (const chunk of conn.readable) {
    assertPattern(chunk, at);
    at += chunk.length;
  }
  assertEquals(at, 4 * MIB);
  await sending;
  assertFalse(conn.signal.aborted);
  await conn.write(bytes`you closed, I did not`);
  await conn.closeWrite();
  assertEquals(text(await readAll(client)), "you closed, I did not");
});

netTest("a client that half-closes its stream still gets the whole answer", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    const request = await new Response(conn.readable).text();
    await conn.write(bytes`you said ${request}`);
    await conn.write(new Uint8Array(4 * MIB));
  });
  const client = await dial(server.addr);
  await client.write(bytes`please`);
  await client.closeWrite();
  const answer = await readAll(client);
  assertEquals(text(answer.subarray(0, 15)), "you said please");
  assertEquals(answer.length, 15 + 4 * MIB);
});

netTest("closing writable sends FIN, and reading goes on", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const writer = conn.writable.getWriter();
  writer.write(bytes`one, `);
  writer.write(bytes`two`);
  await writer.close();
  await writer.closed;
  assertEquals(text(await readExactly(client, 8)), "one, two");
  assertEquals(await client.read(new Uint8Array(1)), null);
  await client.write(bytes`still listening?`);
  client.close();
  assertEquals(await new Response(conn.readable).text(), "still listening?");
});

netTest("readable reads from the kernel only as it is read", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const { readable } = conn;
  await client.write(bytes`hello`);
  await turns();
  assertEquals(conn.bytesRead, 0);
  const reader = readable.getReader();
  await turns();
  assertEquals(conn.bytesRead, 0);
  assertEquals(text((await reader.read()).value!), "hello");
  await client.write(bytes`more`);
  await turns();
  assertEquals(conn.bytesRead, 5);
  client.close();
});

netTest("a source piped into writable is pulled only as the peer reads", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const size = 65536;
  const count = 512; // 32 MiB, more than the kernel takes
  let pulled = 0;
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (pulled === count) return controller.close();
      controller.enqueue(pattern(pulled++ * size, size));
    },
  });
  const piped = source.pipeTo(conn.writable);
  let before = -1;
  // Until the kernel takes no more: nothing moved in many turns.
  while (before !== conn.bytesWritten) {
    before = conn.bytesWritten;
    await turns(50);
  }
  assertLess(pulled, count);
  assertLessOrEqual(pulled * size, conn.bytesWritten + 4 * size);
  assertLessOrEqual(conn.unsentBytes, size);
  let read = 0;
  await assertReadsPattern(client, count * size, size, () => {
    read += size; // at most
    assertLessOrEqual(pulled * size, conn.bytesWritten + 4 * size);
  });
  assertGreaterOrEqual(read, count * size);
  await piped;
  client.close();
});

netTest("a peer is held back while readable is not read", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const length = 64 * MIB;
  let sent = 0;
  const p = new Uint8Array(MIB);
  const sending = (async () => {
    while (sent < length) sent += await client.write(p.subarray(0, Math.min(MIB, length - sent)));
    await client.closeWrite();
  })();
  const reader = conn.readable.getReader();
  await reader.read();
  let before = -1;
  while (before !== sent) {
    before = sent;
    await turns(50);
  }
  assertLess(sent, length);
  assertLessOrEqual(conn.bytesRead, 256 * 1024); // one chunk
  while (!(await reader.read()).done);
  await sending;
  assertEquals(conn.bytesRead, length);
  client.close();
});

netTest("a BYOB reader gets its bytes in its own memory, and the end", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const reader = conn.readable.getReader({ mode: "byob" });
  await client.write(bytes`hello`);
  const buffer = new ArrayBuffer(64);
  const { value } = await reader.read(new Uint8Array(buffer, 8, 16));
  assertEquals(text(value!), "hello");
  assertEquals([value!.buffer.byteLength, value!.byteOffset], [64, 8]);
  assert(buffer.detached);
  await client.write(bytes`rest`);
  const small = await reader.read(new Uint8Array(2));
  assertEquals(text(small.value!), "re");
  const min = reader.read(new Uint8Array(6), { min: 6 });
  await client.write(bytes`less`);
  assertEquals(text((await min).value!), "stless");
  const end = reader.read(new Uint8Array(4));
  client.close();
  assertEquals((await end).done, true);
  assertEquals((await reader.read(new Uint8Array(4))).done, true);
  assertFalse(conn.signal.aborted);
});

netTest("cancelling readable leaves the connection open and readable in other ways", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  await client.write(bytes`one`);
  for await (const chunk of conn.readable) { // which `break` cancels
    assertEquals(text(chunk), "one");
    break;
  }
  await client.write(bytes`two`);
  const p = new Uint8Array(8);
  assertEquals(await conn.read(p), 3);
  assertEquals(text(p.subarray(0, 3)), "two");
  await conn.write(bytes`still here`);
  assertEquals(text(await readExactly(client, 10)), "still here");
  client.close();
});

netTest("cancelling readable while it reads leaves the connection open", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const reader = conn.readable.getReader();
  const pending = reader.read();
  await turn();
  const unhandled = await unhandledDuring(async () => {
    await reader.cancel();
    assertEquals((await pending).done, true);
    await client.write(bytes`x`);
    await until(() => conn.bytesRead === 1);
  });
  assertEquals(unhandled, []);
  assertFalse(conn.signal.aborted);
  await conn.write(bytes`still here`);
  assertEquals(text(await readExactly(client, 10)), "still here");
  client.close();
});

netTest("releasing the lock of readable while it reads loses no byte", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const first = conn.readable.getReader();
  const pending = first.read();
  await turn();
  first.releaseLock();
  await assertRejects(() => pending, TypeError);
  await client.write(bytes`hello`);
  const { value } = await conn.readable.getReader().read();
  assertEquals(text(value!), "hello");
  client.close();
});

netTest("writer.abort() while a write waits for the peer frees it at once", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const writer = conn.writable.getWriter();
  const write = writer.write(new Uint8Array(64 * MIB));
  const queued = writer.write(bytes`behind`);
  const outcomes = Promise.allSettled([write, queued, writer.closed]);
  await until(() => conn.bytesWritten > 0);
  const aborted = writer.abort(new RangeError("enough"));
  assert(conn.signal.aborted);
  await aborted;
  assertEquals((await outcomes).map(({ status }) => status), Array(3).fill("rejected"));
  assertLess((await readAll(client)).length, 64 * MIB);
});

netTest("writable fails with the error of its connection", async () => {
  const [socket, peer] = await resettablePair();
  using conn = connection(socket);
  const writer = conn.writable.getWriter();
  const closed = writer.closed.catch((error) => error);
  const read = conn.read(new Uint8Array(1));
  await peer.reset();
  const error = await assertRejects(() => read, Deno.errors.ConnectionReset);
  assertStrictEquals(await writer.write(bytes`x`).catch((error) => error), error);
  assertStrictEquals(await closed, error);
});

netTest("an echo is readable piped to writable, half-close included", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.readable.pipeTo(conn.writable));
  using client = await dial(server.addr);
  const sending = writeAll(client, pattern(0, 8 * MIB)).then(() => client.closeWrite());
  await assertReadsPattern(client, 8 * MIB);
  await sending;
});

netTest("an echo by pipeTo ends with the error when its peer resets", async () => {
  const { server, ended } = serveNoting((conn) => conn.readable.pipeTo(conn.writable));
  await using _server = server;
  const peer = await connectResettable(server.addr);
  peer.write(bytes`hello`);
  await until(() => [...server.connections][0]?.bytesWritten === 5);
  await peer.reset();
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "peer_reset");
  assertInstanceOf(ended[0]!.error, Deno.errors.ConnectionReset);
});

netTest("text streams through TextDecoderStream, characters cut in two included", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const words = "Grüße, 世界! ".repeat(1000);
  const encoded = new TextEncoder().encode(words);
  const sending = (async () => {
    for (let at = 0; at < encoded.length; at += 7) {
      await writeAll(client, encoded.subarray(at, at + 7));
    }
    client.close();
  })();
  let received = "";
  for await (const part of conn.readable.pipeThrough(new TextDecoderStream())) received += part;
  assertEquals(received, words);
  await sending;
});

netTest("streams work over Unix sockets, half-closes both ways", async () => {
  const [socket, client] = await unixPair();
  await using a = connection(socket);
  await using b = connection(client);
  const echoed = a.readable.pipeTo(a.writable);
  const writer = b.writable.getWriter();
  const writing = writer.write(pattern(0, MIB)).then(() => writer.close());
  await assertReadsPattern(b, MIB);
  await Promise.all([echoed, writing]);
});

Deno.test("readable passes over reads of the socket that bring nothing", async () => {
  const { socket, conn } = scripted();
  const reader = conn.readable.getReader();
  for (let i = 0; i < 3; i++) socket.arrive(new Uint8Array(0));
  socket.arrive(bytes`hello`);
  socket.finish();
  assertEquals(text((await reader.read()).value!), "hello");
  assertEquals((await reader.read()).done, true);
  conn.close();
});

Deno.test("readable and writable are the same at each access", () => {
  const { conn } = scripted();
  assertStrictEquals(conn.readable, conn.readable);
  assertStrictEquals(conn.writable, conn.writable);
  conn.close();
});

// ref

Deno.test("ref() and unref() reach the socket", () => {
  const { socket, conn } = scripted();
  conn.unref();
  assertFalse(socket.referenced);
  conn.ref();
  assert(socket.referenced);
  conn.close();
});

for (
  const [what, steps, lives] of [
    ["a pending read", [], true],
    ["a pending read, unref'd", ["unref"], false],
    ["a pending read, unref'd and ref'd again", ["unref", "ref"], true],
  ] as const
) {
  netTest(`the process ${lives ? "stays" : "ends"} with ${what}`, async () => {
    await using program = new Program(new URL("./programs/reading.ts", import.meta.url), {
      args: [...steps],
    });
    const { hostname } = LOOPBACK;
    using client = await Deno.connect({ hostname, port: Number(await program.line()) });
    assertEquals(await program.line(), "reading");
    if (lives) await client.write(bytes`x`);
    assertEquals(await program.lines(), lives ? ["got a byte"] : []);
    assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
  });
}

// Misuse

netTest(
  "a handler that reads or writes what is no Uint8Array gets an error, and onError does, too",
  async () => {
    for (const operation of ["write", "read"] as const) {
      const reported: unknown[] = [];
      const { server, ended } = serveNoting(async (conn) => {
        const wrong = "text, as JavaScript would let it be" as unknown as Uint8Array;
        const error = await assertRejects(async () => await conn[operation](wrong), TypeError);
        await conn.write(bytes`x`).catch((later) => assertStrictEquals(later, error));
        throw error;
      }, { onError: (error) => reported.push(error) });
      await using _server = server;
      // What is given to a write is looked at before it begins, so that the connection lives on.
      assertEquals(text(await readAll(await dial(server.addr))), operation === "write" ? "x" : "");
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, "handler_error", operation);
      assertEquals(reported, [ended[0]!.error]);
    }
  },
);

// The process

Deno.test("forgotten promises of closing end nothing", async () => {
  const unhandled = await unhandledDuring(async () => {
    const { conn } = scripted();
    conn.close();
    conn.closeWrite();
    conn.closeWrite();
    conn.end();
    conn[Symbol.asyncDispose]();
    const failing = scripted();
    failing.socket.closeWrite = () => Promise.reject(new Error("not connected"));
    failing.conn.closeWrite();
    failing.conn.closeWrite();
    failing.conn.end();
    await turns();
    failing.conn.closeWrite();
    failing.conn.close();
  });
  assertEquals(unhandled, []);
});

netTest("Deno's own code for connections takes this one", async () => {
  const [socket, client] = await socketPair();
  const conn: Deno.Conn<Deno.NetAddr> = connection(socket);
  await conn.write(bytes`x`);
  assertEquals(text(await readExactly(client, 1)), "x");
  assertNotEquals(conn.remoteAddr.hostname, undefined);
  conn.close();
  client.close();
});
