/** A frame that has begun must end in time, and only its peer is blamed. @module */

import { assert, assertEquals, assertFalse, assertInstanceOf, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { Codec } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { type Connection, connection, framed, type RecordOptions } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, socketPair } from "../support/peers.ts";
import { pass, turn, until } from "../support/wait.ts";
import { decoding, headed } from "../support/codecs.ts";
import { serveNoting } from "../support/noting.ts";
import { scripted, scriptedAfter } from "../support/scripted_connection.ts";
import { WAYS } from "../support/frames.ts";

// Frames out of bytes

netTest(
  "a frame that has begun must be complete within frameTimeout, or its connection ends for that",
  async () => {
    using time = new FakeTime();
    for (const name of ["read()", "iteration"]) {
      const begun = Promise.withResolvers<Connection>();
      const { server, ended } = serveNoting(async (conn) => {
        begun.resolve(conn);
        await assertRejects(async () => {
          for await (const _ of WAYS[name]!(framed(conn, lines(), { frameTimeout: 2000 })));
        }, DOMException);
      });
      const client = await dial(server.addr);
      const conn = await begun.promise;
      await client.write(bytes`a line\n`);
      await pass(time, 10_000); // between frames there is no hurry
      assertFalse(conn.signal.aborted);
      await client.write(bytes`half a li`);
      await until(() => conn.bytesRead === 16);
      await pass(time, 1900);
      assertFalse(conn.signal.aborted);
      await pass(time, 400);
      assert(conn.signal.aborted, name);
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, "frame_timeout");
      assertInstanceOf(ended[0]!.error, DOMException);
      assertEquals(ended[0]!.error.name, "TimeoutError");
      assert(ended[0]!.error.message.includes("a frame that has begun did not end in time"));
      client.close();
      await server.shutdown();
    }
  },
);

netTest("one byte per second does not help a client that is slow on purpose", async () => {
  using time = new FakeTime();
  const codecs: [Codec<unknown>, Uint8Array][] = [
    [lines(), bytes`x`],
    [lengthPrefixed({ bytes: 4, limit: 2 ** 30 }), Uint8Array.of(1)],
    [lengthPrefixed({ bytes: 1, limit: 1, onOversize: "skip" }), Uint8Array.of(255)],
    [lines({ limit: 1, onOversize: "skip" }), bytes`x`],
    [lines({ limit: 1, onOversize: "truncate" }), bytes`x`],
    [delimited("--", { limit: 3, onOversize: "skip" }), bytes`x`],
    [headed, Uint8Array.of(200)],
  ];
  for (const [i, [codec, byte]] of codecs.entries()) {
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket);
    const { signal } = conn;
    const frame = framed(conn, codec, { frameTimeout: 5000 }).read();
    for (let seconds = 0; seconds < 8 && !signal.aborted; seconds++) {
      await client.write(byte);
      await until(() => conn.bytesRead === seconds + 1);
      await turn();
      await pass(time, 1000, 100);
    }
    assert(signal.aborted, `codec ${i}`);
    await assertRejects(() => frame, DOMException, "did not end in time");
  }
});

netTest("frameTimeout applies to what must follow a frame, in a loop as elsewhere", async () => {
  using time = new FakeTime();
  // A letter, and a digit that has to come behind it.
  const letter: Codec<string> = decoding<string>((bytes) => ({
    frame: text(bytes.subarray(0, 1)),
    taken: 1,
    next: digit,
  }));
  const digit = decoding<string>((bytes) => ({
    frame: text(bytes.subarray(0, 1)),
    taken: 1,
    next: letter,
  }));
  for (const [name, way] of Object.entries(WAYS)) {
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket);
    const { signal } = conn;
    const got: string[] = [];
    const reading = (async () => {
      for await (const frame of way(framed(conn, letter, { frameTimeout: 2000 }))) got.push(frame);
    })();
    reading.catch(() => {});
    await pass(time, 5000);
    await client.write(bytes`a`);
    await until(() => got.length === 1);
    await pass(time, 2300);
    assert(signal.aborted, name);
    await assertRejects(() => reading, DOMException, "did not end in time");
  }
});

netTest("frameTimeout begins anew with each frame, and what was skipped is none", async () => {
  using time = new FakeTime();
  const codec = lines({ limit: 5, onOversize: "skip" });
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const got: string[] = [];
  const { signal } = conn;
  const reading = (async () => {
    for await (const line of framed(conn, codec, { frameTimeout: 2000 })) got.push(line);
  })();
  reading.catch(() => {});
  let sent = 0;
  const send = async (part: string) => {
    await client.write(bytes`${part}`);
    sent += part.length;
    await until(() => conn.bytesRead === sent);
    await turn();
  };
  for (let i = 0; i < 3; i++) {
    // Each takes most of the time there is.
    for (const part of ["on", "e\n"]) {
      await send(part);
      await pass(time, 1500);
    }
    for (const part of ["too lo", "ng\n"]) {
      await send(part);
      await pass(time, 1500);
    }
  }
  await pass(time, 10_000); // nothing has begun
  assertFalse(signal.aborted);
  client.close();
  await reading;
  assertEquals(got, ["one", "one", "one"]);
});

netTest("a slow handler is not blamed on its peer", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  const frames = framed(conn, lines(), { frameTimeout: 2000 });
  await client.write(bytes`one\ntwo\nthr`);
  // Between frames of one batch, and before the one that has begun.
  for (const line of ["one", "two"]) {
    assertEquals(await frames.read(), line);
    await pass(time, 60_000);
  }
  const three = frames.read();
  await pass(time, 1500);
  await client.write(bytes`ee\n`);
  assertEquals(await three, "three");
  // Nor for the time in which no read waited for the rest of a frame.
  await client.write(bytes`fo`);
  const given = frames.read({ timeout: 500 });
  await until(() => conn.bytesRead === 16);
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  await pass(time, 60_000);
  const four = frames.read();
  await pass(time, 500);
  assertFalse(conn.signal.aborted);
  await client.write(bytes`ur\n`);
  assertEquals(await four, "four");
});

Deno.test("a frame that was begun for another reader is no longer in a hurry", async () => {
  using time = new FakeTime();
  const { socket, conn } = scriptedAfter(bytes`abc`);
  const frames = framed(conn, lines(), { frameTimeout: 2000 });
  const given = frames.read({ timeout: 500 });
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  assertEquals(text((await conn.readExactly(3))!), "abc");
  const next = frames.read();
  await pass(time, 60_000);
  assertFalse(conn.signal.aborted);
  socket.arrive(bytes`x\n`);
  assertEquals(await next, "x");
  conn.close();
});

netTest("frameTimeout of Infinity never comes, and idleTimeout is another thing", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using conn = connection(socket, { idleTimeout: 3000 });
  using _client = client;
  const frames = framed(conn, lines(), { frameTimeout: Infinity });
  const line = frames.read();
  for (let i = 1; i <= 20; i++) {
    await client.write(bytes`x`);
    await until(() => conn.bytesRead === i);
    await pass(time, 2000);
  }
  assertFalse(conn.signal.aborted);
  await client.write(bytes`\n`);
  assertEquals((await line)!.length, 20);
  const idle = frames.read();
  await pass(time, 3300);
  await assertRejects(() => idle, DOMException, "'idleTimeout'");
});

Deno.test("a read of a frame whose timeout comes loses nothing, also while answers still leave", async () => {
  using time = new FakeTime();
  const { socket, conn } = scriptedAfter(bytes`one\ntw`);
  const messages = framed(conn, lines());
  assertEquals(await messages.read(), "one");
  socket.takes = undefined;
  await messages.send("an answer that the peer does not take");
  const given = messages.read({ timeout: 500 });
  await turn();
  assertEquals(socket.writes.length, 1);
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  const two = messages.read();
  socket.writes[0]!.take();
  socket.arrive(bytes`o\n`);
  assertEquals(await two, "two");
  assertFalse(conn.signal.aborted);
  conn.close();
});

// Records

/** Each read of a record, and one that is whole. */
const RECORDS: Record<string, (conn: Connection, options?: RecordOptions) => Promise<unknown>> = {
  "readLine()": (conn, options) => conn.readLine(options),
  "readUntil()": (conn, options) => conn.readUntil("\n", options),
  "readExactly()": (conn, options) => conn.readExactly(5, options),
  "peek()": (conn, options) => conn.peek(5, options),
};

for (const [name, read] of Object.entries(RECORDS)) {
  netTest(
    `a record of ${name} that has begun must be complete within 30 s, and not before it began`,
    async () => {
      using time = new FakeTime();
      const begun = Promise.withResolvers<Connection>();
      const { server, ended, errors } = serveNoting((conn) => {
        begun.resolve(conn);
        return read(conn);
      });
      const client = await dial(server.addr);
      const conn = await begun.promise;
      await pass(time, 60_000, 1000);
      for (let second = 0; second < 30; second++) {
        assertFalse(conn.signal.aborted);
        if (second < 4) await client.write(bytes`x`);
        await until(() => conn.bytesRead === Math.min(second + 1, 4));
        await turn();
        await pass(time, 1000);
      }
      await pass(time, 300);
      await until(() => ended.length === 1);
      assertEquals([ended[0]!.reason, errors], ["frame_timeout", []]);
      client.close();
      await server.shutdown();
    },
  );

  Deno.test(`${name} that is tried again and again has the same frameTimeout for one record`, async () => {
    using time = new FakeTime();
    const { conn } = scriptedAfter(bytes`x`);
    for (let waited = 0; waited < 2000; waited += 500) {
      assertFalse(conn.signal.aborted);
      const given = read(conn, { timeout: 300, frameTimeout: 2000 });
      given.catch(() => {});
      await pass(time, 500);
      await pass(time, 10_000); // in which none waits
    }
    const last = read(conn, { frameTimeout: 2000 });
    last.catch(() => {});
    await pass(time, 1000);
    assert(conn.signal.aborted);
    await assertRejects(() => last, DOMException, "did not end in time");
  });

  Deno.test(`${name} with frameTimeout of Infinity waits for as long as idleTimeout does`, async () => {
    using time = new FakeTime();
    const { socket, conn } = scriptedAfter(bytes`x`);
    const record = read(conn, { frameTimeout: Infinity });
    await pass(time, 120_000, 1000);
    assertFalse(conn.signal.aborted);
    socket.arrive(bytes`ab\n\n`);
    await record;
    conn.close();
  });

  Deno.test(`${name} has the frameTimeout of its connection unless it says otherwise`, async () => {
    using time = new FakeTime();
    const { socket, conn } = scripted({ frameTimeout: 1000 });
    socket.arrive(bytes`x`);
    const record = read(conn);
    record.catch(() => {});
    await pass(time, 1000);
    assertFalse(conn.signal.aborted);
    await pass(time, 200);
    assert(conn.signal.aborted);
  });

  Deno.test(`${name} refuses a frameTimeout that is no time`, async () => {
    const { conn } = scripted();
    const wrong = () => read(conn, { frameTimeout: -1 });
    await assertRejects(wrong, RangeError, "Cannot read with 'frameTimeout' of -1");
    conn.close();
  });
}

netTest("framed() has the frameTimeout of its server unless it says otherwise", async () => {
  using time = new FakeTime();
  const { server, ended } = serveNoting(async (conn) => {
    for await (const _ of framed(conn, lines()));
  }, { frameTimeout: 1000 });
  const client = await dial(server.addr);
  await client.write(bytes`half a li`);
  await until(() => server.stats().bytesRead === 9);
  await pass(time, 900);
  assertEquals(ended.length, 0);
  await pass(time, 300);
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "frame_timeout");
  client.close();
  await server.shutdown();
});
