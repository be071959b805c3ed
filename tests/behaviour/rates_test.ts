/** New connections come in as fast as they may: those of all peers together, and those of each. @module */

import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { serve, type ServeListenersOptions, type Server } from "../../mod.ts";
import { BEHIND, dialSaying, dialTls, LOCAL, proxied, UNKNOWN } from "../support/balancer.ts";
import { bytes } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { Clients, connectMany, dial, LOOPBACK, readAll } from "../support/peers.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { turns, until } from "../support/wait.ts";

/** Two at once and one more each 100 ms. */
const RATE = { rate: 10, burst: 2 };

/** Serves what a listener plays, and closes everything in the end, which takes no time. */
async function withServer(
  settings: ServeListenersOptions,
  body: (server: Server) => Promise<void>,
): Promise<void> {
  const server = serve(settings, async () => {});
  try {
    await body(server);
  } finally {
    await server.shutdown({ timeout: 0 });
  }
}

/** Clients that have connected. */
function clients(count: number): Deno.Conn[] {
  return Array.from({ length: count }, () => new ScriptedSocket());
}

Deno.test("maxRate accepts the burst at once, and then one for each interval", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(5));
  await withServer({ listeners: [listener], maxRate: RATE }, async (server) => {
    const accepted: number[] = [];
    for (let i = 0; i < 5; i++) {
      await turns();
      accepted.push(server.stats().accepted);
      time.tick(100);
    }
    assertEquals(accepted, [2, 3, 4, 5, 5]);
    assertEquals(listener.accepts, 6); // the last one is pending: a token was free for it
  });
});

Deno.test("maxRate gives the burst again after a quiet time, and no more than it", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(2));
  await withServer({ listeners: [listener], maxRate: RATE }, async (server) => {
    await turns();
    time.tick(3_600_000);
    await turns();
    listener.play(...clients(10));
    await turns();
    assertEquals(server.stats().accepted, 4);
  });
});

Deno.test("maxRate as a number is so many in a second, and so many at once", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(50));
  await withServer({ listeners: [listener], maxRate: 20 }, async (server) => {
    await turns();
    assertEquals(server.stats().accepted, 20);
    for (let i = 0; i < 20; i++) {
      time.tick(50);
      await turns();
    }
    assertEquals(server.stats().accepted, 40);
  });
});

Deno.test("waitingFor is rate while there is no token, and accepting is false", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(1));
  await withServer({ listeners: [listener], maxRate: RATE }, async (server) => {
    await turns();
    assertEquals([server.waitingFor, server.accepting], [null, true]);
    listener.play(...clients(2));
    await turns();
    assertEquals([server.waitingFor, server.accepting], ["rate", false]);
    server.pause();
    assertEquals(server.waitingFor, "resume");
    server.resume();
    time.tick(200);
    await turns();
    assertEquals([server.waitingFor, server.stats().accepted], [null, 3]);
  });
});

Deno.test("a server that is paused as it waits for a token accepts nothing until it is resumed", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(4));
  await withServer({ listeners: [listener], maxRate: RATE }, async (server) => {
    await turns();
    server.pause();
    time.tick(1000);
    await turns();
    assertEquals(server.stats().accepted, 2);
    server.resume();
    await turns();
    assertEquals(server.stats().accepted, 4);
  });
});

Deno.test("what listeners take beyond maxRate at the same moment is made up for", async () => {
  using time = new FakeTime();
  const listeners = [scriptedListener([]), scriptedListener([])];
  const maxRate = { rate: 10, burst: 1 };
  await withServer({ listeners, maxRate }, async (server) => {
    await turns();
    // Both have an accept pending, which cannot be withdrawn.
    for (const listener of listeners) listener.play(...clients(5));
    await turns();
    assertEquals(server.stats().accepted, 2);
    time.tick(150);
    await turns();
    assertEquals([server.stats().accepted, server.waitingFor], [2, "rate"]);
    for (let i = 0; i < 20; i++) {
      time.tick(100);
      await turns();
    }
    assertEquals(server.stats().accepted, 10);
  });
});

Deno.test("maxRate counts connections that are refused, too", async () => {
  using _time = new FakeTime();
  const listener = scriptedListener(clients(5));
  const settings = { maxRate: RATE, deny: ["192.0.2.0/24"], onError: () => {} };
  await withServer({ listeners: [listener], ...settings }, async (server) => {
    await turns();
    assertEquals(server.stats().refused.address, 2);
  });
});

netTest("a stop empties the kernel's queue, whatever maxRate says", async () => {
  using time = new FakeTime();
  const held = new Holding();
  const server = serve({ ...LOOPBACK, maxRate: { rate: 1, per: 60_000 } }, held.handler);
  using _clients = await connectMany(server.addr, 6);
  await until(() => held.served === 1);
  const stopped = server.shutdown();
  await until(() => held.served === 6);
  held.letAllGo();
  for (const conn of server.connections) conn.close();
  await until(() => server.stats().active === 0);
  await stopped;
  assertEquals([server.report!.swept, server.report!.completed], [5, 6]);
  time.tick(1);
});

netTest("shutdown({ timeout: 0 }) does not wait for a token", async () => {
  const server = serve({ ...LOOPBACK, maxRate: { rate: 1, per: 3_600_000 } }, async () => {});
  using _client = await dial(server.addr);
  await until(() => server.waitingFor === "rate");
  await server.shutdown({ timeout: 0 });
  assertEquals(server.state, "stopped");
});

Deno.test("maxRate waits for longer than a timer can", async () => {
  using time = new FakeTime();
  const listener = scriptedListener(clients(2));
  const month = 30 * 24 * 3_600_000;
  const maxRate = { rate: 1, per: month };
  await withServer({ listeners: [listener], maxRate }, async (server) => {
    await turns();
    time.tick(1000); // the first is over, and the server's clock may rest
    await turns();
    time.tick(month - 1001);
    await turns();
    assertEquals(server.stats().accepted, 1);
    time.tick(1);
    await turns();
    assertEquals(server.stats().accepted, 2);
  });
});

netTest("maxRatePerPeer refuses a peer that comes too often, and lets others in", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const errors: Error[] = [];
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    maxRatePerPeer: RATE,
    onEnd,
    onError: (error) => void errors.push(error as Error),
  }, async () => {});
  const come = async (hostname: string) => {
    const { length } = ended;
    await readAll(await dialSaying(server.addr, proxied(hostname)));
    await until(() => ended.length > length);
    return ended.at(-1)!.reason;
  };
  const [in_, out] = ["completed", "refused_rate"] as const;
  const peer = "192.0.2.7";
  assertEquals([await come(peer), await come(peer), await come(peer)], [in_, in_, out]);
  assertEquals(await come("::ffff:192.0.2.7"), out);
  assertEquals(await come("192.0.2.8"), in_);
  const v6 = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"];
  for (const [i, wanted] of [in_, in_, out, in_].entries()) {
    assertEquals(await come(v6[i]!), wanted);
  }
  time.tick(100);
  assertEquals([await come(peer), await come(peer)], [in_, out]);
  assertEquals(server.stats().refused.rate, 4);
  await server.shutdown();
  assertEquals(errors.map(({ message }) => message), [
    "4 refused in 1 s: 4 per-peer rate; most beyond the limit came from 192.0.2.7: if that is a " +
    "balancer or NAT, use 'proxyProtocol' or raise 'maxRatePerPeer'",
  ]);
});

netTest("maxRatePerPeer does not count health checks of the balancer", async () => {
  const held = new Holding();
  await using server = serve({
    ...LOOPBACK,
    proxyProtocol: { ...BEHIND.proxyProtocol, unknown: "allow" },
    maxRatePerPeer: { rate: 1, per: 3_600_000 },
  }, held.handler);
  const all: Deno.Conn[] = [];
  for (const header of [LOCAL, LOCAL, ...UNKNOWN, ...UNKNOWN, proxied("127.0.0.1")]) {
    all.push(await dialSaying(server.addr, header));
    await until(() => held.served === all.length);
  }
  using _clients = new Clients(all as Deno.TcpConn[]);
  assertEquals(server.stats().refused.rate, 0);
  held.letAllGo();
});

netTest("maxRatePerPeer is a rule about addresses, which clients without one break", async () => {
  await using server = serve(
    { ...LOOPBACK, ...BEHIND, maxRatePerPeer: 100, onError: () => {} },
    async () => {},
  );
  for (const header of UNKNOWN) {
    assertEquals(await readAll(await dialSaying(server.addr, header)), bytes``);
  }
  await until(() => server.stats().refused.address === UNKNOWN.length);
});

netTest("maxRatePerPeer lets every peer of a Unix socket in", async () => {
  using directory = new Directory();
  const path = directory.at("s");
  const held = new Holding();
  await using _server = serve({ path, maxRatePerPeer: { rate: 1, per: 3_600_000 } }, held.handler);
  for (let i = 1; i <= 3; i++) {
    using _client = await Deno.connect({ transport: "unix", path });
    await until(() => held.served === i);
  }
  held.letAllGo();
}, { os: ["linux", "darwin"] });

netTest("a client refused by maxRatePerPeer gets no TLS handshake", async () => {
  await using server = serve({
    ...LOOPBACK,
    ...certificate,
    maxRatePerPeer: { rate: 1, per: 3_600_000 },
    onError: () => {},
  }, async () => {});
  const first = await dialTls(server.addr);
  await first.handshake();
  first.close();
  const second = await dialTls(server.addr);
  await assertRejects(() => second.handshake());
  second.close();
  await until(() => server.stats().refused.rate === 1);
  assertEquals(server.stats().ended.handshake_failed, 0);
});

netTest(
  "a client that is refused by maxRatePerPeer has no place of maxConnectionsPerPeer",
  async () => {
    using time = new FakeTime();
    const held = new Holding();
    await using server = serve({
      ...LOOPBACK,
      maxRatePerPeer: { rate: 1 },
      maxConnectionsPerPeer: 2,
      onError: () => {},
    }, held.handler);
    using _first = await dial(server.addr);
    await until(() => held.served === 1);
    for (let i = 0; i < 3; i++) assertEquals(await readAll(await dial(server.addr)), bytes``);
    time.tick(1000);
    using _second = await dial(server.addr);
    await until(() => held.served === 2);
    const { rate, peerLimit } = server.stats().refused;
    assertEquals([rate, peerLimit], [3, 0]);
    held.letAllGo();
  },
);
