/** Queries are answered, cancelled and ended as PostgreSQL clients expect. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { postgres, type PostgresOptions } from "../../examples/postgres.ts";
import { messages } from "../../examples/postgres/messages.ts";
import { type Client, connect, everySplit } from "../../lib/testing/mod.ts";
import { BinaryReader, BinaryWriter } from "../../lib/wire/mod.ts";
import { connection, framed, type Handler, type Message, serve } from "../../mod.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { pass, turns } from "../support/wait.ts";

const CANCEL = 80_877_102, SSL = 80_877_103, GSSAPI = 80_877_104, VERSION_3 = 3 << 16;

/** A client's first message: its length, which includes itself, a code and the rest. */
function startup(code: number, write: (writer: BinaryWriter) => unknown = () => {}): Uint8Array {
  const writer = new BinaryWriter().u32(code);
  write(writer);
  const body = writer.finish();
  return new BinaryWriter().u32(body.length + 4).bytes(body).finish();
}

const HELLO = startup(VERSION_3, (writer) => writer.cstring("user").cstring("ada").u8(0));

function query(sql: string): Uint8Array {
  return messages.encode({ header: "Q", body: new BinaryWriter().cstring(sql).finish() });
}

function simple(type: string): Uint8Array {
  return messages.encode({ header: type, body: new Uint8Array() });
}

/** A message in words: its type, and those of its texts that matter. */
function inWords({ header, body }: Message<string>): string {
  const reader = new BinaryReader(body);
  if (header === "E") {
    const fields = new Map<string, string>();
    for (let field; (field = reader.u8()) !== 0;) {
      fields.set(String.fromCharCode(field), reader.cstring());
    }
    return `${fields.get("S")} ${fields.get("C")}`;
  }
  if (header === "D") {
    return `D ${Array.from({ length: reader.u16() }, () => reader.prefixedString(4)).join(" ")}`;
  }
  if (header === "T") {
    return `T ${
      Array.from({ length: reader.u16() }, () => {
        const name = reader.cstring();
        reader.skip(18);
        return name;
      }).join(" ")
    }`;
  }
  if (header === "C" || header === "S") return `${header} ${reader.cstring()}`;
  return header === "K" ? header : `${header} ${[...body]}`;
}

class Psql implements AsyncDisposable {
  readonly client: Client;

  constructor(handler: Handler, client: Client = connect(handler)) {
    this.client = client;
  }

  /** Logs in; returns the numbers by which its query can be cancelled. */
  async enter(): Promise<{ pid: number; secret: number }> {
    await this.client.write(HELLO);
    for (;;) {
      const message = await this.#next();
      assert(message !== null);
      if (message.header !== "K") continue;
      const reader = new BinaryReader(message.body);
      assertEquals(await this.hear(), "Z 73");
      return { pid: reader.u32(), secret: reader.u32() };
    }
  }

  async hear(): Promise<string | null> {
    const message = await this.#next();
    return message && inWords(message);
  }

  /** All messages up to the next ReadyForQuery. */
  async ask(...said: Uint8Array[]): Promise<string[]> {
    for (const bytes of said) await this.client.write(bytes);
    const heard: string[] = [];
    for (let next; (next = await this.hear()) !== "Z 73";) {
      assert(next !== null, `ended after ${heard}`);
      heard.push(next);
    }
    return heard;
  }

  async #next(): Promise<Message<string> | null> {
    return await framed(this.client, messages).read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

/** A handler whose table of connections is the first client's. */
function handlerOf(options: Partial<PostgresOptions> = {}): Handler {
  return postgres({ tls: certificate, server: () => first.server, ...options });
}

let first: Client;

function enter(handler: Handler): Psql {
  const psql = new Psql(handler);
  first = psql.client;
  return psql;
}

Deno.test("postgres() answers queries, and several in one message", async () => {
  await using psql = enter(handlerOf());
  await psql.enter();
  assertEquals(await psql.ask(query("select * from series(2)")), [
    "T series",
    "D 1",
    "D 2",
    "C SELECT 2",
  ]);
  assertEquals(
    await psql.ask(query("Select * From connections; SELECT * FROM series(1);")),
    [
      "T id client bytes_read",
      ...[`D 1 tcp://192.0.2.2:40007 ${psql.client.bytesWritten}`, "C SELECT 1"],
      ...["T series", "D 1", "C SELECT 1"],
    ],
  );
  assertEquals(await psql.ask(query(" ; ")), ["I "]);
  await psql.client.write(simple("X"));
  assertEquals((await psql.client.ended).reason, "completed");
});

Deno.test("postgres() says what is wrong with a query, and goes on", async () => {
  await using psql = enter(handlerOf());
  await psql.enter();
  assertEquals(await psql.ask(query("select 1")), ["ERROR 42601"]);
  assertEquals(await psql.ask(query("select * from x; select * from series(1)")), ["ERROR 42P01"]);
  assertEquals(await psql.ask(query("select * from series(0)")), ["T series", "C SELECT 0"]);
});

Deno.test("postgres() refuses the extended protocol once for each Sync", async () => {
  await using psql = enter(handlerOf());
  await psql.enter();
  const extended = ["P", "B", "D", "E", "S"].map(simple);
  assertEquals(await psql.ask(...extended), ["ERROR 0A000"]);
  assertEquals(await psql.ask(...extended), ["ERROR 0A000"]);
  assertEquals((await psql.ask(query("select * from series(1)"))).length, 3);
});

Deno.test("postgres() cancels the query of a client whose numbers are sent", async () => {
  using _time = new FakeTime();
  const handler = handlerOf();
  await using psql = enter(handler);
  const { pid, secret } = await psql.enter();
  const asking = psql.ask(query("select * from pause(1000); select * from series(1)"));
  await turns();
  for (const wrong of [{ pid, secret: secret ^ 1 }, { pid: pid + 1, secret }]) {
    await cancel(handler, wrong);
  }
  assertEquals(await Promise.race([asking, turns()]), undefined);
  await cancel(handler, { pid, secret });
  assertEquals(await asking, ["T pause", "ERROR 57014"]);
  await cancel(handler, { pid, secret }); // the query is gone by now
  assertEquals(await psql.ask(query("select * from series(0)")), ["T series", "C SELECT 0"]);
});

async function cancel(handler: Handler, { pid, secret }: { pid: number; secret: number }) {
  await using client = connect(handler);
  await client.write(startup(CANCEL, (writer) => writer.u32(pid).u32(secret >>> 0)));
  assertEquals(await client.read(new Uint8Array(1)), null);
}

Deno.test("postgres() cancels a query that sends more than its client reads", async () => {
  const handler = handlerOf();
  await using psql = new Psql(handler, connect(handler, { toClient: { capacity: 1000 } }));
  const numbers = await psql.enter();
  await psql.client.write(query("select * from series(1000000)"));
  assertEquals(await psql.hear(), "T series");
  await cancel(handler, numbers);
  let heard;
  let rows = 0;
  while ((heard = await psql.hear())?.startsWith("D ")) rows++;
  assertEquals(heard, "ERROR 57014");
  assert(rows < 100_000, `${rows} rows came`);
});

Deno.test("postgres() announces a stop after the running query", async () => {
  await using psql = enter(handlerOf());
  await psql.enter();
  await psql.client.write(query("select * from series(3)"));
  const stopped = psql.client.server.shutdown();
  const heard = [];
  for (let next; (next = await psql.hear()) !== null;) heard.push(next);
  assertEquals(heard, ["T series", "D 1", "D 2", "D 3", "C SELECT 3", "Z 73", "FATAL 57P01"]);
  await stopped;
  assertEquals((await psql.client.ended).reason, "completed");
});

Deno.test("postgres() ends a client that does not log in", async () => {
  using time = new FakeTime();
  await using client = connect(handlerOf());
  await turns();
  await pass(time, 11_000);
  assertEquals((await client.ended).reason, "deadline");
});

for (
  const [name, wrong, reason] of [
    ["another protocol", startup(2 << 16), "protocol_error"],
    ["a startup that is too long", Uint8Array.of(0, 0, 0x40, 0), "protocol_error"],
    [
      "a startup without an end",
      startup(VERSION_3, (writer) => writer.cstring("user")),
      "protocol_error",
    ],
    ["nothing but requests for GSSAPI", startup(GSSAPI), "completed"],
  ] as const
) {
  Deno.test(`postgres() ends a client that sends ${name}`, async () => {
    await using client = connect(handlerOf());
    for (let i = 0; i < 3; i++) await client.write(wrong).catch(() => {});
    assertEquals((await client.ended).reason, reason);
  });
}

Deno.test("postgres() takes a password inside TLS only", async () => {
  await using psql = new Psql(handlerOf({ password: "secret" }));
  await psql.client.write(HELLO);
  assertEquals(await psql.hear(), "FATAL 28P01");
  assertEquals(await psql.hear(), null);
});

netTest("postgres() upgrades to TLS, and lets in a client that knows the password", async () => {
  await using server = serve(LOOPBACK, handlerOf({ password: "secret" }));
  for (const [password, answer] of [["wrong", "FATAL 28P01"], ["secret", "R 0,0,0,0"]] as const) {
    const socket = await dial(server.addr);
    for (const [asked, answered] of [[GSSAPI, "N"], [SSL, "S"]] as const) {
      await socket.write(startup(asked));
      const p = new Uint8Array(1);
      await socket.read(p);
      assertEquals(text(p), answered);
    }
    const options = { hostname: "localhost", caCerts: [ca.cert] };
    await using inside = connection(await Deno.startTls(socket, options));
    const io = framed(inside, messages);
    await inside.write(HELLO);
    assertEquals(inWords((await io.read())!), "R 0,0,0,3");
    await io.send({ header: "p", body: new BinaryWriter().cstring(password).finish() });
    await io.flush();
    assertEquals(inWords((await io.read())!), answer);
  }
});

Deno.test("postgres() behaves the same however the bytes are split", async () => {
  const said = [startup(GSSAPI), HELLO, query("select * from series(1)"), simple("X")];
  const whole = new Uint8Array(await new Blob(said as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  await everySplit(whole, async (pieces) => {
    await using client = connect(handlerOf());
    for (const piece of pieces) await client.write(piece);
    assertEquals(text((await client.readExactly(1))!), "N");
    const types = [];
    for await (const { header } of framed(client, messages)) types.push(header);
    assertEquals(types.join(""), "RSSSSSKZTDCZ");
    assertEquals((await client.ended).reason, "completed");
  }, { pieces: 2 });
});
