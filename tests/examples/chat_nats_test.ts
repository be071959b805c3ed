/** Guests of several servers meet through a real NATS server, and go on without it. @module */

import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { connect } from "@nats-io/transport-node";
import { type Framed, framed, lines } from "../../mod.ts";
import { NatsServer } from "../interop/nats_server.ts";
import { netTest, root } from "../support/needs.ts";
import { dial } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { turn, until } from "../support/wait.ts";

const NEEDS = { programs: ["nats-server"] };

const AWAY = "* The other servers are out of reach: only guests of this one hear you";
const BACK = "* The other servers can be reached again";
const GOODBYE = "* The server is stopping. Come back in a minute";

/** One process of the example. */
class ChatServer implements AsyncDisposable {
  readonly program: Program;
  readonly addr: Deno.NetAddr;

  private constructor(program: Program, port: number) {
    this.program = program;
    this.addr = { transport: "tcp", hostname: "127.0.0.1", port };
  }

  static async start(nats: NatsServer): Promise<ChatServer> {
    const program = new Program(new URL("examples/chat_nats.ts", root), {
      how: ["run", "--allow-net"],
      args: ["--port", "0", "--nats", `127.0.0.1:${nats.port}`],
    });
    const [, port] = /:(\d+)$/.exec(await program.line()) ?? [];
    return new ChatServer(program, Number(port));
  }

  /** A guest with a name, who has heard who is here. */
  async enter(name: string): Promise<Person> {
    const person = await Person.arrive(this.addr);
    await person.say(name);
    await person.hears(/^\* (Here are|Nobody else)/);
    return person;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/** A guest. */
class Person implements Disposable {
  readonly #messages: Framed<string>;
  /** All that it has heard. */
  readonly heard: string[] = [];
  hasLeft = false;

  private constructor(messages: Framed<string>) {
    this.#messages = messages;
    this.#listen();
  }

  static async arrive(addr: Deno.NetAddr): Promise<Person> {
    return new Person(framed(await dial(addr), lines({ limit: 100_000 })));
  }

  async #listen(): Promise<void> {
    try {
      for await (const line of this.#messages) this.heard.push(line);
    } catch {
      // A server that was killed resets.
    }
    this.hasLeft = true;
  }

  async say(line: string): Promise<void> {
    await this.#messages.send(line);
    await this.#messages.flush();
  }

  /** Waits for a line; returns it. */
  async hears(line: string | RegExp): Promise<string> {
    const isIt = (one: string) => typeof line === "string" ? one === line : line.test(one);
    try {
      await until(() => this.heard.some(isIt));
    } catch (error) {
      const last = this.heard.slice(-5).map((heard) => heard.slice(0, 100));
      throw new Error(`Never heard ${line}, but last ${last.join(" | ")}`, { cause: error });
    }
    return this.heard.find(isIt)!;
  }

  [Symbol.dispose](): void {
    this.#messages.conn.close();
  }
}

netTest("guests of two servers hear each other, who comes, and who leaves", async () => {
  await using nats = await NatsServer.start();
  await using one = await ChatServer.start(nats);
  await using two = await ChatServer.start(nats);
  using ada = await one.enter("Ada");
  const bob = await two.enter("Bob");
  using _bob = bob;
  assert(bob.heard.includes("* Here are Ada"), `${bob.heard}`);
  await ada.hears("* Bob has come");
  await ada.say("hello");
  await bob.hears("Ada: hello");
  await bob.say("hello to you");
  await ada.hears("Bob: hello to you");
  await bob.say("/quit");
  await ada.hears("* Bob has left");
  assert(!ada.heard.includes("Ada: hello"), "her own line came back");
}, NEEDS);

netTest("a name is given once on all servers, also when all ask at the same time", async () => {
  await using nats = await NatsServer.start();
  await using one = await ChatServer.start(nats);
  await using two = await ChatServer.start(nats);
  for (let round = 0; round < 20; round++) {
    const people = await Promise.all(
      [one, two, one, two].map(({ addr }) => Person.arrive(addr)),
    );
    const name = `Ada ${round}`;
    await Promise.all(people.map((person) => person.say(name)));
    await Promise.all(people.map((person) => person.hears(/^\* (Here are|Nobody|The name)/)));
    const outcomes = people.map(({ heard }) => heard.some((line) => line.includes("is taken")));
    assertEquals(outcomes.filter((isTaken) => !isTaken).length, 1, `${outcomes}`);
    assertEquals(people.flatMap(({ heard }) => heard).filter((line) => line.includes("-2")), []);
    for (const person of people) person[Symbol.dispose]();
  }
}, NEEDS);

netTest(
  "while NATS is away each server goes on by itself, and afterwards the later of two with one name is renamed",
  async () => {
    let nats = await NatsServer.start();
    try {
      await using one = await ChatServer.start(nats);
      await using two = await ChatServer.start(nats);
      using ada = await one.enter("Ada");
      using bob = await two.enter("Bob");
      await ada.hears("* Bob has come");
      await nats.kill();
      await Promise.all([ada, bob].map((person) => person.hears(AWAY)));
      using second = await two.enter("Ada");
      assert(second.heard.includes("* Here are Bob"), `${second.heard}`);
      await second.hears(AWAY);
      await second.say("only Bob hears this");
      await bob.hears("Ada: only Bob hears this");
      nats = await nats.again();
      await Promise.all([ada, bob, second].map((person) => person.hears(BACK)));
      await second.hears("* Another Ada was there before you: you are Ada-2 now");
      for (const person of [ada, bob]) await person.hears("* Ada-2 was Ada");
      await ada.hears("* 1 lines from another server were lost");
      await second.say("and all hear this");
      for (const person of [ada, bob]) await person.hears("Ada-2: and all hear this");
      assertMatch(await one.program.complaint() ?? "", /^NATS at .* is away: guests hear only/);
      assertMatch(await one.program.complaint() ?? "", /^NATS at .* is back$/);
    } finally {
      await nats.kill();
    }
  },
  NEEDS,
);

netTest(
  "NATS killed and started again under traffic: no server ends, no guest is lost, and what was lost is said",
  async () => {
    let nats = await NatsServer.start();
    let isTalking = true;
    try {
      await using one = await ChatServer.start(nats);
      await using two = await ChatServer.start(nats);
      const guests = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : two).enter(`guest ${i}`)),
      );
      const [speaker, listener, local] = [guests[0]!, guests[1]!, guests[2]!];
      let said = 0;
      const talking = (async () => {
        while (isTalking) {
          await speaker.say(`line ${said++}`);
          await turn();
          // Guests who read more slowly than that would be left out, as slow ones are.
          await until(() => said - local.heard.length < 100);
        }
      })();
      talking.catch(() => {}); // where the test has failed before, nothing waits for it
      for (let i = 0; i < 3; i++) {
        const isBack = (person: Person) => person.heard.filter((line) => line === BACK).length > i;
        await until(() => listener.heard.at(-1)?.startsWith("guest 0: line") ?? false);
        await nats.kill();
        await listener.hears(AWAY);
        nats = await nats.again();
        await until(() => guests.every(isBack));
      }
      isTalking = false;
      await talking;
      await local.hears(`guest 0: line ${said - 1}`);
      const count = (person: Person) =>
        person.heard.filter((line) => line.includes(": line ")).length;
      assertEquals(count(local), said); // who is on the same server hears all of it
      const lost = () =>
        listener.heard.reduce(
          (sum, line) => sum + Number(/^\* (\d+) lines .* lost/.exec(line)?.[1] ?? 0),
          0,
        );
      await until(() => count(listener) + lost() === said);
      assertGreater(lost(), 0);
      assert(guests.every(({ hasLeft }) => !hasLeft));
      using rival = await Person.arrive(one.addr);
      await rival.say("guest 1");
      await rival.hears("* The name guest 1 is taken. What is your name?");
      for (const guest of guests) guest[Symbol.dispose]();
      await Promise.all([one, two].map(async ({ program }) => {
        program.kill("SIGTERM");
        assertEquals((await program.status).code, 0);
      }));
    } finally {
      isTalking = false; // after a failure, too
      await nats.kill();
    }
  },
  NEEDS,
);

netTest(
  "a server that stops says goodbye to its guests, and one that is killed is missed",
  async () => {
    await using nats = await NatsServer.start();
    await using one = await ChatServer.start(nats);
    await using two = await ChatServer.start(nats);
    await using three = await ChatServer.start(nats);
    using ada = await one.enter("Ada");
    using bob = await two.enter("Bob");
    using eve = await three.enter("Eve");
    await ada.hears("* Eve has come");
    two.program.kill("SIGTERM");
    await bob.hears(GOODBYE);
    await until(() => bob.hasLeft);
    assertEquals((await two.program.status).code, 0);
    await ada.hears("* Bob has left");
    three.program.kill("SIGKILL");
    await until(() => eve.hasLeft);
    await ada.hears("* Their server is gone, and with it Eve");
    using again = await one.enter("Eve");
    await again.say("I am back");
    await ada.hears("Eve: I am back");
  },
  NEEDS,
);

netTest("a slow reader on one server holds up nobody on any", async () => {
  await using nats = await NatsServer.start();
  await using one = await ChatServer.start(nats);
  await using two = await ChatServer.start(nats);
  const slow = framed(await dial(two.addr), lines());
  await slow.send("Slow");
  await slow.flush();
  using ada = await one.enter("Ada");
  using bob = await two.enter("Bob");
  // More than any kernel holds for one that does not read.
  const line = "x".repeat(1000);
  for (let i = 0; i < 120; i++) {
    for (let n = 0; n < 100; n++) await ada.say(line);
    await ada.say(`batch ${i}`);
    await until(() => bob.heard.at(-1) === `Ada: batch ${i}`);
  }
  assertEquals(bob.heard.filter((heard) => heard === `Ada: ${line}`).length, 12_000);
  let missed = "";
  const reading = (async () => {
    for await (const heard of slow) {
      if (heard.startsWith("* You missed")) missed = heard;
      if (missed !== "") break;
    }
  })();
  for (; missed === ""; await turn()) await ada.say("more");
  await reading;
  assertMatch(missed, /^\* You missed \d+ lines$/);
  slow.conn.close();
}, NEEDS);

netTest("what others publish on its subjects ends no server, and reaches no guest", async () => {
  await using nats = await NatsServer.start();
  await using one = await ChatServer.start(nats);
  using ada = await one.enter("Ada");
  using bob = await one.enter("Bob");
  await ada.hears("* Bob has come");
  const before = ada.heard.length;
  const stranger = await connect({ servers: `127.0.0.1:${nats.port}` });
  const strange = ["", "{", "null", "[]", "7", '{"name":1}', '{"guests":7,"id":"x"}', "\xff"];
  for (const subject of ["usher.chat", "usher.chat.ask"]) {
    for (const text of strange) stranger.publish(subject, text, { reply: "nowhere" });
  }
  await stranger.flush();
  await stranger.close();
  await bob.say("still here");
  await ada.hears("Bob: still here");
  assertEquals(ada.heard.slice(before), ["Bob: still here"]);
}, NEEDS);

netTest(
  "without NATS the room is there at once, and joins the others when NATS comes",
  async () => {
    const away = await NatsServer.start();
    await away.kill();
    await using one = await ChatServer.start(away);
    await using two = await ChatServer.start(away);
    using ada = await one.enter("Ada");
    using bob = await two.enter("Bob");
    await Promise.all([ada, bob].map((person) => person.hears(AWAY)));
    await using _nats = await away.again();
    await ada.hears("* On another server are Bob");
    await bob.hears("* On another server are Ada");
    const said = [await one.program.complaint(), await one.program.complaint()];
    assertMatch(said[0] ?? "", /^NATS at .* is away \(.+\): guests hear only/);
    assertMatch(said[1] ?? "", /^NATS at .* is back$/);
  },
  NEEDS,
);

netTest("a server that stops while NATS is away says goodbye, and ends", async () => {
  const away = await NatsServer.start();
  await away.kill();
  await using one = await ChatServer.start(away);
  using ada = await one.enter("Ada");
  one.program.kill("SIGTERM");
  await ada.hears(GOODBYE);
  assertEquals((await one.program.status).code, 0);
}, NEEDS);
