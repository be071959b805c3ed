/** How a handler ends decides how its connection ends, and no other. @module */

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Connection, type EndRecord, ProtocolError, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectResettable, dial, LOOPBACK, readAll, writeAll } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";

type TcpHandler = (conn: Connection<Deno.NetAddr>) => Promise<unknown>;

/** The records and errors of one connection. */
class Heard {
  readonly ended: EndRecord[] = [];
  readonly reported: unknown[] = [];

  readonly hooks = {
    onEnd: (record: EndRecord) => void this.ended.push(record),
    onError: (error: unknown) => void this.reported.push(error),
  };

  get reasons(): string[] {
    return this.ended.map(({ reason }) => reason);
  }

  /** Resolves when one connection is over. */
  async over(): Promise<void> {
    await until(() => this.ended.length > 0);
  }
}

/** Serves one client that reads to the end; returns its record, the errors and what it got. */
async function serveOnce(handler: TcpHandler): Promise<Heard & { answer: string }> {
  const heard = new Heard();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, handler);
  const answer = text(await readAll(await dial(server.addr)));
  await heard.over();
  return Object.assign(heard, { answer });
}

netTest("a handler that returns ends its connection as completed", async () => {
  const { reasons, reported, answer } = await serveOnce((conn) => conn.write(bytes`done`));
  assertEquals([reasons, reported, answer], [["completed"], [], "done"]);
});

netTest("a handler that rejects ends its connection as handler_error", async () => {
  const error = new Error("division by cucumber");
  const { ended, reported } = await serveOnce(() => Promise.reject(error));
  assertEquals(ended.map(({ reason }) => reason), ["handler_error"]);
  assertStrictEquals(ended[0]!.error, error);
  assertEquals(reported, [error]);
});

netTest("a handler that throws before it returns a promise is no different", async () => {
  const error = new Error("division by cucumber");
  const { ended, reported } = await serveOnce(() => {
    throw error;
  });
  assertEquals(ended.map(({ reason }) => reason), ["handler_error"]);
  assertEquals(reported, [error]);
});

netTest("what a handler wrote before it failed is delivered", async () => {
  const { answer } = await serveOnce((conn) => {
    conn.write(bytes`so far`);
    throw new Error("no further");
  });
  assertEquals(answer, "so far");
});

netTest("a handler that throws undefined has failed, too", async () => {
  const { reasons, reported, ended } = await serveOnce(() => Promise.reject(undefined));
  assertEquals([reasons, reported], [["handler_error"], [undefined]]);
  assert(!("error" in ended[0]!));
});

netTest("a ProtocolError is the peer's fault: counted, and not reported", async () => {
  class GreetingError extends ProtocolError {}
  const error = new GreetingError("say HELO first");
  const { ended, reported } = await serveOnce(() => Promise.reject(error));
  assertEquals(ended.map(({ reason }) => reason), ["protocol_error"]);
  assertStrictEquals(ended[0]!.error, error);
  assertEquals(reported, []);
});

netTest("an error of the connection that the handler rethrows is no handler_error", async () => {
  const heard = new Heard();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    await conn.read(new Uint8Array(1));
  });
  await (await connectResettable(server.addr)).reset();
  await heard.over();
  assertEquals([heard.reasons, heard.reported], [["peer_reset"], []]);
});

const GIVE_UPS: Record<string, (conn: Connection) => Promise<unknown>> = {
  "readLine({ timeout })": (conn) => conn.readLine({ timeout: 5 }),
  "readExactly({ timeout })": (conn) => conn.readExactly(8, { timeout: 5 }),
  "peek({ timeout })": (conn) => conn.peek(8, { timeout: 5 }),
  "read({ timeout })": (conn) => conn.read(new Uint8Array(8), { timeout: 5 }),
  "read({ signal })": (conn) => conn.read(new Uint8Array(8), { signal: AbortSignal.timeout(5) }),
  "read() with a signal that is aborted": (conn) =>
    conn.read(new Uint8Array(8), { signal: AbortSignal.abort() }),
};

for (const [name, read] of Object.entries(GIVE_UPS)) {
  netTest(`a silent peer for which ${name} gives up is not reported`, async () => {
    const heard = new Heard();
    await using server = serve({ ...LOOPBACK, ...heard.hooks }, read);
    using _client = await dial(server.addr);
    await heard.over();
    assertEquals([heard.ended.length, heard.reported], [1, []]);
  });
}

netTest("an error of the connection that the handler wraps is no handler_error", async () => {
  const heard = new Heard();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    try {
      await conn.read(new Uint8Array(1));
    } catch (cause) {
      throw new Error("Cannot greet", { cause });
    }
  });
  await (await connectResettable(server.addr)).reset();
  await heard.over();
  assertEquals([heard.reasons, heard.reported], [["peer_reset"], []]);
});

netTest("a bug that shows after the connection has failed is still reported", async () => {
  const heard = new Heard();
  const bug = new TypeError("undefined is not a cucumber");
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    await conn.read(new Uint8Array(1)).catch(() => {});
    throw bug;
  });
  await (await connectResettable(server.addr)).reset();
  await heard.over();
  assertEquals([heard.reasons, heard.reported], [["peer_reset"], [bug]]);
});

netTest("the failure of another connection ends a handler and is not reported", async () => {
  const heard = new Heard();
  const { promise: first, resolve } = Promise.withResolvers<Connection>();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    if (conn.id === 1) {
      resolve(conn);
      await conn.read(new Uint8Array(1));
    } else {
      const other = await first;
      await new Promise((resolve) => other.signal.addEventListener("abort", resolve));
      await other.write(bytes`are you still there?`);
    }
  });
  const one = await connectResettable(server.addr);
  const two = await dial(server.addr);
  await until(() => server.connections.size === 2);
  await turns();
  await one.reset();
  await readAll(two);
  await until(() => heard.ended.length === 2);
  const reasons = heard.ended.toSorted((a, b) => a.id - b.id).map(({ reason }) => reason);
  assertEquals([reasons, heard.reported], [["peer_reset", "handler_error"], []]);
});

netTest("the reset of a plain socket that a handler uses is not reported either", async () => {
  const { reasons, reported } = await serveOnce(() =>
    Promise.reject(new Deno.errors.ConnectionReset("Connection reset by peer"))
  );
  assertEquals([reasons, reported], [["handler_error"], []]);
});

netTest("a handler that fails costs no other connection anything", async () => {
  const heard = new Heard();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    if (conn.id % 2 === 0) throw new Error("even");
    for await (const chunk of conn) await conn.write(chunk);
  });
  const clients = [];
  for (let i = 0; i < 10; i++) clients.push(await dial(server.addr));
  const answers = await Promise.all(clients.map(async (client) => {
    await client.write(bytes`?`).catch(() => {});
    await client.closeWrite().catch(() => {});
    return text(await readAll(client).catch(() => (client.close(), bytes``)));
  }));
  assertEquals(answers.filter((answer) => answer === "?").length, 5);
  await until(() => heard.ended.length === 10);
  assertEquals(server.stats().ended.handler_error, 5);
});

netTest("the last bytes arrive although the peer is still sending", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.write(bytes`enough`));
  const client = await dial(server.addr);
  const sending = writeAll(client, new Uint8Array(4 << 20)).catch(() => {});
  const got = new Uint8Array(6);
  for (let n = 0; n < 6;) n += (await client.read(got.subarray(n)))!;
  assertEquals(text(got), "enough");
  client.close();
  await sending;
});

netTest("a record has the bytes, the addresses and the times", async () => {
  const heard = new Heard();
  await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
    for await (const chunk of conn) {
      await conn.write(chunk);
      await conn.write(chunk);
    }
  });
  const before = Date.now();
  const client = await dial(server.addr);
  await client.write(bytes`four`);
  await client.closeWrite();
  const { localAddr } = client;
  await readAll(client);
  await heard.over();
  const [{ openedAt, duration, ...record }] = heard.ended as [EndRecord];
  assertEquals(record, {
    id: 1,
    reason: "completed",
    listenerName: `tcp://127.0.0.1:${server.addr.port}`,
    peerAddr: localAddr,
    remoteAddr: localAddr,
    bytesRead: 4,
    bytesWritten: 8,
  });
  assert(openedAt >= before && openedAt <= Date.now());
  assert(duration >= 0 && duration <= performance.now());
});

netTest(
  "a record is written when the handler has settled, although the peer left before",
  async () => {
    const heard = new Heard();
    const { promise: mayReturn, resolve: letGo } = Promise.withResolvers<void>();
    let failed = false;
    await using server = serve({ ...LOOPBACK, ...heard.hooks }, async (conn) => {
      await conn.read(new Uint8Array(1)).catch(() => failed = true);
      await mayReturn;
    });
    await (await connectResettable(server.addr)).reset();
    await until(() => failed);
    await turns();
    assertEquals([heard.reasons, server.stats().active], [[], 1]);
    letGo();
    await heard.over();
    assertEquals(heard.reasons, ["peer_reset"]);
  },
);

netTest(
  "a record is written when the socket is closed, although the handler has settled",
  async () => {
    using time = new FakeTime();
    const heard = new Heard();
    await using server = serve(
      { ...LOOPBACK, ...heard.hooks },
      (conn) => conn.write(bytes`goodbye`),
    );
    using client = await dial(server.addr);
    await client.read(new Uint8Array(7));
    assertEquals(await client.read(new Uint8Array(1)), null); // FIN: everything was said
    await turns();
    assertEquals([heard.reasons, server.stats().active], [[], 1]);
    time.tick(700); // half a second for the peer's FIN, on a clock of 100 ms
    await heard.over();
    assertEquals(heard.reasons, ["completed"]);
  },
);

netTest("onEnd finds the connection gone from connections, and the counts complete", async () => {
  const seen: unknown[] = [];
  await using server = serve({
    ...LOOPBACK,
    onEnd: () => {
      const { accepted, active, ended } = server.stats();
      seen.push({ size: server.connections.size, accepted, active, completed: ended.completed });
    },
  }, async () => {});
  await readAll(await dial(server.addr));
  await until(() => seen.length > 0);
  assertEquals(seen, [{ size: 0, accepted: 1, active: 0, completed: 1 }]);
});

netTest("a handler that closes its connection and returns has completed it", async () => {
  const { reasons, reported } = await serveOnce((conn) => {
    conn.close();
    return Promise.resolve();
  });
  assertEquals([reasons, reported], [["completed"], []]);
});

netTest(
  "a handler that uses a connection which it has closed has a bug, which is reported",
  async () => {
    const { reasons, reported } = await serveOnce(async (conn) => {
      conn.close();
      await conn.write(bytes`too late`);
    });
    assertEquals(reasons, ["handler_error"]);
    assert(reported[0] instanceof Deno.errors.BadResource);
  },
);

netTest("a thenable is awaited like a promise", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const heard = new Heard();
  await using server = serve(
    { ...LOOPBACK, ...heard.hooks },
    ((conn: Connection) => ({
      then(settled: () => void) {
        conn.write(bytes`thenable`);
        promise.then(settled);
      },
    })) as unknown as TcpHandler,
  );
  const client = await dial(server.addr);
  await client.read(new Uint8Array(8));
  assertEquals(server.connections.size, 1);
  resolve();
  assertEquals(await readAll(client), bytes``);
});
