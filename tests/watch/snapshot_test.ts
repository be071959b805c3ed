/** Does the page hear all that it shows? @module */

import { assertEquals } from "@std/assert";
import { connect } from "../../lib/testing/mod.ts";
import { snapshot } from "../../lib/watch/snapshot.ts";

Deno.test("snapshot() has state, addresses, limit and stats, as JSON on one line", async () => {
  await using client = connect((conn) => conn.readLine(), { maxConnections: 5 });
  const { server } = client;
  const said = snapshot(server, true);
  assertEquals(said.includes("\n"), false);
  const { at: _, ...rest } = JSON.parse(said);
  assertEquals(rest, {
    state: "running",
    accepting: true,
    waitingFor: null,
    addrs: ["tcp://192.0.2.1:7"],
    limit: 5,
    actions: true,
    stats: JSON.parse(JSON.stringify(server.stats())),
  });
});

Deno.test("snapshot() has no limit where there is none", async () => {
  await using client = connect(async () => {}, { maxConnections: Infinity });
  assertEquals(JSON.parse(snapshot(client.server, false)).limit, null);
});
