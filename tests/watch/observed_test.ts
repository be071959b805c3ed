/** Servers are distinguished from other values, by themselves and by name. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { connect } from "../../lib/testing/mod.ts";
import { checkServer, serversByName } from "../../lib/watch/observed.ts";

Deno.test("checkServer() takes what serve() returns", async () => {
  await using client = connect(async () => {});
  checkServer("watch", client.server);
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

Deno.test('serversByName() gives one server the name "", and keeps the names of several', async () => {
  await using one = connect(async () => {});
  await using two = connect(async () => {});
  assertEquals([...serversByName("watch", one.server)], [["", one.server]]);
  // However they are called: these are names of what makes a server one.
  const several = { stats: one.server, addr: two.server };
  const expected: [string, unknown][] = Object.entries(several);
  assertEquals<[string, unknown][]>([...serversByName("watch", several)], expected);
});

Deno.test("serversByName() refuses several values of which one is no server", async () => {
  await using one = connect(async () => {});
  for (const given of [{ one: one.server, two: undefined }, [one.server, 7], "one"]) {
    assertThrows(() => serversByName("watch", given), TypeError, "Cannot watch what is no server");
  }
});
