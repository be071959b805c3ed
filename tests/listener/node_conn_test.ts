/** A socket of `node:net` behaves as Deno's own do. @module */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { createServer, type Socket } from "node:net";
import { NodeConn } from "../../lib/listener/node_conn.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import {
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  type Resettable,
  writeAll,
} from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";

type Opened<Peer> = [conn: Deno.Conn, peer: Peer];

/** Opens a connection by a way of accepting it; the peer by a way of connecting. */
type Open = <Peer>(connect: (addr: Deno.NetAddr) => Promise<Peer>) => Promise<Opened<Peer>>;

async function throughNode<Peer>(
  connect: (addr: Deno.NetAddr) => Promise<Peer>,
): Promise<Opened<Peer>> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const accepted = Promise.withResolvers<Socket>();
  server.on("connection", accepted.resolve);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const peer = await connect({ transport: "tcp", hostname: "127.0.0.1", port });
  const socket = await accepted.promise;
  server.close();
  const addr = (port: number): Deno.NetAddr => ({ transport: "tcp", hostname: "127.0.0.1", port });
  return [new NodeConn(socket, addr(port), addr(socket.remotePort!)), peer];
}

async function throughDeno<Peer>(
  connect: (addr: Deno.NetAddr) => Promise<Peer>,
): Promise<Opened<Peer>> {
  using listener = Deno.listen(LOOPBACK);
  const [conn, peer] = await Promise.all([listener.accept(), connect(listener.addr)]);
  return [conn, peer];
}

const WAYS: Record<string, Open> = { "a NodeConn": throughNode, "Deno's own": throughDeno };

/** What is asserted of both, so that the one is right by the other. */
const FACTS: Record<string, (open: Open) => Promise<void>> = {
  "reads what has arrived, in parts where there is less room": async (open) => {
    const [conn, peer] = await open(dial);
    await writeAll(peer, bytes`hello`);
    const p = new Uint8Array(3);
    assertEquals([await conn.read(p), text(p)], [3, "hel"]);
    assertEquals([await conn.read(p), text(p.subarray(0, 2))], [2, "lo"]);
    peer.close();
    assertEquals([await conn.read(p), await conn.read(p)], [null, null]);
    conn.close();
  },
  "goes on writing after the peer's FIN, and sends its own": async (open) => {
    const [conn, peer] = await open(dial);
    await peer.closeWrite();
    assertEquals(await conn.read(new Uint8Array(1)), null);
    await writeAll(conn, bytes`still here`);
    await conn.closeWrite();
    assertEquals(text(await readAll(peer)), "still here");
    await assertRejects(() => conn.write(bytes`x`), Deno.errors.BrokenPipe);
    conn.close();
  },
  "tells a read of a reset once, then the stream is over": async (open) => {
    const [conn, peer] = await open<Resettable>(connectResettable);
    const reading = assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.ConnectionReset);
    peer.reset();
    assertEquals((await reading as Error & { code?: string }).code, "ECONNRESET");
    assertEquals(await conn.read(new Uint8Array(1)), null);
    conn.close();
  },
  "interrupts what is pending when it is closed": async (open) => {
    const [conn, peer] = await open(dial);
    const reading = assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.Interrupted);
    conn.close();
    assertEquals((await reading as Error & { code?: string }).code, "EINTR");
    await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.BadResource);
    await assertRejects(() => conn.write(new Uint8Array(1)), Deno.errors.BadResource);
    assertThrows(() => conn.close(), Deno.errors.BadResource);
    conn[Symbol.dispose]();
    peer.close();
  },
  "reads nothing into no room, also when it is closed": async (open) => {
    const [conn, peer] = await open(dial);
    assertEquals(await conn.read(new Uint8Array(0)), 0);
    conn.close();
    assertEquals(await conn.read(new Uint8Array(0)), 0);
    peer.close();
  },
  "writes in parts to a peer that does not read, and waits": async (open) => {
    const [conn, peer] = await open(dial);
    let taken = 0;
    const writing = (async () => {
      for (const p = new Uint8Array(64 << 20);;) taken += await conn.write(p);
    })();
    let before = -1;
    // Until nothing moves any more.
    await until(() => before === (before = taken) && taken > 0);
    await turns();
    assert(taken < 32 << 20, `${taken} bytes taken`);
    conn.close();
    await assertRejects(() => writing, Deno.errors.Interrupted);
    peer.close();
  },
  "takes little from a peer while nothing reads": async (open) => {
    const [conn, peer] = await open(dial);
    let sent = 0;
    const sending = (async () => {
      for (const p = new Uint8Array(64 << 20);;) sent += await peer.write(p);
    })();
    sending.catch(() => {});
    await readExactly(conn, 1);
    let before = -1;
    await until(() => before === (before = sent) && sent > 0);
    await turns();
    assert(sent < 32 << 20, `${sent} bytes sent`);
    peer.close();
    conn.close();
  },
  "streams, and closes as a whole at the end of either": async (open) => {
    const [conn, peer] = await open(dial);
    await writeAll(peer, bytes`hello`);
    await peer.closeWrite();
    assertEquals(await new Response(conn.readable).text(), "hello");
    await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.BadResource);
    peer.close();
    const [other, its] = await open(dial);
    const writer = other.writable.getWriter();
    await writer.write(bytes`bye`);
    await writer.close();
    assertEquals(text(await readAll(its)), "bye");
  },
  "knows both addresses": async (open) => {
    const [conn, peer] = await open(dial);
    assertEquals([conn.localAddr, conn.remoteAddr], [peer.remoteAddr, peer.localAddr]);
    conn.close();
    peer.close();
  },
};

for (const [fact, assertFact] of Object.entries(FACTS)) {
  for (const [way, open] of Object.entries(WAYS)) {
    netTest(`${way} ${fact}`, () => assertFact(open), { os: ["linux"] });
  }
}

netTest("a NodeConn refuses a second read as Busy, and the first goes on", async () => {
  const [conn, peer] = await throughNode(dial);
  const p = new Uint8Array(5), first = conn.read(p);
  await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.Busy);
  await writeAll(peer, bytes`hello`);
  assertEquals([await first, text(p)], [5, "hello"]);
  conn.close();
  peer.close();
});

netTest(
  "a NodeConn takes at most 64 KiB at once, so that a long write is seen to advance",
  async () => {
    const [conn, peer] = await throughNode(dial);
    const reading = readExactly(peer, 65_536);
    assertEquals(await conn.write(new Uint8Array(1 << 20)), 65_536);
    await reading;
    conn.close();
    peer.close();
  },
);
