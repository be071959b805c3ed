/** Each step of a stop works in a whole server, whatever that was doing before. @module */

import { assert, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  framed,
  lines,
  serve,
  type Server,
  type ServeTcpOptions,
} from "../../mod.ts";
import { BEHIND, dialSaying, proxied } from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectMany, dial, LOOPBACK, readAll, readExactly, socketPair } from "../support/peers.ts";
import { pass, turns, until } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { goOverToTls } from "../support/tls_peers.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** The counts of a stop that do not depend on the machine. */
function counts({ report }: Server): Record<string, number> {
  const { completed, forced, abandoned, swept } = report!;
  return { completed, forced, abandoned, swept };
}

// The lame duck

netTest("a lame duck serves on, and its state is draining", async () => {
  using time = new FakeTime();
  const server = serve(LOOPBACK, echo);
  using before = await dial(server.addr);
  await until(() => server.connections.size === 1);
  const [conn] = server.connections;
  const stopped = server.shutdown({ lameDuck: 5000 });
  await pass(time, 4900);
  assertEquals([server.state, server.accepting, server.waitingFor], ["draining", true, null]);
  assertEquals([conn!.draining, conn!.drainSignal.aborted], [false, false]);
  using during = await dial(server.addr);
  for (const client of [before, during]) {
    await client.write(bytes`still here?`);
    assertEquals(text(await readExactly(client, 11)), "still here?");
  }
  await pass(time, 100);
  await until(() => conn!.draining);
  assertFalse(server.accepting);
  await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
  await pass(time, 300);
  assertEquals([await before.read(new Uint8Array(1)), await during.read(new Uint8Array(1))], [
    null,
    null,
  ]);
  before.close();
  during.close();
  await stopped;
  assertEquals(counts(server), { completed: 2, forced: 0, abandoned: 0, swept: 0 });
});

netTest("a lame duck can be paused, and is not accepting then", async () => {
  using _time = new FakeTime();
  const server = serve(LOOPBACK, echo);
  const stopped = server.shutdown({ lameDuck: 5000 });
  server.pause();
  assertEquals([server.accepting, server.waitingFor], [false, "resume"]);
  server.resume();
  assert(server.accepting);
  server.shutdown();
  await stopped;
});

netTest("a later shutdown() ends a lame duck before its time", async () => {
  using _time = new FakeTime();
  const server = serve(LOOPBACK, echo);
  const stopped = server.shutdown({ lameDuck: 60_000 });
  assert(server.accepting);
  server.shutdown({ lameDuck: Infinity }); // which is no sooner
  assert(server.accepting);
  server.shutdown(); // no time passes
  assertFalse(server.accepting);
  await stopped;
});

netTest("the timeout of a stop begins after the lame duck", async () => {
  using time = new FakeTime();
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  using _client = await dial(server.addr);
  await until(() => held.served === 1);
  server.shutdown({ lameDuck: 2000, timeout: 1000 });
  await pass(time, 2900);
  const [conn] = held.inside;
  assertFalse(conn!.signal.aborted);
  await pass(time, 100);
  assert(conn!.signal.aborted);
  held.letAllGo();
  await server.finished;
  assertEquals(counts(server), { completed: 0, forced: 1, abandoned: 0, swept: 0 });
});

// By force, at every step

/** How to stop at once. */
const FORCES: Record<string, (server: Server, aborter: AbortController) => void> = {
  "a timeout of 0": (server) => void server.shutdown({ timeout: 0 }),
  "the signal": (_server, aborter) => aborter.abort(),
};

/** The steps before it, each of which would take forever. */
const STEPS: Record<string, (server: Server) => void> = {
  "while it runs": () => {},
  "while it is paused": (server) => server.pause(),
  "in a lame duck": (server) => void server.shutdown({ lameDuck: Infinity, timeout: Infinity }),
  "in the sweep": (server) => void server.shutdown({ timeout: Infinity }),
  "while it waits": (server) => void server.shutdown({ timeout: Infinity }),
  "after another one": (server) => void server.shutdown({ timeout: 0 }),
};

for (const [by, force] of Object.entries(FORCES)) {
  for (const [when, begin] of Object.entries(STEPS)) {
    netTest(`${by} stops a server at once ${when}`, async () => {
      using _time = new FakeTime(); // of which none passes
      const aborter = new AbortController();
      const { ended, onEnd } = noteEnds();
      const server = serve(
        { ...LOOPBACK, signal: aborter.signal, onEnd },
        (conn) => conn.read(new Uint8Array(1)),
      );
      using client = await dial(server.addr);
      await until(() => server.connections.size === 1);
      const [conn] = server.connections;
      begin(server);
      if (when === "while it waits") await until(() => conn!.draining);
      else if (when === "in the sweep") assertFalse(conn!.draining || server.accepting);
      force(server, aborter);
      await server.finished;
      assertEquals(await client.read(new Uint8Array(1)), null);
      assertEquals(ended.map(({ reason }) => reason), ["forced"]);
      assertEquals(counts(server), { completed: 0, forced: 1, abandoned: 0, swept: 0 });
      await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
    });
  }
}

netTest(
  "a connection that is accepted while the listener closes by force is closed like the others",
  async () => {
    using _time = new FakeTime();
    const [late, client] = await socketPair();
    const listener = scriptedListener([]);
    listener.holdsAtClose = true;
    const held = new Holding();
    const { ended, onEnd } = noteEnds();
    const server = serve({ listeners: [listener], onEnd }, held.handler);
    await until(() => listener.waiting);
    server.shutdown({ timeout: 0 });
    assert(listener.closed);
    listener.play(late);
    await server.finished;
    assertEquals([held.served, ended.map(({ reason }) => reason)], [0, ["forced"]]);
    assertEquals(text(await readAll(client)), "");
  },
);

// The sweep, whatever the server was doing

netTest("a stop accepts what is in the kernel's queue, and reports how many", async () => {
  const server = serve(LOOPBACK, (conn) => conn.write(bytes`hello`));
  server.pause();
  using clients = await connectMany(server.addr, 30);
  // One was on its way when the pause began, and waits for its end.
  await until(() => server.connections.size === 1);
  const stopped = server.shutdown();
  const heard = await Promise.all(clients.all.map((client) => readExactly(client, 5)));
  assertEquals(new Set(heard.map(text)), new Set(["hello"]));
  for (const client of clients.all) await client.closeWrite();
  await stopped;
  assertEquals(counts(server), { completed: 30, forced: 0, abandoned: 0, swept: 29 });
});

netTest("a connection held in a sweep is not served before the listeners are closed", async () => {
  const attempts: Promise<string>[] = [];
  const server = serve(LOOPBACK, async (conn) => {
    // The first waits for the pause to end, and is served before the sweep.
    if (conn.id > 1) {
      attempts.push(dial(server.addr).then((late) => (late.close(), "open"), () => "closed"));
    }
    await conn.write(bytes`hello`);
  });
  server.pause();
  using clients = await connectMany(server.addr, 10);
  await until(() => server.connections.size === 1);
  const stopped = server.shutdown();
  for (const client of clients.all) assertEquals(text(await readExactly(client, 5)), "hello");
  assertEquals(await Promise.all(attempts), Array(9).fill("closed"));
  for (const client of clients.all) await client.closeWrite();
  await stopped;
});

netTest("a full server takes in its queue, which then waits for slots", async () => {
  const held = new Holding();
  const server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  using clients = await connectMany(server.addr, 6);
  await until(() => held.served === 1);
  assertEquals([server.connections.size, server.waitingFor], [1, "slot"]);
  const stopped = server.shutdown();
  await until(() => held.inside[0]!.draining);
  assertEquals(server.connections.size, 6);
  await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
  for (let i = 1; i <= 6; i++) {
    await until(() => held.served === i);
    await turns();
    assertEquals(held.served, i); // one at a time
    for (const client of clients.all) await client.closeWrite().catch(() => {});
    held.letGo();
  }
  await stopped;
  assertEquals(counts(server), { completed: 6, forced: 0, abandoned: 0, swept: 5 });
});

netTest("a full server that is forced ends those that wait for slots, unserved", async () => {
  using _time = new FakeTime();
  const held = new Holding();
  const server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  using clients = await connectMany(server.addr, 4);
  await until(() => held.served === 1);
  server.shutdown({ timeout: Infinity });
  await until(() => held.inside[0]!.draining);
  assertEquals(server.connections.size, 4);
  server.shutdown({ timeout: 0 });
  // They do not wait for the handler, which must return.
  await until(() => server.connections.size === 1);
  held.letAllGo();
  await server.finished;
  assertEquals(held.served, 1);
  assertEquals(counts(server), { completed: 0, forced: 4, abandoned: 0, swept: 3 });
  const p = new Uint8Array(1);
  const ends = clients.all.map((client) => client.read(p).catch(() => null));
  assertEquals(await Promise.all(ends), [null, null, null, null]);
});

netTest("the queue behind an over-limit connection is accepted, and comes after it", async () => {
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  using first = await dial(server.addr);
  await until(() => held.served === 1);
  server.maxConnections = 1;
  using overLimit = await dial(server.addr);
  await until(() => server.connections.size === 2);
  using clients = await connectMany(server.addr, 3);
  const stopped = server.shutdown();
  await until(() => held.inside[0]!.draining);
  assertEquals(server.connections.size, 5);
  for (const client of [first, overLimit, ...clients.all]) await client.closeWrite();
  for (let id = 1; id <= 5; id++) {
    await until(() => held.inside.length === 1);
    assertEquals(held.inside[0]!.id, id);
    held.letGo();
  }
  await stopped;
  assertEquals(counts(server), { completed: 5, forced: 0, abandoned: 0, swept: 3 });
});

netTest("a server that refuses when it is full refuses what is in its queue, too", async () => {
  const held = new Holding();
  const options = { ...LOOPBACK, maxConnections: 1, whenFull: bytes`come back later` };
  const server = serve(options, held.handler);
  using first = await dial(server.addr);
  await until(() => held.served === 1);
  server.pause(); // so that there is a queue
  using clients = await connectMany(server.addr, 3);
  const stopped = server.shutdown();
  const heard = await Promise.all(clients.all.map((client) => readExactly(client, 15)));
  assertEquals(heard.map(text), Array(3).fill("come back later"));
  for (const client of clients.all) await client.closeWrite();
  await first.closeWrite();
  held.letGo();
  await stopped;
  const { ended } = server.stats();
  assertEquals([ended.refused_full, ended.completed], [3, 1]);
});

netTest("a starved listener closes at once, and the queue of another one is taken in", async () => {
  const starved = scriptedListener([]);
  const server = serve(
    { listeners: [starved, LOOPBACK], onError: () => {} },
    (conn) => conn.write(bytes`hello`),
  );
  server.pause();
  const addr = server.addrs[1] as Deno.NetAddr;
  using clients = await connectMany(addr, 5);
  await until(() => server.connections.size === 1);
  starved.otherwise = () => "EMFILE";
  starved.play("EMFILE");
  await turns();
  const { accepts } = starved;
  const stopped = server.shutdown();
  for (const client of clients.all) await readAll(client);
  await stopped;
  assertEquals([starved.closed, starved.accepts], [true, accepts]);
  assertEquals(counts(server), { completed: 5, forced: 0, abandoned: 0, swept: 4 });
});

netTest("the queues of several listeners are taken in", async () => {
  const server = serve(
    { listeners: [LOOPBACK, LOOPBACK, LOOPBACK] },
    (conn) => conn.write(bytes`hello`),
  );
  server.pause();
  using one = await connectMany(server.addrs[0] as Deno.NetAddr, 5);
  using two = await connectMany(server.addrs[1] as Deno.NetAddr, 7);
  await until(() => server.connections.size === 2);
  const stopped = server.shutdown();
  for (const client of [...one.all, ...two.all]) {
    assertEquals(text(await readAll(client)), "hello");
  }
  await stopped;
  assertEquals(counts(server), { completed: 12, forced: 0, abandoned: 0, swept: 10 });
});

// Loops, through everything that is between them and the socket

const SAID = "one\n";

/** Ways to a handler; each gives an established client. */
const WAYS: Record<
  string,
  { options: Partial<ServeTcpOptions>; come: (addr: Deno.NetAddr) => Promise<Deno.Conn> }
> = {
  "in the clear": { options: {}, come: dial },
  "behind a proxy": {
    options: BEHIND,
    come: (addr) => dialSaying(addr, proxied("192.0.2.9", 2)),
  },
  "inside TLS": {
    options: certificate,
    come: async (addr) => await goOverToTls(await dial(addr)),
  },
  "inside TLS behind a proxy": {
    options: { ...certificate, ...BEHIND },
    come: async (addr) => await goOverToTls(await dialSaying(addr, proxied("192.0.2.9"))),
  },
};

const LOOPS: Record<string, (conn: Connection) => Promise<void>> = {
  chunks: echo,
  frames: async (conn) => {
    const frames = framed(conn, lines());
    for await (const line of frames) await frames.send(line);
  },
};

for (const [where, { options, come }] of Object.entries(WAYS)) {
  for (const [what, loop] of Object.entries(LOOPS)) {
    netTest(`a loop over ${what} ${where} ends by itself once its peer is quiet`, async () => {
      using time = new FakeTime();
      const server = serve({ ...LOOPBACK, ...options } as ServeTcpOptions, async (conn) => {
        await loop(conn);
        await conn.write(bytes`goodbye`);
      });
      using client = await come(server.addr);
      await client.write(bytes`${SAID}`);
      assertEquals(text(await readExactly(client, SAID.length)), SAID);
      const stopped = server.shutdown({ timeout: Infinity });
      await until(() => [...server.connections].every(({ draining }) => draining));
      await pass(time, 300);
      assertEquals(text(await readExactly(client, 7)), "goodbye");
      assertEquals(await client.read(new Uint8Array(1)), null);
      client.close();
      await stopped;
      assertEquals(counts(server), { completed: 1, forced: 0, abandoned: 0, swept: 0 });
    });
  }

  netTest(
    `a client that has connected and sent nothing yet is served ${where} while it stops`,
    async () => {
      using time = new FakeTime();
      const server = serve({ ...LOOPBACK, ...options } as ServeTcpOptions, echo);
      using client = await come(server.addr);
      await until(() => server.connections.size === 1 && server.stats().handshaking === 0);
      const stopped = server.shutdown({ timeout: Infinity });
      await until(() => [...server.connections].every(({ draining }) => draining));
      await pass(time, 4000);
      await client.write(bytes`${SAID}`);
      assertEquals(text(await readExactly(client, SAID.length)), SAID);
      await pass(time, 300);
      assertEquals(await client.read(new Uint8Array(1)), null);
      client.close();
      await stopped;
      assertEquals(server.report!.completed, 1);
    },
  );
}

/** What the client has still to send when the stop begins. */
const BEGINNINGS: Record<
  string,
  { way: string; finish: (raw: Deno.TcpConn) => Promise<Deno.Conn> }
> = {
  "a PROXY header": {
    way: "behind a proxy",
    finish: async (raw) => {
      await raw.write(proxied("192.0.2.9", 2));
      return raw;
    },
  },
  "a handshake": { way: "inside TLS", finish: goOverToTls },
  "a PROXY header and a handshake": {
    way: "inside TLS behind a proxy",
    finish: async (raw) => {
      await raw.write(proxied("192.0.2.9", 2));
      return await goOverToTls(raw);
    },
  },
};

for (const [what, { way, finish }] of Object.entries(BEGINNINGS)) {
  netTest(`a client that is in ${what} when the server stops is served`, async () => {
    const { options } = WAYS[way]!;
    const server = serve({ ...LOOPBACK, ...options } as ServeTcpOptions, async (conn) => {
      await conn.write(bytes`${conn.draining}`);
    });
    const raw = await dial(server.addr);
    await until(() => server.stats().handshaking === 1);
    const stopped = server.shutdown({ timeout: Infinity });
    await until(() => [...server.connections].every(({ draining }) => draining));
    assertEquals(text(await readAll(await finish(raw))), "true");
    await stopped;
    assertEquals(server.report!.completed, 1);
  });

  netTest(`a client that stays in ${what} is closed when the time is up`, async () => {
    using _time = new FakeTime();
    const { options } = WAYS[way]!;
    const server = serve({ ...LOOPBACK, ...options } as ServeTcpOptions, echo);
    using raw = await dial(server.addr);
    await until(() => server.stats().handshaking === 1);
    server.shutdown({ timeout: Infinity });
    await until(() => [...server.connections].every(({ draining }) => draining));
    server.shutdown({ timeout: 0 });
    await server.finished;
    assertEquals(counts(server), { completed: 0, forced: 1, abandoned: 0, swept: 0 });
    raw.close();
  });
}

netTest("a peer that never reads and a handler that never returns are ended in time", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const server = serve(
    { ...LOOPBACK, writeTimeout: Infinity, onEnd },
    async (conn) => {
      if (conn.id === 2) return await new Promise(() => {});
      for (;;) await conn.write(new Uint8Array(1 << 20));
    },
  );
  using _one = await dial(server.addr);
  await until(() => server.connections.size === 1);
  using _two = await dial(server.addr);
  await until(() => server.connections.size === 2);
  server.shutdown({ timeout: 3000 });
  await pass(time, 2900);
  assertEquals([server.connections.size, ended.length], [2, 0]);
  await pass(time, 100);
  await until(() => ended.length === 1);
  assertEquals([ended[0]!.id, ended[0]!.reason], [1, "forced"]);
  await pass(time, 900);
  assertEquals(server.state, "draining");
  await pass(time, 100);
  await server.finished;
  assertEquals([ended[1]!.id, ended[1]!.reason], [2, "abandoned"]);
  assertEquals(counts(server), { completed: 0, forced: 1, abandoned: 1, swept: 0 });
});

// Unix sockets

/** Ways to stop, each of which ends with the file gone. */
const STOPS: Record<string, (server: Server, aborter: AbortController) => Promise<void>> = {
  "shutdown()": (server) => server.shutdown(),
  "a timeout of 0": (server) => server.shutdown({ timeout: 0 }),
  "a lame duck": (server) => server.shutdown({ lameDuck: 1 }),
  "the signal": (server, aborter) => {
    aborter.abort();
    return server.finished;
  },
  "a lame duck that is forced": (server) => {
    server.shutdown({ lameDuck: Infinity });
    return server.shutdown({ timeout: 0 });
  },
  "await using": async (server) => {
    await using _server = server;
  },
};

/** What a server may be doing then. */
const STATES: Record<string, (server: Server, path: string) => Promise<unknown>> = {
  "no one": () => Promise.resolve(),
  "a client": async (server, path) => {
    const client = await Deno.connect({ transport: "unix", path });
    await until(() => server.connections.size === 1);
    return client;
  },
  "a queue": async (server, path) => {
    server.pause();
    const client = await Deno.connect({ transport: "unix", path });
    await until(() => server.connections.size === 1);
    const second = await Deno.connect({ transport: "unix", path });
    second.close();
    return client;
  },
};

for (const [by, stop] of Object.entries(STOPS)) {
  for (const [whom, come] of Object.entries(STATES)) {
    netTest(`a Unix socket and its lock are gone after ${by} with ${whom}`, async () => {
      using directory = new Directory();
      const path = directory.at("s");
      const aborter = new AbortController();
      const server = serve(
        { path, signal: aborter.signal },
        (conn) => conn.read(new Uint8Array(1)),
      );
      assertEquals(directory.names(), ["s", "s.lock"]);
      const client = await come(server, path) as Deno.Conn | undefined;
      const stopped = stop(server, aborter);
      await client?.closeWrite().catch(() => {});
      await stopped;
      client?.close();
      assertEquals(directory.names(), []);
      await serve({ path }, echo).shutdown(); // and it can be served there again
    });
  }
}

netTest("a Unix socket is there as long as its server is a lame duck", async () => {
  using _time = new FakeTime();
  using directory = new Directory();
  const path = directory.at("s");
  const server = serve({ path }, echo);
  server.shutdown({ lameDuck: 60_000 });
  using client = await Deno.connect({ transport: "unix", path });
  await client.write(bytes`hello`);
  assertEquals(text(await readExactly(client, 5)), "hello");
  assertEquals(directory.names(), ["s", "s.lock"]);
  await server.shutdown({ timeout: 0 });
  assertEquals(directory.names(), []);
});
