/** A flood of connects does not keep the accept loop from the sockets. @module */

import { assert, assertEquals, assertGreater } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { AcceptLoop } from "../../lib/server/accept_loop.ts";
import type { Limits, Semaphore } from "../../lib/server/limits.ts";
import { privateLimits } from "../../lib/server/private_limits.ts";
import type { Service } from "../../lib/server/serve_connection.ts";
import { Slots } from "../../lib/server/slots.ts";
import { type ScriptedListener, scriptedListener } from "../../lib/testing/mod.ts";
import { serve } from "../../mod.ts";
import { turn, until } from "../support/wait.ts";
import { bytes } from "../support/bytes.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { Switchboard } from "../support/switchboard.ts";

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

/** The same, each with something to read. */
function* talkingFlood(count: number): Generator<Deno.Conn> {
  for (const socket of flood(count)) {
    (socket as ScriptedSocket).arrive(bytes`hello`);
    yield socket;
  }
}

Deno.test("an accept loop does not yield when it was read what came for the first of the row", async () => {
  const listeners = [scriptedListener(talkingFlood(5000))];
  await using server = serve({ listeners }, async (conn) => void await conn.readExactly(5));
  await turn();
  assertGreater(server.stats().accepted, 1000);
  await until(() => server.stats().accepted === 5000);
});

Deno.test("a connection of one request has no option set, and one of two has", async () => {
  const sockets = [new Switchboard(), new Switchboard()];
  await using server = serve({ listeners: [scriptedListener(sockets)] }, async (conn) => {
    for await (const chunk of conn) await conn.write(chunk);
  });
  await turn();
  sockets.forEach((socket) => socket.arrive(bytes`one`));
  await turn();
  sockets[1]!.arrive(bytes`two`);
  await turn();
  sockets.forEach((socket) => socket.finish());
  await until(() => server.stats().ended.completed === 2);
  assertEquals(sockets.map(({ set }) => set), [[], ["noDelay true"]]);
});

Deno.test("an accept loop that yields goes on under a fake clock", async () => {
  using _time = new FakeTime();
  await using server = serve({ listeners: [scriptedListener(flood(5000))] }, async () => {});
  await until(() => server.stats().accepted === 5000);
  await server.shutdown({ timeout: 0 });
  assertEquals(server.stats().accepted, 5000);
});

/** An accept loop that has these limits, and nothing to accept. */
function looping(limits: Partial<Limits>): { loop: AcceptLoop; listener: ScriptedListener } {
  const listener = scriptedListener([]);
  const { slots: semaphore, ...others } = { ...privateLimits({ maxConnections: 1 }), ...limits };
  const service = {
    limits: { ...others, slots: semaphore },
    slots: new Slots(semaphore),
    options: { whenFull: "wait" },
  };
  const loop = new AcceptLoop(
    { listener, noDelay: true, keepAlive: true },
    "test",
    service as unknown as Service,
  );
  return { loop, listener };
}

Deno.test("an accept loop goes on when another thread frees a slot while it looks for one", async () => {
  let looks = 0;
  const slots: Semaphore = {
    limit: 1,
    get free() {
      return ++looks > 1;
    },
    take: () => true,
    giveBack: () => {},
    watch: () => {},
  };
  const { loop, listener } = looping({ slots });
  await turn();
  assertEquals(listener.accepts, 1);
  loop.acceptor.close();
  await loop.ended;
});

Deno.test("an accept loop waits for its turn, and looks at slots again after it", async () => {
  const turns = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let asked = 0;
  let wake = () => {};
  let free = true;
  const slots: Semaphore = {
    limit: 1,
    get free() {
      return free;
    },
    take: () => true,
    giveBack: () => {},
    watch: (waker) => void (wake = waker),
  };
  const { loop, listener } = looping({ slots, turn: () => turns[asked++]?.promise });
  await turn();
  assertEquals([asked, listener.accepts], [1, 0]);
  free = false; // other threads were faster
  turns[0]!.resolve();
  await turn();
  assertEquals([asked, listener.accepts], [1, 0]);
  free = true;
  wake();
  await turn();
  assertEquals([asked, listener.accepts], [1, 1]);
  loop.acceptor.close();
  await loop.ended;
});
