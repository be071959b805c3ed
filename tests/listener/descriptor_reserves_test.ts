/** Tests that an accept loop without descriptors leaves the next ones to the reserves. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { descriptorReserves } from "../../lib/listener/descriptor_reserves.ts";
import { pair } from "../../lib/testing/mod.ts";
import { serve } from "../../mod.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { turn } from "../support/wait.ts";

Deno.test("descriptorReserves are full before an accept loop that had no descriptor tries again", async () => {
  using time = new FakeTime();
  const reserve = { full: false, refill: () => reserve.full };
  descriptorReserves.add(reserve);
  const listener = scriptedListener([]);
  const server = serve({ listeners: [listener], onError: () => {} }, (conn) => conn.readLine());
  listener.play(Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" }));
  await turn();
  const [client, socket] = pair();
  listener.play(socket);
  await time.tickAsync(3000);
  await turn();
  assertEquals([server.stats().accepted, server.waitingFor], [0, "resources"]);
  reserve.full = true;
  await time.tickAsync(1000);
  await turn();
  assertEquals([server.stats().accepted, server.waitingFor], [1, null]);
  descriptorReserves.delete(reserve);
  client.close();
  await server.shutdown();
});

Deno.test("descriptorReserves keep no accept loop from stopping", async () => {
  using time = new FakeTime();
  const reserve = { refill: () => false };
  descriptorReserves.add(reserve);
  const listener = scriptedListener([]);
  const server = serve({ listeners: [listener], onError: () => {} }, (conn) => conn.readLine());
  listener.play(Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" }));
  await turn();
  const stopped = server.shutdown();
  await time.tickAsync(300);
  await stopped;
  descriptorReserves.delete(reserve);
});
