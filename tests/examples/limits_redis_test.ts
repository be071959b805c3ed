/** Processes share one limit through a real Redis, and go on without it. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { serveLimited } from "../../examples/limits_redis.ts";
import { RedisServer } from "../interop/redis_server.ts";
import { bytes } from "../support/bytes.ts";
import { netTest, root } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { turn, turns, until } from "../support/wait.ts";

const NEEDS = { programs: ["redis-server"] };

const LEASES = "usher:leases";

/** One process of the example; returns where it listens. */
async function start(program: Program): Promise<Deno.NetAddr> {
  const [, port] = /:(\d+)$/.exec(await program.line()) ?? [];
  return { transport: "tcp", hostname: "127.0.0.1", port: Number(port) };
}

function limited(redis: RedisServer, ...flags: string[]): Program {
  return new Program(new URL("examples/limits_redis.ts", root), {
    how: ["run", "--allow-net"],
    args: ["--port", "0", "--redis", `127.0.0.1:${redis.port}`, ...flags],
  });
}

/** Connects; resolves with the connection if it is served, and with `null` if it is refused. */
async function enter(addr: Deno.NetAddr): Promise<Deno.Conn | null> {
  const conn = await dial(addr);
  try {
    await conn.write(bytes`x`);
    if (await conn.read(new Uint8Array(1)) === 1) return conn;
  } catch {
    // A refusal may arrive as a reset.
  }
  conn.close();
  return null;
}

/** Ten more connections at once; those that are served stay. */
async function fill(addr: Deno.NetAddr, all: Deno.Conn[]): Promise<void> {
  const entered = await Promise.all(Array.from({ length: 10 }, () => enter(addr)));
  all.push(...entered.filter((conn) => conn !== null));
}

/** Resolves when so many leases are there. */
async function leases(redis: RedisServer, count: number): Promise<void> {
  while (await redis.ask(`ZCARD ${LEASES}`) !== `:${count}`) await turn();
}

netTest("two processes together never serve more clients than the limit", async () => {
  await using redis = await RedisServer.start();
  await using one = limited(redis, "--limit", "10");
  await using other = limited(redis, "--limit", "10");
  const addrs = [await start(one), await start(other)];
  let inside = 0, most = 0, served = 0, refused = 0;
  await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    for (let round = 0; round < 10; round++) {
      using conn = await enter(addrs[i % 2]!);
      if (conn === null) {
        refused++;
        continue;
      }
      served++;
      most = Math.max(most, ++inside);
      // The first stay until all others of the first hundred are refused.
      if (round === 0) await until(() => refused >= 90);
      else await turns(3);
      // Before it leaves: its lease is there for at least as long as it counts here.
      inside--;
    }
  }));
  assertEquals(most, 10);
  assert(served > 10, `${served} served`);
  await leases(redis, 0);
}, NEEDS);

netTest("a process that is killed gives its leases back when they expire", async () => {
  await using redis = await RedisServer.start();
  const flags = ["--limit", "10", "--expiry", "1000"];
  await using one = limited(redis, ...flags);
  await using other = limited(redis, ...flags);
  const [here, there] = [await start(one), await start(other)];
  using lost = new DisposableStack();
  for (let i = 0; i < 10; i++) lost.use(await enter(here));
  await leases(redis, 10);
  // Longer than a lease lives: they are renewed.
  const since = performance.now();
  while (performance.now() - since < 1500) assertEquals(await enter(there), null);
  one.kill("SIGKILL");
  await one.status;
  assertEquals(await enter(there), null);
  let conn: Deno.Conn | null;
  while ((conn = await enter(there)) === null) await turn();
  using _ = conn;
  await leases(redis, 1);
}, NEEDS);

netTest("without Redis the local limit counts, and with it again that of all", async () => {
  const redis = await RedisServer.start();
  const reports: string[] = [];
  const server = await serveLimited({ hostname: LOOPBACK.hostname, port: 0 }, {
    redis: { hostname: "127.0.0.1", port: redis.port },
    limit: 5,
    localLimit: 3,
    expiry: 10_000,
    report: (sentence) => void reports.push(sentence),
  });
  const addr = server.addr as Deno.NetAddr;
  const all: Deno.Conn[] = [(await enter(addr))!];
  await redis.kill();
  await until(() => reports.length === 1);
  assertMatch(reports[0]!, /^Redis at .* is away \(.*\): .* admits 3 connections by itself$/);
  await fill(addr, all);
  assertEquals(all.length, 3);

  await using again = await redis.again();
  await until(() => reports.length === 2);
  assertMatch(reports[1]!, /^Redis at .* is back: all processes together admit 5 connections$/);
  // Those that came meanwhile have leases, too.
  await leases(again, 3);
  await fill(addr, all);
  assertEquals(all.length, 5);

  for (const conn of all) conn.close();
  await leases(again, 0);
  await server.shutdown();
  assertEquals(reports.length, 2);
}, NEEDS);

for (
  const [how, answer, report] of [
    ["with errors", "-READONLY You can't write\r\n", /READONLY/],
    ["nothing", "", /gone away/],
    ["once and then nothing", ":1\r\n", undefined],
  ] as const
) {
  netTest(`a Redis that answers ${how} counts as away`, async () => {
    using listener = Deno.listen(LOOPBACK);
    const served = (async () => {
      const conns: Deno.Conn[] = [];
      for await (const conn of listener) {
        conns.push(conn);
        conn.read(new Uint8Array(4096)).then(() => conn.write(bytes`${answer}`)).catch(() => {});
      }
      for (const conn of conns) conn.close();
    })();
    const reports: string[] = [];
    const server = await serveLimited({ hostname: LOOPBACK.hostname, port: 0 }, {
      redis: { hostname: "127.0.0.1", port: listener.addr.port },
      limit: 5,
      localLimit: 2,
      expiry: 10_000,
      report: (sentence) => void reports.push(sentence),
    });
    assertEquals(reports.length, report === undefined ? 0 : 1);
    if (report !== undefined) assertMatch(reports[0]!, report);
    const all: Deno.Conn[] = [];
    await fill(server.addr as Deno.NetAddr, all);
    assertEquals(all.length, 2);
    for (const conn of all) conn.close();
    await server.shutdown();
    listener.close();
    await served;
  });
}
