/** Tests that servers are told from other values, and that their counters never shrink. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { connect } from "../../lib/testing/mod.ts";
import { checkServer, isServer, steadyStats } from "../../lib/watch/observed.ts";
import type { Server } from "../../mod.ts";

Deno.test("checkServer() takes what serve() returns", async () => {
  await using client = connect(async () => {});
  checkServer("watch", client.server);
  assertEquals(isServer(client.server), true);
});

for (const value of [undefined, null, 7, "server", {}, () => {}, { stats: () => ({}) }]) {
  Deno.test(`checkServer() refuses ${Deno.inspect(value)}`, () => {
    assertThrows(
      () => checkServer("watch", value),
      TypeError,
      "Cannot watch what is no server: use what serve() returns",
    );
  });
}

Deno.test("isServer() is false for an object of servers, whatever their names", async () => {
  await using client = connect(async () => {});
  assertEquals(isServer({ stats: client.server, addr: client.server }), false);
});

Deno.test("steadyStats() keeps the highest count while a server takes bytes back", async () => {
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

Deno.test("steadyStats() is stats() otherwise", async () => {
  await using client = connect((conn) => conn.readLine());
  await client.write(new TextEncoder().encode("hello\n"));
  await client.ended;
  assertEquals(steadyStats(client.server), client.server.stats());
});
