/** No client can end a listener. @module */

import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { HardenedListener } from "../../lib/listener/hardened_listener.ts";
import { listen } from "../../mod.ts";
import { pair } from "../../lib/testing/pair.ts";
import { netTest } from "../support/needs.ts";
import { connectAndReset, dial, LOOPBACK } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";

/** A hardened listener over a scripted one. */
function scripted() {
  const bare = scriptedListener([]);
  return {
    bare,
    listener: new HardenedListener({ listener: bare, noDelay: true, keepAlive: true }),
  };
}

const gone = () => Object.assign(new Deno.errors.NotConnected("gone"), { code: "ENOTCONN" });

/** Accepts until the first failure; returns it, or the number of clients if there is none. */
async function plainLoop(listener: Deno.Listener): Promise<unknown> {
  let clients = 0;
  try {
    for await (const conn of listener) {
      conn.close();
      if (++clients === 1) break;
    }
    return clients;
  } catch (error) {
    return error;
  }
}

netTest(
  "a client that resets ends the plain loop, and neither accept() nor for await",
  async () => {
    using plain = Deno.listen(LOOPBACK);
    await connectAndReset(plain.addr);
    {
      using _client = await dial(plain.addr);
      assertInstanceOf(await plainLoop(plain), Deno.errors.NotConnected);
    }

    using hardened = listen(LOOPBACK);
    await connectAndReset(hardened.addr);
    {
      using client = await dial(hardened.addr);
      using conn = await hardened.accept();
      assertEquals(conn.remoteAddr, client.localAddr);
    }
    await connectAndReset(hardened.addr);
    {
      using _client = await dial(hardened.addr);
      assertEquals(await plainLoop(hardened), 1);
    }
  },
  { os: ["linux"] },
);

netTest("accept() outlives a hundred clients in a row that reset", async () => {
  using listener = listen(LOOPBACK);
  for (let i = 0; i < 100; i++) await connectAndReset(listener.addr);
  using client = await dial(listener.addr);
  using conn = await listener.accept();
  assertEquals(conn.remoteAddr, client.localAddr);
});

Deno.test("accept() waits where resources are short, and goes on when they are back", async () => {
  using time = new FakeTime();
  const { bare, listener } = scripted();
  bare.play(Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" }));
  const socket = pair()[0];
  bare.play(socket);
  const accepted = listener.accept();
  await time.runMicrotasks();
  assertEquals(bare.accepts, 1);
  time.tick(5);
  assertStrictEquals(await accepted, socket);
});

Deno.test("accept() rejects as Busy while another one is pending, which goes on", async () => {
  const { bare, listener } = scripted();
  const first = listener.accept();
  await assertRejects(() => listener.accept(), Deno.errors.Busy, "another accept is pending");
  assertEquals(bare.accepts, 1);
  const socket = pair()[0];
  bare.play(socket);
  assertStrictEquals(await first, socket);
});

Deno.test("accept() is not pending any more once it has settled", async () => {
  const { bare, listener } = scripted();
  for (let i = 0; i < 2; i++) {
    bare.play(pair()[0]);
    await listener.accept();
  }
  listener.close();
  for (let i = 0; i < 2; i++) {
    await assertRejects(() => listener.accept(), Deno.errors.BadResource, "closed");
  }
});

netTest("close() rejects a pending accept() as Deno does", async () => {
  const messages: string[] = [];
  for (const listener of [Deno.listen(LOOPBACK), listen(LOOPBACK)]) {
    const pending = listener.accept();
    listener.close();
    messages.push((await assertRejects(() => pending, Deno.errors.BadResource)).message);
  }
  assertEquals(messages[1], messages[0]);
});

Deno.test("accept() gives a socket that arrives after close()", async () => {
  const { bare, listener } = scripted();
  bare.holdsAtClose = true;
  const pending = listener.accept();
  listener.close();
  const socket = pair()[0];
  bare.play(socket);
  assertStrictEquals(await pending, socket);
  await assertRejects(() => listener.accept(), Deno.errors.BadResource);
});

Deno.test("for await goes on after each client that is gone, and ends quietly at close()", async () => {
  const { bare, listener } = scripted();
  const sockets = [pair()[0], pair()[0]];
  for (const socket of sockets) {
    bare.play(gone());
    bare.play(socket);
  }
  const seen: Deno.Conn[] = [];
  for await (const conn of listener) {
    seen.push(conn);
    if (seen.length === 2) listener.close();
  }
  assertEquals(seen, sockets);
});

Deno.test("for await ends quietly when the listener is closed elsewhere", async () => {
  const { bare, listener } = scripted();
  bare.play(pair()[0]);
  let clients = 0;
  for await (const _ of listener) {
    clients++;
    bare.close();
  }
  assertEquals(clients, 1);
});

Deno.test("break closes the listener", async () => {
  const { bare, listener } = scripted();
  bare.play(pair()[0]);
  for await (const _ of listener) break;
  assertEquals(bare.closed, true);
});

Deno.test("an error in the body of for await closes the listener", async () => {
  const { bare, listener } = scripted();
  bare.play(pair()[0]);
  await assertRejects(
    async () => {
      for await (const _ of listener) throw new RangeError("mine");
    },
    RangeError,
    "mine",
  );
  assertEquals(bare.closed, true);
});

Deno.test("for await refused as Busy leaves the listener and the pending accept() alone", async () => {
  const { bare, listener } = scripted();
  const first = listener.accept();
  await assertRejects(async () => {
    for await (const _ of listener);
  }, Deno.errors.Busy);
  assertEquals(bare.closed, false);
  const socket = pair()[0];
  bare.play(socket);
  assertStrictEquals(await first, socket);
});

Deno.test("return() of an iterator closes the listener while its next() is pending", async () => {
  const { bare, listener } = scripted();
  const iterator = listener[Symbol.asyncIterator]();
  const next = iterator.next();
  assertEquals(await iterator.return!(), { done: true, value: undefined });
  assertEquals(await next, { done: true, value: undefined });
  assertEquals(bare.closed, true);
});

netTest("disposing and closing may be done twice, in any order", () => {
  const listener = listen(LOOPBACK);
  listener[Symbol.dispose]();
  listener[Symbol.dispose]();
  listener.close();
});

Deno.test("addr is the bare listener's", () => {
  const { bare, listener } = scripted();
  assertStrictEquals(listener.addr, bare.addr);
});

for (const [steps, lives] of [["", true], ["unref", false], ["unref ref", true]] as const) {
  const after = steps === "" ? "by itself" : `after ${steps.replace(" ", "() and ")}()`;
  netTest(
    `a pending accept() ${lives ? "keeps" : "does not keep"} the process ${after}`,
    async () => {
      await using program = new Program(new URL("./programs/accept_alone.ts", import.meta.url), {
        args: steps.split(" "),
      });
      assertEquals(await program.lines(), lives ? ["ready", "alive"] : ["ready"]);
      assertEquals((await program.status).code, 0);
    },
  );
}

netTest(
  "unref() holds for the next accept() too, and for a wait in want of resources",
  async () => {
    await using program = new Program(new URL("./programs/accept_alone.ts", import.meta.url), {
      args: ["starved", "unref"],
    });
    assertEquals(await program.lines(), ["ready"]);
  },
);

Deno.test("accept() gives a socket with the options set", async () => {
  const bare = scriptedListener([]);
  using listener = new HardenedListener({ listener: bare, noDelay: true, keepAlive: false });
  const calls: string[] = [];
  bare.play(Object.assign(pair()[0], {
    setNoDelay: (on: boolean) => void calls.push(`noDelay ${on}`),
    setKeepAlive: (on: boolean) => void calls.push(`keepAlive ${on}`),
  }));
  await listener.accept();
  assertEquals(calls, ["noDelay true"]);
});
