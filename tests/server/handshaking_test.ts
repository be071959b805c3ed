/** Peers that send nothing, or take many places, displace each other and no other. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { ServedConnection } from "../../lib/server/served_connection.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { Handshaking } from "../../lib/server/handshaking.ts";
import { serve } from "../../mod.ts";
import {
  accountedFor,
  arrived,
  BEHIND,
  dialSaying,
  dialTls,
  dialTlsSaying,
  headerOf,
  proxied,
} from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  connectMany,
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  type Resettable,
  writeAll,
} from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** A connection of a peer, by its number, whose end can be observed. */
function connectionOf(id: number, clock: CoarseClock, peer = "192.0.2.1"): ServedConnection {
  const socket = new ScriptedSocket();
  const conn = new ServedConnection(id, socket, socket.localAddr, clock, DEFAULT_LIMITS);
  conn.identity = { proxy: headerOf(peer) };
  return conn;
}

/** Places, and the connections that came for one. */
class Scene {
  readonly clock = new CoarseClock(false);
  readonly handshaking: Handshaking;
  readonly #all = new Map<string, ServedConnection>();

  constructor(limit: number) {
    this.handshaking = new Handshaking(this.clock, 10_000, () => limit);
  }

  /** Enters a connection of a peer under a name; it has sent something if `sends`. */
  come(name: string, peer: string, sends: boolean): void {
    const conn = connectionOf(this.#all.size, this.clock, peer);
    this.#all.set(name, conn);
    this.handshaking.enter(conn);
    if (sends) this.handshaking.sent(conn);
  }

  /** The names of the displaced ones. */
  get displaced(): string[] {
    return [...this.#all].filter(([, { life }]) => life.closed).map(([name]) => name);
  }

  [Symbol.dispose](): void {
    for (const conn of this.#all.values()) this.handshaking.leave(conn);
    assertEquals(this.handshaking.size, 0);
  }
}

const [HERE, THERE, ELSEWHERE] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"] as const;

Deno.test("enter() displaces one that has sent nothing before any that has", () => {
  using scene = new Scene(3);
  scene.come("first", HERE, true);
  scene.come("mute", THERE, false);
  scene.come("second", HERE, true);
  scene.come("third", HERE, true);
  assertEquals(scene.displaced, ["mute"]);
});

Deno.test("enter() displaces the oldest of the peer with most", () => {
  for (const sends of [false, true]) {
    using scene = new Scene(4);
    scene.come("other", THERE, sends);
    for (const name of ["first", "second", "third"]) scene.come(name, HERE, sends);
    for (const name of ["fourth", "fifth"]) scene.come(name, ELSEWHERE, false);
    // The fourth had sent nothing when the fifth came, where the rest had.
    assertEquals(scene.displaced, sends ? ["first", "fourth"] : ["first", "second"]);
  }
});

Deno.test("enter() lets nothing that has sent something go within 2 s for a peer with as many", () => {
  using time = new FakeTime();
  using scene = new Scene(2);
  scene.come("first", HERE, true);
  time.tick(1000);
  scene.come("second", THERE, true);
  time.tick(900);
  scene.come("too early", ELSEWHERE, true);
  assertEquals(scene.displaced, ["too early"]);
  time.tick(100);
  scene.come("in time", ELSEWHERE, true);
  assertEquals(scene.displaced, ["first", "too early"]);
});

Deno.test("enter() displaces the oldest of all where that of the peer with most is safe", () => {
  using time = new FakeTime();
  using scene = new Scene(3);
  scene.come("old", THERE, true);
  time.tick(2000);
  scene.come("first", HERE, true);
  scene.come("second", HERE, true);
  scene.come("new", ELSEWHERE, true);
  assertEquals(scene.displaced, ["old"]);
});

Deno.test("a connection that has sent nothing since its PROXY header counts for its client as mute", () => {
  using scene = new Scene(3);
  const { handshaking, clock } = scene;
  const conn = connectionOf(0, clock, HERE);
  handshaking.enter(conn);
  handshaking.sent(conn);
  conn.identity = { proxy: headerOf(ELSEWHERE) };
  handshaking.renamed(conn);
  scene.come("first", HERE, true);
  scene.come("second", HERE, true);
  scene.come("third", HERE, true);
  assertEquals([conn.life.reason, scene.displaced], ["refused_handshaking", []]);
});

Deno.test("enter() closes the oldest of too many, and no others", () => {
  const clock = new CoarseClock(false);
  const handshaking = new Handshaking(clock, 1000, () => 3);
  const conns = [1, 2, 3, 4, 5].map((id) => connectionOf(id, clock));
  for (const conn of conns) handshaking.enter(conn);
  assertEquals(handshaking.size, 3);
  assertEquals(conns.map(({ life }) => life.reason), [
    "refused_handshaking",
    "refused_handshaking",
    undefined,
    undefined,
    undefined,
  ]);
  for (const conn of conns) handshaking.leave(conn);
  assertEquals(handshaking.size, 0);
});

Deno.test("enter() does not count connections that have left", () => {
  const clock = new CoarseClock(false);
  const handshaking = new Handshaking(clock, 1000, () => 2);
  const [one, two, three] = [1, 2, 3].map((id) => connectionOf(id, clock)) as [
    ServedConnection,
    ServedConnection,
    ServedConnection,
  ];
  handshaking.enter(one);
  handshaking.enter(two);
  handshaking.leave(two);
  handshaking.leave(two);
  handshaking.enter(three);
  assertEquals([one, two, three].map(({ life }) => life.closed), [false, false, false]);
  handshaking.leave(one);
  handshaking.leave(three);
});

Deno.test("enter() brings a lowered limit into force, however many are above it", () => {
  const clock = new CoarseClock(false);
  let limit = Infinity;
  const handshaking = new Handshaking(clock, 1000, () => limit);
  const conns = Array.from({ length: 10 }, (_, id) => connectionOf(id, clock));
  for (const conn of conns.slice(0, 9)) handshaking.enter(conn);
  assertEquals(handshaking.size, 9);
  limit = 2;
  handshaking.enter(conns[9]!);
  assertEquals(conns.map(({ life }) => life.closed), [...Array(8).fill(true), false, false]);
  for (const conn of conns) handshaking.leave(conn);
});

Deno.test("enter() keeps the newest of a mute peer, in whatever order they come and leave", () => {
  const clock = new CoarseClock(false);
  const steps = fc.array(fc.oneof(fc.constant("comes" as const), fc.nat(9)), { maxLength: 60 });
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), steps, (limit, steps) => {
    const handshaking = new Handshaking(clock, 1000, () => limit);
    let here: ServedConnection[] = [];
    const displaced: ServedConnection[] = [];
    for (const [i, step] of steps.entries()) {
      if (step === "comes") {
        const conn = connectionOf(i, clock);
        handshaking.enter(conn);
        here.push(conn);
        displaced.push(...here.slice(0, -limit));
        here = here.slice(-limit);
      } else for (const conn of here.splice(step, 1)) handshaking.leave(conn);
      assertEquals(handshaking.size, here.length);
      assert(here.every(({ life }) => !life.closed) && displaced.every(({ life }) => life.closed));
    }
    for (const conn of here) handshaking.leave(conn);
  }));
});

Deno.test("tick() ends each at its own time, and lets the clock rest when none is left", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const handshaking = new Handshaking(clock, 1000, () => 10);
  const [one, two, three] = [1, 2, 3].map((id) => connectionOf(id, clock)) as [
    ServedConnection,
    ServedConnection,
    ServedConnection,
  ];
  handshaking.enter(one);
  time.tick(500);
  handshaking.enter(two);
  handshaking.enter(three);
  handshaking.leave(three);
  time.tick(500);
  assertEquals(one.life.reason, undefined);
  time.tick(100);
  assertEquals([one.life.reason, two.life.reason], ["handshake_timeout", undefined]);
  time.tick(500);
  assertEquals([two.life.reason, three.life.reason], ["handshake_timeout", undefined]);
  assertEquals(handshaking.size, 0);
  const { now } = clock;
  time.tick(10_000);
  assertEquals(clock.now, now);
});

Deno.test("tick() ends no handshake whose time is Infinity", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(false);
  const handshaking = new Handshaking(clock, Infinity, () => 10);
  const conn = connectionOf(1, clock);
  handshaking.enter(conn);
  time.tick(10_000_000);
  assert(!conn.life.closed);
  handshaking.leave(conn);
});

netTest(
  "a displaced connection gives its slot back, and has a count of its own in stats()",
  async () => {
    const held = new Holding();
    const { ended, onEnd } = noteEnds();
    await using server = serve({
      ...LOOPBACK,
      ...BEHIND,
      maxConnections: 3,
      maxHandshaking: 2,
      onEnd,
      onError: () => {},
    }, held.handler);
    const mute = [await dial(server.addr), await dial(server.addr)];
    await until(() => server.stats().handshaking === 2);
    // More than there are slots.
    for (let i = 1; i <= 5; i++) {
      mute.push(await dial(server.addr));
      await until(() => ended.length === i);
      const stats = server.stats();
      assertEquals([stats.handshaking, stats.active, stats.refused.handshaking], [2, 2, i]);
      const { id, reason, bytesRead, error } = ended[i - 1]!;
      assertEquals([id, reason, bytesRead, error], [i, "refused_handshaking", 0, undefined]);
      assertEquals(accountedFor(stats), stats.accepted);
      assertEquals(await readAll(mute.shift()!), bytes``);
    }
    for (const client of mute) client.close();
  },
);

for (const addresses of [1, 200]) {
  netTest(
    `mute clients of ${addresses} addresses displace none that is getting through`,
    async () => {
      await using server = serve({
        ...LOOPBACK,
        proxyProtocol: { trust: ["127.0.0.0/8"] },
        maxHandshaking: 8,
        onError,
      }, echo);
      const header = proxied("192.0.2.7");
      using client = await dialSaying(server.addr, header.subarray(0, 20));
      await until(() => arrived(server) === 20);
      const mute: Resettable[] = [];
      for (let i = 0; i < 200; i++) {
        mute.push(await connectResettable(server.addr, `127.0.1.${1 + i % addresses}`));
      }
      await until(() => server.stats().refused.handshaking === 200 - 7);
      await writeAll(client, new Uint8Array([...header.subarray(20), ...bytes`hello`]));
      assertEquals(text(await readExactly(client, 5)), "hello");
      for (const client of mute) await client.reset();
    },
    { os: ["linux"] },
  );
}

netTest("the oldest mute one is displaced first, whatever it is waiting for", async () => {
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    listeners: [
      { ...LOOPBACK, ...BEHIND },
      { ...LOOPBACK, ...certificate },
    ],
    maxHandshaking: 2,
    onEnd,
    onError: () => {},
  }, async () => {});
  const [plain, tls] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
  const arrivals = [tls, plain, tls, plain, plain];
  const all: Deno.TcpConn[] = [];
  for (const [i, addr] of arrivals.entries()) {
    all.push(await dial(addr));
    await until(() => server.stats().accepted === i + 1);
  }
  await until(() => ended.length === 3);
  assertEquals(ended.map(({ id, reason }) => `${id} ${reason}`), [
    "1 refused_handshaking",
    "2 refused_handshaking",
    "3 refused_handshaking",
  ]);
  for (const client of all) client.close();
});

/** `maxConnections`, and how many may be handshaking by that. */
const QUARTERS: [number, number][] = [[1, 1], [3, 1], [4, 1], [7, 1], [8, 2], [20, 5]];

for (const [maxConnections, expected] of QUARTERS) {
  netTest(
    `of ${maxConnections} connections ${expected} may be handshaking by default`,
    async () => {
      await using server = serve(
        { ...LOOPBACK, ...BEHIND, maxConnections, onError },
        async () => {},
      );
      using _clients = await connectMany(server.addr, expected);
      await until(() => server.stats().handshaking === expected);
      using _one = await dial(server.addr);
      if (maxConnections > expected) await until(() => server.stats().refused.handshaking === 1);
      await turns();
      assertEquals(server.stats().handshaking, expected);
    },
  );
}

const onError = () => {};

netTest("maxHandshaking follows maxConnections, unless it is given", async () => {
  for (const [given, expected] of [[undefined, 4], [1, 1]] as const) {
    await using server = serve({
      ...LOOPBACK,
      ...BEHIND,
      maxConnections: 4,
      onError,
      ...(given !== undefined && { maxHandshaking: given }),
    }, async () => {});
    server.maxConnections = 16;
    using _clients = await connectMany(server.addr, 6);
    await until(() => server.stats().ended.refused_handshaking === 6 - expected);
    assertEquals(server.stats().handshaking, expected);
  }
});

netTest("plain connections never count as handshaking", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxHandshaking: 1 }, held.handler);
  using _clients = await connectMany(server.addr, 10);
  await until(() => held.served === 10);
  assertEquals([server.stats().handshaking, server.stats().active], [0, 10]);
  held.letAllGo();
});

netTest("an established connection does not count as handshaking any more", async () => {
  const held = new Holding();
  await using server = serve(
    { ...LOOPBACK, ...certificate, maxHandshaking: 1 },
    held.handler,
  );
  const clients: Deno.TlsConn[] = [];
  for (let i = 1; i <= 3; i++) {
    clients.push(await dialTls(server.addr));
    await until(() => held.served === i);
    assertEquals([server.stats().handshaking, server.stats().active], [0, i]);
  }
  for (const client of clients) client.close();
  held.letAllGo();
});

/** Addresses of clients that never complete a handshake. */
const STRANGER = "127.0.0.9";

netTest("400 clients that never complete a handshake keep no other one out", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    listeners: [
      { ...LOOPBACK, ...certificate },
      { ...LOOPBACK, proxyProtocol: { trust: ["127.0.0.0/8"] } },
    ],
    maxConnections: 64,
    maxHandshaking: 16,
    onEnd,
    onError,
  }, echo);
  const [tls, plain] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
  const assertAddsUp = () => {
    const stats = server.stats();
    assertEquals(accountedFor(stats), stats.accepted);
    assert(stats.handshaking <= 16 && stats.active <= 64);
  };

  const header = proxied("192.0.2.7");
  const mute: Resettable[] = [];
  const dripping = new Map<Resettable, number>();
  /** Two more, one silent and one that sends a byte of its header; all others go on. */
  const come = async () => {
    for (const [client, sent] of dripping) {
      if (sent === header.length - 1) continue; // never the whole
      client.write(header.subarray(sent, sent + 1));
      dripping.set(client, sent + 1);
    }
    const { accepted } = server.stats();
    mute.push(await connectResettable(tls, STRANGER));
    const client = await connectResettable(plain, STRANGER);
    client.write(header.subarray(0, 1));
    dripping.set(client, 1);
    await until(() => server.stats().accepted === accepted + 2);
  };
  for (let i = 0; i < 100; i++) await come();
  assertAddsUp();

  for (let i = 0; i < 100; i++) {
    await come();
    using client = i % 2 === 0 ? await dialTls(tls) : await dialSaying(plain, header);
    await writeAll(client, bytes`hello ${i}`);
    assertEquals(text(await readExactly(client, 7)), `hello ${i}`.slice(0, 7));
    assertAddsUp();
    // No deadline has passed: the clock stands still.
    assertEquals(server.stats().ended.handshake_timeout, 0);
  }
  await until(() => server.stats().ended.completed === 100);

  time.tick(11_000);
  await until(() => server.stats().active === 0);
  assertAddsUp();
  assertEquals(new Set(ended.map(({ id }) => id)).size, 500);
  const { completed, refused_handshaking, handshake_timeout } = server.stats().ended;
  assertEquals([ended.length, completed, refused_handshaking + handshake_timeout], [
    500,
    100,
    400,
  ]);
  assert(handshake_timeout > 0 && handshake_timeout <= 16, `${handshake_timeout} timed out`);
  for (const client of [...mute, ...dripping.keys()]) await client.reset();
});

netTest("TLS behind a header has one deadline for both", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    ...certificate,
    handshakeTimeout: 1000,
    onEnd,
  }, async () => {});
  using client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  time.tick(700);
  await writeAll(client, proxied("192.0.2.7"));
  await until(() => [...server.connections][0]!.proxy !== undefined);
  time.tick(300);
  assertEquals(ended, []);
  time.tick(200);
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "handshake_timeout");
  // With a client that is in time.
  const next = await dialTlsSaying(server.addr, proxied("192.0.2.7"));
  assertEquals(await readAll(next), bytes``);
});
