/** A flood of connects does not keep the accept loop from the sockets. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { scriptedListener } from "../../lib/testing/mod.ts";
import { serve } from "../../mod.ts";
import { turn, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** More connections than an accept loop may take in a row, each there when it is accepted. */
function* flood(count: number): Generator<Deno.Conn> {
  for (let i = 0; i < count; i++) yield new ScriptedSocket();
}

Deno.test("an accept loop yields to the sockets after 64 accepts that came at once", async () => {
  await using server = serve({ listeners: [scriptedListener(flood(5000))] }, async () => {});
  await turn();
  // Each time that this machine does something else, a row begins anew.
  const { accepted } = server.stats();
  assert(accepted > 0 && accepted < 1000, `${accepted} accepted in one turn of the event loop`);
  await until(() => server.stats().accepted === 5000);
});

Deno.test("an accept loop that yields goes on under a fake clock", async () => {
  using _time = new FakeTime();
  await using server = serve({ listeners: [scriptedListener(flood(5000))] }, async () => {});
  await until(() => server.stats().accepted === 5000);
  await server.shutdown({ timeout: 0 });
  assertEquals(server.stats().accepted, 5000);
});
