/** All workers of a fleet have one set of limits. @module */

import { assert, assertEquals } from "@std/assert";
import { Client, limited, MOST, NOW } from "../fleet/limited.ts";
import { netTest } from "../support/needs.ts";
import { until } from "../support/wait.ts";

const BEHIND = { proxyProtocol: { trust: ["127.0.0.1"] } };

for (const workers of [2, 4]) {
  netTest(`maxConnections of ${workers} workers is the most that are served at once`, async () => {
    const { running, handlers } = await limited(workers, { maxConnections: 16 });
    await using _ = running;
    const served = new Set<string>();
    await Promise.all(Array.from({ length: 64 }, async () => {
      for (let i = 0; i < 20; i++) {
        await using client = await Client.connect(running.addr);
        const worker = await client.served();
        assert(worker !== null);
        served.add(worker);
        assertEquals(await client.ask("hello"), worker);
      }
    }));
    assertEquals([handlers[MOST], served.size], [16, workers]);
    await until(() => running.stats().active === 0);
    assertEquals(running.stats().accepted, 64 * 20);
  });
}

netTest("maxConnections of 1 serves one client after the other on whichever worker", async () => {
  const { running, handlers } = await limited(3, { maxConnections: 1 });
  await using _ = running;
  await Promise.all(Array.from({ length: 12 }, async () => {
    await using client = await Client.connect(running.addr);
    assert(await client.served() !== null);
  }));
  assertEquals(handlers[MOST], 1);
});

netTest("maxConnections can be set by the fleet and by any worker, for all of them", async () => {
  const { running, handlers } = await limited(2, { maxConnections: 2 });
  await using _ = running;
  const clients = await Promise.all(Array.from({ length: 6 }, () => Client.connect(running.addr)));
  const answers = clients.map((client) => client.served());
  await Promise.race(answers);
  await until(() => handlers[NOW] === 2);
  running.maxConnections = 4;
  await until(() => handlers[NOW] === 4);
  const first = await Promise.race(answers.map(async (answer, i) => (await answer, i)));
  await clients[first]!.ask("limit 6");
  await Promise.all(answers);
  assertEquals([handlers[NOW], running.maxConnections], [6, 6]);
  for (const client of clients) await client[Symbol.asyncDispose]();
});

netTest("the slots of a worker that dies are free for clients that wait", async () => {
  const { running } = await limited(2, { maxConnections: 4 }, { onError: () => {} });
  await using _ = running;
  const first = await Promise.all(Array.from({ length: 4 }, () => Client.connect(running.addr)));
  const homes = await Promise.all(first.map((client) => client.served()));
  const waiting = await Promise.all(Array.from({ length: 8 }, () => Client.connect(running.addr)));
  const served = waiting.map((client) => client.served());
  first[0]!.ask("die");
  const lost = homes.filter((home) => home === homes[0]).length;
  // Each that leaves makes room for the next.
  const answers = await Promise.all(waiting.map(async (client, i) => {
    const home = await served[i];
    await client[Symbol.asyncDispose]();
    return home;
  }));
  // One may have been accepted by the worker that died, and was in line there.
  const inLine = answers.filter((home) => home === null).length;
  assert(inLine <= 1, `${inLine}`);
  for (const client of first) await client[Symbol.asyncDispose]();
  await until(() => running.stats().active === 0);
  const { accepted, ended } = running.stats();
  assertEquals(ended.worker_lost, lost + inLine);
  assertEquals(accepted, Object.values(ended).reduce((sum, count) => sum + count));
});

netTest("maxConnectionsPerPeer counts what a peer has in all workers", async () => {
  const { running } = await limited(2, { maxConnectionsPerPeer: 3, ...BEHIND });
  await using _ = running;
  const of = (from: string, count: number) =>
    Promise.all(Array.from({ length: count }, () => Client.connect(running.addr, from)));
  const clients = await of("192.0.2.1", 10);
  const answers = await Promise.all(clients.map((client) => client.served()));
  assertEquals(answers.filter((answer) => answer !== null).length, 3);
  await until(() => running.stats().refused.peerLimit === 7);
  await using other = (await of("192.0.2.2", 1))[0]!;
  assert(await other.served() !== null);
  for (const client of clients) await client[Symbol.asyncDispose]();
  await until(() => running.stats().active === 1);
  const again = await of("192.0.2.1", 3);
  for (const client of again) assert(await client.served() !== null);
  for (const client of again) await client[Symbol.asyncDispose]();
});

netTest("the connections of a peer in a worker that dies count no longer", async () => {
  const options = { maxConnectionsPerPeer: 4, ...BEHIND };
  const { running } = await limited(2, options, { onError: () => {} });
  await using _ = running;
  const of = (count: number) =>
    Promise.all(Array.from({ length: count }, () => Client.connect(running.addr, "192.0.2.1")));
  const clients = await of(4);
  const homes = await Promise.all(clients.map((client) => client.served()));
  const lost = homes.filter((home) => home === homes[0]).length;
  clients[0]!.ask("die");
  await until(() => running.stats().ended.worker_lost === lost);
  const more = await of(lost + 2);
  const answers = await Promise.all(more.map((client) => client.served()));
  assertEquals(answers.filter((answer) => answer !== null).length, lost);
  for (const client of [...clients, ...more]) await client[Symbol.asyncDispose]();
});

netTest("maxRate is the rate of all workers together", async () => {
  const { running } = await limited(2, { maxRate: { rate: 1, per: 600_000, burst: 5 } });
  await using _ = running;
  const clients = await Promise.all(Array.from({ length: 12 }, () => Client.connect(running.addr)));
  let served = 0;
  for (const client of clients) client.served().then((answer) => answer !== null && served++);
  await until(() => running.waitingFor === "rate");
  await until(() => served >= 5);
  const { accepted } = running.stats();
  // An accept that was pending when another worker took the last token cannot be withdrawn: it is owed.
  assert(accepted >= 5 && accepted <= 6, `${accepted}`);
  await running.shutdown({ timeout: 0 });
  for (const client of clients) await client[Symbol.asyncDispose]();
});

netTest("maxRatePerPeer is one for each peer over all workers", async () => {
  const maxRatePerPeer = { rate: 1, per: 600_000, burst: 4 };
  const { running } = await limited(2, { maxRatePerPeer, ...BEHIND });
  await using _ = running;
  for (const from of ["192.0.2.1", "192.0.2.2"]) {
    const clients = await Promise.all(
      Array.from({ length: 10 }, () => Client.connect(running.addr, from)),
    );
    const answers = await Promise.all(clients.map((client) => client.served()));
    assertEquals(answers.filter((answer) => answer !== null).length, 4);
    for (const client of clients) await client[Symbol.asyncDispose]();
  }
  await until(() => running.stats().refused.rate === 12);
});

netTest("a named set is one set in all workers, those that begin later included", async () => {
  const { running } = await limited(2, BEHIND, { onError: () => {} });
  await using _ = running;
  /** Who serves so many clients of an address, one after the other. */
  const homesOf = async (from: string, count: number) => {
    const homes: (string | null)[] = [];
    for (let i = 0; i < count; i++) {
      await using client = await Client.connect(running.addr, from);
      homes.push(await client.served());
    }
    return new Set(homes);
  };
  const keeper = await Client.connect(running.addr, "192.0.2.9");
  await keeper.served();
  assertEquals(await homesOf("192.0.2.1", 1).then((homes) => homes.has(null)), false);
  await keeper.ask("ban 192.0.2.0/29");
  assertEquals(await homesOf("192.0.2.1", 12), new Set([null]));
  await until(() => running.stats().refused.address === 12);
  await running.restart();
  assertEquals(await homesOf("192.0.2.1", 6), new Set([null]));
  await using other = await Client.connect(running.addr, "192.0.2.9");
  await other.served();
  await other.ask("unban 192.0.2.0/29");
  assertEquals((await homesOf("192.0.2.1", 6)).has(null), false);
  await keeper[Symbol.asyncDispose]();
});
