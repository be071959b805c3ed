/** Buffers of all connections stay below `maxBuffered`; who leaves them full pays for it. @module */

import { assert, assertEquals, assertGreater, assertLessOrEqual, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  broadcast,
  type Connection,
  framed,
  type Handler,
  lines,
  serve,
  type Server,
  type ServeSettings,
} from "../../mod.ts";
import { server as certificate } from "../support/certificates.ts";
import { dialTls } from "../support/balancer.ts";
import { bytes } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import {
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  writeAll,
} from "../support/peers.ts";
import { pass, turns, until } from "../support/wait.ts";

const KIB = 1024;

/** Waits for a record that never comes whole. */
const record = (conn: Connection) => conn.readExactly(1_048_576, { limit: Infinity });

/** Loopback addresses of Linux: each is another peer. */
const LINUX = { os: ["linux"] as (typeof Deno.build.os)[] };

netTest("what is left unread counts, and is free when its connection is over", async () => {
  await using server = serve(LOOPBACK, record);
  using client = await dial(server.addr);
  await writeAll(client, new Uint8Array(100 * KIB));
  await until(() => server.stats().bytesRead === 100 * KIB);
  assertGreater(server.stats().buffered, 83 * KIB);
  assertLessOrEqual(server.stats().buffered, 300 * KIB);
  client.close();
  await until(() => server.stats().active === 0);
  assertEquals(server.stats().buffered, 0);
});

/** Ways to have something wait for a peer that does not read: all are counted until they are over. */
const UNSENT: Record<string, (conn: Connection) => Promise<unknown>> = {
  "a write": (conn) => conn.write(new Uint8Array(64 * KIB * KIB)),
  "writes behind one another": (conn) => {
    for (let i = 0; i < 200; i++) conn.write(new Uint8Array(64 * KIB));
    return conn.unsentBelow(1);
  },
  "small writes": (conn) => {
    conn.write(new Uint8Array(64 * KIB * KIB));
    for (let i = 0; i < 500; i++) conn.write(new Uint8Array(i));
    return conn.unsentBelow(1);
  },
  "frames": async (conn) => {
    const io = framed(conn, lines());
    for (;;) await io.send("x".repeat(10_000));
  },
  "frames of a broadcast": (conn) => {
    const room = broadcast(lines(), { slowAbove: Infinity });
    using _ = room.join(conn);
    conn.write(new Uint8Array(64 * KIB * KIB));
    for (let i = 0; i < 50; i++) room.send("x".repeat(10_000));
    return conn.unsentBelow(1);
  },
};

for (const [what, handler] of Object.entries(UNSENT)) {
  for (const end of ["reset", "force"]) {
    netTest(`${what} to a peer that does not read counts, and not beyond its ${end}`, async () => {
      const server = serve({ ...LOOPBACK, maxUnsent: Infinity }, handler);
      const client = await connectResettable(server.addr);
      await until(() => server.stats().buffered >= 10_000);
      if (end === "reset") await client.reset();
      await server.shutdown(end === "reset" ? {} : { timeout: 0 });
      assertEquals(server.stats().buffered, 0);
      await turns();
      assertEquals(server.stats().buffered, 0);
      await client.reset();
    });
  }

  netTest(`${what} to a peer that reads is free when it has left`, async () => {
    let isDone = false;
    const server = serve({ ...LOOPBACK, maxUnsent: Infinity }, async (conn) => {
      if (what === "frames") { for (let i = 0; i < 99; i++) await handlerOfFrames(conn); }
      else await handler(conn);
      isDone = true;
      for await (const _ of conn);
    });
    const client = await dial(server.addr);
    const reading = readAll(client);
    await until(() => isDone);
    await until(() => server.stats().buffered === 0);
    await server.shutdown({ timeout: 0 });
    await reading;
  });
}

async function handlerOfFrames(conn: Connection): Promise<void> {
  await framed(conn, lines()).send("x".repeat(10_000));
}

netTest("a broadcast's frames count once, however many have not sent them", async () => {
  const room = broadcast(lines(), { slowAbove: Infinity });
  const server = serve({ ...LOOPBACK, maxUnsent: Infinity }, async (conn) => {
    conn.write(new Uint8Array(16 * KIB * KIB));
    using _ = room.join(conn);
    await conn.unsentBelow(1);
  });
  using _one = await dial(server.addr);
  await until(() => room.size === 1);
  await turns();
  const alone = server.stats().buffered;
  for (let i = 0; i < 10; i++) room.send("x".repeat(50_000));
  const withFrames = server.stats().buffered - alone;
  assertGreater(withFrames, 499_999);
  assertLessOrEqual(withFrames, 1_200_000);
  const more = await Promise.all([1, 2, 3, 4].map(() => dial(server.addr)));
  await until(() => room.size === 5);
  await turns();
  const before = server.stats().buffered;
  for (let i = 0; i < 10; i++) room.send("y".repeat(50_000));
  assertLessOrEqual(server.stats().buffered - before, 1_200_000);
  await server.shutdown({ timeout: 0 });
  assertEquals(server.stats().buffered, 0);
  for (const client of more) client.close();
});

netTest("TLS counts as a constant, while it holds more than an idle connection's", async () => {
  let read = 0;
  let most = 0;
  await using server = serve({ ...LOOPBACK, ...certificate }, async (conn) => {
    for await (const chunk of conn.chunks({ reuse: true })) {
      read += chunk.length;
      most = Math.max(most, server.stats().buffered);
    }
  });
  const client = await dialTls(server.addr);
  await client.write(bytes`hello`);
  await until(() => read === 5);
  assertEquals(server.stats().buffered, 0);
  await writeAll(client, new Uint8Array(512 * KIB));
  await until(() => read === 5 + 512 * KIB);
  assertGreater(most, 128 * KIB - 1);
  client.close();
  await until(() => server.stats().active === 0);
  assertEquals(server.stats().buffered, 0);
});

/** A peer at an address, with connections that have each left so many bytes unread. */
async function leave(
  server: Server<Deno.NetAddr>,
  address: string,
  sizes: readonly number[],
) {
  const clients = [];
  for (const size of sizes) {
    const { bytesRead } = server.stats();
    const client = await connectResettable(server.addr, address);
    client.write(new Uint8Array(size));
    clients.push(client);
    // All of it has come, or it was too much.
    const { ended } = server.stats();
    await until(() => {
      const now = server.stats();
      return now.bytesRead === bytesRead + size || now.ended.memory_limit > ended.memory_limit;
    });
  }
  return clients;
}

function limited(settings: ServeSettings, handler: Handler = record) {
  const { ended, onEnd } = noteEnds();
  const server = serve({ ...LOOPBACK, ...settings, onEnd }, handler);
  return { server, ended };
}

netTest(
  "beyond maxBuffered the peer that holds most loses its connection without progress for longest",
  async () => {
    using time = new FakeTime();
    const { server, ended } = limited({ maxBuffered: 2000 * KIB });
    const clients = await leave(server, "127.0.0.2", [100 * KIB]);
    await pass(time, 1000);
    clients.push(...await leave(server, "127.0.0.3", [70 * KIB, 80 * KIB, 90 * KIB]));
    await pass(time, 2000);
    assertEquals(ended, []);
    for (let i = 0; ended.length === 0; i++) {
      assert(i < 20, `${server.stats().buffered}`);
      clients.push(...await leave(server, `127.0.0.${4 + i}`, [60 * KIB]));
    }
    const [{ id, reason, error, remoteAddr }] = ended as [typeof ended[0]];
    assertEquals([id, reason], [2, "memory_limit"]);
    assertEquals((remoteAddr as Deno.NetAddr).hostname, "127.0.0.3");
    assertMatch(
      (error as Error).message,
      /^The server closed the connection because buffers occupied \d+ bytes, and 'maxBuffered' is 2048000/,
    );
    assertLessOrEqual(server.stats().buffered, 2000 * KIB);
    await server.shutdown({ timeout: 0 });
    assertEquals(server.stats().buffered, 0);
    for (const client of clients) await client.reset();
  },
  LINUX,
);

netTest(
  "an upload under way is not ended for strangers that have stopped in the middle of theirs",
  async () => {
    using time = new FakeTime();
    let got = 0;
    const { server, ended } = limited({ maxBuffered: 8192 * KIB }, async (conn) => {
      const upload = await conn.readExactly(1024 * KIB, { limit: Infinity });
      got = upload?.length ?? 0;
      await conn.write(bytes`thanks`);
    });
    const strangers = [];
    for (let i = 0; i < 60; i++) {
      strangers.push(...await leave(server, `127.0.1.${i + 1}`, [64 * KIB]));
    }
    await pass(time, 2000);
    const client = await dial(server.addr);
    const thanks = readExactly(client, 6);
    // Holds more than any stranger.
    for (let i = 0; i < 64; i++) {
      await writeAll(client, new Uint8Array(16 * KIB));
      await pass(time, 100);
      assertLessOrEqual(server.stats().buffered, 8192 * KIB);
    }
    await thanks;
    assertEquals(got, 1024 * KIB);
    assertGreater(ended.filter(({ reason }) => reason === "memory_limit").length, 0);
    client.close();
    await server.shutdown({ timeout: 0 });
    assertEquals(server.stats().buffered, 0);
    for (const stranger of strangers) await stranger.reset();
  },
  LINUX,
);

netTest("where all make progress, the peer that holds most loses a connection", async () => {
  const { server, ended } = limited({ maxBuffered: 1500 * KIB });
  const clients = await leave(server, "127.0.0.2", [30 * KIB]);
  clients.push(...await leave(server, "127.0.0.3", [200 * KIB]));
  for (let i = 4; ended.length === 0; i++) {
    assert(i < 30, `${server.stats().buffered}`);
    clients.push(...await leave(server, `127.0.0.${i}`, [40 * KIB]));
  }
  assertEquals(ended.map(({ id, reason }) => [id, reason]), [[2, "memory_limit"]]);
  await server.shutdown({ timeout: 0 });
  for (const client of clients) await client.reset();
}, LINUX);

netTest(
  "peers that do not read lose their connections to maxBuffered, and one that reads does not",
  async () => {
    using time = new FakeTime();
    const { server, ended } = limited(
      { maxBuffered: 2048 * KIB, maxUnsent: Infinity },
      async (conn) => {
        for await (const _ of conn) {
          for (let i = 0; i < 8; i++) conn.write(new Uint8Array(1024 * KIB));
        }
      },
    );
    const deaf = await connectResettable(server.addr, "127.0.0.2");
    deaf.write(bytes`x`);
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "memory_limit");
    assertEquals(server.stats().buffered, 0);
    await pass(time, 1000);
    await deaf.reset();
    await server.shutdown({ timeout: 0 });
  },
  LINUX,
);
