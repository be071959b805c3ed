/** The broker keeps to MQTT 3.1.1, and one client cannot keep it from the others. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { mqtt } from "../../examples/mqtt.ts";
import { packets } from "../../examples/mqtt/packets.ts";
import { Topics } from "../../examples/mqtt/topics.ts";
import { type Client, connect, everySplit } from "../../lib/testing/mod.ts";
import { BinaryReader, BinaryWriter } from "../../lib/wire/mod.ts";
import { type EndReason, framed, type Handler } from "../../mod.ts";
import { text } from "../support/bytes.ts";
import { pass, turns } from "../support/wait.ts";

const FRESH = "20 02 00 00", RESUMED = "20 02 01 00";

/** A CONNECT. */
interface Hello {
  readonly keep?: boolean;
  readonly keepAlive?: number;
  readonly will?: { topic: string; payload: string; qos?: number; retain?: boolean };
}

/** A packet: its first byte, and its body after the length. */
function packet(header: number, write: (writer: BinaryWriter) => unknown = () => {}): Uint8Array {
  return new BinaryWriter().u8(header).block("varint", write).finish();
}

function hello(id: string, { keep = false, keepAlive = 0, will }: Hello = {}): Uint8Array {
  const flags = (keep ? 0 : 2) |
    (will === undefined ? 0 : 4 | (will.qos ?? 0) << 3 | (will.retain ? 0x20 : 0));
  return packet(0x10, (writer) => {
    writer.prefixedString(2, "MQTT").u8(4).u8(flags).u16(keepAlive).prefixedString(2, id);
    if (will !== undefined) writer.prefixedString(2, will.topic).prefixedString(2, will.payload);
  });
}

function subscription(id: number, ...filters: [filter: string, qos: number][]): Uint8Array {
  return packet(0x82, (writer) => {
    writer.u16(id);
    for (const [filter, qos] of filters) writer.prefixedString(2, filter).u8(qos);
  });
}

function publication(topic: string, payload: string, id = 0, flags = 0): Uint8Array {
  return packet(0x30 | (id > 0 ? 2 : 0) | flags, (writer) => {
    writer.prefixedString(2, topic);
    if (id > 0) writer.u16(id);
    writer.string(payload);
  });
}

/** A test client. */
class Device implements AsyncDisposable {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  static async connect(broker: Handler, id: string, options: Hello = {}, answer = FRESH) {
    const device = new Device(connect(broker));
    await device.say(hello(id, options));
    assertEquals(await device.hear(), answer);
    return device;
  }

  async say(...list: Uint8Array[]): Promise<void> {
    for (const bytes of list) await this.client.write(bytes);
  }

  /** The next packet: `topic payload`, after its flags if any, or bytes in hexadecimal. */
  async hear(): Promise<string | null> {
    const next = await framed(this.client, packets).read();
    if (next === null) return null;
    if (next.header >> 4 !== 3) {
      return [...packets.encode(next)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    }
    const reader = new BinaryReader(next.body);
    const topic = reader.prefixedString(2);
    const id = (next.header & 2) === 0 ? "" : `#${reader.u16()} `;
    const marks = ((next.header & 8) === 0 ? "" : "again ") +
      ((next.header & 1) === 0 ? "" : "kept ");
    return `${marks}${id}${topic} ${text(reader.bytes(reader.left))}`;
  }

  async subscribe(...filters: [filter: string, qos: number][]): Promise<string | null> {
    await this.say(subscription(1, ...filters));
    return await this.hear();
  }

  async acknowledge(id: number): Promise<void> {
    await this.say(packet(0x40, (writer) => writer.u16(id)));
  }

  /** Resolves once everything sent so far has been handled. */
  async ping(): Promise<void> {
    await this.say(packet(0xc0));
    assertEquals(await this.hear(), "d0 00");
  }

  /** Disconnects properly; returns the end reason of its connection. */
  async leave(): Promise<EndReason> {
    await this.say(packet(0xe0));
    return (await this.client.ended).reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

Deno.test("mqtt() delivers messages to subscribers, in order", async () => {
  const broker = mqtt();
  await using ada = await Device.connect(broker, "ada");
  await using bob = await Device.connect(broker, "bob");
  assertEquals(await ada.subscribe(["a/+", 0], ["b", 1]), "90 04 00 01 00 01");
  await bob.say(
    publication("a/1", "one"),
    publication("c", "not for her"),
    publication("a/2", "two"),
  );
  await bob.say(publication("b", "three", 7));
  assertEquals(await bob.hear(), "40 02 00 07");
  for (const heard of ["a/1 one", "a/2 two", "#1 b three"]) assertEquals(await ada.hear(), heard);
  assertEquals(await bob.leave(), "completed");
});

Deno.test("mqtt() delivers once to a client with two matching filters, with the higher QoS", async () => {
  await using ada = await Device.connect(mqtt(), "ada");
  await ada.subscribe(["a/#", 0], ["a/b", 1], ["+/b", 0]);
  await ada.say(publication("a/b", "one", 1), publication("a/b", "two"));
  const heard = [await ada.hear(), await ada.hear(), await ada.hear()];
  assertEquals(heard.toSorted(), ["#1 a/b one", "40 02 00 01", "a/b two"]);
});

Deno.test("mqtt() delivers nothing more after UNSUBSCRIBE", async () => {
  await using ada = await Device.connect(mqtt(), "ada");
  await ada.subscribe(["a", 0], ["b", 0]);
  await ada.say(packet(0xa2, (writer) => writer.u16(2).prefixedString(2, "a")));
  assertEquals(await ada.hear(), "b0 02 00 02");
  await ada.say(publication("a", "one"), publication("b", "two"));
  assertEquals(await ada.hear(), "b two");
});

for (
  const [filter, matching, others] of [
    ["sport/#", ["sport", "sport/tennis", "sport/tennis/1", "sport/"], ["sports", "a/sport"]],
    ["#", ["a", "/a", "a/b"], ["$SYS/a"]],
    ["+", ["a", " "], ["/a", "a/b", "$SYS"]],
    ["+/+", ["/a", "a/b", "a/"], ["a", "a/b/c", "$SYS/a"]],
    ["a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/c/d"]],
    ["$SYS/+", ["$SYS/a"], ["a/a"]],
    ["a/b", ["a/b"], ["A/b", "a", "a/b/"]],
  ] as const
) {
  Deno.test(`Topics.of() matches ${filter} as the standard says`, () => {
    const topics = new Topics<string>();
    topics.add(filter, "ada", 0);
    for (const topic of matching) assertEquals(topics.of(topic).size, 1, topic);
    for (const topic of others) assertEquals(topics.of(topic).size, 0, topic);
    topics.delete(filter, "ada");
    for (const topic of matching) assertEquals(topics.of(topic).size, 0, topic);
  });
}

Deno.test("mqtt() refuses invalid filters, and more than a hundred", async () => {
  await using ada = await Device.connect(mqtt(), "ada");
  const wrong = ["", "a#", "#/a", "a+/b", "a/b#", "a\0", "/".repeat(64)];
  assertEquals(
    await ada.subscribe(...wrong.map((filter) => [filter, 0] as [string, number]), ["a", 2]),
    "90 0a 00 01 80 80 80 80 80 80 80 01",
  );
  for (let i = 1; i < 100; i++) assertEquals(await ada.subscribe([`b${i}`, 0]), "90 03 00 01 00");
  assertEquals(await ada.subscribe(["c", 0]), "90 03 00 01 80");
  assertEquals(await ada.subscribe(["a", 0]), "90 03 00 01 00"); // a repeated filter does not count
});

Deno.test("mqtt() sends a new subscriber the retained message, until it is cleared", async () => {
  const broker = mqtt();
  await using ada = await Device.connect(broker, "ada");
  await using bob = await Device.connect(broker, "bob");
  await bob.say(publication("a/1", "old", 0, 1), publication("a/1", "new", 0, 1));
  await bob.say(publication("a/2", "gone", 0, 1), publication("a/2", "", 0, 1));
  await bob.ping();
  assertEquals(await ada.subscribe(["a/+", 0]), "90 03 00 01 00");
  assertEquals(await ada.hear(), "kept a/1 new");
  await bob.say(publication("a/1", "live", 0, 1));
  assertEquals(await ada.hear(), "a/1 live");
});

Deno.test("mqtt() keeps a session, and redelivers what was not acknowledged", async () => {
  const broker = mqtt();
  await using bob = await Device.connect(broker, "bob");
  {
    await using ada = await Device.connect(broker, "ada", { keep: true });
    await ada.subscribe(["a", 1]);
    await bob.say(publication("a", "one", 1), publication("a", "two", 2));
    assertEquals(await ada.hear(), "#1 a one");
    assertEquals(await ada.hear(), "#2 a two");
    await ada.acknowledge(1);
    await ada.ping();
    ada.client.reset();
    await ada.client.ended;
  }
  await bob.say(publication("a", "three", 3), publication("a", "lost"));
  for (let i = 1; i <= 3; i++) assertEquals(await bob.hear(), `40 02 00 0${i}`);
  await bob.ping();
  await using ada = await Device.connect(broker, "ada", { keep: true }, RESUMED);
  assertEquals(await ada.hear(), "again #2 a two");
  assertEquals(await ada.hear(), "#3 a three");
  await ada.leave();
  await using clean = await Device.connect(broker, "ada");
  await clean.ping();
});

Deno.test("mqtt() has at most 32 deliveries in flight, and goes on with each acknowledgement", async () => {
  const broker = mqtt();
  await using ada = await Device.connect(broker, "ada");
  await using bob = await Device.connect(broker, "bob");
  await ada.subscribe(["a", 1]);
  for (let i = 1; i <= 40; i++) {
    await bob.say(publication("a", String(i), i));
    await bob.hear();
  }
  for (let i = 1; i <= 32; i++) assertEquals(await ada.hear(), `#${i} a ${i}`);
  await ada.ping(); // nothing more was on its way
  for (let i = 1; i <= 8; i++) {
    await ada.acknowledge(i);
    assertEquals(await ada.hear(), `#${32 + i} a ${32 + i}`);
  }
});

Deno.test("mqtt() publishes the will only of a client that leaves without DISCONNECT", async () => {
  const broker = mqtt();
  await using ada = await Device.connect(broker, "ada");
  await ada.subscribe(["gone", 0]);
  const leaving = [
    (bob: Device) => bob.client.reset(),
    (bob: Device) => bob.client.close(),
    (bob: Device) => bob.say(packet(0xf0)),
    async (bob: Device) => {
      await using _next = await Device.connect(broker, "bob");
      await bob.client.ended;
    },
  ];
  for (const [i, leave] of leaving.entries()) {
    const will = { topic: "gone", payload: `bob ${i}` };
    await using bob = await Device.connect(broker, "bob", { will });
    await leave(bob);
    assertEquals(await ada.hear(), `gone bob ${i}`);
  }
  await using eve = await Device.connect(broker, "eve", {
    will: { topic: "gone", payload: "eve" },
  });
  assertEquals(await eve.leave(), "completed");
  await ada.ping();
});

Deno.test("mqtt() gives a client identifier to the last connection that sends it", async () => {
  const broker = mqtt();
  await using first = await Device.connect(broker, "ada", { keep: true });
  await first.subscribe(["a", 1]);
  await using second = await Device.connect(broker, "ada", { keep: true }, RESUMED);
  assertEquals(await first.hear(), null);
  const { reason, detail } = await first.client.ended;
  assertEquals([reason, detail], ["dismissed", "taken over"]);
  await second.say(publication("a", "one", 1));
  assertEquals([await second.hear(), await second.hear()].toSorted(), ["#1 a one", "40 02 00 01"]);
});

Deno.test("mqtt() ends a client that is silent for one and a half times its keep-alive", async () => {
  using time = new FakeTime();
  await using ada = await Device.connect(mqtt(), "ada", { keepAlive: 10 });
  await pass(time, 10_000);
  await ada.ping();
  await pass(time, 14_000);
  assertEquals(ada.client.server.connections.size, 1);
  await pass(time, 2_000);
  assertEquals((await ada.client.ended).reason, "receive_timeout");
});

Deno.test("mqtt() ends a client that connects and sends nothing", async () => {
  using time = new FakeTime();
  await using client = connect(mqtt());
  await turns();
  await pass(time, 11_000);
  assertEquals((await client.ended).reason, "deadline");
});

Deno.test("mqtt() refuses other versions, and a session without a client identifier", async () => {
  for (
    const [first, answer] of [
      [packet(0x10, (writer) => writer.prefixedString(2, "MQIsdp").u8(3)), "20 02 00 01"],
      [packet(0x10, (writer) => writer.prefixedString(2, "MQTT").u8(5)), "20 02 00 01"],
      [hello("", { keep: true }), "20 02 00 02"],
    ] as const
  ) {
    await using device = new Device(connect(mqtt()));
    await device.say(first);
    assertEquals(await device.hear(), answer);
    assertEquals((await device.client.ended).reason, "completed");
  }
});

for (
  const [name, wrong] of [
    ["something before CONNECT", [packet(0xc0)]],
    ["a second CONNECT", [hello("ada"), hello("ada")]],
    ["a length of five bytes", [hello("ada"), Uint8Array.of(0x30, 255, 255, 255, 255, 1)]],
    ["a packet of 1 MiB", [hello("ada"), Uint8Array.of(0x30, 128, 128, 64)]],
    ["QoS 2", [hello("ada"), publication("a", "x", 1, 4)]],
    ["a topic with a wildcard", [hello("ada"), publication("a/#", "x")]],
    ["a topic of 65 levels", [hello("ada"), publication("/".repeat(64), "x")]],
    ["a number of 0", [hello("ada"), packet(0x40, (writer) => writer.u16(0))]],
    ["a SUBSCRIBE without a filter", [hello("ada"), packet(0x82, (writer) => writer.u16(1))]],
    ["a SUBSCRIBE that is cut off", [hello("ada"), packet(0x82, (w) => w.u16(1).u16(9))]],
  ] as const
) {
  Deno.test(`mqtt() ends a client that sends ${name}, for that`, async () => {
    await using device = new Device(connect(mqtt()));
    await device.say(...wrong);
    assertEquals((await device.client.ended).reason, "protocol_error");
  });
}

Deno.test("mqtt() behaves the same however the bytes are split", async () => {
  const said = [
    hello("ada"),
    subscription(1, ["a", 1]),
    publication("a", "hello", 3),
    packet(0xe0),
  ];
  const whole = new Uint8Array(await new Blob(said as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  await everySplit(whole, async (pieces) => {
    await using device = new Device(connect(mqtt()));
    await device.say(...pieces);
    const heard = [];
    for (let i = 0; i < 4; i++) heard.push(await device.hear());
    assertEquals(heard.toSorted(), ["#1 a hello", FRESH, "40 02 00 03", "90 03 00 01 01"]);
    assertEquals((await device.client.ended).reason, "completed");
  });
});

Deno.test("mqtt() skips a subscriber that does not read, and holds little for it", async () => {
  const broker = mqtt();
  await using bob = await Device.connect(broker, "bob");
  await using ada = new Device(connect(broker, { toClient: { capacity: 1000 } }));
  await ada.say(hello("ada"), subscription(1, ["a", 1]));
  assertEquals(await ada.hear(), FRESH);
  assertEquals(await ada.hear(), "90 03 00 01 01");
  const [conn] = ada.client.server.connections;
  for (let i = 1; i <= 400; i++) {
    await bob.say(publication("a", "x".repeat(20_000)), publication("a", "y".repeat(20_000), i));
    assert((await bob.hear())?.startsWith("40 02"));
  }
  assert(conn!.unsentBytes <= 600_000, `${conn!.unsentBytes} bytes wait`);
  const heard = await ada.hear();
  assert(heard?.startsWith("a xxx") || heard?.startsWith("#1 a yyy"), "whole messages only");
});

Deno.test("mqtt() can be stopped without publishing wills", async () => {
  const broker = mqtt();
  await using ada = await Device.connect(broker, "ada");
  await ada.subscribe(["gone", 0]);
  await using bob = await Device.connect(broker, "bob", {
    will: { topic: "gone", payload: "bob" },
  });
  await bob.client.server.shutdown();
  assertEquals((await bob.client.ended).reason, "completed");
  await ada.ping();
});
