/** Do byte counts only grow, whatever is taken back? @module */

import { assertEquals } from "@std/assert";
import { connect } from "../../lib/testing/mod.ts";
import { steadyStats } from "../../lib/watch/steady_stats.ts";
import type { Server } from "../../mod.ts";

Deno.test("steadyStats() holds what was seen while a server takes bytes back", async () => {
  await using client = connect(async () => {});
  const { server } = client;
  let bytesRead = 100;
  const shrinking = { ...server, stats: () => ({ ...server.stats(), bytesRead }) } as Server;
  const seen = [100, 60, 99, 101].map((now) => {
    bytesRead = now;
    return steadyStats(shrinking).bytesRead;
  });
  assertEquals(seen, [100, 100, 100, 101]);
  assertEquals(steadyStats(server).bytesRead, 0);
});

Deno.test("steadyStats() says what stats() says otherwise", async () => {
  await using client = connect((conn) => conn.readLine());
  await client.write(new TextEncoder().encode("hello\n"));
  await client.ended;
  assertEquals(steadyStats(client.server), client.server.stats());
});
