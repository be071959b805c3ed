/**
 * The key-value server serves its clients in order, and holds little for slow ones.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { kv } from "../../examples/kv.ts";
import { commands, Failure, replies, Status } from "../../examples/kv/resp.ts";
import { Store } from "../../examples/kv/store.ts";
import { fromLatin1, latin1 } from "../../examples/kv/text.ts";
import { connection, type EndRecord, framed, serve, type Server } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { type PendingWrite, ScriptedSocket } from "../support/scripted_socket.ts";

/** A server with its own store, and the end records of its connections. */
class Serving implements AsyncDisposable {
  readonly store = new Store();
  readonly ended: EndRecord[] = [];
  readonly server: Server<Deno.NetAddr> = serve(
    { ...LOOPBACK, onEnd: (record) => void this.ended.push(record) },
    kv(this.store),
  );

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown();
    this.store[Symbol.dispose]();
  }
}

/** A client that speaks the protocol. */
class Client implements AsyncDisposable {
  readonly conn: ReturnType<typeof connection>;

  constructor(conn: Deno.Conn) {
    this.conn = connection(conn);
  }

  /** Sends commands, words separated by spaces, and reads as many replies. */
  async ask(...list: string[]): Promise<unknown[]> {
    const asking = framed(this.conn, commands);
    const answers = framed(this.conn, replies);
    for (const words of list) asking.send(words.split(" ").map(fromLatin1));
    const received = [];
    for (let i = 0; i < list.length; i++) {
      const reply = await answers.read();
      received.push(reply instanceof Uint8Array ? latin1(reply) : reply);
    }
    return received;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.conn.end();
  }
}

/** Sends bytes as they are, and reads to the end. */
async function sendRaw(server: Server<Deno.NetAddr>, raw: string): Promise<string> {
  const client = connection(await dial(server.addr));
  await client.write(fromLatin1(raw));
  return text(await readAll(client));
}

netTest("kv() keeps what one client stores for the next", async () => {
  await using serving = new Serving();
  await using one = new Client(await dial(serving.server.addr));
  assertEquals(await one.ask("SET a 1", "GET a"), [new Status("OK"), "1"]);
  await using two = new Client(await dial(serving.server.addr));
  assertEquals(await two.ask("INCR a", "GET a", "NOSUCH"), [
    2,
    "2",
    new Failure("ERR unknown command 'NOSUCH', with args beginning with: "),
  ]);
});

netTest("kv() answers commands that arrive together in order, and together", async () => {
  await using serving = new Serving();
  await using client = new Client(await dial(serving.server.addr));
  const count = 10_000;
  const values = await client.ask(...Array.from({ length: count }, () => "INCR a"));
  assertEquals(values, Array.from({ length: count }, (_, i) => i + 1));
});

netTest("kv() stores and returns values of 1 MiB, and any bytes", async () => {
  await using serving = new Serving();
  await using client = new Client(await dial(serving.server.addr));
  const value = Uint8Array.from({ length: 1_048_576 }, (_, i) => i ^ (i >> 8));
  const asking = framed(client.conn, commands);
  asking.send([fromLatin1("SET"), new Uint8Array(1), value]);
  asking.send([fromLatin1("GET"), new Uint8Array(1)]);
  const answers = framed(client.conn, replies);
  assertEquals(await answers.read(), new Status("OK"));
  assertEquals(await answers.read(), value);
});

netTest("kv() answers QUIT, and ignores what follows", async () => {
  await using serving = new Serving();
  assertEquals(
    await sendRaw(serving.server, "SET a 1\r\nQUIT\r\nSET a 2\r\n"),
    "+OK\r\n+OK\r\n",
  );
  assertEquals(latin1(serving.store.get("a")!), "1");
  await until(() => serving.ended.length === 1);
  assertEquals(serving.ended[0]!.reason, "completed");
});

for (
  const [wrong, said] of [
    ["*3\r\n$-5\r\n", "invalid bulk length"],
    ["*1\r\n$99999999999\r\n", "invalid bulk length"],
    ["*2147483648\r\n", "invalid multibulk length"],
    ["*1\r\n*1\r\n", "expected '$', got '*'"],
    ['GET "a\r\n', "unbalanced quotes in request"],
  ] as const
) {
  netTest(`kv() answers ${JSON.stringify(wrong)} with an error, and closes`, async () => {
    await using serving = new Serving();
    // Commands before it are answered, those after it are not.
    assertEquals(
      await sendRaw(serving.server, `PING\r\n${wrong}PING\r\n`),
      `+PONG\r\n-ERR Protocol error: ${said}\r\n`,
    );
    await until(() => serving.ended.length === 1);
    assertEquals(serving.ended[0]!.reason, "protocol_error");
  });
}

for (const line of ["POST / HTTP/1.1", "GET / HTTP/1.1\r\nhost: localhost"]) {
  const method = line.split(" ")[0];
  netTest(
    `kv() drops a client that speaks HTTP (${method}), and obeys nothing of its body`,
    async () => {
      await using serving = new Serving();
      const request = `${line}\r\nContent-Length: 18\r\n\r\nSET owned by-a-page\r\n`;
      const said = await sendRaw(serving.server, request);
      assert(said.endsWith("-ERR Protocol error: HTTP is not spoken here\r\n"), said);
      await until(() => serving.ended.length === 1);
      assertEquals(serving.ended[0]!.reason, "protocol_error");
      assertEquals(serving.store.size, 0);
    },
  );
}

netTest(
  "kv() takes a client that leaves in the middle of a command as an ordinary end",
  async () => {
    await using serving = new Serving();
    const client = await dial(serving.server.addr);
    await client.write(fromLatin1("*2\r\n$3\r\nGET\r\n$1"));
    client.close();
    await until(() => serving.ended.length === 1);
    await using next = new Client(await dial(serving.server.addr));
    assertEquals(await next.ask("PING"), [new Status("PONG")]);
  },
);

Deno.test("kv() holds little for a client that asks for much and reads nothing", async () => {
  const size = 500_000;
  const listener = scriptedListener([]);
  using store = new Store();
  await using server = serve({ listeners: [listener] }, kv(store));
  store.set("a", new Uint8Array(size));
  const socket = new ScriptedSocket();
  socket.takes = () => undefined;
  listener.play(socket);
  const count = 200;
  socket.arrive(fromLatin1("GET a\r\n".repeat(count)));

  const reply = replies.encode(store.get("a")!).length;
  let most = 0;
  let last: PendingWrite | undefined;
  while (socket.takenBytes < count * reply) {
    await until(() => socket.writes.length > 0 && socket.writes[0] !== last);
    for (const conn of server.connections) most = Math.max(most, conn.unsentBytes);
    last = socket.writes[0]!;
    last.take();
  }
  assert(most <= 65_536 + reply, `${most} bytes were held`);
  assertEquals(socket.takenBytes, count * reply);
  socket.finish();
});

Deno.test("kv() sends the largest value to a slow reader, behind a full queue", async () => {
  const listener = scriptedListener([]);
  using store = new Store();
  await using server = serve({ listeners: [listener] }, kv(store));
  store.set("a", new Uint8Array(65_536 - 10)); // with its framing exactly 64 KiB
  store.set("b", new Uint8Array(1_048_576));
  const socket = new ScriptedSocket();
  socket.takes = () => undefined;
  listener.play(socket);
  socket.arrive(fromLatin1("GET a\r\nGET b\r\n"));
  await until(() => socket.writes.length === 1);
  assertEquals(socket.writes[0]!.bytes.length, 65_536);
  await turns();
  socket.takes = (p) => p.length;
  socket.writes[0]!.take();
  await until(() => socket.takenBytes === 65_536 + 10 + 1_048_576 + 2);
  assertEquals(server.connections.size, 1);
  socket.finish();
});
