/** Loops end by themselves while the server stops, and what is left of their streams can be read. @module */

import { assert, assertEquals, assertFalse, assertStrictEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { CoarseClock, TICK } from "../../lib/connection/coarse_clock.ts";
import { ServedConnection } from "../../lib/server/served_connection.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import {
  type Codec,
  type Connection,
  type Decoder,
  framed,
  lengthPrefixed,
  lines,
  serve,
} from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { bytes, text } from "../support/bytes.ts";
import { turn, turns } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** Ms without a byte after which a loop ends, and the clock's grain on top of it. */
const QUIET = 100 + TICK;

/** The same before the first byte. */
const FIRST_QUIET = 5000 + TICK;

/** A connection of a server, without the server, on a fake clock. */
class Scene implements Disposable {
  readonly socket = new ScriptedSocket();
  readonly conn: ServedConnection;
  readonly #time = new FakeTime();
  readonly #clock = new CoarseClock(false);

  constructor() {
    this.conn = new ServedConnection(1, this.socket, this.socket.localAddr, this.#clock, {
      ...DEFAULT_LIMITS,
      idleTimeout: Infinity,
    });
    this.#clock.watch(this.conn);
  }

  /** Advances time tick by tick, with everything that follows from each. */
  async pass(ms: number): Promise<void> {
    for (; ms > 0; ms -= TICK) {
      this.#time.tick(Math.min(ms, TICK));
      await turn();
    }
  }

  /** Simulates a handler that blocks the event loop for so long. */
  block(ms: number): void {
    this.#time.tick(ms);
  }

  /** Makes the connection draining. */
  drain(letGoAfter = Infinity): void {
    this.conn.drain(new DOMException("The server is stopping", "AbortError"), letGoAfter);
  }

  /** Something arrives from the peer. */
  async say(said: string): Promise<void> {
    this.socket.arrive(bytes`${said}`);
    await turn();
  }

  [Symbol.dispose](): void {
    this.conn.close();
    this.#clock.unwatch(this.conn);
    this.#clock.stop();
    this.#time[Symbol.dispose]();
  }
}

/** A running loop: what it has received, and whether it has ended. */
class Loop {
  readonly got: string[] = [];
  ended = false;
  readonly over: Promise<void>;

  constructor(steps: AsyncIterable<string>) {
    this.over = (async () => {
      for await (const step of steps) this.got.push(step);
      this.ended = true;
    })();
  }
}

async function* texts(parts: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  for await (const part of parts) yield text(part);
}

/** Lines, decoded one by one: a user's codec may have no batches. */
const oneByOne: Codec<string> = {
  decode: (...args) => lines().decode(...args),
  encode: (line) => lines().encode(line),
};

/** Every loop that the library runs. */
const LOOPS: Record<string, (conn: Connection) => AsyncIterable<string>> = {
  "over chunks": (conn) => texts(conn),
  "over frames": (conn) => framed(conn, lines()),
  "over frames of a codec without batches": (conn) => framed(conn, oneByOne),
};

for (const [over, begin] of Object.entries(LOOPS)) {
  const spoken = async () => {
    const scene = new Scene();
    const loop = new Loop(begin(scene.conn));
    await scene.say("one\n");
    return { scene, loop };
  };

  Deno.test(`a loop ${over} ends when its peer is quiet for a while, and not before`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain();
    await scene.pass(QUIET - TICK);
    assertFalse(loop.ended);
    await scene.pass(TICK);
    assert(loop.ended);
    assertEquals(loop.got.join("").trim(), "one");
  });

  Deno.test(`a loop ${over} goes on while the server does, however quiet`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    await scene.pass(60_000);
    assertFalse(loop.ended);
    scene.socket.finish();
    await loop.over;
  });

  Deno.test(`a loop ${over} waits 5 s for the first byte`, async () => {
    using scene = new Scene();
    const loop = new Loop(begin(scene.conn));
    await scene.pass(3000); // which do not count
    scene.drain();
    await scene.pass(FIRST_QUIET - TICK);
    assertFalse(loop.ended);
    await scene.pass(TICK);
    assert(loop.ended);
  });

  Deno.test(`a loop ${over} ends soon after a first byte that came late`, async () => {
    using scene = new Scene();
    const loop = new Loop(begin(scene.conn));
    scene.drain();
    await scene.pass(4000);
    await scene.say("one\n");
    await scene.pass(QUIET);
    assert(loop.ended);
    assertEquals(loop.got.join("").trim(), "one");
  });

  Deno.test(`a loop ${over} goes on for as long as bytes keep coming`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain();
    for (let i = 0; i < 100; i++) {
      await scene.say(`${i}\n`);
      await scene.pass(QUIET - TICK);
      assertFalse(loop.ended);
    }
    await scene.pass(TICK);
    assert(loop.ended);
    assertEquals(loop.got.join("\n").split(/\n+/).filter((line) => line !== "").length, 101);
  });

  Deno.test(`a loop ${over} ends however much is sent to its peer meanwhile`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    const push = () => scene.conn.write(bytes`news\n`);
    await push();
    scene.drain();
    for (let passed = 0; passed < QUIET; passed += 50) {
      assertFalse(loop.ended);
      await scene.pass(50);
      await push();
    }
    assert(loop.ended);
  });

  Deno.test(`a loop ${over} whose peer never pauses ends at the next boundary once its time is up`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain(5000);
    const said = ["one"];
    for (let passed = 0; passed < 5000; passed += 100) {
      const line = String(passed);
      said.push(line);
      await scene.say(`${line}\n`);
      assertFalse(loop.ended);
      await scene.pass(100);
    }
    await scene.pass(TICK);
    assert(loop.ended);
    assertEquals(loop.got.join("\n").split(/\n+/).filter((line) => line !== ""), said);
    await scene.say("later\n");
    assertEquals(await scene.conn.readLine(), "later");
  });

  Deno.test(`a loop ${over} that is behind with what has arrived ends at the next boundary, too`, async () => {
    using scene = new Scene();
    const held = Promise.withResolvers<void>();
    const got: string[] = [];
    const served = (async () => {
      for await (const step of begin(scene.conn)) {
        got.push(...step.trim().split("\n"));
        await held.promise;
      }
    })();
    await scene.say("one\n");
    await scene.say("two\nthree\nfour");
    scene.drain(1000);
    await scene.pass(1000 + TICK);
    held.resolve();
    await served;
    assertEquals(got, ["one"]);
    assertEquals([await scene.conn.readLine(), await scene.conn.readLine()], ["two", "three"]);
    assertEquals(scene.conn.reader.length, 4);
  });

  Deno.test(`a loop ${over} that later gets less time ends by that`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain(60_000);
    const { reason } = scene.conn.drainSignal;
    scene.drain(1000);
    scene.drain(60_000);
    assertStrictEquals(scene.conn.drainSignal.reason, reason);
    for (let passed = 0; passed < 1000 + TICK; passed += 100) {
      assertFalse(loop.ended);
      await scene.say("again\n");
      await scene.pass(100);
    }
    assert(loop.ended);
  });

  Deno.test(`a loop ${over} does not end for what arrived while other handlers kept the loop busy`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain();
    await scene.pass(TICK);
    // The timer of the late tick comes before what the kernel has had for long.
    scene.block(900);
    scene.socket.arrive(bytes`two\n`);
    await turns(2);
    assertFalse(loop.ended);
    assertEquals(loop.got.join("\n").trim().split(/\n+/), ["one", "two"]);
    await scene.pass(QUIET);
    assert(loop.ended);
  });

  Deno.test(`a loop ${over} that begins while the server stops ends, too`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain();
    await scene.pass(QUIET);
    assert(loop.ended);
    const second = new Loop(begin(scene.conn));
    await scene.say("two\n");
    assertEquals(second.got.join("").trim(), "two");
    await scene.pass(QUIET);
    assert(second.ended);
  });

  Deno.test(`what the peer sends after a loop ${over} has ended can be read`, async () => {
    const { scene } = await spoken();
    using _scene = scene;
    scene.drain();
    await scene.pass(QUIET);
    await scene.say("after all\n");
    const p = new Uint8Array(5);
    assertEquals([await scene.conn.read(p), text(p)], [5, "after"]);
    assertEquals(await scene.conn.readLine(), " all");
    scene.socket.finish();
    assertEquals(await scene.conn.readLine(), null);
    assertEquals(scene.socket.mostReads, 1);
  });

  Deno.test(`what is written after a loop ${over} has ended leaves`, async () => {
    const { scene, loop } = await spoken();
    using _scene = scene;
    scene.drain();
    await scene.pass(QUIET);
    await loop.over;
    await scene.conn.write(bytes`goodbye`);
    assertEquals(text(scene.socket.taken), "goodbye");
  });

  Deno.test(`a loop ${over} that was left can be begun again while the server stops`, async () => {
    using scene = new Scene();
    scene.drain();
    await scene.say("one\n");
    for await (const step of begin(scene.conn)) {
      assertEquals(step.trim(), "one");
      break;
    }
    await scene.say("two\n");
    const loop = new Loop(begin(scene.conn));
    await turns();
    assertEquals(loop.got.join("").trim(), "two");
    await scene.pass(QUIET);
    assert(loop.ended);
  });

  Deno.test(`a loop ${over} behind a read that gave up ends, and loses nothing`, async () => {
    using scene = new Scene();
    await scene.say("one\n");
    await scene.conn.readLine();
    const given = scene.conn.readLine({ timeout: 1000 }).then(() => "", (error) => error.name);
    await scene.pass(1000 + TICK);
    assertEquals(await given, "TimeoutError");
    const loop = new Loop(begin(scene.conn));
    scene.drain();
    await scene.pass(QUIET);
    assert(loop.ended);
    await scene.say("two\n");
    assertEquals(await scene.conn.readLine(), "two");
  });

  Deno.test(`a loop ${over} gives what has arrived before it ends`, async () => {
    using scene = new Scene();
    await scene.say("one\ntwo\n");
    await scene.conn.peek(1);
    scene.drain();
    await scene.pass(1000);
    const loop = new Loop(begin(scene.conn));
    await turns();
    assertEquals(loop.got.join("\n").split(/\n+/).filter((line) => line !== ""), ["one", "two"]);
    assertFalse(loop.ended);
    await scene.pass(QUIET);
    assert(loop.ended);
  });
}

for (const over of Object.keys(LOOPS).filter((over) => over !== "over chunks")) {
  Deno.test(`a loop ${over} does not end inside a frame`, async () => {
    using scene = new Scene();
    const loop = new Loop(LOOPS[over]!(scene.conn));
    await scene.say("one\ntw");
    scene.drain();
    await scene.pass(20 * QUIET);
    assertFalse(loop.ended);
    await scene.say("o\n");
    assertEquals(loop.got, ["one", "two"]);
    await scene.pass(QUIET);
    assert(loop.ended);
  });
}

Deno.test("a loop over frames does not end between a length and its frame", async () => {
  using scene = new Scene();
  const loop = new Loop(texts(framed(scene.conn, lengthPrefixed())));
  scene.socket.arrive(new Uint8Array([0, 0, 0, 3]));
  await turn();
  scene.drain();
  await scene.pass(20 * QUIET);
  assertFalse(loop.ended);
  await scene.say("one");
  assertEquals(loop.got, ["one"]);
  await scene.pass(QUIET);
  assert(loop.ended);
});

/** A length of one byte, which is consumed as soon as it arrives, and then so many bytes. */
const counted: Codec<string> = {
  decode: (bytes) => bytes.length === 0 ? null : { taken: 1, next: rest(bytes[0]!) },
  encode: (frame) => bytes`${String.fromCharCode(frame.length)}${frame}`,
};

function rest(length: number): Decoder<string> {
  return {
    decode: (bytes) =>
      bytes.length < length
        ? { need: length }
        : { frame: text(bytes.subarray(0, length)), taken: length, next: counted },
  };
}

Deno.test("a loop over frames does not end inside one of which nothing is left to see", async () => {
  using scene = new Scene();
  const loop = new Loop(framed(scene.conn, counted));
  await scene.say("\x03");
  assertEquals(scene.conn.reader.length, 0);
  scene.drain();
  await scene.pass(20 * QUIET);
  assertFalse(loop.ended);
  await scene.say("one");
  assertEquals(loop.got, ["one"]);
  await scene.pass(QUIET);
  assert(loop.ended);
});

Deno.test("a loop over frames whose time is up ends behind the frame that has begun", async () => {
  using scene = new Scene();
  const loop = new Loop(framed(scene.conn, lines()));
  await scene.say("one\ntw");
  scene.drain(1000);
  await scene.pass(2000);
  assertFalse(loop.ended);
  await scene.say("o\nthree\n");
  assert(loop.ended);
  assertEquals(loop.got, ["one", "two"]);
  assertEquals(await scene.conn.readLine(), "three");
});

Deno.test("a loop over frames whose time is up leaves the lines that were decoded ahead", async () => {
  using scene = new Scene();
  const frames = framed(scene.conn, lines());
  await scene.say("one\ntwo\nthree\n");
  const got: string[] = [];
  for await (const line of frames) {
    got.push(line);
    if (line !== "two") continue;
    scene.drain(0);
    await scene.pass(2 * TICK);
  }
  assertEquals(got, ["one", "two"]);
  assertEquals(await frames.read(), "three");
});

Deno.test("a loop over frames that is inside one ends in frameTimeout, as ever", async () => {
  using scene = new Scene();
  const loop = new Loop(framed(scene.conn, lines(), { frameTimeout: 2000 }));
  const failed = loop.over.then(() => "", (error) => error.name);
  await scene.say("on");
  scene.drain();
  await scene.pass(2000 + 2 * TICK);
  assertEquals(await failed, "TimeoutError");
});

Deno.test("frames that were sent leave although their loop has ended", async () => {
  using scene = new Scene();
  const frames = framed(scene.conn, lines());
  const served = (async () => {
    for await (const line of frames) await frames.send(`you said ${line}`);
    await frames.send("goodbye");
    await frames.flush();
  })();
  await scene.say("one\n");
  scene.drain();
  await scene.pass(QUIET);
  await served;
  assertEquals(text(scene.socket.taken), "you said one\ngoodbye\n");
});

Deno.test("the frame after a loop that has ended is read by the same object", async () => {
  using scene = new Scene();
  const frames = framed(scene.conn, lines());
  const loop = new Loop(frames);
  await scene.say("one\n");
  scene.drain();
  await scene.pass(QUIET);
  assert(loop.ended);
  const next = frames.read();
  await scene.say("two\nthree\n");
  assertEquals(await next, "two");
  assertEquals(await frames.read(), "three");
});

/** Single reads, which a stop does not end. */
const READS: Record<string, (conn: Connection) => Promise<unknown>> = {
  "read()": (conn) => conn.read(new Uint8Array(10)),
  "readExactly()": (conn) => conn.readExactly(10),
  "readUntil()": (conn) => conn.readUntil("\n"),
  "readLine()": (conn) => conn.readLine(),
  "peek()": (conn) => conn.peek(10),
  "read() with a signal": (conn) =>
    conn.read(new Uint8Array(10), { signal: new AbortController().signal }),
  "read() of frames": (conn) => framed(conn, lines()).read(),
  "a stream": (conn) => conn.readable.getReader().read(),
};

for (const [name, read] of Object.entries(READS)) {
  Deno.test(`${name} does not end because the server stops`, async () => {
    using scene = new Scene();
    let settled = false;
    const reading = read(scene.conn).then(() => settled = true);
    scene.drain();
    await scene.pass(10 * FIRST_QUIET);
    assertFalse(settled);
    scene.socket.finish();
    await reading;
  });
}

Deno.test("draining a second time changes nothing: the time does not start anew", async () => {
  using scene = new Scene();
  const loop = new Loop(texts(scene.conn));
  scene.drain();
  await scene.pass(FIRST_QUIET - TICK);
  scene.drain();
  await scene.pass(TICK);
  assert(loop.ended);
});

netTest(
  "a connection that reaches maxAge is drained as by a stop, give or take 10 %, and the server goes on",
  async () => {
    using time = new FakeTime();
    const { ended, onEnd } = noteEnds();
    await using server = serve({ ...LOOPBACK, maxAge: 100_000, onEnd }, async (conn) => {
      for await (const chunk of conn) await conn.write(chunk);
      await conn.write(bytes`bye`);
    });
    const clients = await Promise.all(Array.from({ length: 20 }, async () => {
      const client = await dial(server.addr);
      await client.write(bytes`hello`);
      assertEquals(text(await readExactly(client, 5)), "hello");
      return client;
    }));
    const ages: number[] = [];
    for (let age = 0; age < 120_000; age += 1000) {
      for (let i = 0; i < 10; i++) time.tick(100);
      await turns(3);
      while (ages.length < ended.length) ages.push(age);
    }
    assertEquals(ended.map(({ reason }) => reason), Array(20).fill("completed"));
    assert(Math.min(...ages) >= 88_000 && Math.max(...ages) <= 112_000, `${ages}`);
    assert(Math.max(...ages) - Math.min(...ages) >= 2000, `${ages}`); // they do not leave together
    for (const client of clients) assertEquals(text(await readAll(client)), "bye");
    assertEquals(server.state, "running");
  },
);
