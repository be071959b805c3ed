/** Two connections become one, up to the way in which they end. @module */

import {
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Connection, connection, relay, type Relayed } from "../../mod.ts";
import { bridge, KINDS } from "../support/bridge.ts";
import { netTest } from "../support/needs.ts";
import { assertReadsPattern, fillPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import { serveNoting } from "../support/noting.ts";
import {
  connectResettable,
  dial,
  readAll,
  readExactly,
  resettablePair,
  socketPair,
  writeAll,
} from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

const MIB = 1 << 20;

/** Sends the first `length` bytes of the stream, in one buffer's memory, then FIN. */
async function sendPattern(conn: Deno.Conn, length: number): Promise<void> {
  const p = new Uint8Array(65536);
  for (let at = 0; at < length; at += p.length) {
    await writeAll(conn, fillPattern(p.subarray(0, Math.min(p.length, length - at)), at));
  }
  await conn.closeWrite();
}

/** Fails unless the connection is closed, which a plain one says by its resource. */
async function assertClosed(conn: Deno.Conn): Promise<void> {
  await assertRejects(() => conn.write(bytes`x`));
  await assertRejects(() => conn.read(new Uint8Array(1)));
}

for (const kind of KINDS) {
  netTest(
    `relay() carries 64 MiB each way at once between ${kind.name}, and counts them`,
    async () => {
      using between = await bridge(kind);
      const { left, a, b, right } = between;
      const relaying = relay(a, b);
      const [there, back] = [64 * MIB, 64 * MIB - 12_345];
      await Promise.all([
        sendPattern(left, there),
        sendPattern(right, back),
        assertReadsPattern(right, there),
        assertReadsPattern(left, back),
      ]);
      assertEquals<Relayed>(await relaying, { aToB: there, bToA: back });
    },
  );

  for (const first of ["left", "right"] as const) {
    netTest(
      `relay() between ${kind.name} hands on that the ${first} has finished, and goes on`,
      async () => {
        using between = await bridge(kind);
        const { a, b } = between;
        const [early, late] = first === "left"
          ? [between.left, between.right]
          : [between.right, between.left];
        let over = false;
        const relaying = relay(a, b).finally(() => over = true);
        await early.write(bytes`that is all`);
        await early.closeWrite();
        assertEquals(text(await readExactly(late, 11)), "that is all");
        assertEquals(await late.read(new Uint8Array(1)), null);
        for (let i = 0; i < 3; i++) {
          await late.write(bytes`not yet`);
          assertEquals(text(await readExactly(early, 7)), "not yet");
        }
        assertFalse(over);
        await late.closeWrite();
        assertEquals(await early.read(new Uint8Array(1)), null);
        assertEquals(
          await relaying,
          first === "left" ? { aToB: 11, bToA: 21 } : { aToB: 21, bToA: 11 },
        );
        // Neither is closed: a plain one would throw now.
        a.close();
        b.close();
      },
    );

    netTest(
      `relay() between ${kind.name} ends both when the ${first} resets, with that error`,
      async () => {
        const [socket, peer] = await resettablePair();
        const [otherSocket, other] = await socketPair();
        using a = kind.a(first === "left" ? socket : otherSocket);
        using b = kind.b(first === "left" ? otherSocket : socket);
        const relaying = relay(a, b);
        peer.write(bytes`half a mess`);
        assertEquals(text(await readExactly(other, 11)), "half a mess");
        await peer.reset();
        await assertRejects(() => relaying, Deno.errors.ConnectionReset);
        assertEquals(text(await readAll(other)), ""); // it is over at once, not after a timeout
        await assertClosed(a);
        await assertClosed(b);
      },
    );
  }

  netTest(
    `relay() between ${kind.name} ends both when what it writes is no longer taken`,
    async () => {
      using between = await bridge(kind);
      const { left, a, b, right } = between;
      const relaying = relay(a, b);
      right.close(); // a half-close for all that can be seen, until something is sent to it
      assertEquals(await left.read(new Uint8Array(1)), null);
      let failure: unknown;
      const watched = relaying.catch((error) => failure = error);
      while (failure === undefined) {
        await left.write(bytes`x`).catch(() => {});
        await turn();
      }
      await watched;
      if (!(failure instanceof Deno.errors.BrokenPipe)) {
        assertInstanceOf(failure, Deno.errors.ConnectionReset);
      }
      await assertClosed(a);
      await assertClosed(b);
    },
  );
}

netTest("relay() lets a slow reader hold the sender back, in bounded memory", async () => {
  using between = await bridge();
  const { left, a, b, right } = between;
  const [from, to] = [connection(a), connection(b)];
  const before = Deno.memoryUsage().external;
  const relaying = relay(a, b);
  const length = 64 * MIB;
  let sent = false;
  const sending = sendPattern(left, length).then(() => sent = true);
  let moved = -1;
  while (moved !== from.bytesRead) { // until nothing moves, since nothing is read
    moved = from.bytesRead;
    await turns(50);
  }
  assertFalse(sent);
  await assertReadsPattern(right, length, 32_768, () => {
    assertLess(from.bytesRead - to.bytesWritten, 262_145);
    assertLess(Deno.memoryUsage().external - before, 24 * MIB);
    return turn();
  });
  right.close();
  await sending;
  assertEquals(await relaying, { aToB: length, bToA: 0 });
});

netTest("one direction of relay() goes on while the other is stuck", async () => {
  using between = await bridge();
  const { left, a, b, right } = between;
  const relaying = relay(a, b);
  const stuck = sendPattern(left, 64 * MIB); // which right does not read yet
  let moved = -1;
  while (moved !== connection(a).bytesRead) {
    moved = connection(a).bytesRead;
    await turns(50);
  }
  for (let i = 0; i < 10; i++) {
    await right.write(bytes`ping`);
    assertEquals(text(await readExactly(left, 4)), "ping");
  }
  await right.closeWrite();
  await assertReadsPattern(right, 64 * MIB);
  await stuck;
  assertEquals(await relaying, { aToB: 64 * MIB, bToA: 40 });
});

netTest("relay() ends both when one of them times out", async () => {
  using time = new FakeTime();
  const [[a, left], [b, right]] = await Promise.all([socketPair(), socketPair()]);
  using impatient = connection(a, { idleTimeout: 1000 });
  using patient = connection(b);
  const relaying = relay(impatient, patient);
  await left.write(bytes`hello`);
  assertEquals(text(await readExactly(right, 5)), "hello");
  time.tick(1100);
  const error = await assertRejects(() => relaying, DOMException, "'idleTimeout'");
  assertStrictEquals(impatient.signal.reason, error);
  assertEquals(text(await readAll(left)), "");
  assertEquals(text(await readAll(right)), "");
});

netTest("relay() ends both when one of them is closed elsewhere", async () => {
  using between = await bridge();
  const { left, a, b, right } = between;
  const relaying = relay(a, b);
  await turn();
  b.close();
  await assertRejects(() => relaying, Deno.errors.Interrupted);
  await assertClosed(a);
  assertEquals(await left.read(new Uint8Array(1)), null);
  assertEquals(await right.read(new Uint8Array(1)), null);
});

Deno.test("relay() rejects with the first failure, not with what follows from it", async () => {
  const [a, b] = [new ScriptedSocket(), new ScriptedSocket()];
  const relaying = relay(a, b);
  const failure = new Error("No route to host (os error 113)");
  b.failRead(failure);
  assertStrictEquals(await relaying.catch((error) => error), failure);
  assertEquals([a.closed, b.closed], [true, true]);
});

Deno.test("relay() rejects also when the first failure is no error at all", async () => {
  const [a, b] = [new ScriptedSocket(), new ScriptedSocket()];
  const relaying = relay(a, b);
  a.failRead(undefined);
  let rejected = false;
  await relaying.catch(() => rejected = true);
  assertEquals(rejected, true);
});

Deno.test("relay() ends both when FIN cannot be handed on", async () => {
  const [a, b] = [new ScriptedSocket(), new ScriptedSocket()];
  const failure = new Deno.errors.NotConnected("Transport endpoint is not connected");
  b.closeWrite = () => Promise.reject(failure);
  const relaying = relay(a, b);
  a.finish();
  assertStrictEquals(await relaying.catch((error) => error), failure);
  assertEquals([a.closed, b.closed], [true, true]);
});

Deno.test("relay() hands on FIN behind everything that came before it", async () => {
  const [a, b] = [new ScriptedSocket(), new ScriptedSocket()];
  b.takes = undefined;
  using from = connection(a);
  using to = connection(b);
  const relaying = relay(from, to);
  a.arrive(pattern(0, 100));
  a.finish();
  await until(() => b.writes.length === 1);
  await turns();
  assertEquals(b.finishedAt, []);
  b.takes = (p) => p.length;
  b.writes[0]!.take(1);
  await until(() => b.finishedAt.length === 1);
  assertEquals(b.finishedAt, [100]);
  b.finish();
  assertEquals(await relaying, { aToB: 100, bToA: 0 });
  assertEquals(a.finishedAt, [0]);
});

// What is half-closed, and what the records say

/** Moves fake time on tick by tick, with what follows from each. */
async function pass(time: FakeTime, ms: number): Promise<void> {
  for (; ms > 0; ms -= 100) {
    time.tick(100);
    await turn();
  }
}

for (const wrapped of ["first", "second"] as const) {
  Deno.test(`a half-closed relay() ends by the idleTimeout of its ${wrapped} side where the other is a plain one`, async () => {
    using time = new FakeTime();
    const [near, far] = [new ScriptedSocket(), new ScriptedSocket()];
    const conn = connection(near, { idleTimeout: 2000 });
    const relaying = wrapped === "first" ? relay(conn, far) : relay(far, conn);
    relaying.catch(() => {});
    near.finish(); // and the other side says nothing more
    await pass(time, 1900);
    far.arrive(bytes`still here`);
    await pass(time, 1900);
    assertEquals([near.closed, far.closed], [false, false]);
    await pass(time, 400);
    const error = await assertRejects(() => relaying, DOMException, "'idleTimeout'");
    assertEquals([near.closed, far.closed], [true, true]);
    assertEquals(conn.endReason, "idle_timeout");
    assertStrictEquals(conn.signal.reason, error);
  });
}

Deno.test("a half-closed relay() ends when its open side is closed elsewhere", async () => {
  for (const plain of [true, false]) {
    using time = new FakeTime();
    const [near, far] = [new ScriptedSocket(), new ScriptedSocket()];
    const conn = connection(near);
    const relaying = relay(conn, plain ? far : connection(far));
    relaying.catch(() => {});
    near.finish();
    await turns(2);
    conn.close("kicked");
    await pass(time, 100);
    await assertRejects(() => relaying, Deno.errors.BadResource);
    assertEquals([near.closed, far.closed], [true, true]);
    assertEquals(conn.endReason, "dismissed");
  }
});

Deno.test("relay() leaves no timer behind, and two plain connections have none", async () => {
  using time = new FakeTime();
  for (const plain of [true, false]) {
    const [near, far] = [new ScriptedSocket(), new ScriptedSocket()];
    const conn = plain ? near : connection(near);
    const relaying = relay(conn, far);
    near.finish();
    far.finish();
    await relaying;
    conn.close();
    far.close();
    time.runAll();
  }
});

for (const wrapped of [true, false]) {
  netTest(
    `an upstream that fails is relay_failed with its error, unreported, the upstream ${
      wrapped ? "wrapped" : "a plain connection"
    }`,
    async () => {
      const { server, ended, errors } = serveNoting(async (conn) => {
        const [upstream, peer] = await resettablePair();
        const relaying = relay(conn, wrapped ? connection(upstream) : upstream);
        relaying.catch(() => {});
        await peer.reset();
        await relaying;
      });
      await using _server = server;
      const client = await dial(server.addr);
      assertEquals(text(await readAll(client)), "");
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, "relay_failed");
      assertInstanceOf(ended[0]!.error, Deno.errors.ConnectionReset);
      assertEquals(errors, []);
    },
  );
}

netTest(
  "a client that fails keeps its own reason, and the upstream says relay_failed",
  async () => {
    let upstream: Connection | undefined;
    const { server, ended } = serveNoting(async (conn) => {
      const [socket, peer] = await socketPair();
      using _peer = peer;
      upstream = connection(socket);
      await relay(conn, upstream);
    });
    await using _server = server;
    const client = await connectResettable(server.addr);
    await until(() => upstream !== undefined);
    await client.reset();
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "peer_reset");
    assertEquals(upstream!.endReason, "relay_failed");
    assertStrictEquals(upstream!.signal.reason, ended[0]!.error);
  },
);
