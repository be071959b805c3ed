/**
 * No more connections are served than there are slots, and each slot is given back exactly once.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Connection, serve, type Server } from "../../mod.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  Clients,
  connectMany,
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  writeAll,
} from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";

/** How many slots the servers of most tests have. */
const SLOTS = 2;

netTest("client N+1 waits, and is served when one has left", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: SLOTS }, held.handler);
  using clients = await connectMany(server.addr, SLOTS + 1);
  await until(() => held.served === SLOTS);
  await turns();
  // It is not even accepted: the kernel holds it.
  assertEquals([held.served, server.stats().accepted], [SLOTS, SLOTS]);
  const [leaving] = held.inside;
  const { port } = leaving!.remoteAddr as Deno.NetAddr;
  clients.all.find(({ localAddr }) => (localAddr as Deno.NetAddr).port === port)!.close();
  held.letGo();
  await until(() => held.served === SLOTS + 1);
  held.letAllGo();
});

netTest("as many as maxConnections are served at once, wave after wave", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 10 }, held.handler);
  using _clients = await connectMany(server.addr, 40);
  for (let wave = 1; wave <= 4; wave++) {
    await until(() => held.served === 10 * wave);
    await turns();
    assertEquals(server.stats().accepted, 10 * wave);
    for (const conn of held.inside) conn.close(); // no polite end, which would take its time
    held.letAllGo();
  }
});

/** Ways for a connection to end, by its id: the first `SLOTS` end this way. */
interface Ending {
  handler: (conn: Connection) => unknown;
  /** What the client does once it is served; it leaves if not given. */
  client?: (client: Deno.Conn, time: FakeTime) => unknown;
  resets?: boolean;
}

const neverMind = () => {};
const ENDINGS: Record<string, Ending> = {
  "a return": { handler: () => Promise.resolve() },
  "a rejection": { handler: () => Promise.reject(new Error("expected")) },
  "a throw": {
    handler: () => {
      throw new Error("expected");
    },
  },
  "a result that is no promise": { handler: () => 7 },
  "close() by the handler": {
    handler: (conn) => {
      conn.close();
      conn.close();
      return Promise.resolve();
    },
  },
  "close() and end() by the handler, then a throw": {
    handler: async (conn) => {
      await conn.end();
      conn.close();
      throw new Error("expected");
    },
  },
  "a write after close()": {
    handler: (conn) => {
      conn.close();
      return conn.write(bytes`too late`);
    },
  },
  "a reset": { handler: (conn) => conn.read(new Uint8Array(1)), resets: true },
  "a reset that the handler ignores": {
    handler: (conn) => conn.read(new Uint8Array(1)).catch(neverMind),
    resets: true,
  },
  "an idle timeout": {
    handler: (conn) => conn.read(new Uint8Array(1)),
    client: (_, time) => time.tick(1200),
  },
  "an idle timeout that the handler ignores": {
    handler: (conn) => conn.read(new Uint8Array(1)).catch(neverMind),
    client: (_, time) => time.tick(1200),
  },
  "a write timeout": {
    handler: (conn) => conn.write(new Uint8Array(64 << 20)),
    client: (_, time) => time.tick(1200),
  },
  "a peer that never answers our FIN": {
    handler: () => Promise.resolve(),
    client: (_, time) => time.tick(1200),
  },
};

for (const [name, { handler, client, resets }] of Object.entries(ENDINGS)) {
  netTest(`a slot is given back exactly once after ${name}`, async () => {
    using time = new FakeTime();
    const held = new Holding();
    await using server = serve({
      ...LOOPBACK,
      maxConnections: SLOTS,
      idleTimeout: 1000,
      writeTimeout: 1000,
      onError: neverMind,
    }, (conn) => conn.id <= SLOTS ? handler(conn) as Promise<unknown> : held.handler(conn));
    for (let i = 1; i <= SLOTS; i++) {
      if (resets) {
        const client = await connectResettable(server.addr);
        await until(() => server.stats().accepted === i);
        await client.reset();
      } else {
        using socket = await dial(server.addr);
        await until(() => server.stats().accepted === i);
        await turns();
        await client?.(socket, time);
      }
      await until(() => server.stats().active === 0);
    }
    await assertFullSet(server, held);
  });
}

/** Fails unless exactly `SLOTS` connections can be open at once. */
async function assertFullSet(server: Server<Deno.NetAddr>, held: Holding): Promise<void> {
  using clients = await connectMany(server.addr, SLOTS + 1);
  await until(() => held.served === SLOTS);
  await turns();
  assertEquals([held.served, server.waitingFor], [SLOTS, "slot"]);
  for (const client of clients.all) client.close();
  held.letAllGo();
  await until(() => held.served === SLOTS + 1);
  held.letAllGo();
  await until(() => server.stats().active === 0);
}

for (
  const [name, handler] of [
    ["was forced", (conn: Connection) => conn.read(new Uint8Array(1))],
    ["was abandoned", () => new Promise(() => {})],
  ] as const
) {
  netTest(`a slot is given back when its connection ${name}`, async () => {
    using time = new FakeTime();
    const server = serve({ ...LOOPBACK, maxConnections: 1 }, handler);
    using _client = await dial(server.addr);
    await until(() => server.waitingFor === "slot");
    server.shutdown({ timeout: 0 });
    time.tick(1000);
    await server.finished;
    // It cannot be taken any more, but saturatedFor has stopped.
    const [{ saturatedFor }, now] = [server.stats(), performance.now()];
    await until(() => performance.now() > now + 1);
    assertEquals(server.stats().saturatedFor, saturatedFor);
  });
}

netTest("a slot stays taken while a handler that lost its peer goes on", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  const lost = await connectResettable(server.addr);
  await until(() => held.served === 1);
  await lost.reset();
  using _next = await dial(server.addr);
  await turns();
  assertEquals(held.served, 1);
  held.letGo();
  await until(() => held.served === 2);
  held.letGo();
});

netTest("maxConnections raised on a running server lets in what waits", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  using _clients = await connectMany(server.addr, 3);
  await until(() => held.served === 1);
  server.maxConnections = 2;
  assertEquals(server.maxConnections, 2);
  await until(() => held.served === 2);
  await turns();
  assertEquals(held.served, 2);
  server.maxConnections = Infinity;
  await until(() => held.served === 3);
  held.letAllGo();
});

netTest(
  "maxConnections lowered on a running server closes no connection and lets none in",
  async () => {
    const held = new Holding();
    await using server = serve(LOOPBACK, held.handler);
    using first = await connectMany(server.addr, 3);
    await until(() => held.served === 3);
    server.maxConnections = 1;
    assertEquals([server.connections.size, server.waitingFor], [3, "slot"]);
    using _next = await dial(server.addr);
    for (const client of first.all) client.close();
    held.letGo();
    held.letGo();
    await until(() => server.stats().ended.completed === 2);
    await turns();
    assertEquals(held.served, 3); // the one that is left fills the one slot
    held.letGo();
    await until(() => held.served === 4);
    held.letGo();
  },
);

netTest("an over-limit connection is first in line", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  using first = await dial(server.addr);
  await until(() => held.served === 1);
  server.maxConnections = 1;
  // The accept that was pending takes the second; the third waits in the kernel's queue.
  using second = await dial(server.addr);
  await until(() => server.connections.size === 2);
  using third = await dial(server.addr);
  const order: number[] = [];
  for (const client of [first, second, third]) {
    await until(() => held.inside.length === 1);
    order.push((held.inside[0]!.remoteAddr as Deno.NetAddr).port);
    client.close();
    held.letGo();
  }
  assertEquals(
    order,
    [first, second, third].map(({ localAddr }) => (localAddr as Deno.NetAddr).port),
  );
});

netTest("maxConnections rejects an invalid limit, and stays as it was", async () => {
  await using server = serve({ ...LOOPBACK, maxConnections: 7 }, async () => {});
  assertThrows(() => server.maxConnections = 0, RangeError, "'maxConnections'");
  assertThrows(() => server.maxConnections = 1.5, RangeError, "'maxConnections'");
  assertThrows(() => server.maxConnections = "9" as unknown as number, TypeError);
  assertEquals(server.maxConnections, 7);
});

netTest('whenFull "refuse" closes an over-limit connection, and counts it', async () => {
  const held = new Holding();
  const ended: string[] = [];
  await using server = serve({
    ...LOOPBACK,
    maxConnections: 1,
    whenFull: "refuse",
    onEnd: ({ id, reason }) => ended.push(`${id} ${reason}`),
  }, held.handler);
  using first = await dial(server.addr);
  await until(() => held.served === 1);
  for (let i = 0; i < 3; i++) assertEquals(await readAll(await dial(server.addr)), bytes``);
  await until(() => ended.length === 3);
  assertEquals(ended, ["2 refused_full", "3 refused_full", "4 refused_full"]);
  assertEquals(server.stats().refused.full, 3);
  first.close();
  held.letGo();
  await until(() => server.stats().active === 0);
  using _again = await dial(server.addr);
  await until(() => held.served === 2);
  held.letGo();
});

netTest("whenFull with bytes sends them before it refuses", async () => {
  const held = new Holding();
  await using server = serve(
    { ...LOOPBACK, maxConnections: 1, whenFull: bytes`421 come back later\r\n` },
    held.handler,
  );
  using _first = await dial(server.addr);
  await until(() => held.served === 1);
  const answer = await readAll(await dial(server.addr));
  assertEquals(text(answer), "421 come back later\r\n");
  await until(() => server.stats().refused.full === 1);
  held.letGo();
});

netTest("whenFull with bytes sends them to a client that is still sending", async () => {
  const held = new Holding();
  await using server = serve(
    { ...LOOPBACK, maxConnections: 1, whenFull: bytes`full` },
    held.handler,
  );
  using _first = await dial(server.addr);
  await until(() => held.served === 1);
  const client = await dial(server.addr);
  // More than fits into the buffers between the two, and more than is read away.
  const sending = writeAll(client, new Uint8Array(8 << 20)).catch(neverMind);
  const got = new Uint8Array(4);
  for (let n = 0; n < 4;) n += (await client.read(got.subarray(n)))!;
  assertEquals(text(got), "full");
  client.close();
  await sending;
  held.letGo();
});

netTest(
  "whenFull with bytes keeps 64 refused clients at most, the others get nothing",
  async () => {
    using time = new FakeTime();
    const held = new Holding();
    await using server = serve(
      { ...LOOPBACK, maxConnections: 1, whenFull: bytes`full` },
      held.handler,
    );
    using _first = await dial(server.addr);
    await until(() => held.served === 1);
    using refused = await connectMany(server.addr, 100);
    await until(() => server.stats().accepted === 101);
    const answers = await Promise.all(refused.all.map(hear));
    assertEquals(answers.filter((answer) => answer === "full").length, 64);
    assertEquals(answers.filter((answer) => answer === "").length, 36);
    assertEquals(server.stats().refused.full, 36);
    time.tick(700); // the half second that they are given is over
    await until(() => server.stats().refused.full === 100);
    // There is room again for a new one.
    assertEquals(text(await readAll(await dial(server.addr))), "full");
    held.letGo();
  },
);

/** What a refused client reads to the end of its stream; it stays connected. */
async function hear(client: Deno.Conn): Promise<string> {
  const p = new Uint8Array(16);
  let heard = "";
  for (let n; (n = await client.read(p)) !== null;) heard += text(p.subarray(0, n));
  return heard;
}

netTest(
  "a server that refuses holds back what comes in a pause, and refuses it after",
  async () => {
    const held = new Holding();
    await using server = serve(
      { ...LOOPBACK, maxConnections: 1, whenFull: "refuse" },
      held.handler,
    );
    using first = await dial(server.addr);
    await until(() => held.served === 1);
    server.pause();
    using clients = new Clients([await dial(server.addr), await dial(server.addr)]);
    // One is taken by the accept that was pending, one waits in the kernel's queue.
    await until(() => server.connections.size === 2);
    await turns();
    assertEquals([server.stats().accepted, server.stats().refused.full], [2, 0]);
    server.resume();
    for (const client of clients.all) assertEquals(await client.read(new Uint8Array(1)), null);
    await until(() => server.stats().refused.full === 2);
    first.close();
    held.letGo();
  },
);

netTest(
  "an over-limit connection of a server that refuses is served if a slot is free after the pause",
  async () => {
    const held = new Holding();
    await using server = serve(
      { ...LOOPBACK, maxConnections: 1, whenFull: "refuse" },
      held.handler,
    );
    server.pause();
    using client = await dial(server.addr);
    await until(() => server.connections.size === 1);
    server.resume();
    await until(() => held.served === 1);
    client.close();
    held.letGo();
  },
);
