/** Each peer has at most its limit of connections, and gets each place back. @module */

import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { ServedConnection } from "../../lib/server/served_connection.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { privateLimits } from "../../lib/server/private_limits.ts";
import { PeerLimit } from "../../lib/server/peer_limit.ts";
import { Slots } from "../../lib/server/slots.ts";
import { type Connection, serve, type ServeSettings } from "../../mod.ts";
import {
  BEHIND,
  dialSaying,
  dialTls,
  dialTlsSaying,
  headerOf,
  LOCAL,
  proxied,
  UNKNOWN,
} from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import {
  Clients,
  connectMany,
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
} from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { noteEnds } from "../support/noting.ts";

/** A connection of a client at an address. */
function of(hostname: string): ServedConnection {
  const socket = new ScriptedSocket();
  const clock = new CoarseClock(false);
  const conn = new ServedConnection(1, socket, socket.localAddr, clock, DEFAULT_LIMITS);
  conn.identity = { proxy: headerOf(hostname) };
  return conn;
}

function limitOf(given: number | undefined, slots = 10): PeerLimit {
  const limits = privateLimits({ maxConnections: slots });
  return new PeerLimit(given, new Slots(limits.slots), limits.peers);
}

Deno.test("limit is half of the slots from 1,000 up and none below, unless given", () => {
  const limits = [1, 999, 1000, 1001, 10_000, Infinity].map((n) => limitOf(undefined, n).limit);
  assertEquals(limits, [Infinity, Infinity, 500, 500, 5000, Infinity]);
  assertEquals([limitOf(7, 10_000).limit, limitOf(Infinity, 10_000).limit], [7, Infinity]);
});

Deno.test("enter() lets a peer in up to the limit, and again for each that has left", () => {
  const limit = limitOf(2);
  const [one, two, three] = Array.from({ length: 3 }, () => of("192.0.2.7"));
  assertEquals([one, two, three].map((conn) => limit.enter(conn!)), [true, true, false]);
  limit.leave(three!); // it was never counted
  assertEquals(limit.enter(of("192.0.2.7")), false);
  limit.leave(one!);
  limit.leave(one!); // once is enough
  assertEquals([limit.enter(three!), limit.enter(one!)], [true, false]);
});

Deno.test("enter() distinguishes peers by IPv4 address and by /64 of IPv6", () => {
  const limit = limitOf(1);
  const entered = [
    "192.0.2.7",
    "::ffff:192.0.2.7", // the same
    "192.0.2.8",
    "2001:db8:0:1::1",
    "2001:db8:0:1:ffff::2", // the same /64
    "2001:db8:0:2::1",
  ].map((hostname) => limit.enter(of(hostname)));
  assertEquals(entered, [true, false, true, true, false, true]);
});

Deno.test("enter() counts nothing where there is no limit", () => {
  const limit = limitOf(Infinity);
  for (let i = 0; i < 10; i++) assertEquals(limit.enter(of("192.0.2.7")), true);
});

Deno.test("a peer never exceeds its limit, and no place is lost, in whatever order", () => {
  const hostnames = ["192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db8::2"];
  const kinds = [0, 0, 1, 2, 2];
  const steps = fc.array(fc.record({ who: fc.nat(4), leaves: fc.boolean() }), { maxLength: 60 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), steps, (most, steps) => {
    const limit = limitOf(most);
    const inside: ServedConnection[][] = [[], [], []];
    for (const { who, leaves } of steps) {
      const here = inside[kinds[who]!]!;
      if (leaves) {
        const conn = here.pop();
        if (conn !== undefined) limit.leave(conn);
      } else {
        const conn = of(hostnames[who]!);
        const mayEnter = here.length < most;
        assertEquals(limit.enter(conn), mayEnter);
        if (mayEnter) here.push(conn);
      }
    }
  }));
});

netTest("one client too many is refused, and another peer is not", async () => {
  const held = new Holding();
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    maxConnectionsPerPeer: 2,
    onEnd,
    onError: () => {},
  }, held.handler);
  using _clients = new Clients([
    await dialSaying(server.addr, proxied("192.0.2.7")),
    await dialSaying(server.addr, proxied("192.0.2.7", 2)),
  ]);
  await until(() => held.served === 2);
  for (const hostname of ["192.0.2.7", "::ffff:192.0.2.7"]) {
    const refused = await dialSaying(server.addr, proxied(hostname));
    assertEquals(await readAll(refused), bytes``);
  }
  await until(() => ended.length === 2);
  assertEquals(ended.map(({ reason }) => reason), Array(2).fill("refused_peer_limit"));
  assertEquals(ended[0]!.remoteAddr, headerOf("192.0.2.7").source!);
  using _other = await dialSaying(server.addr, proxied("192.0.2.8"));
  await until(() => held.served === 3);
  assertEquals([server.stats().refused.peerLimit, server.stats().active], [2, 3]);
  held.letAllGo();
});

netTest("one address takes half of 1,000 slots by default, and another one gets in", async () => {
  const held = new Holding();
  await using server = serve(
    { ...LOOPBACK, maxConnections: 1000, onError: () => {} },
    held.handler,
  );
  using _clients = await connectMany(server.addr, 500);
  await until(() => held.served === 500);
  assertEquals(await readAll(await dial(server.addr)), bytes``);
  const other = await connectResettable(server.addr, "127.0.0.9");
  await until(() => held.served === 501);
  assertEquals(server.stats().refused.peerLimit, 1);
  await other.reset();
  held.letAllGo();
}, { os: ["linux"] });

netTest("a peer counts once, whichever address of the server it comes to", async () => {
  const held = new Holding();
  await using server = serve({
    listeners: [LOOPBACK, { port: 0, hostname: "::" }],
    maxConnectionsPerPeer: 1,
    onError: () => {},
  }, held.handler);
  const [v4, dual] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
  using first = await dial({ ...dual, hostname: "127.0.0.1" });
  await until(() => held.served === 1);
  assertEquals((held.inside[0]!.remoteAddr as Deno.NetAddr).hostname, "::ffff:127.0.0.1");
  assertEquals(await readAll(await dial(v4)), bytes``);
  using _sixth = await dial({ ...dual, hostname: "::1" });
  await until(() => held.served === 2);
  assertEquals(await readAll(await dial({ ...dual, hostname: "::1" })), bytes``);
  assertEquals(server.stats().refused.peerLimit, 2);
  first.close();
  held.letAllGo();
}, { os: ["linux"] });

netTest(
  "neither the balancer itself nor unknown clients that are allowed are counted",
  async () => {
    const held = new Holding();
    const proxyProtocol = { ...BEHIND.proxyProtocol, unknown: "allow" } as const;
    await using server = serve(
      { ...LOOPBACK, proxyProtocol, maxConnectionsPerPeer: 1 },
      held.handler,
    );
    const all: Deno.TcpConn[] = [];
    for (const header of [LOCAL, LOCAL, ...UNKNOWN, ...UNKNOWN, proxied("127.0.0.1")]) {
      all.push(await dialSaying(server.addr, header));
      await until(() => held.served === all.length);
    }
    using _clients = new Clients(all);
    assertEquals([held.served, server.stats().refused.peerLimit], [7, 0]);
    held.letAllGo();
  },
);

netTest("peers of a Unix socket are never counted, clients behind one are", async () => {
  using directory = new Directory();
  const held = new Holding();
  const [path, behind] = [directory.at("s"), directory.at("b")];
  await using server = serve({
    listeners: [{ path }, { path: behind, proxyProtocol: { trust: ["unix"] } }],
    maxConnectionsPerPeer: 1,
    onError: () => {},
  }, held.handler);
  const clients = await Promise.all(
    [path, path, path, behind].map((path) => Deno.connect({ transport: "unix", path })),
  );
  await clients[3]!.write(proxied("192.0.2.7"));
  await until(() => held.served === 4);
  const refused = await Deno.connect({ transport: "unix", path: behind });
  await refused.write(proxied("192.0.2.7"));
  assertEquals(await readAll(refused), bytes``);
  assertEquals(server.stats().refused.peerLimit, 1);
  for (const client of clients) client.close();
  held.letAllGo();
}, { os: ["linux", "darwin"] });

netTest("a client refused by the limit gets no TLS handshake", async () => {
  const held = new Holding();
  await using server = serve({
    ...LOOPBACK,
    ...certificate,

    maxConnectionsPerPeer: 1,
    onError: () => {},
  }, held.handler);
  using _first = await dialTls(server.addr);
  await until(() => held.served === 1);
  const client = await dialTls(server.addr);
  await assertRejects(() => client.handshake());
  client.close();
  await until(() => server.stats().refused.peerLimit === 1);
  held.letAllGo();
});

netTest("a peer in its handshake counts already", async () => {
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    ...LOOPBACK,
    ...certificate,

    maxConnectionsPerPeer: 3,
    onEnd,
    onError: () => {},
  }, async () => {});
  using _mute = await connectMany(server.addr, 3);
  await until(() => server.stats().handshaking === 3);
  using _more = await connectMany(server.addr, 2);
  await until(() => ended.length === 2);
  assertEquals(ended.map(({ reason }) => reason), Array(2).fill("refused_peer_limit"));
  // They took no part in the handshakes.
  assertEquals(server.stats().handshaking, 3);
});

/** Ways for a connection to end, after each of which its place is free again. */
interface Ending {
  handler?: (conn: Connection) => unknown;
  settings?: ServeSettings;
  /** Its TLS, if any. */
  tls?: "good" | "bad";
  /** What the client does once connected. */
  client?: (client: Deno.Conn, time: FakeTime) => unknown;
  reason: string;
}

const readOne = (conn: Connection) => conn.read(new Uint8Array(1));
const never = () => new Promise<never>(() => {});

const ENDINGS: Record<string, Ending> = {
  "a return": { handler: () => Promise.resolve(), reason: "completed" },
  "a rejection": {
    handler: () => Promise.reject(new Error("expected")),
    reason: "handler_error",
  },
  "a throw": {
    handler: () => {
      throw new Error("expected");
    },
    reason: "handler_error",
  },
  "close() by the handler": {
    handler: (conn) => {
      conn.close();
      return Promise.resolve();
    },
    reason: "completed",
  },
  "an idle timeout": {
    handler: readOne,
    settings: { idleTimeout: 1000 },
    client: (_, time) => time.tick(1200),
    reason: "idle_timeout",
  },
  "a client that leaves": {
    handler: readOne,
    client: (client) => client.close(),
    reason: "completed",
  },
  "a TLS handshake that fails": {
    tls: "bad",
    client: (client) => client.write(bytes`no TLS at all`),
    reason: "handshake_failed",
  },
  "a TLS handshake that does not end": {
    tls: "bad",
    client: (_, time) => time.tick(11_000),
    reason: "handshake_timeout",
  },
  "a connection in TLS": { tls: "good", handler: () => Promise.resolve(), reason: "completed" },
};

for (const [name, ending] of Object.entries(ENDINGS)) {
  const { handler = never, settings, tls, client, reason } = ending;
  netTest(`a place is free again after ${name}`, async () => {
    using time = new FakeTime();
    const { ended, onEnd } = noteEnds();
    await using server = serve({
      ...LOOPBACK,
      ...BEHIND,
      ...(tls !== undefined && certificate),
      ...settings,
      maxConnectionsPerPeer: 1,
      onEnd,
      onError: () => {},
    }, (conn) => handler(conn as Connection) as Promise<unknown>);
    for (let i = 1; i <= 3; i++) {
      const header = proxied("192.0.2.7");
      const socket = tls === "good"
        ? await dialTlsSaying(server.addr, header)
        : await dialSaying(server.addr, header);
      const conn = () => [...server.connections].at(-1);
      await until(() => ended.length === i || conn()?.proxy !== undefined);
      await turns();
      await client?.(socket, time);
      if (name !== "a client that leaves") await readAll(socket).catch(() => socket.close());
      await until(() => ended.length === i);
    }
    assertEquals(ended.map(({ reason }) => reason), Array(3).fill(reason));
  });
}

netTest("a place is free again after a displacement", async () => {
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    ...certificate,
    maxHandshaking: 1,
    maxConnectionsPerPeer: 1,
    onEnd,
    onError: () => {},
  }, async () => {});
  const all: Deno.TcpConn[] = [];
  for (let i = 0; i < 4; i++) {
    all.push(await dialSaying(server.addr, proxied("192.0.2.7")));
    await until(() => [...server.connections].at(-1)?.proxy !== undefined && ended.length === i);
  }
  using _clients = new Clients(all);
  assertEquals(ended.map(({ reason }) => reason), Array(3).fill("refused_handshaking"));
});

netTest("a refusal takes no place", async () => {
  const held = new Holding();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    deny: ["192.0.2.8"],
    maxConnectionsPerPeer: 1,
    onError: () => {},
  }, held.handler);
  for (let i = 0; i < 2; i++) {
    const client = await dialSaying(server.addr, proxied("192.0.2.7"));
    await until(() => held.served === i + 1);
    for (const hostname of ["192.0.2.7", "192.0.2.8"]) {
      assertEquals(await readAll(await dialSaying(server.addr, proxied(hostname))), bytes``);
    }
    client.close();
    held.letGo();
    await until(() => server.stats().active === 0);
  }
  assertEquals([server.stats().refused.peerLimit, server.stats().refused.address], [2, 2]);
});
