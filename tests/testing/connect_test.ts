/** A handler without a network gets the same as from `serve()`, whatever its client does. @module */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { formatAddress } from "../../lib/format_address.ts";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  type EndRecord,
  framed,
  type Handler,
  lines,
  ProtocolError,
  serve,
} from "../../mod.ts";
import { connect, type ConnectOptions } from "../../lib/testing/connect.ts";
import { pair } from "../../lib/testing/pair.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { bytes, text } from "../support/bytes.ts";
import { turn, turns } from "../support/wait.ts";
import { echo } from "../support/handlers.ts";

/** Handles frames, each of which must be complete in time. */
async function echoLines(conn: Connection): Promise<void> {
  const heard = framed(conn, lines(), { frameTimeout: 5_000 });
  for await (const line of heard) await heard.send(line);
}

async function reads(conn: Connection): Promise<void> {
  await conn.read(new Uint8Array(10));
}

Deno.test("connect() gives a client of the handler, and the record of its end", async () => {
  await using client = connect(echo);
  await client.write(bytes`hello`);
  assertEquals(text((await client.readExactly(5))!), "hello");
  await client.closeWrite();
  assertEquals(await client.read(new Uint8Array(1)), null);
  const { openedAt, duration, ...record } = await client.ended;
  assert(openedAt <= Date.now() && duration >= 0);
  const peerAddr = client.localAddr;
  assertEquals(record, {
    id: 1,
    reason: "completed",
    listenerName: formatAddress(client.server.addr),
    peerAddr,
    remoteAddr: peerAddr,
    bytesRead: 5,
    bytesWritten: 5,
  });
  assertEquals(client.server.state, "stopped");
});

Deno.test("connect() gives the handler the addresses in its options", async () => {
  const remoteAddr = { transport: "tcp", hostname: "198.51.100.7", port: 1 } as const;
  const localAddr = { transport: "tcp", hostname: "198.51.100.8", port: 2 } as const;
  const seen: Deno.Addr[] = [];
  await using client = connect(async (conn) => {
    seen.push(conn.remoteAddr, conn.localAddr);
    await conn.end();
  }, { remoteAddr, localAddr });
  client.close();
  assertStrictEquals((await client.ended).remoteAddr, remoteAddr);
  assertEquals(seen, [remoteAddr, localAddr]);
  assertEquals([client.localAddr, client.remoteAddr], [remoteAddr, localAddr]);
  assertEquals(client.server.addr, localAddr);
});

Deno.test("connect() takes a handler for Unix sockets only with addresses of that kind", async () => {
  const unix = async (conn: Connection<Deno.UnixAddr>) => {
    await conn.write(bytes`${conn.localAddr.path}`);
  };
  const addr = { transport: "unix", path: "/run/app.sock" } as const;
  await using client = connect(unix, { localAddr: addr, remoteAddr: addr });
  assertEquals(await new Response(client.readable).text(), addr.path);
  assertEquals((await client.ended).remoteAddr, addr);
  const wrong = () => {
    // @ts-expect-error -- by default its client has a TCP address
    connect(unix);
    // @ts-expect-error -- and one of the two is not enough
    connect(unix, { localAddr: addr });
  };
  assertEquals(typeof wrong, "function");
});

Deno.test("connect() calls the hooks in its options", async () => {
  const calls: unknown[] = [];
  const wrong = new Error("of the handler");
  await using client = connect(() => Promise.reject(wrong), {
    onListen: (addr) => void calls.push(addr),
    onError: (error, conn) => void calls.push(error, conn?.id),
    onEnd: (record) => void calls.push(record),
  });
  client.close();
  const record = await client.ended;
  assertEquals([record.reason, record.error], ["handler_error", wrong]);
  assertEquals(calls, [client.server.addr, wrong, 1, record]);
});

Deno.test("connect() ends for the handler's error, a protocol error and a reset, as serve() does", async () => {
  const reasonOf = async (handler: Handler, leave: "close" | "reset") => {
    await using client = connect(handler, { onError: () => {} });
    await turn();
    client[leave]();
    return (await client.ended).reason;
  };
  assertEquals(await reasonOf(() => Promise.reject(new Error("x")), "close"), "handler_error");
  const protocol = () => Promise.reject(new ProtocolError("x"));
  assertEquals(await reasonOf(protocol, "close"), "protocol_error");
  assertEquals(await reasonOf(reads, "reset"), "peer_reset");
  assertEquals(await reasonOf(reads, "close"), "completed");
  const floods = async (conn: Connection) => {
    for (;;) await conn.write(new Uint8Array(1000));
  };
  assertEquals(await reasonOf(floods, "close"), "peer_closed_early");
  assertEquals(await reasonOf(floods, "reset"), "peer_reset");
});

Deno.test("connect() reaches idleTimeout on a fake clock", async () => {
  using time = new FakeTime();
  await using client = connect(reads, { idleTimeout: 60_000 });
  await time.tickAsync(59_900);
  assertEquals(client.server.connections.size, 1);
  await time.tickAsync(300);
  const { reason, error } = await client.ended;
  assertEquals(reason, "idle_timeout");
  assert(error instanceof DOMException && error.name === "TimeoutError");
});

Deno.test("connect() reaches frameTimeout on a fake clock, though bytes keep coming", async () => {
  using time = new FakeTime();
  await using client = connect(echoLines);
  for (let i = 0; i < 6; i++) {
    await client.write(bytes`x`);
    await time.tickAsync(1_000);
  }
  assertEquals((await client.ended).reason, "frame_timeout");
  assertEquals(await client.read(new Uint8Array(1)), null);
});

Deno.test("connect() reaches writeTimeout on a fake clock, once the buffer is full", async () => {
  using time = new FakeTime();
  await using client = connect((conn) => conn.write(new Uint8Array(10_000)), {
    writeTimeout: 30_000,
    toClient: { capacity: 100 },
  });
  await time.tickAsync(30_300);
  const { reason, bytesWritten } = await client.ended;
  assertEquals([reason, bytesWritten], ["write_timeout", 100]);
});

Deno.test("connect() shows a write_overflow", async () => {
  await using client = connect(async (conn) => {
    for (let i = 0; i < 3; i++) conn.write(new Uint8Array(1000));
    await conn.read(new Uint8Array(1));
  }, { maxUnsent: 1500, toClient: { capacity: 10 } });
  assertEquals((await client.ended).reason, "write_overflow");
});

Deno.test("connect() gives the client no timeouts and no limit of unsent bytes", async () => {
  using time = new FakeTime();
  const { promise, resolve } = Promise.withResolvers<void>();
  await using client = connect(async (conn) => {
    await promise;
    await conn.readExactly(2_000_000, { limit: Infinity });
    await conn.write(bytes`ok`);
  });
  const answer = client.readExactly(2);
  for (let i = 0; i < 4; i++) client.write(new Uint8Array(500_000));
  await time.tickAsync(600_000);
  resolve();
  assertEquals(text((await answer)!), "ok");
});

Deno.test("connect() passes bytes one at a time both ways, and takes writes in parts", async () => {
  const dribble = { bytesPerRead: 1, bytesPerWrite: 2, capacity: 3 };
  await using client = connect(echoLines, { toHandler: dribble, toClient: dribble });
  const said = "a line that is longer than all of it";
  const writing = client.write(bytes`${said}\nanother\n`);
  assertEquals(await client.readLine(), said);
  assertEquals(await client.readLine(), "another");
  await writing;
  client.close();
  assertEquals((await client.ended).reason, "completed");
});

Deno.test("connect() resets after any byte, and the handler always sees it", async () => {
  const said = bytes`one\ntwo\nthree\n`;
  for (const direction of ["toHandler", "toClient"] as const) {
    for (let at = 0; at <= said.length; at++) {
      await using client = connect(echoLines, { [direction]: { resetAfter: at } });
      await client.write(said).catch(() => {});
      const { reason, bytesRead, bytesWritten } = await client.ended;
      assertEquals(reason, "peer_reset", `${direction} at ${at}`);
      assert((direction === "toHandler" ? bytesRead : bytesWritten) <= at);
      await assertRejects(async () => {
        while (await client.read(new Uint8Array(100)) !== null);
      }, Deno.errors.ConnectionReset);
    }
  }
});

Deno.test("connect() stalls at a byte, and the handler runs into its timeout", async () => {
  using time = new FakeTime();
  await using client = connect(echoLines, { toHandler: { stallAfter: 5 } });
  await client.write(bytes`one\ntwo\n`);
  assertEquals(await client.readLine(), "one");
  client.close(); // the end does not arrive either
  await time.tickAsync(5_300);
  const { reason, bytesRead } = await client.ended;
  assertEquals([reason, bytesRead], ["frame_timeout", 5]);
});

Deno.test("reset() of a client reaches the handler after the bytes before it, and closes the client", async () => {
  const heard: unknown[] = [];
  await using client = connect(async (conn) => {
    for await (const chunk of conn) heard.push(text(chunk));
  });
  const reading = client.readLine();
  await client.write(bytes`last words`);
  client.reset();
  client.reset();
  await assertRejects(() => reading, Deno.errors.ConnectionReset);
  assertEquals((await client.ended).reason, "peer_reset");
  assertEquals(heard, ["last words"]);
  await assertRejects(() => client.write(bytes`x`), Deno.errors.BadResource);
});

Deno.test("connect() shows how a handler drains", async () => {
  await using client = connect(async (conn) => {
    await new Promise((resolve) => conn.drainSignal.addEventListener("abort", resolve));
    await conn.write(bytes`bye`);
  });
  await turn();
  const stopped = client.server.shutdown();
  assertEquals(text((await client.readExactly(3))!), "bye");
  client.close();
  await stopped;
  assertEquals((await client.ended).reason, "completed");
});

Deno.test("connect() shows what is forced and what is abandoned, without waiting", async () => {
  using time = new FakeTime();
  await using waits = connect(reads);
  await using ignores = connect(() => new Promise(() => {}));
  await time.runMicrotasks();
  for (const { server } of [waits, ignores]) server.shutdown({ timeout: 2_000 });
  await time.tickAsync(2_000);
  assertEquals((await waits.ended).reason, "forced");
  await time.tickAsync(1_000);
  assertEquals((await ignores.ended).reason, "abandoned");
});

Deno.test("connect() resolves ended though its client stays, and still writes", async () => {
  for (const toHandler of [{}, { stallAfter: 3 }, { capacity: 2 }]) {
    await using client = connect((conn) => conn.readExactly(3), { toHandler });
    const writing = client.write(bytes`one and more`);
    const { reason, bytesRead } = await client.ended;
    assertEquals([reason, bytesRead], ["completed", toHandler.stallAfter ?? 12]);
    await writing;
    // As with a socket: with unread bytes the kernel refuses the next write, else it accepts one.
    if (toHandler.stallAfter === undefined) assertEquals(await client.write(bytes`x`), 1);
    await assertRejects(() => client.write(bytes`x`), Deno.errors.BrokenPipe);
  }
});

Deno.test("connect() lets a handler read on after its half-close", async () => {
  await using client = connect(async (conn) => {
    await conn.closeWrite();
    assertEquals(await conn.readLine(), "still here");
  });
  assertEquals(await client.readLine(), null);
  await client.write(bytes`still here
`);
  assertEquals((await client.ended).reason, "completed");
});

Deno.test("connect() with an aborted signal still resolves ended", async () => {
  await using client = connect(reads, { signal: AbortSignal.abort() });
  assertEquals((await client.ended).reason, "forced");
});

Deno.test("a client that is disposed leaves nothing behind, whatever its handler does", async () => {
  const ended: EndRecord[] = [];
  const options = { onEnd: (record: EndRecord) => void ended.push(record) };
  {
    await using client = connect(echo, options);
    await client.write(bytes`unread`);
  }
  {
    await using _atOnce = connect(echo, options);
  }
  {
    const { promise, resolve } = Promise.withResolvers<void>();
    await using _client = connect(async (conn) => {
      conn.signal.addEventListener("abort", () => resolve());
      await promise;
    }, options);
  }
  assertEquals(ended.map(({ reason }) => reason), ["completed", "completed", "forced"]);
});

Deno.test("connect() serves several clients with one handler", async () => {
  const inside = new Set<Connection>();
  const broadcast: Handler = async (conn) => {
    inside.add(conn);
    for await (const chunk of conn) for (const other of inside) await other.write(chunk);
  };
  await using one = connect(broadcast);
  await using two = connect(broadcast);
  await one.write(bytes`hi`);
  assertEquals([await one.readExactly(2), await two.readExactly(2)], [bytes`hi`, bytes`hi`]);
});

Deno.test("pairs in a scripted listener share the limits of a server", async () => {
  const [[one, first], [two, second]] = [pair(), pair()];
  const { promise: ended, resolve: onEnd } = Promise.withResolvers<EndRecord>();
  const listeners = [scriptedListener([first, second])];
  const options = { maxConnections: 1, whenFull: bytes`full`, onEnd, onError: () => {} };
  await using _server = serve({ ...options, listeners }, echo);
  assertEquals(await new Response(two.readable).text(), "full");
  one.close();
  assertEquals((await ended).reason, "refused_full");
});

Deno.test("connect() can be stopped while handler and client talk without pause", async () => {
  await using client = connect(async (conn) => {
    for (;;) await conn.write(bytes`x`);
  });
  const reading = (async () => {
    for await (const _ of client) { /* until the server stops */ }
  })();
  await turns();
  await client.server.shutdown({ timeout: 0 });
  await reading;
  assertEquals((await client.ended).reason, "forced");
});

Deno.test("connect() refuses what serve() refuses, and options that make no sense here", () => {
  const wrong = (options: unknown) => () => connect(echo, options as ConnectOptions);
  assertThrows(wrong(null), TypeError, "Cannot connect with null as options: use an object");
  assertThrows(
    wrong({ listeners: [] }),
    TypeError,
    "Cannot connect with 'listeners': use serve() for several connections",
  );
  assertThrows(wrong({ port: 7000 }), TypeError, "'port'");
  assertThrows(wrong({ toServer: {} }), TypeError, "unknown option 'toServer'");
  assertThrows(wrong({ onEnd: 1 }), TypeError, "Cannot connect with 'onEnd' of 1: use a function");
  assertThrows(wrong({ idleTimeout: -1 }), RangeError, "'idleTimeout' of -1");
  assertThrows(
    wrong({ toClient: { capacity: 0 } }),
    RangeError,
    "Cannot connect with 'toClient.capacity' of 0: use a whole number from 1 up, or Infinity",
  );
  assertThrows(
    () => connect("echo" as unknown as Handler),
    TypeError,
    "Cannot serve without a handler",
  );
});
