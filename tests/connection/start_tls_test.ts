/** A connection goes over to TLS in mid-stream, and lets nothing slip in or out. @module */

import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";
import {
  type Connection,
  connection,
  type ConnectionOptions,
  type EndRecord,
  framed,
  lines,
  relay,
  serve,
  type Server,
  type ServeSettings,
  type StartTlsLimits,
  type StartTlsOptions,
  type TlsListenOptions,
} from "../../mod.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import {
  ca,
  client as clientCertificate,
  expired,
  otherCa,
  renewed,
  server as certificate,
} from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, assertReadsPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  socketPair,
  writeAll,
} from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { clientHello, CrudeClient, goOverToTls } from "../support/tls_peers.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { noteEnds } from "../support/noting.ts";

/** A connection as a handler has it, and its client; what is left open is closed. */
interface Pair extends Disposable {
  readonly conn: Connection;
  readonly client: Deno.TcpConn;
}

async function pair(options: ConnectionOptions = {}): Promise<Pair> {
  const [socket, client] = await socketPair();
  const conn = connection<Deno.Addr>(socket, options);
  return {
    conn,
    client,
    [Symbol.dispose]() {
      conn.close();
      client[Symbol.dispose]();
    },
  };
}

/** Both sides go over. */
async function secure(
  { conn, client }: Pair,
  options: StartTlsOptions = certificate,
): Promise<Deno.TlsConn> {
  const [inside] = await Promise.all([goOverToTls(client), conn.startTls(options)]);
  return inside;
}

/** A client in TLS whose ciphertext the test carries to and fro, with its first message at hand. */
async function carried(): Promise<
  { hello: Uint8Array; raw: Deno.Conn; inside: Promise<Deno.TlsConn> }
> {
  const [raw, plain] = await socketPair();
  const inside = goOverToTls(plain);
  inside.catch(() => {});
  const p = new Uint8Array(4096);
  const n = await raw.read(p);
  return { hello: p.slice(0, n!), raw, inside };
}

netTest("startTls() secures a dialogue that began in clear", async () => {
  using it = await pair();
  const served = (async (conn: Connection) => {
    const said: (string | null)[] = [];
    const hear = async () => void said.push(await conn.readLine());
    await conn.write(bytes`220 ready\r\n`);
    await hear();
    await conn.write(bytes`250 STARTTLS\r\n`);
    await hear();
    await conn.write(bytes`220 go ahead\r\n`);
    assertEquals(conn.tls, undefined);
    await conn.startTls(certificate);
    const { version, serverName } = conn.tls!;
    assertEquals([version, serverName], ["TLSv1.3", "localhost"]);
    await hear();
    await conn.write(bytes`250 AUTH PLAIN\r\n`);
    await hear();
    await conn.end();
    return said;
  })(it.conn);

  const { client } = it;
  const ask = async (conn: Deno.Conn, what: string, answer: string) => {
    await conn.write(bytes`${what}`);
    assertEquals(text(await readExactly(conn, answer.length)), answer);
  };
  await ask(client, "EHLO a\r\n", "220 ready\r\n250 STARTTLS\r\n");
  await ask(client, "STARTTLS\r\n", "220 go ahead\r\n");
  const inside = await goOverToTls(client);
  await ask(inside, "EHLO a\r\n", "250 AUTH PLAIN\r\n");
  await inside.write(bytes`QUIT\r\n`);
  assertEquals(await readAll(inside), new Uint8Array(0), "a clean end");
  assertEquals(await served, ["EHLO a", "STARTTLS", "EHLO a", "QUIT"]);
});

/** Ways in which a handler comes to know that TLS is to begin, with more in clear behind it. */
const HEARINGS: Record<string, (conn: Connection) => Promise<unknown>> = {
  "a line": (conn) => conn.readLine(),
  "a record": (conn) => conn.readExactly(10),
  "a record up to a delimiter": (conn) => conn.readUntil(["\n", "\r\n"]),
  "a read of its length": (conn) => conn.read(new Uint8Array(10)),
  "a record that was peeked at with all that follows": async (conn) => {
    await conn.peek(28);
    await conn.readExactly(10);
  },
  "a chunk of its length, the rest of which was peeked at": async (conn) => {
    await conn.readExactly(4);
    await conn.peek(20);
    await conn.read(new Uint8Array(6));
  },
  "a line of an iteration that goes on": async (conn) => {
    const spoken = framed(conn, lines())[Symbol.asyncIterator]();
    await spoken.next();
    queueMicrotask(() => queueMicrotask(() => spoken.next().catch(() => {})));
  },
  "a line of a framed connection": async (conn) => {
    for await (const _line of framed(conn, lines())) break;
  },
  "a line of a framed connection, with the next one in sight": async (conn) => {
    const spoken = framed(conn, lines());
    await conn.peek(27);
    return await spoken.read();
  },
};

for (const [what, hear] of Object.entries(HEARINGS)) {
  netTest(`what comes in clear behind ${what} is never heard inside TLS`, async () => {
    using it = await pair();
    const { conn, client } = it;
    await client.write(bytes`STARTTLS\r\nMAIL FROM:<evil>\r\n`);
    await hear(conn);
    const inside = goOverToTls(client);
    inside.catch(() => {});
    const error = await assertRejects(() => conn.startTls(certificate), Deno.errors.InvalidData);
    for (const read of [() => conn.readLine(), () => conn.read(new Uint8Array(100))]) {
      assertStrictEquals(await assertRejects(read), error);
    }
    assertEquals(await framed(conn, lines()).read().catch((error: unknown) => error), error);
    await assertRejects(() => inside);
  });
}

netTest("what a read that gave up brings in clear is never heard inside TLS", async () => {
  using time = new FakeTime();
  using it = await pair();
  const { conn, client } = it;
  const given = conn.readLine({ timeout: 1000 });
  await turns();
  time.tick(1200);
  await assertRejects(() => given, DOMException);
  const starting = conn.startTls(certificate);
  await client.write(bytes`MAIL FROM:<evil>\r\n`);
  const error = await assertRejects(() => starting, Deno.errors.InvalidData);
  assertStrictEquals(await assertRejects(() => conn.readLine()), error);
});

netTest("a client that begins without waiting for the answer is accepted", async () => {
  using it = await pair();
  const { conn, client } = it;
  const { hello, raw, inside } = await carried();
  await client.write(new Uint8Array([...bytes`STARTTLS\r\n`, ...hello]));
  assertEquals(await conn.readLine(), "STARTTLS");
  const carrying = relay(raw, client);
  await conn.startTls(certificate);
  const through = await inside;
  const before = conn.bytesRead;
  await through.write(bytes`hello\n`);
  assertEquals(await conn.readLine(), "hello");
  // Inside TLS, cleartext is counted.
  assertEquals(conn.bytesRead - before, 6);
  await Promise.all([conn.end(), readAll(through)]);
  await carrying;
  raw.close();
});

netTest("what was written before leaves in clear, what is written meanwhile inside", async () => {
  using it = await pair();
  const { conn, client } = it;
  conn.write(pattern(0, 3_000_000)); // more than the kernel takes at once
  conn.write(bytes`220 go ahead\r\n`);
  const started = conn.startTls(certificate);
  conn.write(bytes`hello`);
  const said = conn.closeWrite();
  assertPattern(await readExactly(client, 3_000_000), 0);
  assertEquals(text(await readExactly(client, 14)), "220 go ahead\r\n");
  const inside = await goOverToTls(client);
  await Promise.all([started, said]);
  assertEquals(await readAll(inside), bytes`hello`);
  assertEquals(conn.bytesWritten, 3_000_000 + 14 + 5);
});

netTest("frames that were sent leave in clear, and later ones inside", async () => {
  using it = await pair();
  const { conn, client } = it;
  const spoken = framed(conn, lines());
  await client.write(bytes`STARTTLS\n`);
  assertEquals(await spoken.read(), "STARTTLS");
  spoken.send("go");
  spoken.send("ahead");
  const started = conn.startTls(certificate);
  assertEquals(await readExactly(client, 9), bytes`go\nahead\n`);
  const inside = await goOverToTls(client);
  await started;
  await inside.write(bytes`one\ntwo\n`);
  assertEquals([await spoken.read(), await spoken.read()], ["one", "two"]);
  spoken.send("three");
  assertEquals(await readExactly(inside, 6), bytes`three\n`);
  inside.close();
});

netTest("the streams of a connection go on inside TLS", async () => {
  using it = await pair();
  const { conn, client } = it;
  const { readable, writable } = conn;
  const writer = writable.getWriter();
  await writer.write(bytes`go`);
  assertEquals(await readExactly(client, 2), bytes`go`);
  const inside = await secure(it);
  writer.releaseLock();
  const piping = readable.pipeTo(writable);
  await Promise.all([
    writeAll(inside, pattern(0, 100_000)).then(() => inside.closeWrite()),
    assertReadsPattern(inside, 100_000),
  ]);
  await piping;
  inside.close();
});

netTest("startTls() is refused while a read is pending, which goes on", async () => {
  using it = await pair();
  const { conn, client } = it;
  const p = new Uint8Array(5);
  const reading = conn.read(p);
  await assertRejects(() => conn.startTls(certificate), Deno.errors.Busy);
  await client.write(bytes`hello`);
  assertEquals(await reading, 5);
  const inside = await secure(it);
  await inside.write(bytes`again`);
  assertEquals(await conn.read(p), 5);
  inside.close();
});

netTest("a read is refused while startTls() is pending, which goes on", async () => {
  using it = await pair();
  const starting = it.conn.startTls(certificate);
  await assertRejects(() => it.conn.readLine(), Deno.errors.Busy);
  await assertRejects(() => it.conn[Symbol.asyncIterator]().next(), Deno.errors.Busy);
  const inside = await goOverToTls(it.client);
  await starting;
  inside.close();
});

netTest("a read that gave up brings the beginning of the handshake", async () => {
  using time = new FakeTime();
  using it = await pair();
  const given = it.conn.readExactly(3, { timeout: 1000 });
  await turns();
  time.tick(1200);
  await assertRejects(() => given, DOMException);
  const inside = await secure(it);
  await inside.write(bytes`hello`);
  assertEquals(await it.conn.readExactly(5), bytes`hello`);
  inside.close();
});

netTest("a client that says nothing behind a read that gave up is ended, too", async () => {
  using time = new FakeTime();
  using it = await pair();
  const given = it.conn.readExactly(3, { timeout: 1000 });
  await turns();
  time.tick(1200);
  await assertRejects(() => given, DOMException);
  const starting = it.conn.startTls({ ...certificate, handshakeTimeout: 5000 });
  starting.catch(() => {});
  await turns();
  time.tick(5200);
  await assertRejects(() => starting, DOMException, "'handshakeTimeout'");
});

netTest("startTls() a second time is refused, and nothing has happened", async () => {
  using it = await pair();
  const starting = it.conn.startTls(certificate);
  await assertRejects(() => it.conn.startTls(certificate));
  const inside = await goOverToTls(it.client);
  await starting;
  await assertRejects(() => it.conn.startTls(certificate), TypeError, "inside TLS");
  await inside.write(bytes`hello`);
  assertEquals(await it.conn.readExactly(5), bytes`hello`);
  inside.close();
});

netTest("startTls() on a connection of Deno's own TLS is refused", async () => {
  using listener = Deno.listenTls({ ...LOOPBACK, ...certificate });
  const [socket, plain] = await Promise.all([
    listener.accept(),
    dial(listener.addr as Deno.NetAddr),
  ]);
  using conn = connection(socket);
  const inside = await goOverToTls(plain);
  await assertRejects(() => conn.startTls(certificate), TypeError, "inside TLS");
  await inside.write(bytes`hello`);
  assertEquals(await conn.readExactly(5), bytes`hello`);
  inside.close();
});

/** Options that are wrong, and what is said. */
const WRONG: [options: unknown, Class: typeof TypeError | typeof RangeError, said: string][] = [
  [undefined, TypeError, "Cannot start TLS"],
  [{}, TypeError, "Cannot start TLS"],
  [{ cert: certificate.cert }, TypeError, "'key'"],
  [{ ...certificate, hostname: "localhost" }, TypeError, "'hostname'"],
  [{ ...certificate, handshakeTimeout: -1 }, RangeError, "'handshakeTimeout'"],
  [{ ...certificate, handshakeTimeout: "1 s" }, TypeError, "'handshakeTimeout'"],
  [{ ...certificate, tls: { route: "native" } }, TypeError, "'route' in 'tls'"],
  [{ ...certificate, cert: "cert.pem" }, TypeError, "'cert'"],
  [{ ...certificate, key: renewed.key }, TypeError, "'key'"],
];

netTest("startTls() with wrong options says so, and nothing has happened", async () => {
  using it = await pair();
  const { conn, client } = it;
  for (const [options, Class, said] of WRONG) {
    const error = await assertRejects(() => conn.startTls(options as StartTlsOptions), Class);
    assert(error.message.includes(said), `${error.message} has no ${said}`);
  }
  await client.write(bytes`hello`);
  assertEquals(await conn.readExactly(5), bytes`hello`);
  await conn.write(bytes`hello`);
  assertEquals(await readExactly(client, 5), bytes`hello`);
  (await secure(it)).close();
});

netTest(
  "a handshake that fails closes the connection, and every operation rejects with the reason",
  async () => {
    using it = await pair();
    const { conn, client } = it;
    const { signal } = conn;
    const starting = conn.startTls(certificate);
    const writing = conn.write(bytes`never sent`);
    await client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
    const error = await assertRejects(() => starting, Deno.errors.InvalidData);
    const [type, , , , , level] = await readAll(client);
    assertEquals([type, level], [21, 2], "a fatal alert, and nothing in clear");
    assertStrictEquals(signal.reason, error);
    const operations = [
      () => writing,
      () => conn.read(new Uint8Array(1)),
      () => conn.write(bytes`x`),
      () => conn.closeWrite(),
      () => conn.startTls(certificate),
    ];
    for (const operation of operations) assertStrictEquals(await assertRejects(operation), error);
    await conn.end();
    assertEquals(conn.tls, undefined);
  },
);

netTest("a startTls() that is not awaited costs the connection and not the process", async () => {
  using it = await pair();
  const reasons = await unhandledDuring(async () => {
    it.conn.startTls(certificate);
    await it.client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
    await until(() => it.conn.signal.aborted);
    it.conn.startTls(certificate);
    it.conn.startTls({ cert: "" });
  });
  assertEquals(reasons, []);
});

netTest("startTls() behind the end of what is written is refused", async () => {
  using it = await pair();
  it.conn.closeWrite();
  await assertRejects(() => it.conn.startTls(certificate), Deno.errors.BrokenPipe);
  it.conn.close();
  await assertRejects(() => it.conn.startTls(certificate), Deno.errors.BadResource);
});

netTest("close() ends a startTls() that waits", async () => {
  for (const length of [0, 50]) {
    using it = await pair();
    const starting = it.conn.startTls(certificate);
    starting.catch(() => {});
    await it.client.write((await clientHello()).subarray(0, length));
    await turns();
    it.conn.close();
    await assertRejects(() => starting, Deno.errors.Interrupted);
    assertEquals((it.conn.signal.reason as DOMException).name, "AbortError");
  }
});

netTest("a client may take its time for each byte, as long as it comes in time", async () => {
  using time = new FakeTime();
  using it = await pair({ idleTimeout: 1000 });
  const { conn, client } = it;
  const { hello, raw, inside } = await carried();
  const starting = conn.startTls({ ...certificate, handshakeTimeout: 3_600_000 });
  starting.catch(() => {});
  for (const byte of hello) {
    await client.write(new Uint8Array([byte]));
    await turn();
    time.tick(700);
  }
  const carrying = relay(raw, client);
  await starting;
  const through = await inside;
  // From now on idleTimeout holds again.
  const reading = conn.readLine();
  reading.catch(() => {});
  time.tick(900);
  assertEquals(conn.signal.aborted, false);
  time.tick(300);
  await assertRejects(() => reading, DOMException, "'idleTimeout'");
  through.close();
  await carrying.catch(() => {});
  raw[Symbol.dispose]();
});

/** How a handshake in mid-stream ends the connection. */
interface Ending {
  options?: StartTlsLimits;
  settings?: ServeSettings;
  /** What the handler does instead of waiting. */
  handler?: (conn: Connection) => Promise<unknown>;
  client(addr: Deno.NetAddr, time: FakeTime, begun: () => Promise<void>): Promise<unknown>;
  record: Pick<EndRecord, "reason"> & { error?: new (...args: never[]) => Error };
}

async function dialed(addr: Deno.NetAddr, then: (client: Deno.TcpConn) => unknown): Promise<void> {
  using client = await dial(addr);
  await then(client);
}

const ENDINGS: Record<string, Ending> = {
  "the client says nothing": {
    options: { handshakeTimeout: 5000 },
    client: (addr, time, begun) =>
      dialed(addr, async (client) => {
        await begun();
        time.tick(5200);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { reason: "handshake_timeout", error: DOMException },
  },
  "the client says nothing and no timeout was given": {
    client: (addr, time, begun) =>
      dialed(addr, async (client) => {
        await begun();
        time.tick(9_900);
        await turns();
        time.tick(300);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { reason: "handshake_timeout", error: DOMException },
  },
  "the client speaks no TLS": {
    client: (addr) =>
      dialed(addr, async (client) => {
        await client.write(bytes`RSET\r\n`);
        while (await client.read(new Uint8Array(100)) !== null);
      }),
    record: { reason: "handshake_failed", error: Deno.errors.InvalidData },
  },
  "the client leaves": {
    client: (addr) =>
      dialed(addr, async (client) => {
        await client.write((await clientHello()).subarray(0, 50));
        await client.closeWrite();
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { reason: "handshake_failed", error: Deno.errors.UnexpectedEof },
  },
  "the client resets": {
    client: async (addr, _time, begun) => {
      const client = await connectResettable(addr);
      await begun();
      await client.reset();
    },
    record: { reason: "handshake_failed", error: Deno.errors.ConnectionReset },
  },
  "the handler closes meanwhile": {
    handler: async (conn) => {
      const starting = conn.startTls(certificate);
      await turns();
      conn.close();
      await starting;
    },
    client: (addr) =>
      dialed(addr, async (client) => assertEquals(await client.read(new Uint8Array(1)), null)),
    record: { reason: "completed" },
  },
};

for (const [what, { options, settings, handler, client, record }] of Object.entries(ENDINGS)) {
  netTest(`the end record knows when ${what} in a startTls()`, async () => {
    using time = new FakeTime();
    const { ended, onEnd } = noteEnds();
    const begun = Promise.withResolvers<void>();
    const server = serve({ ...LOOPBACK, ...settings, onEnd }, async (conn) => {
      const starting = handler?.(conn) ?? conn.startTls({ ...certificate, ...options });
      begun.resolve();
      await starting;
    });
    await client(server.addr, time, () => begun.promise.then(() => turns()));
    await until(() => ended.length > 0);
    await server.shutdown();
    const [{ reason, error }, ...more] = ended as [EndRecord];
    assertEquals([reason, more], [record.reason, []]);
    if (record.error === undefined) assertEquals(error, undefined);
    else assert(error instanceof record.error, `${error}`);
  });
}

netTest("a server that stops by force ends a startTls()", async () => {
  const { ended, onEnd } = noteEnds();
  const failure = Promise.withResolvers<unknown>();
  const server = serve(
    { ...LOOPBACK, onEnd },
    async (conn) => {
      failure.resolve(await conn.startTls(certificate).catch((error) => error));
    },
  );
  using _client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  await turns();
  await server.shutdown({ timeout: 0 });
  assert(await failure.promise instanceof Deno.errors.Interrupted);
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
});

netTest("certificates are read once for each object of options", async () => {
  const options: StartTlsOptions = { ...certificate };
  const shown: string[] = [];
  const shake = async (options: StartTlsOptions) => {
    using listener = Deno.listen(LOOPBACK);
    await using client = new CrudeClient(listener.addr);
    using conn = connection(await listener.accept());
    await Promise.all([client.secured, conn.startTls(options)]);
    shown.push(client.shown);
  };
  await shake(options);
  await shake(Object.assign(options, renewed));
  await shake({ ...options });
  assertEquals(shown, ["3", "3", "4"]);
});

netTest("another handshakeTimeout counts although the certificates are known", async () => {
  using time = new FakeTime();
  const options: StartTlsOptions = { ...certificate, handshakeTimeout: 60_000 };
  {
    using it = await pair();
    (await secure(it, options)).close();
  }
  using it = await pair();
  const starting = it.conn.startTls(Object.assign(options, { handshakeTimeout: 1000 }));
  starting.catch(() => {});
  await turns();
  time.tick(1200);
  await assertRejects(() => starting, DOMException);
});

netTest("startTls() asks for a client's certificate", async () => {
  const tls = { clientCa: ca.cert, clientCertificate: "required" } as const;
  using listener = Deno.listen(LOOPBACK);
  await using client = new CrudeClient(listener.addr, clientCertificate);
  using conn = connection(await listener.accept());
  await Promise.all([client.secured, conn.startTls({ ...certificate, tls })]);
  const { authorized, peerCertificate } = conn.tls!;
  assertEquals([authorized, peerCertificate?.subject.CN], [true, "client1"]);
});

netTest("startTls() works over a Unix socket", async () => {
  const path = `${await Deno.makeTempDir()}/s`;
  const said = Promise.withResolvers<string | null>();
  const server = serve({ path }, async (conn) => {
    await conn.write(bytes`go\n`);
    await conn.startTls(certificate);
    said.resolve(await conn.readLine());
    await conn.write(bytes`bye`);
  });
  const plain = connectPlain({ path });
  const closed = new Promise<void>((resolve) => plain.once("close", () => resolve()));
  await new Promise((resolve) => plain.once("data", resolve));
  const inside = connectTls({ socket: plain, ca: ca.cert, servername: "localhost" });
  inside.write("hello\n");
  assertEquals(await said.promise, "hello");
  let heard = "";
  inside.on("data", (chunk: Uint8Array) => heard += text(chunk));
  await new Promise((resolve) => inside.once("end", resolve));
  assertEquals(heard, "bye");
  inside.destroy();
  plain.destroy();
  await Promise.all([closed, server.shutdown()]);
  await Deno.remove(path.slice(0, -2), { recursive: true });
});

netTest("startTls() works behind a proxy, and the client keeps its address", async () => {
  const source = { transport: "tcp", hostname: "192.0.2.7", port: 7777 } as const;
  const { ended, onEnd } = noteEnds();
  const server = serve({
    ...LOOPBACK,
    proxyProtocol: { trust: ["127.0.0.1"] },
    onEnd,
  }, async (conn) => {
    assertEquals(await conn.readLine(), "STARTTLS");
    await conn.write(bytes`go\n`);
    await conn.startTls(certificate);
    assertEquals([conn.remoteAddr, conn.proxy?.version], [source, 2]);
    assertEquals(conn.tls!.serverName, "localhost");
    for await (const chunk of conn) await conn.write(chunk);
  });
  const client = await dial(server.addr);
  const header = encodeProxyHeader({ version: 2, command: "PROXY", source, destination: source });
  await client.write(new Uint8Array([...header, ...bytes`STARTTLS\n`]));
  await readExactly(client, 3);
  const inside = await goOverToTls(client);
  await inside.write(bytes`hello`);
  await inside.closeWrite();
  assertEquals(await readAll(inside), bytes`hello`);
  await server.shutdown();
  assertEquals(
    ended.map(({ reason, bytesRead, bytesWritten }) => [reason, bytesRead, bytesWritten]),
    [
      ["completed", 14, 8],
    ],
  );
});

// As the client.

/** A server that says "go ahead" to STARTTLS, and echoes inside. */
function startsTls(options: Partial<TlsListenOptions> = certificate): Server<Deno.NetAddr> {
  return serve({ ...LOOPBACK, onError: () => {} }, async (conn) => {
    if (await conn.readLine() !== "STARTTLS") return;
    await conn.write(bytes`go ahead\r\n`);
    await conn.startTls({ ...certificate, ...options });
    for await (const chunk of conn) await conn.write(chunk);
  });
}

netTest(
  "startTls() as the client goes over to TLS behind what the server consents with",
  async () => {
    await using server = startsTls({ alpnProtocols: ["smtp"] });
    await using client = connection(await dial(server.addr));
    await client.write(bytes`STARTTLS\r\n`);
    assertEquals(await client.readLine(), "go ahead");
    const alpnProtocols = ["imap", "smtp"];
    await client.startTls({
      role: "client",
      serverName: "localhost",
      caCerts: [ca.cert],
      alpnProtocols,
    });
    const { serverName, alpnProtocol, version, authorized } = client.tls!;
    assertEquals([serverName, alpnProtocol, version], ["localhost", "smtp", "TLSv1.3"]);
    assertEquals(authorized, true);
    const size = 1 << 20;
    await Promise.all([
      client.write(pattern(0, size)).then(() => client.closeWrite()),
      assertReadsPattern(client, size),
    ]);
    await assertRejects(
      () => client.startTls({ role: "client", serverName: "localhost" }),
      TypeError,
      "inside TLS",
    );
  },
);

/** What a client must not take for its server. */
const OTHERS: Record<string, { shown: Partial<TlsListenOptions>; serverName?: string }> = {
  "for another name": { shown: certificate, serverName: "other.test" },
  "of another authority": { shown: certificate },
  "that has expired": { shown: expired },
};

for (const [what, { shown, serverName = "localhost" }] of Object.entries(OTHERS)) {
  netTest(`startTls() as the client refuses a certificate ${what}`, async () => {
    await using server = startsTls(shown);
    using client = connection(await dial(server.addr));
    await client.write(bytes`STARTTLS\r\n`);
    await client.readLine();
    const caCerts = [what === "of another authority" ? otherCa.cert : ca.cert];
    const starting = client.startTls({ role: "client", serverName, caCerts });
    const error = await assertRejects(() => starting, Deno.errors.InvalidData);
    assertEquals(client.tls, undefined);
    assertStrictEquals(await assertRejects(() => client.write(bytes`secret`)), error);
  });
}

netTest("startTls() as the client refuses what was put behind the server's consent", async () => {
  const [socket, peer] = await socketPair();
  using client = connection<Deno.Addr>(socket);
  await peer.write(bytes`go ahead\r\n250 evil\r\n`);
  assertEquals(await client.readLine(), "go ahead");
  const options = { role: "client", serverName: "localhost" } as const;
  await assertRejects(() => client.startTls(options), Deno.errors.InvalidData, "10 bytes");
  peer.close();
});

netTest("startTls() as the client waits for no read that gave up", async () => {
  using time = new FakeTime();
  const [socket, peer] = await socketPair();
  using client = connection<Deno.Addr>(socket);
  const given = client.readLine({ timeout: 1000 });
  await turns();
  time.tick(1200);
  await assertRejects(() => given, DOMException);
  const options = { role: "client", serverName: "localhost" } as const;
  await assertRejects(() => client.startTls(options), Deno.errors.Busy, "gave up");
  await peer.write(bytes`still here\n`);
  assertEquals(await client.readLine(), "still here");
  peer.close();
});
