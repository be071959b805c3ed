/** A server does what its interface says, whatever hooks and handlers do. @module */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { type Connection, type Handler, serve, type Server } from "../../mod.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, readExactly, socketPair } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { Program } from "../support/program.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** Fails unless the server at `addr` answers. */
async function assertServes(addr: Deno.NetAddr): Promise<void> {
  using client = await dial(addr);
  await client.write(bytes`still here?`);
  assertEquals(text(await readExactly(client, 11)), "still here?");
}

netTest("serve() listens when it returns", async () => {
  await using server = serve(LOOPBACK, echo);
  assert(server.addr.port > 0);
  await assertServes(server.addr);
});

netTest("serve() delivers the last bytes of a handler that returns, then closes", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    await conn.write(bytes`first`);
    conn.write(bytes`, last`);
  });
  assertEquals(text(await readAll(await dial(server.addr))), "first, last");
});

netTest("serve() gives a handler the addresses of its connection", async () => {
  const { promise, resolve } = Promise.withResolvers<Connection<Deno.NetAddr>>();
  await using server = serve(LOOPBACK, async (conn) => {
    resolve(conn);
    await conn.read(new Uint8Array(1));
  });
  using client = await dial(server.addr);
  const conn = await promise;
  assertEquals(conn.remoteAddr, client.localAddr as Deno.NetAddr);
  assertEquals(conn.peerAddr, conn.remoteAddr);
  assertEquals(conn.localAddr, server.addr);
  assertEquals(conn.id, 1);
  assertEquals([...server.connections], [conn]);
});

netTest("serve() serves on a Unix socket by the path that was asked for", async () => {
  const directory = await Deno.makeTempDir();
  const path = `${directory}/s`;
  {
    const { promise, resolve } = Promise.withResolvers<Deno.UnixAddr>();
    await using server = serve({ path }, async (conn) => {
      resolve(conn.localAddr);
      await conn.write(bytes`hello`);
    });
    const client = await Deno.connect({ transport: "unix", path });
    assertEquals(text(await readAll(client)), "hello");
    assertEquals(server.addr, { transport: "unix", path });
    assertEquals(await promise, server.addr);
  }
  await Deno.remove(directory);
}, { os: ["linux", "darwin"] });

netTest("serve() throws before it opens anything when there is no handler", () => {
  using taken = Deno.listen(LOOPBACK);
  const { port } = taken.addr;
  // The address is in use, which would be the error if anything were opened.
  const error = assertThrows(
    () => serve({ ...LOOPBACK, port }, undefined as unknown as Handler<Deno.NetAddr>),
    TypeError,
  );
  assertEquals(
    error.message,
    "Cannot serve without a handler: give a function as the second argument",
  );
});

netTest("serve() leaves no address bound when one of them cannot be", () => {
  using taken = Deno.listen(LOOPBACK);
  const free = Deno.listen(LOOPBACK);
  const { port } = free.addr;
  free.close();
  assertThrows(
    () =>
      serve({ listeners: [{ ...LOOPBACK, port }, { ...LOOPBACK, port: taken.addr.port }] }, echo),
    Deno.errors.AddrInUse,
    `Cannot listen on tcp://127.0.0.1:${taken.addr.port}: `,
  );
  Deno.listen({ ...LOOPBACK, port }).close();
});

netTest("serve() leaves a listener that was passed in to its owner when it throws", () => {
  using taken = Deno.listen(LOOPBACK);
  const passed = scriptedListener([]);
  assertThrows(
    () => serve({ listeners: [passed, { ...LOOPBACK, port: taken.addr.port }] }, echo),
    Deno.errors.AddrInUse,
  );
  assert(!passed.closed);
});

netTest("serve() calls onListen for each address once it has returned", async () => {
  // The kind of address follows from the options.
  const heard: Deno.NetAddr[] = [];
  let returned = false;
  const { promise, resolve } = Promise.withResolvers<void>();
  await using server = serve({
    listeners: [LOOPBACK, LOOPBACK],
    onListen: (addr) => {
      assert(returned);
      if (heard.push(addr) === 2) resolve();
    },
  }, echo);
  returned = true;
  await promise;
  assertEquals(heard, [...server.addrs]);
  assertStrictEquals(server.addr, server.addrs[0]);
});

for (
  const [how, fail] of Object.entries<(error: Error) => unknown>({
    throws: (error) => {
      throw error;
    },
    rejects: (error) => Promise.reject(error),
  })
) {
  netTest(`serve() reports an onListen that ${how}, once for each call, and serves`, async () => {
    const reported: unknown[] = [];
    await using server = serve({
      listeners: [LOOPBACK, LOOPBACK],
      onListen: () => fail(new Error("no paper")),
      onError: (error) => reported.push(error),
    }, echo);
    for (const addr of server.addrs) await assertServes(addr as Deno.NetAddr);
    assertEquals(reported.map((error) => (error as Error).message), [
      "Hook 'onListen' failed: no paper",
      "Hook 'onListen' failed: no paper",
    ]);
  });

  netTest(`serve() reports an onEnd that ${how} and serves on`, async () => {
    const reported: unknown[] = [];
    await using server = serve({
      ...LOOPBACK,
      onEnd: () => fail(new Error("no ink")),
      onError: (...args) => reported.push(args),
    }, async () => {});
    await readAll(await dial(server.addr));
    await readAll(await dial(server.addr));
    await until(() => server.stats().ended.completed === 2 && reported.length === 2);
    const [[error, ...more]] = reported as [unknown[]];
    assertEquals((error as Error).message, "Hook 'onEnd' failed: no ink");
    assertEquals(more, []); // without a second argument: it is about no connection
  });

  netTest(`serve() goes on when onError ${how}`, async () => {
    await using program = new Program(new URL("./programs/reporting.ts", import.meta.url), {
      args: [`onError ${how}`],
    });
    assertEquals(await program.line(), "served on");
  });
}

netTest("serve() calls onError with a handler's error and the connection", async () => {
  const reported: unknown[] = [];
  const error = new Error("division by cucumber");
  await using server = serve({
    ...LOOPBACK,
    onError: (...args) => reported.push(args),
  }, () => Promise.reject(error));
  const client = await dial(server.addr);
  const { port } = client.localAddr as Deno.NetAddr;
  await readAll(client);
  await until(() => server.stats().active === 0);
  const [[passed, conn]] = reported as [[unknown, Connection<Deno.NetAddr>]];
  assertStrictEquals(passed, error);
  assertEquals(conn.remoteAddr.port, port);
  assertEquals(reported.length, 1);
});

netTest("serve() survives a write that is not awaited to a peer that has left", async () => {
  const { ended, onEnd } = noteEnds();
  await using server = serve(
    { ...LOOPBACK, onEnd },
    async (conn) => {
      if (conn.id > 1) return await echo(conn);
      await conn.read(new Uint8Array(1)); // null: the peer has left
      await conn.write(bytes`a`); // the kernel takes this and gets a reset for it
      for (let i = 0; i < 8; i++) {
        conn.write(bytes`b`);
        await turn();
      }
    },
  );
  const client = await dial(server.addr);
  client.close();
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "peer_closed_early");
  await assertServes(server.addr);
});

netTest("serve() treats a handler's result that is no promise as settled", async () => {
  await using server = serve(
    LOOPBACK,
    ((conn: Connection) => {
      conn.write(bytes`quick`);
    }) as unknown as Handler<Deno.NetAddr>,
  );
  assertEquals(text(await readAll(await dial(server.addr))), "quick");
  await until(() => server.stats().ended.completed === 1);
});

netTest("serve() stops at once when its signal is already aborted", async () => {
  const server = serve({ ...LOOPBACK, signal: AbortSignal.abort() }, echo);
  assertEquals(server.state, "draining");
  await server.finished;
  assertEquals(server.state, "stopped");
  await assertRejects(() => dial(server.addr), Deno.errors.ConnectionRefused);
});

netTest("serve() closes what is open as soon as its signal aborts", async () => {
  const stop = new AbortController();
  const { ended, onEnd } = noteEnds();
  const server = serve(
    { ...LOOPBACK, signal: stop.signal, onEnd },
    echo,
  );
  using client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  stop.abort();
  await server.finished;
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
  assertEquals(await client.read(new Uint8Array(1)), null);
});

netTest("serve() lets go of its signal when it has stopped", async () => {
  const { signal } = new AbortController();
  let listening = 0;
  const add = signal.addEventListener.bind(signal),
    remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listening++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listening--;
    remove(...args);
  };
  await serve({ ...LOOPBACK, signal }, echo).shutdown();
  assertEquals(listening, 0);
});

netTest("pause() leaves clients in the kernel's queue until resume()", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  server.pause();
  assertEquals([server.accepting, server.waitingFor], [false, "resume"]);
  // The accept that was pending takes one, which cannot be taken back; it is not served, though.
  using _first = await dial(server.addr);
  await until(() => server.connections.size === 1);
  using _second = await dial(server.addr);
  await turns();
  assertEquals([held.served, server.stats().accepted], [0, 1]);
  server.resume();
  assertEquals([server.accepting, server.waitingFor], [true, null]);
  await until(() => held.served === 2);
  held.letAllGo();
});

netTest("pause() lets the connections that are open go on", async () => {
  await using server = serve(LOOPBACK, echo);
  using client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  server.pause();
  await client.write(bytes`go on`);
  assertEquals(text(await readExactly(client, 5)), "go on");
});

netTest('waitingFor is "slot" while every slot is taken', async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  assertEquals([server.accepting, server.waitingFor], [true, null]);
  using _client = await dial(server.addr);
  await until(() => held.served === 1);
  assertEquals([server.accepting, server.waitingFor], [false, "slot"]);
  server.pause();
  assertEquals(server.waitingFor, "resume");
  server.resume();
  held.letAllGo();
  await until(() => server.connections.size === 0);
  assertEquals([server.accepting, server.waitingFor], [true, null]);
});

netTest("waitingFor is null while a full server refuses", async () => {
  const held = new Holding();
  await using server = serve(
    { ...LOOPBACK, maxConnections: 1, whenFull: "refuse" },
    held.handler,
  );
  using _client = await dial(server.addr);
  await until(() => held.served === 1);
  assertEquals([server.accepting, server.waitingFor], [true, null]);
  held.letAllGo();
});

netTest('waitingFor is "resources" until accepting works again', async () => {
  const listener = scriptedListener([]);
  listener.play("EMFILE");
  await using server = serve({ listeners: [listener], onError: () => {} }, echo);
  await until(() => server.waitingFor === "resources");
  assert(!server.accepting);
  await until(() => listener.waiting);
  assertEquals([server.accepting, server.waitingFor], [true, null]);
});

netTest("a server that stops accepts nothing and waits for nothing", async () => {
  const held = new Holding();
  const server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  using _client = await dial(server.addr);
  await until(() => held.served === 1);
  const stopped = server.shutdown();
  assertEquals([server.state, server.accepting, server.waitingFor], ["draining", false, null]);
  server.pause(); // comes too late to mean anything
  assertEquals(server.waitingFor, null);
  held.letAllGo();
  await stopped;
  server.resume();
  assertEquals([server.state, server.accepting, server.waitingFor], ["stopped", false, null]);
});

netTest("connections holds the connections that are open and no others", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  using _one = await dial(server.addr);
  using _two = await dial(server.addr);
  await until(() => held.served === 2);
  assertEquals([...server.connections], held.inside);
  const [first] = held.inside;
  held.letGo();
  await until(() => server.connections.size === 1);
  assert(!server.connections.has(first as Connection<Deno.NetAddr>));
  held.letAllGo();
});

netTest("a socket that arrives in the moment of closing is served", async () => {
  const [socket, client] = await socketPair();
  const listener = scriptedListener([]);
  listener.holdsAtClose = true;
  const server = serve({ listeners: [listener] }, async (conn) => {
    assert(conn.draining);
    await conn.write(bytes`just in time`);
  });
  await until(() => listener.waiting);
  const stopped = server.shutdown();
  await until(() => listener.closed);
  listener.play(socket);
  assertEquals(text(await readAll(client)), "just in time");
  await stopped;
  assertEquals(server.report!.completed, 1);
});

netTest("a socket that arrives after the force is closed and counted", async () => {
  const [socket, client] = await socketPair();
  const listener = scriptedListener([]);
  listener.holdsAtClose = true;
  let served = 0;
  const { ended, onEnd } = noteEnds();
  const server = serve({ listeners: [listener], onEnd }, () => {
    served++;
    return new Promise(() => {});
  });
  await until(() => listener.waiting);
  const stopped = server.shutdown({ timeout: 0 });
  listener.play(socket);
  assertEquals(text(await readAll(client)), "");
  await stopped;
  assertEquals(served, 0);
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
  assertEquals(server.report!.forced, 1);
});

const LIVING = new URL("./programs/living.ts", import.meta.url);

for (
  const [what, args, lives] of [
    ["running", [], true],
    ["running, unref'd", ["unref"], false],
    ["running, unref'd and ref'd again", ["unref", "ref"], true],
    ["paused", ["pause"], true],
    ["paused with a client in its hands", ["pause", "client"], true],
    ["paused with a client in its hands, unref'd", ["pause", "client", "unref"], false],
    ["unref'd, then paused with a client in its hands", ["unref", "pause", "client"], false],
    ["full", ["single", "client"], true],
    ["full, unref'd", ["single", "client", "unref"], false],
    ["full with a client in its hands", ["client", "single", "client"], true],
    ["full with a client in its hands, unref'd", ["client", "single", "client", "unref"], false],
    ["waiting for a token of maxRate", ["slow", "client"], true],
    ["waiting for a token of maxRate, unref'd", ["slow", "client", "unref"], false],
    ["unref'd, then waiting for a token of maxRate", ["slow", "unref", "client"], false],
    ["starved", ["starved"], true],
    ["starved, unref'd", ["starved", "unref"], false],
  ] as const
) {
  netTest(`the process ${lives ? "stays" : "ends"} when its server is ${what}`, async () => {
    await using program = new Program(LIVING, { args: [...args] });
    assertEquals(await program.lines(), ["ready", ...lives ? ["alive"] : []]);
    assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
  });
}

netTest("a forgotten shutdown() of a server that gave up ends nothing", async () => {
  await using program = new Program(LIVING, { args: ["gaveUp"] });
  assertEquals(await program.line(), "ready");
  assertEquals(await program.line(), "gave up with BadResource");
  assertEquals((await program.status).code, 0, (await program.complaints()).join("\n"));
});

Deno.test("Server can be passed where a Deno.HttpServer is expected", () => {
  const lifecycle = (server: Server<Deno.NetAddr>): Deno.HttpServer<Deno.NetAddr> => server;
  const anyAddress = (server: Server): Deno.HttpServer<Deno.Addr> => server;
  assertEquals([lifecycle.length, anyAddress.length], [1, 1]);
});

Deno.test("Connection can be passed where a Deno.Conn is expected", () => {
  const tcp = (conn: Connection<Deno.NetAddr>): Deno.Conn<Deno.NetAddr> => conn;
  const unix = (conn: Connection<Deno.UnixAddr>): Deno.Conn<Deno.UnixAddr> => conn;
  const either = (conn: Connection): Deno.Conn => conn;
  assertEquals([tcp.length, unix.length, either.length], [1, 1, 1]);
});

Deno.test("serve() does not compile with a handler that returns no promise", () => {
  const sync = () => {
    // @ts-expect-error -- the promise is what owns the connection
    serve(LOOPBACK, (conn) => void conn.write(bytes`forgotten`));
    // @ts-expect-error -- neither does one that may or may not
    serve(LOOPBACK, (conn) => conn.id > 1 ? Promise.resolve() : undefined);
    // @ts-expect-error -- nor for a server on several addresses
    serve({ listeners: [LOOPBACK] }, () => {});
  };
  assertEquals(sync.length, 0);
});

Deno.test("a handler knows from the options what kind of address its peers have", () => {
  const typed = () => {
    serve(LOOPBACK, async (conn) => {
      const hostname: string = conn.remoteAddr.hostname;
      await conn.write(bytes`${hostname}`);
    });
    serve({ path: "s" }, async (conn) => {
      const path: string = conn.localAddr.path;
      await conn.write(bytes`${path}`);
    });
  };
  assertEquals(typed.length, 0);
});
