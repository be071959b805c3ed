/** Several listeners are one server, whatever becomes of each. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  type Handler,
  listen,
  serve,
  type ServeHandledOptions,
} from "../../mod.ts";
import { listConnections } from "../../lib/watch/connections.ts";
import { metricsText } from "../../lib/watch/prometheus.ts";
import { noteEnds } from "../support/noting.ts";
import { scripted } from "../support/scripted_connection.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { Clients, connectMany, dial, LOOPBACK, readAll, socketPair } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { unhandledDuring } from "../support/unhandled.ts";

function portsOf(addrs: readonly Deno.Addr[]): number[] {
  return addrs.map((addr) => (addr as Deno.NetAddr).port);
}

netTest(
  "serve() takes addresses, Deno's listeners, hardened ones and foreign ones alike",
  async () => {
    const foreign = scriptedListener([]);
    const [socket, foreignClient] = await socketPair();
    foreign.play(socket);
    await using server = serve(
      { listeners: [LOOPBACK, Deno.listen(LOOPBACK), listen(LOOPBACK), foreign] },
      (conn) => conn.write(bytes`hello`),
    );
    assertEquals(server.addrs.length, 4);
    assertStrictEquals(server.addrs[3], foreign.addr);
    for (const addr of server.addrs.slice(0, 3)) {
      assertEquals(text(await readAll(await dial(addr as Deno.NetAddr))), "hello");
    }
    assertEquals(text(await readAll(foreignClient)), "hello");
  },
);

netTest("serve() closes every given listener when it stops", async () => {
  const plain = Deno.listen(LOOPBACK), hardened = listen(LOOPBACK);
  const foreign = scriptedListener([]);
  await serve({ listeners: [plain, hardened, foreign] }, async () => {}).shutdown();
  assert(foreign.closed);
  for (const { addr } of [plain, hardened]) {
    await assertRejects(() => dial(addr), Deno.errors.ConnectionRefused);
  }
});

netTest("two addresses and a foreign listener share one limit", async () => {
  const held = new Holding();
  const foreign = scriptedListener([]);
  await using server = serve(
    { listeners: [LOOPBACK, LOOPBACK, foreign], maxConnections: 3 },
    held.handler,
  );
  const [one, two] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
  const pairs = [await socketPair(), await socketPair()] as const;
  for (const [socket] of pairs) foreign.play(socket);
  using clients = new Clients([
    ...(await connectMany(one, 3)).all,
    ...(await connectMany(two, 3)).all,
    ...pairs.map(([, client]) => client),
  ]);
  for (let served = 3; served <= clients.all.length; served++) {
    await until(() => held.served === served);
    await turns();
    assertEquals([held.served, held.inside.length], [served, 3]);
    // At most one over-limit connection per listener has been accepted.
    assert(server.connections.size <= 3 + 3, `${server.connections.size} are open`);
    held.inside[0]!.close();
    held.letGo();
  }
  held.letAllGo();
});

netTest("with one slot two busy addresses take turns", async () => {
  const held = new Holding();
  await using server = serve({ listeners: [LOOPBACK, LOOPBACK], maxConnections: 1 }, held.handler);
  const [one, two] = portsOf(server.addrs) as [number, number];
  using _ones = await connectMany(server.addrs[0] as Deno.NetAddr, 20);
  using _twos = await connectMany(server.addrs[1] as Deno.NetAddr, 20);
  const served = { [one]: 0, [two]: 0 };
  for (let i = 1; i <= 40; i++) {
    await until(() => held.served === i);
    const [conn] = held.inside;
    served[(conn!.localAddr as Deno.NetAddr).port]!++;
    // A client that was served twice in a row has to wait for the other, as long as there is another.
    const ahead = Math.abs(served[one]! - served[two]!);
    assert(i > 38 || ahead <= 2, `after ${i} one address is ahead by ${ahead}`);
    conn!.close();
    held.letGo();
  }
  assertEquals(served, { [one]: 20, [two]: 20 });
});

netTest("a busy address does not keep a quiet one waiting", async () => {
  const held = new Holding();
  await using server = serve({ listeners: [LOOPBACK, LOOPBACK], maxConnections: 1 }, held.handler);
  using _busy = await connectMany(server.addrs[0] as Deno.NetAddr, 30);
  await until(() => held.served === 5 || (held.inside[0]?.close(), letFirstGo(held)));
  using quiet = await dial(server.addrs[1] as Deno.NetAddr);
  const { port } = quiet.localAddr as Deno.NetAddr;
  const before = held.served;
  const isQuiet = () => (held.inside[0]?.remoteAddr as Deno.NetAddr | undefined)?.port === port;
  await until(() => isQuiet() || (held.inside[0]?.close(), letFirstGo(held)));
  // The one that is being served, those that were ahead in line, and not the thirty that wait.
  assert(held.served - before <= 5, `${held.served - before} were served before it`);
  for (let i = held.served; i < 31; i++) {
    held.inside[0]!.close();
    held.letGo();
    await until(() => held.served === i + 1);
  }
  held.letAllGo();
});

/** Releases one if there is one; always false, for use in a condition. */
function letFirstGo(held: Holding): false {
  if (held.inside.length > 0) held.letGo();
  return false;
}

netTest("a listener that is closed from outside is reported, and the others go on", async () => {
  const reported: unknown[] = [];
  const mine = Deno.listen(LOOPBACK);
  await using server = serve(
    { listeners: [mine, LOOPBACK], onError: (error) => reported.push(error) },
    (conn) => conn.write(bytes`still here`),
  );
  await until(() => server.accepting);
  mine.close();
  await until(() => reported.length > 0);
  assert(reported[0] instanceof Deno.errors.BadResource);
  assertEquals(
    reported[0].message,
    `Cannot accept on tcp://127.0.0.1:${mine.addr.port} any more: the listener was closed ` +
      "from outside",
  );
  const client = await dial(server.addrs[1] as Deno.NetAddr);
  assertEquals(text(await readAll(client)), "still here");
  assertEquals([server.state, reported.length], ["running", 1]);
});

netTest("a server whose last listener is closed elsewhere gives up", async () => {
  const reported: unknown[] = [];
  const unhandled = await unhandledDuring(async () => {
    const mine = [Deno.listen(LOOPBACK), Deno.listen(LOOPBACK)];
    const server = serve(
      { listeners: mine, onError: (error) => reported.push(error) },
      (conn) => conn.read(new Uint8Array(1)),
    );
    using client = await dial(mine[0]!.addr);
    await until(() => server.connections.size === 1);
    mine[1]!.close();
    await until(() => reported.length === 1);
    mine[0]!.close();
    await until(() => server.state === "draining");
    assertEquals(server.connections.size, 1); // what is open is drained as in any stop
    await client.closeWrite();
    await until(() => server.state === "stopped");
    const error = await assertRejects(() => server.finished, Deno.errors.BadResource);
    assertStrictEquals(error, reported[1]);
    assertEquals(server.report!.completed, 1);
  });
  assertEquals([unhandled, reported.length], [[], 2]); // one for each listener
});

netTest("finished of a server that gave up need not be awaited", async () => {
  const unhandled = await unhandledDuring(async () => {
    const mine = Deno.listen(LOOPBACK);
    const server = serve({ listeners: [mine], onError: () => {} }, async () => {});
    await until(() => server.accepting);
    mine.close();
    await until(() => server.state === "stopped");
  });
  assertEquals(unhandled, []);
});

netTest("a listener that throws BadResource once is not taken for closed", async () => {
  const listener = scriptedListener([]);
  const [socket, client] = await socketPair();
  await using server = serve({ listeners: [listener] }, (conn) => conn.write(bytes`here`));
  await until(() => listener.waiting);
  listener.play(new Deno.errors.BadResource("Listener has been closed")); // EINTR looks like that
  await until(() => listener.waiting);
  listener.play(socket);
  assertEquals(text(await readAll(client)), "here");
  assertEquals(server.stats().acceptFailures, { aborted: 1, resources: 0 });
});

netTest("a server whose listener fails for 30 s for an unknown cause gives up", async () => {
  using time = new FakeTime();
  const reported: { at: number; error: unknown }[] = [];
  const since = Date.now();
  const listener = scriptedListener([]);
  let failures = 0;
  listener.otherwise = () => new Error(`cucumber ${++failures}`);
  let lastError: unknown;
  const unhandled = await unhandledDuring(async () => {
    const server = serve({
      listeners: [listener],
      onError: (error) => reported.push({ at: Date.now() - since, error }),
    }, async () => {});
    while (server.state !== "stopped") {
      // Thousands of tries at once come before each wait.
      await until(() => server.waitingFor === "resources" || server.state !== "running");
      await turns();
      time.tick(100);
      assert(Date.now() - since < 60_000, "never gave up");
    }
    lastError = await assertRejects(() => server.finished, Error);
  });
  assertEquals(unhandled, []);
  const { at, error } = reported.at(-1)!;
  assertStrictEquals(lastError, error);
  assert(at >= 30_000 && at < 36_000, `gave up after ${at} ms`);
  const { message } = error as Error;
  assert(
    message === `Cannot accept on tcp://192.0.2.1:7: cucumber ${failures}; the server has given up`,
    message,
  );
  assertEquals(reported.filter((report) => report.error === error).length, 1);
});

netTest("a server whose listener lacks resources for hours does not give up", async () => {
  using time = new FakeTime();
  const listener = scriptedListener([]);
  listener.otherwise = () => "EMFILE";
  let reports = 0;
  await using server = serve({ listeners: [listener], onError: () => reports++ }, (conn) => {
    return conn.write(bytes`back again`);
  });
  const minutes = 10;
  for (let i = 0; i < minutes * 60; i++) {
    await turn();
    time.tick(1000);
  }
  assertEquals(server.state, "running");
  assert(reports > minutes && reports <= minutes * 60, `${reports} reports in ${minutes} min`);
  const [socket, client] = await socketPair();
  listener.otherwise = undefined;
  listener.play(socket);
  time.tick(1000);
  assertEquals(text(await readAll(client)), "back again");
});

netTest(
  "each listener has its name and its handler, and the handler of serve() where it has none",
  async () => {
    const { ended, onEnd } = noteEnds();
    const said = (by: string) => (conn: Connection) =>
      conn.write(bytes`${by} ${conn.listenerName}`);
    const server = serve({
      listeners: [
        { ...LOOPBACK, name: "mail", handler: said("mail's") },
        { ...LOOPBACK, name: "web" },
        { ...LOOPBACK, handler: said("its own") },
        listen(LOOPBACK),
      ],
      onEnd,
    }, said("all's"));
    const ports = server.addrs.map(({ port }) => port); // no cast: all are TCP
    const heard: string[] = [];
    for (const addr of server.addrs) heard.push(text(await readAll(await dial(addr))));
    const names = ["mail", "web", ...ports.slice(2).map((port) => `tcp://127.0.0.1:${port}`)];
    assertEquals(heard, [
      `mail's ${names[0]}`,
      `all's ${names[1]}`,
      `its own ${names[2]}`,
      `all's ${names[3]}`,
    ]);
    await server.shutdown();
    assertEquals(ended.map(({ listenerName }) => listenerName), names);
  },
);

netTest(
  "serve() needs no handler where each listener has one, and throws where one has none",
  async () => {
    const handler = (conn: Connection) => conn.write(bytes`hello`);
    await using server = serve({ listeners: [{ ...LOOPBACK, handler }] });
    assertEquals(text(await readAll(await dial(server.addr as Deno.NetAddr))), "hello");
    const partly = { listeners: [{ ...LOOPBACK, handler }, LOOPBACK] } as ServeHandledOptions;
    assertThrows(() => serve(partly), TypeError, "Cannot serve without a handler");
    assertThrows(
      () => serve({ listeners: [{ ...LOOPBACK, name: "" }] }, handler),
      TypeError,
      "Cannot serve listeners[0] with 'name' of \"\": use a text that is not empty",
    );
    assertThrows(
      () => serve({ listeners: [{ ...LOOPBACK, handler: 1 as unknown as Handler }] }, handler),
      TypeError,
      "Cannot serve listeners[0] with 'handler' of 1: use a function",
    );
  },
);

netTest(
  "a label stands in the end record, in the log line and in the table of connections, and in no metric",
  async () => {
    const { ended, onEnd } = noteEnds();
    using stderr = stub(console, "error");
    const server = serve({ ...LOOPBACK, onEnd }, async (conn) => {
      conn.label = `${await conn.readLine()}\n${"x".repeat(300)}`;
      await conn.readLine();
      throw new RangeError("division by cucumber");
    });
    using client = await dial(server.addr);
    await client.write(bytes`Ada\n`);
    await until(() => [...server.connections].some(({ label }) => label !== undefined));
    const [row] = listConnections(server, new URLSearchParams("filter=ada")).connections;
    assertStringIncludes(row!.label, "Ada\\u000axxx");
    assertFalse(metricsText(server).includes("Ada"));
    await client.write(bytes`Bob\n`);
    await until(() => ended.length === 1);
    assertEquals([ended[0]!.label!.length, ended[0]!.label!.slice(0, 5)], [200, "Ada\nx"]);
    assertStringIncludes(String(stderr.calls[0]!.args[0]), "usher: connection 1 (Ada\\u000axxx");
    client.close();
    await server.shutdown();
  },
);

Deno.test("label refuses what is no text, and undefined takes it away", () => {
  const { conn } = scripted();
  assertEquals(conn.label, undefined);
  conn.label = "Ada";
  const wrong = 5 as unknown as string;
  assertThrows(() => conn.label = wrong, TypeError, "'label' of 5: use a text");
  assertEquals(conn.label, "Ada");
  conn.label = undefined;
  assertEquals(conn.label, undefined);
  conn.close();
});
