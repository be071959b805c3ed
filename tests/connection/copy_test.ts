/** Bytes go from one connection to another whole, and no faster than they are taken. @module */

import {
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { connection, copy, serve } from "../../mod.ts";
import { bridge, KINDS } from "../support/bridge.ts";
import { netTest } from "../support/needs.ts";
import { assertReadsPattern, fillPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
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
import { ScriptedSocket } from "../support/scripted_socket.ts";

const MIB = 1 << 20;

for (const kind of KINDS) {
  netTest(`copy() carries 64 MiB between ${kind.name}, and counts them`, async () => {
    using between = await bridge(kind);
    const { left, a, b, right } = between;
    const length = 64 * MIB;
    const copying = copy(a, b).then(async (copied) => {
      await b.closeWrite();
      return copied;
    });
    const sending = (async () => {
      const p = new Uint8Array(MIB);
      for (let at = 0; at < length; at += MIB) await writeAll(left, fillPattern(p, at));
      await left.closeWrite();
    })();
    await assertReadsPattern(right, length);
    assertEquals(await copying, length);
    await sending;
  });

  netTest(`copy() between ${kind.name} leaves both open`, async () => {
    using between = await bridge(kind);
    const { left, a, b, right } = between;
    await left.closeWrite();
    assertEquals(await copy(a, b), 0);
    await a.write(bytes`to the left`);
    assertEquals(text(await readExactly(left, 11)), "to the left");
    await b.write(bytes`to the right`);
    assertEquals(text(await readExactly(right, 12)), "to the right");
    await right.write(bytes`back`);
    assertEquals(text(await readExactly(b, 4)), "back");
  });

  netTest(`copy() between ${kind.name} rejects with what reading threw`, async () => {
    const [socket, peer] = await resettablePair();
    const [other, right] = await socketPair();
    using _right = right;
    using a = kind.a(socket);
    using b = kind.b(other);
    const copying = copy(a, b);
    peer.write(bytes`hello`);
    assertEquals(text(await readExactly(right, 5)), "hello");
    await peer.reset();
    await assertRejects(() => copying, Deno.errors.ConnectionReset);
    await b.write(bytes`b is open`);
    assertEquals(text(await readExactly(right, 9)), "b is open");
  });

  netTest(`copy() between ${kind.name} rejects with what writing threw`, async () => {
    const [socket, peer] = await resettablePair();
    const [other, left] = await socketPair();
    using _left = left;
    using a = kind.a(other);
    using b = kind.b(socket);
    const copying = copy(a, b);
    await peer.reset();
    let failed = false;
    const watched = copying.catch((error) => {
      failed = true;
      return error;
    });
    while (!failed) {
      await left.write(bytes`x`);
      await turn();
    }
    const error = await watched;
    if (!(error instanceof Deno.errors.BrokenPipe)) {
      assertInstanceOf(error, Deno.errors.ConnectionReset);
    }
  });
}

netTest("copy() hands on what there is at once", async () => {
  using between = await bridge();
  const { left, a, b, right } = between;
  const copying = copy(a, b);
  for (const size of [1, 5, 4095, 4096, 4097, 1, 200_000, 1]) {
    const sending = writeAll(left, pattern(7, size));
    assertEquals(await readExactly(right, size), pattern(7, size));
    await sending;
  }
  left.close();
  await copying;
});

netTest("copy() reads no faster than the other side takes it", async () => {
  using between = await bridge();
  const { left, a, b, right } = between;
  const [from, to] = [connection(a), connection(b)];
  const length = 64 * MIB;
  const before = Deno.memoryUsage().external;
  const copying = copy(a, b).then(() => b.closeWrite());
  let sent = 0;
  const sending = (async () => {
    const p = new Uint8Array(65536);
    while (sent < length) {
      await writeAll(left, fillPattern(p, sent));
      sent += p.length;
    }
    await left.closeWrite();
  })();
  let moved = -1;
  while (moved !== sent) { // until nothing moves, since nothing is read
    moved = sent;
    await turns(50);
  }
  assertLess(sent, length);
  assertLessOrEqual(from.bytesRead - to.bytesWritten, 262_144);
  await assertReadsPattern(right, length, 32_768, () => {
    assertLessOrEqual(from.bytesRead - to.bytesWritten, 262_144);
    assertLess(Deno.memoryUsage().external - before, 24 * MIB);
    return turn();
  });
  await Promise.all([copying, sending]);
});

Deno.test("copy() offers again what a plain connection took only in part", async () => {
  const [from, to] = [new ScriptedSocket(), new ScriptedSocket()];
  to.takes = (p) => Math.min(p.length, 7);
  from.arrive(pattern(0, 1000));
  from.arrive(new Uint8Array(0));
  from.arrive(pattern(1000, 10_000));
  from.finish();
  assertEquals(await copy(from, to), 11_000);
  assertEquals(to.taken, pattern(0, 11_000));
  assertEquals(to.mostWrites, 1);
  assertEquals(from.mostReads, 1);
  assertEquals(to.finishedAt, []);
});

Deno.test("copy() does not read on while a write waits", async () => {
  const [from, to] = [new ScriptedSocket(), new ScriptedSocket()];
  to.takes = undefined;
  from.arrive(bytes`first`);
  from.arrive(bytes`second`);
  const copying = copy(from, to);
  await until(() => to.writes.length === 1);
  await turns();
  assertEquals(from.reads, 1);
  from.finish();
  to.writes[0]!.take();
  await until(() => to.writes[0]?.bytes.length === 6);
  assertEquals(from.reads, 2);
  to.writes[0]!.take();
  assertEquals(await copying, 11);
});

Deno.test("copy() rejects with an error that has no code as with any other", async () => {
  const failure = new Error("No route to host (os error 113)");
  {
    const [from, to] = [new ScriptedSocket(), new ScriptedSocket()];
    from.failRead(failure);
    assertStrictEquals(await copy(from, to).catch((error) => error), failure);
  }
  {
    const [from, to] = [new ScriptedSocket(), new ScriptedSocket()];
    to.takes = undefined;
    from.arrive(bytes`hello`);
    const copying = copy(from, to);
    await until(() => to.writes.length === 1);
    to.writes[0]!.fail(failure);
    assertStrictEquals(await copying.catch((error) => error), failure);
  }
});

netTest("copy() from a connection to itself is an echo", async () => {
  await using server = serve(LOOPBACK, (conn) => copy(conn, conn));
  using client = await dial(server.addr);
  const sending = writeAll(client, pattern(0, 8 * MIB)).then(() => client.closeWrite());
  await assertReadsPattern(client, 8 * MIB);
  await sending;
});

netTest("copy() crosses from TCP to Unix sockets", async () => {
  const [[tcp, left], [unix, right]] = await Promise.all([socketPair(), unixPair()]);
  using a = connection(tcp);
  using b = connection(unix);
  await writeAll(left, bytes`hello`);
  left.close();
  assertEquals(await copy(a, b), 5);
  b.close();
  assertEquals(text(await readAll(right)), "hello");
});
