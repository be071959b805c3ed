/** A server stops step by step, and within its time. @module */

import { assert, assertEquals, assertFalse, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Connection, type EndRecord, framed, lines, serve, type Server } from "../../mod.ts";
import type { FleetSeat } from "../../lib/server/fleet_seat.ts";
import { completeServeOptions } from "../../lib/server/options.ts";
import { privateLimits } from "../../lib/server/private_limits.ts";
import { RunningServer } from "../../lib/server/running_server.ts";
import { Statistics } from "../../lib/server/statistics.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectMany, dial, LOOPBACK, readAll, socketPair } from "../support/peers.ts";
import { pass, turn, turns, until } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** A handler that ignores everything, and a way to end it at last. */
class Stubborn {
  readonly conns: Connection[] = [];
  readonly #end = Promise.withResolvers<void>();

  readonly handler = (conn: Connection): Promise<void> => {
    this.conns.push(conn);
    return this.#end.promise;
  };

  fail(error: unknown): void {
    this.#end.reject(error);
  }
}

netTest("shutdown() refuses new clients from then on", async () => {
  const server = serve(LOOPBACK, async () => {});
  const stopped = server.shutdown();
  assertEquals(server.state, "draining");
  await stopped;
  await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
  assertEquals(server.state, "stopped");
});

netTest("shutdown() frees the address", async () => {
  const server = serve(LOOPBACK, async () => {});
  await server.shutdown();
  Deno.listen({ ...LOOPBACK, port: server.addr.port }).close();
});

netTest("shutdown() waits for a handler and delivers what it still writes", async () => {
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  const server = serve(LOOPBACK, async (conn) => {
    await conn.read(new Uint8Array(9));
    resolve();
    await new Promise((resolve) => conn.drainSignal.addEventListener("abort", resolve));
    await conn.write(bytes`goodbye`);
  });
  const client = await dial(server.addr);
  await client.write(bytes`question?`);
  await asked;
  const stopped = server.shutdown();
  assertEquals(text(await readAll(client)), "goodbye");
  await stopped;
  const { completed, forced, abandoned } = server.report!;
  assertEquals({ completed, forced, abandoned }, { completed: 1, forced: 0, abandoned: 0 });
});

netTest("shutdown() makes each connection draining", async () => {
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  using _one = await dial(server.addr);
  using _two = await dial(server.addr);
  await until(() => held.served === 2);
  const [one, two] = held.inside as [Connection, Connection];
  const before = one.drainSignal;
  assertEquals([one.draining, before.aborted], [false, false]);
  const stopped = server.shutdown();
  await until(() => one.draining);
  assertEquals([one.draining, before.aborted, two.drainSignal.aborted], [true, true, true]);
  assert(!one.signal.aborted);
  held.letAllGo();
  _one.close();
  _two.close();
  await stopped;
});

netTest("server.drainSignal aborts when connections are drained, after the lame duck", async () => {
  using time = new FakeTime();
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  using client = await dial(server.addr);
  await until(() => held.served === 1);
  const { drainSignal } = server;
  assertFalse(drainSignal.aborted);
  server.shutdown({ lameDuck: 1000 });
  await pass(time, 900);
  assertFalse(drainSignal.aborted);
  await pass(time, 100);
  await until(() => drainSignal.aborted);
  const [conn] = held.inside;
  assertStrictEquals(conn!.drainSignal.reason, drainSignal.reason);
  assertEquals(drainSignal.reason.message, "The server is stopping");
  client.close();
  held.letAllGo();
  await server.finished;
  assertStrictEquals(server.drainSignal, drainSignal);
});

netTest(
  "shutdown() with spread drains connections one after the other, the oldest first",
  async () => {
    using time = new FakeTime();
    const held = new Holding();
    const server = serve(LOOPBACK, held.handler);
    const clients = await connectMany(server.addr, 20);
    await until(() => held.served === 20);
    const conns = [...server.connections];
    const drained = () => conns.filter(({ draining }) => draining);
    server.shutdown({ spread: 1000 });
    await until(() => drained().length > 0);
    for (let step = 1; step <= 10; step++) {
      assertEquals(drained(), conns.slice(0, 2 * step));
      await pass(time, 100);
    }
    clients[Symbol.dispose]();
    held.letAllGo();
    await server.finished;
    assertEquals(server.report!.completed, 20);
  },
);

netTest(
  "shutdown() with spread leaves half of the timeout to those that are drained last",
  async () => {
    using time = new FakeTime();
    const held = new Holding();
    const server = serve(LOOPBACK, held.handler);
    const clients = await connectMany(server.addr, 5);
    await until(() => held.served === 5);
    server.shutdown({ timeout: 1000, spread: Infinity });
    await until(() => [...server.connections][0]!.draining);
    assertEquals([...server.connections].map(({ draining }) => draining), [
      true,
      false,
      false,
      false,
      false,
    ]);
    await pass(time, 500);
    assert([...server.connections].every(({ draining }) => draining));
    clients[Symbol.dispose]();
    held.letAllGo();
    await server.finished;
    assertEquals(server.report!.completed, 5);
  },
);

netTest(
  "a second shutdown() without spread drains the rest at once",
  async () => {
    using _time = new FakeTime();
    const held = new Holding();
    const server = serve(LOOPBACK, held.handler);
    const clients = await connectMany(server.addr, 5);
    await until(() => held.served === 5);
    const conns = [...server.connections];
    server.shutdown({ spread: 5000 });
    await until(() => conns[0]!.draining);
    assertFalse(conns[4]!.draining);
    server.shutdown();
    assert(conns.every(({ draining }) => draining));
    clients[Symbol.dispose]();
    held.letAllGo();
    await server.finished;
  },
);

netTest("shutdown() lets peers go that never pause after a third of the time", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const server = serve({ ...LOOPBACK, onEnd }, async (conn) => {
    for await (const _ of conn);
    if (conn.draining) await conn.write(bytes`bye`);
  });
  const client = await dial(server.addr);
  await client.write(bytes`x`);
  await until(() => server.stats().bytesRead > 0);
  server.shutdown({ timeout: 6000 });
  await until(() => [...server.connections][0]!.draining);
  let passed = 0;
  for (; ended.length === 0 && passed < 6000; passed += 50) {
    const { bytesRead } = server.stats();
    await client.write(bytes`x`);
    await until(() => ended.length > 0 || server.stats().bytesRead > bytesRead);
    await pass(time, 50);
  }
  assertEquals(text(await readAll(client)), "bye");
  await server.finished;
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
  assert(passed >= 2000 && passed <= 2800, `${passed} ms`); // until the client has closed, too
});

netTest(
  "a read that drainSignal aborts ends its handler as completed, and reports nothing",
  async () => {
    const { ended, onEnd } = noteEnds();
    const reported: unknown[] = [];
    const onError = (error: unknown) => reported.push(error);
    const handlers: ((conn: Connection, server: Server) => Promise<unknown>)[] = [
      async (conn) => {
        const io = framed(conn, lines());
        for (;;) await io.read({ timeout: 60_000, signal: conn.drainSignal });
      },
      (conn, server) => conn.read(new Uint8Array(1), { signal: server.drainSignal }),
    ];
    for (const handler of handlers) {
      const server: Server<Deno.NetAddr> = serve(
        { ...LOOPBACK, onEnd, onError },
        (conn) => handler(conn, server),
      );
      using client = await dial(server.addr);
      await until(() => server.connections.size === 1);
      const stopped = server.shutdown();
      assertEquals(await client.read(new Uint8Array(1)), null);
      client.close();
      await stopped;
    }
    assertEquals(ended.map(({ reason, error }) => [reason, error]), [
      ["completed", undefined],
      ["completed", undefined],
    ]);
    assertEquals(reported, []);
  },
);

netTest("shutdown() returns finished, however often it is called", async () => {
  const server = serve(LOOPBACK, async () => {});
  assertStrictEquals(server.shutdown(), server.finished);
  assertStrictEquals(server.shutdown(), server.finished);
  await server.finished;
  assertStrictEquals(server.shutdown(), server.finished);
});

netTest("await using stops the server when its scope is left", async () => {
  let addr: Deno.NetAddr;
  {
    await using server = serve(LOOPBACK, async () => {});
    addr = server.addr;
  }
  await assertRejects(() => dial(addr), Deno.errors.ConnectionRefused);
});

netTest("shutdown() rejects an invalid timeout, and goes on serving", async () => {
  await using server = serve(LOOPBACK, async () => {});
  await assertRejects(() => server.shutdown({ timeout: "1" as unknown as number }), TypeError);
  await assertRejects(() => server.shutdown({ timeout: -1 }), RangeError);
  await assertRejects(() => server.shutdown({ timeout: NaN }), TypeError);
  await assertRejects(() => server.shutdown({ spread: -1 }), RangeError);
  assertEquals(server.state, "running");
});

netTest("shutdown() with a timeout of 0 closes what is open at once", async () => {
  const { ended, onEnd } = noteEnds();
  const server = serve({ ...LOOPBACK, onEnd }, echo);
  using client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  const [conn] = server.connections;
  await server.shutdown({ timeout: 0 });
  assertEquals(await client.read(new Uint8Array(1)), null);
  const [{ reason, error }] = ended as [EndRecord];
  assertEquals(reason, "forced");
  assert(error instanceof Deno.errors.Interrupted);
  assertStrictEquals(conn!.signal.reason, error);
  const { completed, forced, abandoned } = server.report!;
  assertEquals({ completed, forced, abandoned }, { completed: 0, forced: 1, abandoned: 0 });
});

netTest("shutdown() closes what is open after shutdownTimeout, and not before", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const server = serve(
    { ...LOOPBACK, shutdownTimeout: 20_000, onEnd },
    (conn) => conn.read(new Uint8Array(1)),
  );
  using _client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  server.shutdown();
  time.tick(19_999);
  await turns();
  assertEquals(ended.length, 0);
  time.tick(1);
  await server.finished;
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
});

netTest("shutdown() waits indefinitely when its timeout is Infinity", async () => {
  using time = new FakeTime();
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  const client = await dial(server.addr);
  await until(() => held.served === 1);
  server.shutdown({ timeout: Infinity });
  time.tick(60 * 60 * 1000);
  await turns();
  assertEquals([server.state, server.connections.size], ["draining", 1]);
  client.close();
  held.letAllGo();
  await server.finished;
  assertEquals(server.report!.completed, 1);
});

netTest("a second shutdown() may shorten the wait", async () => {
  using time = new FakeTime();
  const server = serve(LOOPBACK, (conn) => conn.read(new Uint8Array(1)));
  using _client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  server.shutdown({ timeout: 60_000 });
  server.shutdown({ timeout: 1000 });
  time.tick(1000);
  await server.finished;
  assertEquals(server.report!.forced, 1);
});

netTest("a second shutdown() cannot lengthen the wait", async () => {
  using time = new FakeTime();
  const server = serve(LOOPBACK, (conn) => conn.read(new Uint8Array(1)));
  using _client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  server.shutdown({ timeout: 1000 });
  server.shutdown({ timeout: Infinity });
  server.shutdown();
  time.tick(1000);
  await server.finished;
  assertEquals(server.report!.forced, 1);
});

netTest("a handler that never returns is abandoned one second after the force", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const stubborn = new Stubborn();
  const server = serve(
    { ...LOOPBACK, onEnd },
    stubborn.handler,
  );
  using client = await dial(server.addr);
  await until(() => stubborn.conns.length === 1);
  server.shutdown({ timeout: 0 });
  assertEquals(await client.read(new Uint8Array(1)), null); // closed under it at once
  time.tick(999);
  await turns();
  assertEquals([server.state, ended.length], ["draining", 0]);
  time.tick(1);
  await server.finished;
  assertEquals(ended.map(({ reason }) => reason), ["abandoned"]);
  const { completed, forced, abandoned } = server.report!;
  assertEquals({ completed, forced, abandoned }, { completed: 0, forced: 0, abandoned: 1 });
  assertEquals(server.stats().active, 0);
});

netTest("what an abandoned handler does later is not reported", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const reported: unknown[] = [];
  const stubborn = new Stubborn();
  const unhandled = await unhandledDuring(async () => {
    const server = serve(
      {
        ...LOOPBACK,
        onEnd,
        onError: (error) => reported.push(error),
      },
      stubborn.handler,
    );
    using _client = await dial(server.addr);
    await until(() => stubborn.conns.length === 1);
    server.shutdown({ timeout: 0 });
    time.tick(1000);
    await server.finished;
    const before = server.stats();
    stubborn.conns[0]!.write(bytes`too late`);
    stubborn.fail(new Error("too late"));
    await turns();
    assertEquals(server.stats(), before);
  });
  assertEquals([unhandled, reported, ended.length], [[], [], 1]);
});

netTest("a handler that settles in its last second is forced, not abandoned", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const stubborn = new Stubborn();
  const server = serve(
    { ...LOOPBACK, onEnd, onError: () => {} },
    stubborn.handler,
  );
  using _client = await dial(server.addr);
  await until(() => stubborn.conns.length === 1);
  server.shutdown({ timeout: 0 });
  time.tick(999);
  stubborn.fail(new Error("all right, all right"));
  await server.finished;
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
  assertEquals(server.report!.forced, 1);
});

netTest("report counts by how each connection ended, those that came late included", async () => {
  using time = new FakeTime();
  const [late, lateClient] = await socketPair();
  const listener = scriptedListener([]);
  listener.holdsAtClose = true;
  const pairs = [await socketPair(), await socketPair(), await socketPair()] as const;
  for (const [socket] of pairs) listener.play(socket);
  const inside = new Set<Connection>();
  const server = serve({ listeners: [listener] }, async (conn) => {
    inside.add(conn);
    if (conn.id === 1) {
      await new Promise((resolve) => conn.drainSignal.addEventListener("abort", resolve));
    } else if (conn.id === 2) await new Promise(() => {});
    else await conn.read(new Uint8Array(1));
  });
  await until(() => inside.size === 3 && listener.waiting);
  assertEquals(server.report, undefined);
  server.shutdown();
  await until(() => listener.closed);
  listener.play(late);
  assertEquals(await readAll(pairs[0][1]), bytes``);
  await until(() => inside.size === 4 && server.connections.size === 3);
  time.tick(15_000);
  await until(() => server.connections.size === 1);
  assertEquals(server.report, undefined);
  time.tick(1000);
  await server.finished;
  const { completed, forced, abandoned, ms } = server.report!;
  assertEquals({ completed, forced, abandoned }, { completed: 1, forced: 2, abandoned: 1 });
  assert(ms >= 0);
  for (const [, client] of pairs.slice(1)) client.close();
  lateClient.close();
});

netTest("shutdown() ends a pause, and serves what was accepted meanwhile", async () => {
  const server = serve(LOOPBACK, (conn) => conn.write(bytes`after all`));
  server.pause();
  const client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  const stopped = server.shutdown();
  assertEquals(text(await readAll(client)), "after all");
  await stopped;
  assertEquals(server.report!.completed, 1);
});

netTest("shutdown() gives an over-limit connection its slot when one becomes free", async () => {
  const held = new Holding();
  const server = serve(LOOPBACK, held.handler);
  using first = await dial(server.addr);
  await until(() => held.served === 1);
  server.maxConnections = 1;
  using second = await dial(server.addr);
  await until(() => server.connections.size === 2);
  const stopped = server.shutdown();
  await turns();
  assertEquals(held.served, 1);
  first.close();
  held.letGo();
  await until(() => held.served === 2);
  await until(() => held.inside[0]!.draining);
  second.close();
  held.letGo();
  await stopped;
  assertEquals(server.report!.completed, 2);
});

netTest(
  "an over-limit connection is forced like the others, without having been served",
  async () => {
    const held = new Holding();
    const { ended, onEnd } = noteEnds();
    const server = serve({ ...LOOPBACK, onEnd }, held.handler);
    using _first = await dial(server.addr);
    await until(() => held.served === 1);
    server.maxConnections = 1;
    using second = await dial(server.addr);
    await until(() => server.connections.size === 2);
    const stopped = server.shutdown({ timeout: 0 });
    assertEquals(await second.read(new Uint8Array(1)), null);
    held.letGo();
    await stopped;
    assertEquals(held.served, 1);
    assertEquals(ended.map(({ id, reason }) => `${id} ${reason}`).toSorted(), [
      "1 forced",
      "2 forced",
    ]);
  },
);

netTest("shutdown() ends the wait for resources at once", async () => {
  using time = new FakeTime();
  const listener = scriptedListener([]);
  listener.otherwise = () => "EMFILE";
  const server = serve({ listeners: [listener], onError: () => {} }, async () => {});
  // Far enough for the wait to be as long as it gets.
  for (let i = 0; i < 12; i++) {
    const { accepts } = listener;
    while (listener.accepts === accepts) {
      time.next();
      await turn();
    }
  }
  await until(() => server.waitingFor === "resources");
  const { accepts } = listener;
  await server.shutdown(); // no time passes
  assertEquals([server.state, listener.accepts, listener.closed], ["stopped", accepts, true]);
});

netTest(
  "shutdown() does not wait for clients that are being sent why they were refused",
  async () => {
    using _time = new FakeTime();
    const held = new Holding();
    const server = serve(
      { ...LOOPBACK, maxConnections: 1, whenFull: bytes`come back later` },
      held.handler,
    );
    using _first = await dial(server.addr);
    await until(() => held.served === 1);
    using refused = await dial(server.addr);
    await until(() => server.stats().accepted === 2);
    await refused.read(new Uint8Array(15));
    held.letGo();
    await server.shutdown({ timeout: 0 });
    assertEquals(server.stats().ended.refused_full, 1);
  },
);

netTest("a stop leaves nothing open", async () => {
  // The sanitizers of this test are the assertion.
  const server = serve({ listeners: [LOOPBACK, LOOPBACK] }, echo);
  const clients = await Promise.all(
    Array.from({ length: 20 }, (_, i) => dial(server.addrs[i % 2] as Deno.NetAddr)),
  );
  await until(() => server.connections.size === 20);
  await server.shutdown({ timeout: 0 });
  for (const client of clients) client.close();
});

/** A server whose queue other threads listen on, too, with a client in it. */
class Seated implements AsyncDisposable {
  readonly server: RunningServer<Deno.NetAddr>;
  /** How often the server said that its listeners were closed. */
  closed = 0;
  /** Has the others close theirs. */
  readonly othersClose: () => void;
  readonly client: Promise<Deno.Conn>;

  /** @param stopsAlone Whether the others go on. */
  constructor(stopsAlone: boolean) {
    const others = Promise.withResolvers<void>();
    this.othersClose = others.resolve;
    const seat: Partial<FleetSeat> = {
      statistics: new Statistics(),
      limits: privateLimits,
      closed: () => {
        this.closed++;
        return stopsAlone ? undefined : others.promise;
      },
    };
    const options = completeServeOptions(LOOPBACK);
    // It is paused until its fleet lets it accept, so the client stays in the queue.
    this.server = new RunningServer(options, (conn) => conn.write(bytes`hi`), seat as FleetSeat);
    this.client = dial(this.server.addr);
  }

  /** What the client receives until the end. */
  async answer(): Promise<string> {
    return text(await readAll(await this.client));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.othersClose();
    await this.server.shutdown({ timeout: 0 });
  }
}

netTest(
  "a server serves what it holds when other threads have closed their listeners, and not before",
  async () => {
    await using seated = new Seated(false);
    const { server } = seated;
    await seated.client;
    const stopped = server.shutdown();
    await until(() => seated.closed === 1);
    await turns();
    const [conn] = server.connections;
    assertEquals([conn!.bytesWritten, conn!.draining, server.drainSignal.aborted], [
      0,
      false,
      false,
    ]);
    await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
    seated.othersClose();
    assertEquals(await seated.answer(), "hi");
    await stopped;
    assertEquals([server.report!.swept, server.report!.completed, seated.closed], [1, 1, 1]);
  },
);

netTest("a server waits half a second for the listeners of other threads", async () => {
  using time = new FakeTime();
  await using seated = new Seated(false);
  await seated.client;
  const stopped = seated.server.shutdown();
  await until(() => seated.closed === 1);
  time.tick(499);
  await turns();
  assertFalse(seated.server.drainSignal.aborted);
  time.tick(1);
  assertEquals(await seated.answer(), "hi");
  await stopped;
});

netTest(
  "shutdown({ timeout: 0 }) waits for no listener of other threads, nor goes on waiting",
  async () => {
    using _time = new FakeTime(); // no timer fires
    for (const isWaiting of [false, true]) {
      await using seated = new Seated(false);
      await seated.client;
      if (isWaiting) {
        seated.server.shutdown();
        await until(() => seated.closed === 1);
      }
      await seated.server.shutdown({ timeout: 0 });
      assertEquals([seated.server.report!.completed, seated.closed], [0, 1]);
      (await seated.client).close();
    }
  },
);

netTest("a server that stops alone waits for no listener of other threads", async () => {
  using _time = new FakeTime(); // no timer fires
  await using seated = new Seated(true);
  await seated.client;
  const stopped = seated.server.shutdown();
  assertEquals(await seated.answer(), "hi");
  await stopped;
  assertEquals(seated.closed, 1);
});
