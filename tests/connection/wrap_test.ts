/** Any `Deno.Conn` gets what a handler's connection has. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  connection,
  type ConnectionOptions,
  framed,
  lines,
  serve,
} from "../../mod.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, socketPair, unixPair } from "../support/peers.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { echo } from "../support/handlers.ts";

netTest("connection() makes a client that reads, writes whole and ends politely", async () => {
  await using server = serve(LOOPBACK, echo);
  await using client = connection(await dial(server.addr));
  client.write(bytes`hello, `);
  client.write(bytes`world`);
  client.closeWrite();
  let received = "";
  for await (const chunk of client) received += text(chunk);
  assertEquals(received, "hello, world");
});

netTest("connection() keeps the kind of address", async () => {
  const [tcp, tcpClient] = await socketPair();
  const [unix, unixClient] = await unixPair();
  using overTcp = connection(tcp);
  using overUnix = connection(unix);
  const port: number = overTcp.remoteAddr.port;
  assertEquals(port, (tcpClient.localAddr as Deno.NetAddr).port);
  const path: string = overUnix.localAddr.path;
  assertEquals(path, (unix.localAddr as Deno.UnixAddr).path);
  tcpClient.close();
  unixClient.close();
});

Deno.test("connection() gives back a wrapped one as it is, whatever the options", () => {
  const conn = connection(new ScriptedSocket(), { maxUnsent: 5 });
  assertStrictEquals(connection(conn), conn);
  assertStrictEquals(connection(conn, { maxUnsent: 7 }), conn);
  conn.close();
  assertStrictEquals(connection(conn), conn);
});

netTest("connection() gives back a handler's connection as it is", async () => {
  const seen: Connection[] = [];
  await using server = serve(LOOPBACK, async (conn) => {
    seen.push(conn, connection(conn));
    await conn.write(bytes`seen`);
  });
  assertEquals(text(await readAll(await dial(server.addr))), "seen");
  assertStrictEquals(seen[0], seen[1]);
});

Deno.test("connection() gives each a number of its own", () => {
  const [a, b] = [connection(new ScriptedSocket()), connection(new ScriptedSocket())];
  assertNotStrictEquals(a, b);
  assertGreater(b.id, a.id);
  assertGreater(a.id, 0);
  a.close();
  b.close();
});

Deno.test("connection() takes the limits that it is given, and says them when they are met", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using idle = connection(new ScriptedSocket(), { idleTimeout: 1 });
  using slow = connection(socket, { writeTimeout: 1 });
  const [read, write] = [idle.read(new Uint8Array(1)), slow.write(bytes`x`)];
  time.tick(200);
  await assertRejects(() => read, DOMException, "no byte moved within 'idleTimeout'");
  await assertRejects(() => write, DOMException, "the peer took too little within 'writeTimeout'");
});

Deno.test("connection() takes an option that is undefined for one that is not given", () => {
  const options = { idleTimeout: undefined, other: undefined } as unknown as ConnectionOptions;
  const conn = connection(new ScriptedSocket(), options);
  assertFalse(conn.signal.aborted);
  conn.close();
});

Deno.test("connection() refuses options that it does not know or cannot use, and leaves the socket", () => {
  const timeout = (name: string, given: string) =>
    `Cannot wrap a connection with '${name}' of ${given}: use milliseconds from 0 up, or Infinity`;
  const refused: [options: unknown, type: typeof TypeError, message: string][] = [
    [null, TypeError, "Cannot wrap a connection with null as options: use an object"],
    [5000, TypeError, "Cannot wrap a connection with 5000 as options: use an object"],
    [
      { timeout: 5 },
      TypeError,
      "Cannot wrap a connection with an unknown option 'timeout': known here are idleTimeout, " +
      "receiveTimeout, frameTimeout, writeTimeout, maxUnsent",
    ],
    [{ idleTimeout: "5" }, TypeError, timeout("idleTimeout", '"5"')],
    [{ idleTimeout: null }, TypeError, timeout("idleTimeout", "null")],
    [{ idleTimeout: NaN }, TypeError, timeout("idleTimeout", "NaN")],
    [{ idleTimeout: 5n }, TypeError, timeout("idleTimeout", "5n")],
    [{ receiveTimeout: -0.5 }, RangeError, timeout("receiveTimeout", "-0.5")],
    [{ writeTimeout: -1 }, RangeError, timeout("writeTimeout", "-1")],
    [{ writeTimeout: -Infinity }, RangeError, timeout("writeTimeout", "-Infinity")],
    [{ writeTimeout: true }, TypeError, timeout("writeTimeout", "true")],
    [
      { maxUnsent: -1 },
      RangeError,
      "Cannot wrap a connection with 'maxUnsent' of -1: use a whole number from 0 up, or Infinity",
    ],
  ];
  for (const [options, type, message] of refused) {
    const socket = new ScriptedSocket();
    const error = assertThrows(() => connection(socket, options as ConnectionOptions), type);
    assertEquals(error.message, message);
    assertEquals(error.constructor, type);
    assertFalse(socket.closed);
  }
});

Deno.test("connection() checks the options of a wrapped one, too", () => {
  const conn = connection(new ScriptedSocket());
  assertThrows(() => connection(conn, { idleTimeout: -1 }), RangeError);
  conn.close();
});

Deno.test("connection() leaves no timer behind once all are closed", () => {
  using time = new FakeTime();
  const conns = Array.from({ length: 10 }, () => connection(new ScriptedSocket()));
  assert(time.next());
  for (const conn of conns) conn.close();
  time.runAll(); // what was set comes to nothing, and sets no other
  assertFalse(time.next());
});

Deno.test("connection() of a socket that was wrapped before gives the same connection", () => {
  const socket = new ScriptedSocket();
  const first = connection(socket);
  assertStrictEquals(connection(socket), first);
  first.close();
});

netTest("connection() of Deno's TLS knows what was negotiated once it is complete", async () => {
  const options = { ...LOOPBACK, ...certificate, alpnProtocols: ["x"] };
  await using server = serve(options, echo);
  await using client = connection(
    await Deno.connectTls({
      hostname: "localhost",
      port: server.addr.port,
      caCerts: [ca.cert],
      alpnProtocols: ["x"],
    }),
  );
  assertEquals(client.tls, {});
  await client.write(bytes`hello`);
  await client.readExactly(5);
  assertEquals(client.tls, { alpnProtocol: "x" });
});

netTest("connection() of Deno's TLS ends with a handshake that fails", async () => {
  await using server = serve({ ...LOOPBACK, ...certificate, onError: () => {} }, echo);
  using client = connection(
    await Deno.connectTls({ hostname: "localhost", port: server.addr.port }),
  );
  await assertRejects(() => client.readLine(), Deno.errors.InvalidData);
});

for (
  const [name, close] of Object.entries({
    "close()": (socket: Deno.Conn) => socket.close(),
    "disposing": (socket: Deno.Conn) => socket[Symbol.dispose](),
  })
) {
  netTest(
    `${name} of a socket that was wrapped closes its wrapper, and nothing ticks on`,
    async () => {
      const [socket, peer] = await socketPair();
      using _peer = peer;
      const io = framed(socket, lines());
      const reading = io.read();
      close(socket);
      assert(io.conn.signal.aborted);
      await assertRejects(() => reading, Deno.errors.Interrupted);
      assertEquals(await peer.read(new Uint8Array(1)), null);
      io.conn.close(); // which is safe, and the sanitizer sees what ticks on
    },
  );
}

Deno.test("a socket that is closed, by whichever of the two, is closed once", () => {
  const [first, second] = [new ScriptedSocket(), new ScriptedSocket()];
  connection(first).close();
  assertEquals(first.closes, 1);
  const conn = connection(second);
  second[Symbol.dispose]();
  second[Symbol.dispose]();
  assert(conn.signal.aborted);
  assert(second.closed);
});
