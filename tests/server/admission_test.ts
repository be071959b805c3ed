/** `admit` says who may come in, once for each, and gets back what it gave. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertMatch,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  type Admit,
  type AdmitResult,
  type Connection,
  type EndRecord,
  type IdentifiedConnection,
  RefusedError,
  serve,
} from "../../mod.ts";
import {
  accountedFor,
  arrived,
  BEHIND,
  dialSaying,
  dialTlsSaying,
  headerOf,
  LOCAL,
  proxied,
} from "../support/balancer.ts";
import { bytes, text } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { echo } from "../support/handlers.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { serveNoting } from "../support/noting.ts";
import { connectResettable, dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { pass, turns, until } from "../support/wait.ts";

/** A hook that a test answers, and the leases that it gives. */
class Asked {
  /** What was asked about and is not answered. */
  readonly waiting: {
    readonly conn: IdentifiedConnection<Deno.NetAddr>;
    readonly answer: (result: AdmitResult | PromiseLike<AdmitResult>) => void;
    readonly fail: (error: unknown) => void;
  }[] = [];
  readonly log: string[] = [];

  readonly admit: Admit<Deno.NetAddr> = (conn) => {
    this.log.push(`asked ${conn.id}`);
    const { promise, resolve: answer, reject: fail } = Promise.withResolvers<AdmitResult>();
    this.waiting.push({ conn, answer, fail });
    return promise;
  };

  /** Records, in order with what is asked and given back. */
  readonly onEnd = ({ id, reason }: EndRecord): void => void this.log.push(`${reason} ${id}`);

  /** The hooks of a server. */
  readonly hooks = { admit: this.admit, onEnd: this.onEnd };

  /** What is given back by a dispose that is over at once. */
  lease(id: number): Disposable {
    return { [Symbol.dispose]: () => void this.log.push(`back ${id}`) };
  }

  /** What is given back by a dispose that lasts until the test ends it. */
  slowLease(id: number): AsyncDisposable & { end: () => void } {
    const { promise, resolve: end } = Promise.withResolvers<void>();
    return {
      end,
      [Symbol.asyncDispose]: () => {
        this.log.push(`going back ${id}`);
        return promise.then(() => void this.log.push(`back ${id}`));
      },
    };
  }

  answer(result: AdmitResult | PromiseLike<AdmitResult>): void {
    this.waiting.shift()!.answer(result);
  }

  async one(): Promise<IdentifiedConnection<Deno.NetAddr>> {
    await until(() => this.waiting.length > 0);
    return this.waiting[0]!.conn;
  }
}

// What it is asked, and when.

netTest(
  "admit sees the client of a PROXY header and of TLS, and the handler gets the same connection",
  async () => {
    const asked: IdentifiedConnection<Deno.NetAddr>[] = [];
    const served: Connection<Deno.NetAddr>[] = [];
    const { cert, key } = certificate;
    await using server = serve({
      listeners: [{ ...LOOPBACK, ...BEHIND, cert, key, name: "door" }],
      admit: (conn) => {
        asked.push(conn);
        conn.label = "ada";
        assertEquals([conn.id, conn.listenerName], [1, "door"]);
        assertEquals(conn.proxy, headerOf("192.0.2.7"));
        assertEquals(conn.remoteAddr.hostname, "192.0.2.7");
        assertEquals(conn.peerAddr.hostname, "127.0.0.1");
        assertEquals(conn.tls!.version, "TLSv1.3");
        assertFalse(conn.signal.aborted);
      },
    }, async (conn) => {
      served.push(conn);
      await conn.write(bytes`${conn.label}`);
    });
    const client = await dialTlsSaying(server.addr, proxied("192.0.2.7"));
    assertEquals(text(await readAll(client)), "ada");
    assertEquals(asked.length, 1);
    assertStrictEquals(asked[0] as unknown, served[0] as unknown);
  },
);

/** What lets a client in. */
const ADMITS: Record<string, (asked: Asked) => AdmitResult> = {
  "nothing": () => {},
  "true": () => true,
  "a Disposable": (asked) => asked.lease(1),
  "an AsyncDisposable": (asked) => ({
    [Symbol.asyncDispose]: () => Promise.resolve(asked.lease(1)[Symbol.dispose]()),
  }),
};

for (const [what, resultOf] of Object.entries(ADMITS)) {
  for (const how of ["at once", "later"] as const) {
    netTest(
      `admit that gives ${what} ${how} lets the client in, and gets it back before the record`,
      async () => {
        const asked = new Asked();
        const server = serve({
          ...LOOPBACK,
          onEnd: asked.onEnd,
          admit: (conn) => how === "at once" ? resultOf(asked) : asked.admit(conn),
        }, echo);
        const client = await dial(server.addr);
        if (how === "later") {
          await asked.one();
          asked.answer(resultOf(asked));
        }
        await client.write(bytes`hello`);
        assertEquals(text(await readExactly(client, 5)), "hello");
        assertFalse(asked.log.includes("back 1"));
        client.close();
        await server.shutdown();
        const back = what.endsWith("Disposable") ? ["back 1"] : [];
        assertEquals(asked.log.slice(how === "at once" ? 0 : 1), [...back, "completed 1"]);
      },
    );
  }
}

netTest("a client whose admit is false is refused, counted and reported with others", async () => {
  const { server, ended, errors } = serveNoting(echo, { admit: ({ id }) => id % 2 === 0 });
  assertEquals(text(await readAll(await dial(server.addr))), "");
  const client = await dial(server.addr);
  await client.closeWrite();
  assertEquals(text(await readAll(client)), "");
  assertEquals(text(await readAll(await dial(server.addr))), "");
  await until(() => ended.length === 3);
  assertEquals(server.stats().refused.admit, 2);
  await server.shutdown();
  assertEquals(ended.map(({ id, reason, error }) => [id, reason, error]), [
    [1, "refused_admit", undefined],
    [2, "completed", undefined],
    [3, "refused_admit", undefined],
  ]);
  const [error] = errors as [RefusedError];
  assertMatch(error.message, /^2 refused in \d+ s: 2 not admitted$/);
});

/** Ways in which a hook fails. */
const FAILURES: Record<string, Admit> = {
  "throws": () => {
    throw new RangeError("no database");
  },
  "rejects": () => Promise.reject(new RangeError("no database")),
  "gives a thenable that throws": () => ({
    then() {
      throw new RangeError("no database");
    },
  }),
};

for (const [how, admit] of Object.entries(FAILURES)) {
  netTest(
    `a client whose admit ${how} is refused, and onError receives the error once`,
    async () => {
      const { server, ended, errors } = serveNoting(echo, { admit });
      assertEquals(text(await readAll(await dial(server.addr))), "");
      await until(() => ended.length === 1);
      await server.shutdown();
      const [error, refused, ...more] = errors as [RangeError, RefusedError];
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "Hook 'admit' failed: no database");
      assertInstanceOf(refused, RefusedError);
      assertEquals([more, ended[0]!.reason, ended[0]!.error], [[], "refused_admit", error]);
    },
  );
}

for (
  const [shown, result] of [["null", null], ["0", 0], ['"yes"', "yes"], ["an object", {}]] as const
) {
  for (const how of ["at once", "later"]) {
    netTest(`admit that gives ${shown} ${how} is refused with what to return`, async () => {
      const given = result as unknown as AdmitResult;
      const { server, ended, errors } = serveNoting(echo, {
        admit: () => how === "later" ? Promise.resolve(given) : given,
      });
      assertEquals(text(await readAll(await dial(server.addr))), "");
      await until(() => ended.length === 1);
      await server.shutdown();
      const [error] = errors as [TypeError];
      assertInstanceOf(error, TypeError);
      assertEquals(
        error.message,
        `Hook 'admit' failed: Cannot admit a connection with ${shown} from 'admit': return true, ` +
          "false, nothing, or what is to be disposed when it is over",
      );
      assertEquals([ended[0]!.reason, ended[0]!.error], ["refused_admit", error]);
    });
  }
}

netTest(
  "admit is not asked about health checks, of a port or of the server behind a proxy",
  async () => {
    const asked = new Asked();
    const server = serve({ ...LOOPBACK, ...BEHIND, ...asked.hooks }, echo);
    (await dial(server.addr)).close();
    await until(() => asked.log.length === 1);
    (await dialSaying(server.addr, LOCAL)).close();
    await until(() => asked.log.length === 2);
    // A proxy that asks the protocol whether it works is served.
    const client = await dialSaying(server.addr, LOCAL, bytes`ping`);
    assertEquals(text(await readExactly(client, 4)), "ping");
    client.close();
    await server.shutdown();
    assertEquals(asked.log, ["health_check 1", "health_check 2", "completed 3"]);
  },
);

netTest("admit is not asked about what address rules or the handshake have refused", async () => {
  const asked = new Asked();
  const server = serve({
    listeners: [
      { ...LOOPBACK, ...certificate },
      { ...LOOPBACK, ...BEHIND },
    ],
    deny: ["192.0.2.0/24"],
    onError: () => {},
    admit: asked.admit as Admit,
    onEnd: asked.onEnd,
  }, echo);
  const [inTls, behind] = server.addrs as [Deno.NetAddr, Deno.NetAddr];
  await readAll(await dialSaying(behind, proxied("192.0.2.7")));
  const client = await dialSaying(inTls, bytes`GET / HTTP/1.1\r\n\r\n`);
  await until(() => asked.log.length === 2);
  client.close();
  await server.shutdown();
  assertEquals(asked.log, ["refused_address 1", "handshake_failed 2"]);
});

// While it waits.

netTest("a connection that waits for admit is never displaced, and displaces none", async () => {
  const asked = new Asked();
  await using server = serve(
    {
      ...LOOPBACK,
      ...BEHIND,
      ...asked.hooks,
      maxHandshaking: 1,
      maxConnections: 20,
      onError: () => {},
    },
    echo,
  );
  const clients = [];
  for (let i = 0; i < 10; i++) {
    clients.push(await dialSaying(server.addr, proxied("198.51.100.1")));
    await until(() => asked.waiting.length === i + 1);
  }
  assertEquals([server.stats().handshaking, server.stats().active], [0, 10]);
  using silent = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  using _displacing = await dial(server.addr);
  assertEquals(await silent.read(new Uint8Array(1)), null);
  for (const client of clients) {
    asked.answer(true);
    await client.write(bytes`x`);
    assertEquals(text(await readExactly(client, 1)), "x");
    client.close();
  }
});

netTest("a connection that waits for admit holds its slot", async () => {
  const asked = new Asked();
  await using server = serve({ ...LOOPBACK, ...asked.hooks, maxConnections: 1 }, echo);
  const first = await dial(server.addr);
  await asked.one();
  assertEquals(server.waitingFor, "slot");
  const second = await dial(server.addr);
  await turns();
  assertEquals(asked.waiting.length, 1);
  asked.answer(false);
  await until(() => asked.waiting.length === 1);
  asked.answer(true);
  await second.write(bytes`x`);
  assertEquals(text(await readExactly(second, 1)), "x");
  first.close();
  second.close();
});

netTest("neither idleTimeout nor receiveTimeout count while admit is waited for", async () => {
  using time = new FakeTime();
  const asked = new Asked();
  await using server = serve(
    { ...LOOPBACK, ...asked.hooks, idleTimeout: 300, receiveTimeout: 300 },
    echo,
  );
  const client = await dial(server.addr);
  await asked.one();
  await pass(time, 9000);
  asked.answer(true);
  await client.write(bytes`x`);
  assertEquals(text(await readExactly(client, 1)), "x");
  await pass(time, 500);
  assertEquals(await client.read(new Uint8Array(1)), null);
  client.close();
  assertEquals(asked.log, ["asked 1", "idle_timeout 1"]);
});

for (const said of ["", "hello"]) {
  netTest(
    `conn.signal aborts when a client that has said "${said}" resets while admit is waited for`,
    async () => {
      const asked = new Asked();
      await using server = serve({ ...LOOPBACK, ...asked.hooks }, echo);
      const client = await connectResettable(server.addr);
      const { signal } = await asked.one();
      if (said !== "") client.write(bytes`${said}`);
      await until(() => arrived(server) === said.length);
      await client.reset();
      await until(() => signal.aborted);
      assertInstanceOf(signal.reason, Deno.errors.ConnectionReset);
      // It has its slot and no record until the hook has answered, which may hold something.
      await turns();
      assertEquals([server.stats().active, asked.log], [1, ["asked 1"]]);
      asked.answer(asked.lease(1));
      await until(() => server.stats().active === 0);
      assertEquals(asked.log, ["asked 1", "back 1", "peer_reset 1"]);
    },
  );
}

netTest("a hook that fails because conn.signal has aborted is not reported", async () => {
  const reasons: unknown[] = [];
  const { server, ended, errors } = serveNoting(echo, {
    admit: ({ id, signal }) =>
      new Promise((_, reject) =>
        signal.addEventListener("abort", () => {
          reasons.push(signal.reason);
          if (id === 1) reject(signal.reason);
          else reject(new Error("The backend was not asked", { cause: signal.reason }));
        })
      ),
  });
  for (let i = 1; i <= 2; i++) {
    const client = await connectResettable(server.addr);
    await until(() => server.stats().accepted === i);
    await turns();
    await client.reset();
    await until(() => ended.length === i);
  }
  await server.shutdown();
  assertEquals(errors, []);
  assertEquals(ended.map(({ reason }) => reason), ["peer_reset", "peer_reset"]);
});

netTest("what arrives while admit is waited for is the handler's, and so is the end", async () => {
  const asked = new Asked();
  await using server = serve({ ...LOOPBACK, ...asked.hooks }, echo);
  const client = await dialSaying(server.addr, bytes`hel`);
  await asked.one();
  await turns();
  await client.write(bytes`lo`);
  await client.closeWrite();
  await turns();
  assertEquals([...server.connections].map(({ bytesRead }) => bytesRead), [0]);
  asked.answer(true);
  assertEquals(text(await readAll(client)), "hello");
  await until(() => server.stats().active === 0);
  assertEquals([server.stats().bytesRead, asked.log], [5, ["asked 1", "completed 1"]]);
});

netTest(
  "a handler may read at once after admit, while the read that watched is pending",
  async () => {
    const asked = new Asked();
    await using server = serve({ ...LOOPBACK, ...asked.hooks }, async (conn) => {
      const p = new Uint8Array(5);
      const n = await conn.read(p);
      await conn.write(p.subarray(0, n!));
    });
    const client = await dial(server.addr);
    await asked.one();
    await turns();
    asked.answer(true);
    await turns();
    await client.write(bytes`hello`);
    assertEquals(text(await readAll(client)), "hello");
  },
);

netTest("what is waited for before the handler does not count as a read's own time", async () => {
  using time = new FakeTime();
  const asked = new Asked();
  await using server = serve({ ...LOOPBACK, ...asked.hooks }, async (conn) => {
    await conn.write(bytes`${await conn.readLine({ frameTimeout: 2000 })}`);
  });
  const client = await dialSaying(server.addr, bytes`hel`);
  await asked.one();
  await until(() => arrived(server) === 3);
  await pass(time, 9000);
  asked.answer(true);
  await pass(time, 1000);
  await client.write(bytes`lo\n`);
  assertEquals(text(await readAll(client)), "hello");
});

// Its time.

/** What a hook may do after its time, and what comes of it. */
const LATE: Record<string, [act: (asked: Asked) => void, log: string[], errors: number]> = {
  "nothing": [() => {}, [], 0],
  "true": [(asked) => asked.answer(true), [], 0],
  "false": [(asked) => asked.answer(false), [], 0],
  "a lease": [(asked) => asked.answer(asked.lease(1)), ["back 1"], 0],
  "an error": [(asked) => asked.waiting[0]!.fail(new RangeError("no database")), [], 1],
};

for (const [what, [act, log, reported]] of Object.entries(LATE)) {
  netTest(`admit has until handshakeTimeout; ${what} after it lets none in`, async () => {
    using time = new FakeTime();
    const errors: unknown[] = [];
    const asked = new Asked();
    const server = serve(
      { ...LOOPBACK, ...asked.hooks, onError: (error) => errors.push(error) },
      () => Promise.reject(new TypeError("No connection was to be served")),
    );
    const client = await dial(server.addr);
    const { signal } = await asked.one();
    await pass(time, 9900);
    assertEquals(asked.log, ["asked 1"]);
    await pass(time, 300);
    assertEquals(asked.log, ["asked 1", "refused_admit 1"]);
    assertEquals(signal.reason.name, "TimeoutError");
    assertEquals(await client.read(new Uint8Array(1)), null);
    client.close();
    assertEquals([server.stats().active, server.stats().refused.admit], [0, 1]);
    act(asked);
    await turns();
    assertEquals(asked.log.slice(2), log);
    await server.shutdown();
    assertEquals(errors.filter((error) => !(error instanceof RefusedError)).length, reported);
  });
}

netTest("PROXY header, TLS and admit have handshakeTimeout together", async () => {
  using time = new FakeTime();
  const asked = new Asked();
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...asked.hooks, onError: () => {} }, echo);
  const client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  await pass(time, 6000);
  await client.write(proxied("192.0.2.7"));
  await asked.one();
  await pass(time, 3900);
  assertEquals(asked.log, ["asked 1"]);
  await pass(time, 300);
  assertEquals(asked.log, ["asked 1", "refused_admit 1"]);
  client.close();
});

netTest("a client that has reset is over when the time of its admit is", async () => {
  using time = new FakeTime();
  const asked = new Asked();
  await using server = serve({ ...LOOPBACK, ...asked.hooks }, echo);
  const client = await connectResettable(server.addr);
  const { signal } = await asked.one();
  await client.reset();
  await until(() => signal.aborted);
  await pass(time, 10_200);
  assertEquals(asked.log, ["asked 1", "peer_reset 1"]);
  assertEquals(server.stats().active, 0);
});

// What it gave.

/** Ways for a connection with a lease to end. */
const ENDS: Record<string, (conn: Connection) => Promise<unknown>> = {
  completed: () => Promise.resolve(),
  handler_error: () => Promise.reject(new RangeError("division by cucumber")),
  dismissed: (conn) => conn.end("kicked"),
};

for (const [reason, handler] of Object.entries(ENDS)) {
  netTest(
    `what admit gave is back before the record of ${reason}, which finished waits for`,
    async () => {
      const asked = new Asked();
      const lease = asked.slowLease(1);
      const server = serve(
        { ...LOOPBACK, onEnd: asked.onEnd, admit: () => lease, onError: () => {} },
        handler,
      );
      const client = await dial(server.addr);
      await readAll(client); // our FIN does not wait
      await until(() => asked.log.length === 1);
      let isFinished = false;
      const finished = server.shutdown().then(() => isFinished = true);
      await turns();
      assertEquals([asked.log, isFinished, server.stats().active], [["going back 1"], false, 1]);
      lease.end();
      await finished;
      assertEquals(asked.log, ["going back 1", "back 1", `${reason} 1`]);
      assertEquals(accountedFor(server.stats()), 1);
    },
  );
}

netTest(
  "a slot is free when what admit gave is back, and a place of its peer when FIN has left",
  async () => {
    const asked = new Asked();
    const lease = asked.slowLease(1);
    await using server = serve({
      ...LOOPBACK,
      maxConnections: 2,
      maxConnectionsPerPeer: 1,
      admit: ({ id }) => id === 1 ? lease : undefined,
    }, (conn) => conn.id === 1 ? Promise.resolve() : echo(conn));
    await readAll(await dial(server.addr));
    await until(() => asked.log.length === 1);
    const second = await dial(server.addr);
    await second.write(bytes`x`);
    assertEquals(text(await readExactly(second, 1)), "x");
    assertEquals(server.waitingFor, "slot");
    lease.end();
    await until(() => server.waitingFor === null);
    second.close();
  },
);

/** Ways in which giving back fails. */
const UNDISPOSABLE: Record<string, () => AdmitResult> = {
  "throws": () => ({
    [Symbol.dispose]: () => {
      throw new RangeError("no database");
    },
  }),
  "rejects": () => ({
    [Symbol.asyncDispose]: () => Promise.reject(new RangeError("no database")),
  }),
  "rejects although it was to be over at once": () => ({
    [Symbol.dispose]: () => Promise.reject(new RangeError("no database")),
  }),
};

for (const [how, lease] of Object.entries(UNDISPOSABLE)) {
  netTest(
    `a lease whose dispose ${how} ends nothing, and onError receives the error once`,
    async () => {
      const { server, ended, errors } = serveNoting(() => Promise.resolve(), { admit: lease });
      await readAll(await dial(server.addr));
      await server.shutdown();
      assertEquals(ended.map(({ reason }) => reason), ["completed"]);
      const [error, ...more] = errors as [RangeError];
      assertEquals([error.message, more], ["Hook 'admit' failed: no database", []]);
    },
  );
}

netTest("what can be disposed in both ways is disposed as by `await using`", async () => {
  const log: string[] = [];
  const server = serve({
    ...LOOPBACK,
    admit: () => ({
      [Symbol.dispose]: () => void log.push("at once"),
      [Symbol.asyncDispose]: () => Promise.resolve().then(() => void log.push("later")),
    }),
  }, () => Promise.resolve());
  await readAll(await dial(server.addr));
  await server.shutdown();
  assertEquals(log, ["later"]);
});

// Stopping.

netTest("a server that stops waits for admit, serves the client and drains it", async () => {
  const asked = new Asked();
  const server = serve({ ...LOOPBACK, ...asked.hooks }, async (conn) => {
    await conn.write(bytes`${conn.draining}`);
  });
  const client = await dial(server.addr);
  await asked.one();
  const stopped = server.shutdown();
  await until(() => [...server.connections].some(({ draining }) => draining));
  asked.answer(asked.lease(1));
  assertEquals(text(await readAll(client)), "true");
  await stopped;
  assertEquals(asked.log, ["asked 1", "back 1", "completed 1"]);
  assertEquals(server.report!.completed, 1);
});

netTest(
  "a forced stop gives admit a second; what it gives then is back before the record",
  async () => {
    using time = new FakeTime();
    const asked = new Asked();
    const server = serve({ ...LOOPBACK, ...asked.hooks }, echo);
    using _client = await dial(server.addr);
    const { signal } = await asked.one();
    const stopped = server.shutdown({ timeout: 0 });
    await until(() => signal.aborted);
    await pass(time, 900);
    assertEquals(asked.log, ["asked 1"]);
    asked.answer(asked.lease(1));
    await stopped;
    assertEquals(asked.log, ["asked 1", "back 1", "forced 1"]);
  },
);

netTest(
  "after a forced stop admit is abandoned, and what it gives later is disposed at once",
  async () => {
    using time = new FakeTime();
    const asked = new Asked();
    const server = serve({ ...LOOPBACK, ...asked.hooks }, echo);
    using _client = await dial(server.addr);
    const { signal } = await asked.one();
    const stopped = server.shutdown({ timeout: 0 });
    await until(() => signal.aborted);
    await pass(time, 1000);
    await stopped;
    assertEquals(asked.log, ["asked 1", "abandoned 1"]);
    asked.answer(asked.lease(1));
    await turns();
    assertEquals(asked.log, ["asked 1", "abandoned 1", "back 1"]);
  },
);

netTest(
  "an abandoned handler's lease goes back once; finished waits a second for that, too",
  async () => {
    using time = new FakeTime();
    const asked = new Asked();
    const held = new Holding();
    const leases = [asked.slowLease(1), asked.slowLease(2)];
    const server = serve(
      { ...LOOPBACK, onEnd: asked.onEnd, admit: ({ id }) => leases[id - 1] },
      held.handler,
    );
    using _first = await dial(server.addr);
    using _second = await dial(server.addr);
    await until(() => held.served === 2);
    let isFinished = false;
    const stopped = server.shutdown({ timeout: 0 }).then(() => isFinished = true);
    await pass(time, 900);
    assertEquals(asked.log, []);
    await pass(time, 100);
    assertEquals(asked.log, ["going back 1", "going back 2"]);
    leases[0]!.end();
    await until(() => asked.log.includes("abandoned 1"));
    await pass(time, 900);
    assertFalse(isFinished);
    await pass(time, 100);
    await stopped;
    assertEquals(asked.log.slice(2), ["back 1", "abandoned 1", "abandoned 2"]);
    held.letAllGo();
    leases[1]!.end();
    await turns();
    assertEquals(asked.log.slice(5), ["back 2"]);
    assertEquals(server.report!.abandoned, 2);
  },
);

netTest(
  "a lease that does not go back within a second of a force leaves the reason as it was",
  async () => {
    using time = new FakeTime();
    const asked = new Asked();
    const server = serve(
      { ...LOOPBACK, onEnd: asked.onEnd, admit: () => asked.slowLease(1) },
      () => Promise.resolve(),
    );
    await readAll(await dial(server.addr));
    await until(() => asked.log.length === 1);
    const stopped = server.shutdown({ timeout: 0 });
    await pass(time, 1000);
    await stopped;
    assertEquals(asked.log, ["going back 1", "completed 1"]);
  },
);

// Types.

Deno.test("admit is typed by the kind of address", () => {
  const tcp: Admit<Deno.NetAddr> = (conn) => conn.remoteAddr.port > 0;
  const any: Admit = (conn) => conn.remoteAddr.transport === "tcp";
  const handler = () => Promise.resolve();
  // Compiled and not called.
  const _serve = () => [
    serve({ port: 0, admit: tcp }, handler),
    serve({ port: 0, admit: any }, handler),
    serve({ path: "s", admit: (conn) => conn.remoteAddr.path === "s" }, handler),
    serve({ listeners: [{ port: 0 }], admit: tcp }, handler),
    serve({ listeners: [{ port: 0 }, { path: "s" }], admit: any }, handler),
    // @ts-expect-error The address may be a Unix socket's.
    serve({ listeners: [{ port: 0 }, { path: "s" }], admit: tcp }, handler),
    // @ts-expect-error No handler serves it yet.
    serve({ port: 0, admit: (conn) => conn.readLine() }, handler),
  ];
  assert(tcp !== any);
});
