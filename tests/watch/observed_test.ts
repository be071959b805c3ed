/** Is a server told from everything else? @module */

import { assertEquals, assertThrows } from "@std/assert";
import { checkServer, isServer } from "../../lib/watch/observed.ts";
import { connect } from "../../lib/testing/mod.ts";

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

Deno.test("isServer() takes an object of servers for none, whatever they are called", async () => {
  await using client = connect(async () => {});
  assertEquals(isServer({ stats: client.server, addr: client.server }), false);
});
