/** A stop keeps to its timeout in real time, too. @module */

import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import { serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { until } from "../support/wait.ts";

/** Ms: the timeout; the last second, for a handler that does not return; what a busy machine takes. */
const TIMEOUT = 300, LAST_CHANCE = 1000, SLACK = 2000;

netTest("a peer that never reads and a handler that never returns delay no stop", async () => {
  const server = serve({ ...LOOPBACK, writeTimeout: Infinity }, async (conn) => {
    if (conn.id === 2) return await new Promise(() => {});
    for (;;) await conn.write(new Uint8Array(1 << 20));
  });
  using _deaf = await dial(server.addr);
  await until(() => server.connections.size === 1);
  using _forgotten = await dial(server.addr);
  await until(() => server.connections.size === 2);
  await server.shutdown({ timeout: TIMEOUT });
  const { completed, forced, abandoned, ms } = server.report!;
  assertEquals({ completed, forced, abandoned }, { completed: 0, forced: 1, abandoned: 1 });
  assertGreaterOrEqual(ms, TIMEOUT + LAST_CHANCE - 1); // a timer may be early by a part of a ms
  assertLess(ms, TIMEOUT + LAST_CHANCE + SLACK);
});
