/** Every guest hears what is said, at its own pace. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { chat } from "../../examples/chat.ts";
import { type Client, connect, type ConnectOptions, everySplit } from "../../lib/testing/mod.ts";
import { type Framed, framed, type Handler, lines, serve } from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";

/** A guest. */
class Person implements AsyncDisposable {
  readonly client: Client;
  readonly #messages: Framed<string>;

  constructor(client: Client) {
    this.client = client;
    this.#messages = framed(client, lines());
  }

  static async arrive(room: Handler, options?: ConnectOptions): Promise<Person> {
    const person = new Person(connect(room, options));
    assertEquals(await person.hear(), "* What is your name?");
    return person;
  }

  /** Enters with a valid name; returns the line about the others. */
  static async enter(
    room: Handler,
    name: string,
    options?: ConnectOptions,
  ): Promise<[Person, string | null]> {
    const person = await Person.arrive(room, options);
    await person.say(name);
    return [person, await person.hear()];
  }

  /** Bytes that wait to be sent to this guest. */
  get unsentBytes(): number {
    return [...this.client.server.connections].reduce((sum, conn) => sum + conn.unsentBytes, 0);
  }

  async say(line: string): Promise<void> {
    await this.#messages.send(line);
    await this.#messages.flush();
  }

  /** The next line; `null` when the connection was closed. */
  async hear(): Promise<string | null> {
    return await this.#messages.read();
  }

  async ask(line: string): Promise<string | null> {
    await this.say(line);
    return await this.hear();
  }

  /** Resets the connection; returns its end reason. */
  async leave(how: "close" | "reset" = "close"): Promise<string> {
    this.client[how]();
    return (await this.client.ended).reason;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client[Symbol.asyncDispose]();
  }
}

Deno.test("chat() announces guests, what they say, and when they leave", async () => {
  const room = chat();
  const [ada, alone] = await Person.enter(room, "Ada");
  await using _ada = ada;
  assertEquals(alone, "* Nobody else is here");
  const [bob, one] = await Person.enter(room, "Bob");
  assertEquals(one, "* Here are Ada");
  assertEquals(await ada.hear(), "* Bob has come");
  const [eve, two] = await Person.enter(room, "Eve");
  await using _eve = eve;
  assertEquals(two, "* Here are Ada, Bob");
  assertEquals(await ada.hear(), "* Eve has come");
  assertEquals(await bob.hear(), "* Eve has come");

  await bob.say("Hello");
  assertEquals(await ada.hear(), "Bob: Hello");
  assertEquals(await eve.hear(), "Bob: Hello");
  await ada.say("Hello, Bob");
  assertEquals(await bob.hear(), "Ada: Hello, Bob"); // and not his own line

  assertEquals(await bob.ask("/quit"), "* Bye");
  assertEquals(await bob.hear(), null);
  assertEquals(await bob.leave(), "completed");
  assertEquals(await eve.hear(), "Ada: Hello, Bob");
  assertEquals(await eve.hear(), "* Bob has left");
  assertEquals(await eve.leave(), "completed");
  assertEquals(await ada.hear(), "* Bob has left");
  assertEquals(await ada.hear(), "* Eve has left");
});

Deno.test("chat() asks until the name is valid, and frees it afterwards", async () => {
  const room = chat();
  const [ada] = await Person.enter(room, "Ada");
  await using other = await Person.arrive(room);
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
  await ada.leave();
  const [again] = await Person.enter(room, "Ada");
  await again.leave();
});

Deno.test(
  "chat() shows control characters instead of obeying them, in names and messages",
  async () => {
    const room = chat();
    const [ada] = await Person.enter(room, "Ada");
    await using _ada = ada;
    const [bob] = await Person.enter(room, "B\x1b[31mob\x00");
    await using _bob = bob;
    assertEquals(await ada.hear(), "* B\\u{1b}[31mob\\u{0} has come");
    await bob.say("\x07\x1b]0;title\x9b2J \u202egnorw\u2028👩‍👩‍👧 \ud83d\ude00 café\ttab");
    assertEquals(
      await ada.hear(),
      "B\\u{1b}[31mob\\u{0}: \\u{7}\\u{1b}]0;title\\u{9b}2J \\u{202e}gnorw\\u{2028}👩‍👩‍👧 😀 café\\u{9}tab",
    );
  },
);

Deno.test("chat() truncates long lines, and sends whole those that escapes make longer", async () => {
  const room = chat();
  const [ada] = await Person.enter(room, "Ada");
  await using _ada = ada;
  const [bob] = await Person.enter(room, "Bob");
  await using _bob = bob;
  assertEquals(await ada.hear(), "* Bob has come");
  await bob.say("x".repeat(60_000));
  assertEquals(await ada.hear(), `Bob: ${"x".repeat(1024)}`);
  await bob.say("\x1b".repeat(1024));
  assertEquals(await ada.hear(), `Bob: ${"\\u{1b}".repeat(1024)}`);
  await bob.say("");
  await bob.say("still here");
  assertEquals(await ada.hear(), "Bob: still here");
});

Deno.test("chat() forgets guests that reset, named or not", async () => {
  const room = chat();
  const [ada] = await Person.enter(room, "Ada");
  await using _ada = ada;
  const [bob] = await Person.enter(room, "Bob");
  assertEquals(await ada.hear(), "* Bob has come");
  assertEquals(await bob.leave(), "completed");
  assertEquals(await ada.hear(), "* Bob has left");
  await (await Person.arrive(room)).leave();
  await using mute = await Person.arrive(room);
  assertEquals(await mute.ask("/quit"), null);
  const [again, here] = await Person.enter(room, "Bob");
  assertEquals(here, "* Here are Ada");
  await again.leave();
});

Deno.test("chat() gives a name to one of two that ask for it at once", async () => {
  const room = chat();
  await using one = await Person.arrive(room);
  await using two = await Person.arrive(room);
  assertEquals(await Promise.all([one.ask("Ada"), two.ask("Ada")]), [
    "* Nobody else is here",
    "* The name Ada is taken. What is your name?",
  ]);
});

Deno.test("chat() does not wait for a slow reader, and says later how much it missed", async () => {
  const room = chat();
  const [slow] = await Person.enter(room, "Slow");
  await using _slow = slow;
  const [quick] = await Person.enter(room, "Quick");
  await using _quick = quick;
  const [speaker] = await Person.enter(room, "Speaker");
  await using _speaker = speaker;
  for (const person of [slow, slow, quick]) await person.hear(); // the lines about arrivals
  // From here on the slow guest reads nothing.
  const count = 2000;
  const line = "x".repeat(1000);
  const size = "Speaker: ".length + line.length + 2;
  for (let said = 0; said < count; said += 10) {
    for (let i = 0; i < 10; i++) speaker.say(line);
    for (let i = 0; i < 10; i++) assertEquals(await quick.hear(), `Speaker: ${line}`);
    // The lines that filled its buffer, and those sent before that was known.
    const { unsentBytes } = slow;
    assert(unsentBytes < 262_144 + 65_536 + 2 * size, `${unsentBytes} wait`);
  }

  // It reads again: the waiting lines, and then how many it has missed.
  const listening = (async () => {
    for (let heard = 0;; heard++) {
      const notice = await slow.hear();
      if (notice !== `Speaker: ${line}`) return { heard, notice };
    }
  })();
  await until(() => slow.unsentBytes === 0);
  await speaker.say("one more");
  const { heard, notice } = await listening;
  assert(heard > 262_144 / size && heard < count, `${heard} were heard`);
  assertEquals(notice, `* You missed ${count - heard} lines`);
  assertEquals(await slow.hear(), "Speaker: one more");
});

Deno.test("chat() behaves the same however the bytes are split", async () => {
  const room = chat();
  const [ada] = await Person.enter(room, "Ada");
  await using _ada = ada;
  await everySplit(bytes`Bob\r\nhé!\n/quit\n`, async (pieces) => {
    await using bob = new Person(connect(room));
    for (const piece of pieces) await bob.client.write(piece);
    for (const line of ["* Bob has come", "Bob: hé!", "* Bob has left"]) {
      assertEquals(await ada.hear(), line);
    }
    assertEquals(await bob.hear(), "* What is your name?");
    assertEquals(await bob.hear(), "* Here are Ada");
    assertEquals(await bob.hear(), "* Bye");
    assertEquals(await bob.leave(), "completed");
  });
});

Deno.test("chat() frees the name of a guest that is reset, after any byte", async () => {
  const said = bytes`Bob\nhello\n`;
  for (const direction of ["toHandler", "toClient"] as const) {
    for (let resetAfter = 0; resetAfter <= said.length; resetAfter++) {
      const room = chat();
      await using bob = new Person(connect(room, { [direction]: { resetAfter } }));
      await bob.client.write(said).catch(() => {});
      assertEquals((await bob.client.ended).reason, "peer_reset");
      const [again, alone] = await Person.enter(room, "Bob");
      assertEquals(alone, "* Nobody else is here");
      await again.leave();
    }
  }
});

Deno.test("chat() announces a guest whose connection timed out", async () => {
  using time = new FakeTime();
  const room = chat();
  const [ada] = await Person.enter(room, "Ada");
  await using _ada = ada;

  const goes = async (options: ConnectOptions, why: string, go: (bob: Person) => unknown) => {
    const [bob] = await Person.enter(room, "Bob", options);
    await using _bob = bob;
    assertEquals(await ada.hear(), "* Bob has come");
    await go(bob);
    assertEquals((await bob.client.ended).reason, why);
    assertEquals(await ada.hear(), "* Bob has left");
  };
  await goes({}, "peer_reset", (bob) => bob.client.reset());
  await goes({ idleTimeout: 10_000 }, "idle_timeout", () => time.tickAsync(10_300));
  await goes({}, "frame_timeout", async ({ client }) => {
    await client.write(bytes`half a li`);
    await time.tickAsync(30_300);
  });
  await goes({}, "peer_closed_early", async ({ client }) => {
    await client.write(bytes`half a li`);
    client.close();
  });
  await goes({ toClient: { stallAfter: 50, capacity: 50 } }, "write_timeout", async (bob) => {
    await ada.say("x".repeat(1000));
    await until(() => bob.unsentBytes > 0);
    await time.tickAsync(30_300);
  });
});

netTest(
  "chat() says goodbye to all when the server stops, while one says 20 lines a second",
  async () => {
    using time = new FakeTime();
    const { ended, onEnd } = noteEnds();
    const server = serve({ ...LOOPBACK, shutdownTimeout: 3000, onEnd }, chat());
    const guests = await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const guest = framed(await dial(server.addr), lines());
      await guest.read();
      await guest.send(`guest ${i}`);
      await guest.read();
      return guest;
    }));
    const goodbye = "* The server is stopping. Come back in a minute";
    const last = guests.map(() => "");
    const heard = guests.map(async (guest, i) => {
      for await (const line of guest) last[i] = line;
      guest.conn.close();
    });
    using mute = await dial(server.addr); // and has not said who it is
    const [speaker] = guests;
    const { port } = speaker!.conn.localAddr as Deno.NetAddr;
    const served = [...server.connections].find(({ remoteAddr }) => remoteAddr.port === port)!;
    const stopped = server.shutdown();
    await until(() => server.drainSignal.aborted);
    const left: number[] = [];
    for (let passed = 0; server.state !== "stopped" && passed <= 3000; passed += 50) {
      if (served.endReason === undefined) await speaker!.send("and another thing");
      time.tick(50);
      await turns(3);
      while (left.length < ended.length) left.push(passed);
    }
    await stopped;
    await Promise.all(heard);
    assertEquals(last, guests.map(() => goodbye));
    assertStringIncludes(text(await readAll(mute)), goodbye);
    assertEquals(ended.map(({ reason }) => reason), Array(21).fill("completed"));
    assert(left[18]! < 1000, `the quiet ones have left after ${left} ms`);
  },
);
