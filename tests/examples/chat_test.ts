/** Does everybody in the room hear what is said, at their own pace? @module */

import { assert, assertEquals } from "@std/assert";
import { chat } from "../../examples/chat.ts";
import { type Connection, connection, type Framed, framed, lines, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, dial, LOOPBACK, text, turns, until } from "../support/peers.ts";
import { ScriptedListener } from "../support/scripted_listener.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** Somebody who chats. */
class Person implements Disposable {
  readonly #client: Connection;
  readonly #messages: Framed<string>;

  constructor(client: Deno.Conn) {
    this.#client = connection(client);
    this.#messages = framed(this.#client, lines());
  }

  static async arrive(addr: Deno.NetAddr): Promise<Person> {
    const person = new Person(await dial(addr));
    assertEquals(await person.hear(), "* What is your name?");
    return person;
  }

  /** Comes in with a name that will do; what was said about the others. */
  static async enter(addr: Deno.NetAddr, name: string): Promise<[Person, string | null]> {
    const person = await Person.arrive(addr);
    await person.say(name);
    return [person, await person.hear()];
  }

  async say(line: string): Promise<void> {
    await this.#messages.send(line);
  }

  /** The next line; `null` when the connection was closed. */
  async hear(): Promise<string | null> {
    return await this.#messages.read();
  }

  async ask(line: string): Promise<string | null> {
    await this.say(line);
    return await this.hear();
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

netTest("chat() tells who comes, what they say, and who leaves", async () => {
  await using server = serve(LOOPBACK, chat());
  const [ada, alone] = await Person.enter(server.addr, "Ada");
  using _ada = ada;
  assertEquals(alone, "* Nobody else is here");
  const [bob, one] = await Person.enter(server.addr, "Bob");
  assertEquals(one, "* Here are Ada");
  assertEquals(await ada.hear(), "* Bob has come");
  const [eve, two] = await Person.enter(server.addr, "Eve");
  using _eve = eve;
  assertEquals(two, "* Here are Ada, Bob");
  assertEquals(await ada.hear(), "* Eve has come");
  assertEquals(await bob.hear(), "* Eve has come");

  await bob.say("Hello");
  assertEquals(await ada.hear(), "Bob: Hello");
  assertEquals(await eve.hear(), "Bob: Hello");
  await ada.say("Hello, Bob");
  assertEquals(await bob.hear(), "Ada: Hello, Bob"); // and not what he said himself

  assertEquals(await bob.ask("/quit"), "* Bye");
  assertEquals(await bob.hear(), null);
  bob[Symbol.dispose]();
  assertEquals(await eve.hear(), "Ada: Hello, Bob");
  assertEquals(await eve.hear(), "* Bob has left");
  eve[Symbol.dispose]();
  assertEquals(await ada.hear(), "* Bob has left");
  assertEquals(await ada.hear(), "* Eve has left");
});

netTest("chat() asks until the name will do, and gives it back to who comes later", async () => {
  await using server = serve(LOOPBACK, chat());
  const [ada] = await Person.enter(server.addr, "Ada");
  using other = await Person.arrive(server.addr);
  const asks = ". What is your name?";
  for (const name of ["", "   ", "\u00a0", "--", "\u0301"]) {
    assertEquals(await other.ask(name), `* A name needs a letter, a digit or a symbol${asks}`);
  }
  assertEquals(await other.ask("x".repeat(21)), `* A name has at most 20 characters${asks}`);
  assertEquals(await other.ask(" Ada "), `* The name Ada is taken${asks}`);
  assertEquals(await other.ask("ada"), "* Here are Ada");
  assertEquals(await ada.hear(), "* ada has come");
  assertEquals(await ada.ask("/quit"), "* Bye");
  assertEquals(await other.hear(), "* Ada has left");
  ada[Symbol.dispose]();
  const [again] = await Person.enter(server.addr, "Ada");
  again[Symbol.dispose]();
});

netTest(
  "chat() shows control characters instead of obeying them, in names and messages",
  async () => {
    await using server = serve(LOOPBACK, chat());
    const [ada] = await Person.enter(server.addr, "Ada");
    using _ada = ada;
    const [bob] = await Person.enter(server.addr, "B\x1b[31mob\x00");
    using _bob = bob;
    assertEquals(await ada.hear(), "* B\\u{1b}[31mob\\u{0} has come");
    await bob.say("\x07\x1b]0;title\x9b2J \u202egnorw\u2028👩‍👩‍👧 \ud83d\ude00 café\ttab");
    assertEquals(
      await ada.hear(),
      "B\\u{1b}[31mob\\u{0}: \\u{7}\\u{1b}]0;title\\u{9b}2J \\u{202e}gnorw\\u{2028}👩‍👩‍👧 😀 café\\u{9}tab",
    );
  },
);

netTest("chat() cuts what is too long, and what grows by being shown arrives", async () => {
  await using server = serve(LOOPBACK, chat());
  const [ada] = await Person.enter(server.addr, "Ada");
  using _ada = ada;
  const [bob] = await Person.enter(server.addr, "Bob");
  using _bob = bob;
  assertEquals(await ada.hear(), "* Bob has come");
  await bob.say("x".repeat(60_000));
  assertEquals(await ada.hear(), `Bob: ${"x".repeat(1024)}`);
  await bob.say("\x1b".repeat(1024));
  assertEquals(await ada.hear(), `Bob: ${"\\u{1b}".repeat(1024)}`);
  await bob.say("");
  await bob.say("still here");
  assertEquals(await ada.hear(), "Bob: still here");
});

netTest("chat() forgets who goes without a word, named or not", async () => {
  await using server = serve(LOOPBACK, chat());
  const [ada] = await Person.enter(server.addr, "Ada");
  using _ada = ada;
  const [bob] = await Person.enter(server.addr, "Bob");
  assertEquals(await ada.hear(), "* Bob has come");
  bob[Symbol.dispose]();
  assertEquals(await ada.hear(), "* Bob has left");
  (await Person.arrive(server.addr))[Symbol.dispose]();
  using mute = await Person.arrive(server.addr);
  assertEquals(await mute.ask("/quit"), null);
  const [again, here] = await Person.enter(server.addr, "Bob");
  assertEquals(here, "* Here are Ada");
  again[Symbol.dispose]();
});

Deno.test("chat() gives a name to one of two who ask for it in the same moment", async () => {
  const listener = new ScriptedListener();
  await using server = serve({ listeners: [listener] }, chat());
  const sockets = [new ScriptedSocket(), new ScriptedSocket()];
  for (const socket of sockets) listener.give(socket);
  await until(() => sockets.every((socket) => text(socket.taken).endsWith("name?\r\n")));
  for (const socket of sockets) socket.arrive(bytes`${"Ada\n"}`);
  const told = () => sockets.map((socket) => text(socket.taken).split("\r\n")[1]);
  await until(() => told().every((line) => line !== ""));
  assertEquals(told(), [
    "* Nobody else is here",
    "* The name Ada is taken. What is your name?",
  ]);
  assertEquals(server.connections.size, 2);
  for (const socket of sockets) socket.finish();
});

Deno.test("chat() lets nobody wait for who does not read, and tells him later what he missed", async () => {
  const listener = new ScriptedListener();
  await using server = serve({ listeners: [listener] }, chat());
  const [slow, quick, speaker] = await Promise.all(
    ["Slow", "Quick", "Speaker"].map((name) => enterScripted(listener, name)),
  );
  assert(slow !== undefined && quick !== undefined && speaker !== undefined);
  // From here on the slow one takes nothing.
  await turns(5);
  slow.takes = () => undefined;
  const before = { slow: slow.takenBytes, quick: quick.takenBytes };

  const count = 2000;
  const line = "x".repeat(1000);
  const size = "Speaker: ".length + line.length + 2;
  for (let said = 0; said < count; said += 10) {
    speaker.arrive(bytes`${`${line}\n`.repeat(10)}`);
    await until(() => quick.takenBytes >= before.quick + (said + 10) * size);
    for (const conn of server.connections) {
      // What made it slow, and what was gathered and said before that was known.
      assert(conn.unsentBytes < 262_144 + 65_536 + 2 * size, `${conn.unsentBytes} wait`);
    }
  }
  assertEquals(quick.takenBytes, before.quick + count * size);
  assertEquals(server.connections.size, 3);

  // He reads again: what waited, and then how much he has missed.
  slow.takes = (p) => p.length;
  slow.writes[0]!.take();
  await until(() => [...server.connections].every(({ unsentBytes }) => unsentBytes === 0));
  const waited = slow.takenBytes - before.slow;
  assertEquals(waited % size, 0);
  speaker.arrive(bytes`${"one more\n"}`);
  const missed = count - waited / size;
  const told = `* You missed ${missed} lines\r\nSpeaker: one more\r\n`;
  await until(() => text(slow.taken).endsWith(told));
  for (const socket of [slow, quick, speaker]) socket.finish();
});

/** Comes in over a socket that the test moves. */
async function enterScripted(listener: ScriptedListener, name: string): Promise<ScriptedSocket> {
  const socket = new ScriptedSocket();
  listener.give(socket);
  socket.arrive(bytes`${`${name}\n`}`);
  await until(() => /\* (?:Nobody else is here|Here are .*)\r\n/.test(text(socket.taken)));
  return socket;
}
