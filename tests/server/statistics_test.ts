/** Is what was counted what happened? @module */

import { assert, assertEquals } from "@std/assert";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import { serve, type ServerStats } from "../../mod.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, dial, LOOPBACK, readAll, readExactly, turns, until } from "../support/peers.ts";
import { emfile, ScriptedListener } from "../support/scripted_listener.ts";

netTest("stats() has every count from the start, at 0", async () => {
  await using server = serve(LOOPBACK, async () => {});
  assertEquals(server.stats(), {
    accepted: 0,
    active: 0,
    refused: { full: 0 },
    ended: Object.fromEntries(END_REASONS.map((reason) => [reason, 0])) as ServerStats["ended"],
    acceptFailures: { lost: 0, starved: 0 },
    bytesRead: 0,
    bytesWritten: 0,
    fullFor: 0,
  });
});

netTest("stats() is a snapshot: it does not change later", async () => {
  await using server = serve(LOOPBACK, async () => {});
  const before = server.stats();
  const copy = structuredClone(before);
  await readAll(await dial(server.addr));
  await until(() => server.stats().ended.completed === 1);
  assertEquals(before, copy);
});

netTest("stats() counts the bytes of running connections and of those that are over", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    for await (const chunk of conn) {
      await conn.write(chunk);
      await conn.write(bytes`!`);
    }
  });
  for (let i = 1; i <= 2; i++) {
    const client = await dial(server.addr);
    await client.write(bytes`12345`);
    await readExactly(client, 6);
    await until(() => server.stats().bytesWritten === 6 * i);
    assertEquals([server.stats().bytesRead, server.stats().active], [5 * i, 1]);
    client.close();
    await until(() => server.stats().active === 0);
    assertEquals([server.stats().bytesRead, server.stats().bytesWritten], [5 * i, 6 * i]);
  }
});

netTest("stats() counts who waits for a slot as accepted and active", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  server.pause();
  using client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  assertEquals([server.stats().accepted, server.stats().active, held.served], [1, 1, 0]);
  server.resume();
  await until(() => held.served === 1);
  client.close();
  held.letGo();
});

netTest("stats() counts failures of accepting by word", async () => {
  const listener = new ScriptedListener();
  const lost = () => new Deno.errors.NotConnected("Socket is not connected (os error 107)");
  listener.fail(lost());
  listener.fail(emfile());
  listener.fail(lost());
  listener.fail(lost());
  await using server = serve({ listeners: [listener], onError: () => {} }, async () => {});
  await until(() => listener.waiting);
  assertEquals(server.stats().acceptFailures, { lost: 3, starved: 1 });
  assertEquals(server.stats().accepted, 0);
});

netTest("stats() tells for how long every slot was taken, and only that", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  await turns(3);
  assertEquals(server.stats().fullFor, 0);
  using client = await dial(server.addr);
  await until(() => held.served === 1);
  await until(() => server.stats().fullFor > 2);
  client.close();
  held.letGo();
  await until(() => server.stats().active === 0);
  await until(() => server.waitingFor === null);
  const { fullFor } = server.stats();
  assert(fullFor > 2);
  await turns(3);
  assertEquals(server.stats().fullFor, fullFor);
});

netTest("stats() can still be asked when the server has stopped", async () => {
  const server = serve(LOOPBACK, (conn) => conn.write(bytes`bye`));
  await readAll(await dial(server.addr));
  await server.shutdown();
  const { accepted, active, ended, bytesWritten } = server.stats();
  assertEquals([accepted, active, ended.completed, bytesWritten], [1, 0, 1, 3]);
});
