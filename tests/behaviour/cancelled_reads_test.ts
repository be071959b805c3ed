/** Reads that give up lose, duplicate and reorder no byte. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  connection,
  type Framed,
  framed,
  lines,
  type ReadOptions,
  serve,
} from "../../mod.ts";
import { byChance, type Chance } from "../support/chance.ts";
import { CountedSignal } from "../support/counted_signal.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, socketPair, writeAll } from "../support/peers.ts";
import { turn, until } from "../support/wait.ts";
import { type Scripted, scripted } from "../support/scripted_connection.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { noteEnds } from "../support/noting.ts";

/** Reads of each kind that give up in one run. */
const MANY = 1000;

/** Longer than any timeout here takes, in ms. */
const LONG = 1000;

/** The result of a read as text, and how much of the stream it took. `null` is the end. */
interface Got {
  readonly text: string;
  readonly taken: number;
}

/** A way to read that can give up. */
interface Kind {
  /** Begins it; `size` is for reads of a number of bytes. */
  begin(reader: Reader, size: number, options?: ReadOptions): Promise<Got | null>;
  /** The expected result, given the rest of the stream; `null` if that is not known yet. */
  expect(rest: string, size: number): Got | null;
}

/** A connection, as one that reads frames and as one that reads bytes. */
class Reader {
  readonly conn: Connection;
  readonly framed: Framed<string>;

  constructor(conn: Connection) {
    this.conn = conn;
    this.framed = framed(conn, lines(), { frameTimeout: Infinity });
  }
}

const got = (text: string | null, ending = 0): Got | null =>
  text === null ? null : { text, taken: text.length + ending };

function line(rest: string): Got | null {
  const at = rest.indexOf("\n");
  if (at < 0) return null;
  return { text: rest.slice(0, at).replace(/\r$/, ""), taken: at + 1 };
}

const KINDS: Record<string, Kind> = {
  "read()": {
    async begin({ conn }, size, options) {
      const p = new Uint8Array(size);
      const n = await conn.read(p, options);
      return n === null ? null : got(text(p.subarray(0, n)));
    },
    expect: () => null, // as much as there is
  },
  "readExactly()": {
    async begin({ conn }, size, options) {
      const record = await conn.readExactly(size, options);
      return record === null ? null : got(text(record));
    },
    expect: (rest, size) => got(rest.slice(0, size)),
  },
  "readUntil()": {
    async begin({ conn }, _size, options) {
      const record = await conn.readUntil("\r\n", options);
      return record === null ? null : got(text(record), 2);
    },
    expect(rest) {
      const at = rest.indexOf("\r\n");
      return at < 0 ? null : got(rest.slice(0, at), 2);
    },
  },
  "readLine()": {
    async begin({ conn }, _size, options) {
      return got(await conn.readLine(options));
    },
    expect: line,
  },
  "peek()": {
    async begin({ conn }, size, options) {
      const record = await conn.peek(size, options);
      return { text: text(record), taken: 0 };
    },
    expect: (rest, size) => ({ text: rest.slice(0, size), taken: 0 }),
  },
  "read() of framed()": {
    async begin({ framed }, _size, options) {
      return got(await framed.read(options));
    },
    expect: line,
  },
};

/** Ways that cannot give up, including the plain ones, which have a code path of their own. */
const OTHERS: Record<string, Kind> = {
  "plain read()": {
    begin: (reader, size) => KINDS["read()"]!.begin(reader, size),
    expect: () => null,
  },
  "next()": {
    async begin({ conn }) {
      const { value } = await conn[Symbol.asyncIterator]().next();
      return value === undefined ? null : got(text(value));
    },
    expect: () => null,
  },
  "next() of framed()": {
    async begin({ framed }) {
      const { value } = await framed[Symbol.asyncIterator]().next();
      return value === undefined ? null : got(value);
    },
    expect: line,
  },
};

/** Ways to give up, each with its trigger. */
const MANNERS: Record<string, (time: FakeTime) => { options: ReadOptions; giveUp: () => void }> = {
  "a timeout of 100 ms or more": (time) => ({
    options: { timeout: 200 },
    giveUp: () => time.tick(LONG),
  }),
  "a timeout below 100 ms": (time) => ({ options: { timeout: 20 }, giveUp: () => time.tick(20) }),
  "a signal that is aborted later": () => {
    const controller = new AbortController();
    return { options: { signal: controller.signal }, giveUp: () => controller.abort() };
  },
  "a signal that is aborted already": () => ({
    options: { signal: AbortSignal.abort() },
    giveUp: () => {},
  }),
  "both, the signal first": (time) => {
    const controller = new AbortController();
    return {
      options: { signal: controller.signal, timeout: 200 },
      giveUp: () => {
        controller.abort();
        time.tick(LONG);
      },
    };
  },
};

/** The outcome of a read: its result, or why it gave up. */
type Outcome = { readonly got: Got | null } | { readonly error: unknown };

function outcomeOf(read: Promise<Got | null>): Promise<Outcome> {
  return read.then((got) => ({ got }), (error) => ({ error }));
}

function assertGaveUp(error: unknown): asserts error is DOMException {
  assertInstanceOf(error, DOMException, String(error));
  assert(error.name === "TimeoutError" || error.name === "AbortError", error.name);
}

/** Lines and parts of lines, with every kind of line end. */
function someText(chance: Chance, length: number): string {
  const parts: string[] = [];
  for (let size = 0; size < length;) {
    const part = chance.onceIn(4)
      ? chance.pick(["\r\n", "\r\n", "\n", "\r", "\n\n", "\r\r\n"])
      : String.fromCharCode(97 + chance.from(0, 25)).repeat(chance.from(1, 120));
    parts.push(part);
    size += part.length;
  }
  return parts.join("").slice(0, length - 2) + "\r\n";
}

/**
 * Reads a stream by chance in every way, most often in the one way given, until that has given up
 * often enough; then the rest of the stream. Fails unless each read got what came next.
 *
 * @param deliver Sends a part of the stream.
 */
async function readByChance(
  chance: Chance,
  time: FakeTime,
  conn: Connection,
  kind: string,
  deliver: (part: Uint8Array) => void | Promise<void>,
  finish: () => void,
): Promise<void> {
  const reader = new Reader(conn);
  const stream = someText(chance, 1_000_000);
  let [sent, at] = [0, 0];
  const send = async () => {
    // Little at a time: a record takes several reads, and most reads have to wait.
    const size = chance.onceIn(200) ? 5000 : chance.pick([0, 1, 1, 2, 10, 60, 100, 300]);
    const part = stream.slice(sent, sent + size);
    sent += part.length;
    if (part.length > 0) await deliver(new TextEncoder().encode(part));
  };
  const check = (name: string, { expect }: Kind, size: number, got: Got) => {
    const rest = stream.slice(at);
    const expected = expect(rest, size) ?? { text: rest.slice(0, got.taken), taken: got.taken };
    assertEquals(got.text, expected.text, `${name} of ${size} at ${at}`);
    at += expected.taken; // a line does not say how it ended
  };

  for (let gaveUp = 0; gaveUp < MANY;) {
    const name = chance.onceIn(3) ? chance.pick(Object.keys(KINDS)) : kind;
    const size = chance.pick([1, 2, 10, 100, 500]);
    const manner = chance.pick(Object.values(MANNERS))(time);
    let settled = false;
    const outcome = outcomeOf(KINDS[name]!.begin(reader, size, manner.options))
      .finally(() => settled = true);
    for (let i = chance.from(0, 4); i > 0; i--) {
      const step = chance.from(0, 5);
      if (step === 0) await turn();
      else if (step === 1) await null;
      else if (step === 2) manner.giveUp();
      else await send();
    }
    if (!settled && chance.onceIn(2)) await turn();
    manner.giveUp();
    await until(() => settled);
    const result = await outcome;
    if ("error" in result) {
      assertGaveUp(result.error);
      if (name === kind) gaveUp++;
    } else check(name, KINDS[name]!, size, result.got!);

    if (chance.onceIn(20) && sent > at) {
      const name = chance.pick(Object.keys(OTHERS));
      if (OTHERS[name]!.expect(stream.slice(at, sent), size) === null && name.includes("framed")) {
        continue; // it would wait
      }
      check(name, OTHERS[name]!, size, (await OTHERS[name]!.begin(reader, size))!);
    }
    assertFalse(conn.signal.aborted);
  }

  const last = stream.slice(sent);
  const delivered = (async () => {
    await deliver(new TextEncoder().encode(last));
    finish();
  })();
  const rest = stream.slice(at);
  let received = "";
  for await (const chunk of conn) received += text(chunk);
  assertEquals(received, rest);
  await delivered;
  assertEquals(conn.bytesRead, stream.length);
}

for (const kind of Object.keys(KINDS)) {
  Deno.test(`${kind} given up 1,000 times at random moments loses nothing, however bytes arrive`, () =>
    byChance(async (chance) => {
      using time = new FakeTime();
      const socket = new ScriptedSocket();
      using conn = connection(socket);
      await readByChance(
        chance,
        time,
        conn,
        kind,
        (part) => socket.arrive(part),
        () => socket.finish(),
      );
      assertEquals(socket.mostReads, 1);
    }));

  netTest(
    `${kind} given up 1,000 times at random moments under traffic loses nothing`,
    () =>
      byChance(async (chance) => {
        using time = new FakeTime();
        const [socket, client] = await socketPair();
        using conn = connection(socket);
        await readByChance(
          chance,
          time,
          conn,
          kind,
          (part) => writeAll(client, part),
          () => client.close(),
        );
      }),
  );
}

/** A reader over a scripted socket. */
function scriptedReader(): Scripted & { reader: Reader } {
  const { socket, conn } = scripted();
  return { socket, conn, reader: new Reader(conn) };
}

/** Begins a read that gives up while it waits, and checks that it does. */
async function giveUpOn(
  kind: Kind,
  reader: Reader,
  size: number,
  { options, giveUp }: { options: ReadOptions; giveUp: () => void },
): Promise<void> {
  const outcome = outcomeOf(kind.begin(reader, size, options));
  await turn();
  giveUp();
  const result = await outcome;
  if (!("error" in result)) throw new TypeError(`It did not give up: ${result.got?.text}`);
  assertGaveUp(result.error);
}

for (const [manner, make] of Object.entries(MANNERS)) {
  Deno.test(`the next read gets what a read left that gave up by ${manner}, whatever their kinds`, async () => {
    using time = new FakeTime();
    for (const [name, kind] of Object.entries(KINDS)) {
      for (const [nextName, next] of Object.entries({ ...KINDS, ...OTHERS })) {
        const { socket, conn, reader } = scriptedReader();
        // `read()` gives up only with nothing there, all others in the middle of something.
        if (name !== "read()") {
          socket.arrive(bytes`hel`);
          await turn();
        }
        await giveUpOn(kind, reader, 7, make(time));
        const first = next.begin(reader, 7);
        socket.arrive(name === "read()" ? bytes`hello\r\nworld\r\n` : bytes`lo\r\nworld\r\n`);
        const got = (await first)!;
        const expected = next.expect("hello\r\nworld\r\n", 7) ?? got;
        assertEquals(got.text, expected.text, `${name}, then ${nextName}`);
        const rest = text((await conn.readExactly(14 - expected.taken))!);
        assertEquals(rest, "hello\r\nworld\r\n".slice(expected.taken), `${name}, then ${nextName}`);
        assertEquals(socket.mostReads, 1);
        conn.close();
      }
    }
  });
}

for (const [name, kind] of Object.entries(KINDS)) {
  Deno.test(`${name} that gave up is not pending, and the next one awaits the same raw read`, async () => {
    using time = new FakeTime();
    const { socket, conn, reader } = scriptedReader();
    for (let i = 0; i < MANY; i++) {
      const [manner] = Object.values(MANNERS).slice(i % 5);
      await giveUpOn(kind, reader, 7, manner!(time));
    }
    assertEquals(socket.reads, 1);
    socket.arrive(bytes`hello\r\n`);
    const { text } = (await kind.begin(reader, 7))!;
    assertEquals(text.trim(), "hello");
    conn.close();
  });

  Deno.test(`${name} with an aborted signal reads nothing and takes nothing`, async () => {
    const { socket, conn, reader } = scriptedReader();
    const signal = AbortSignal.abort("no");
    const refused = async () =>
      assertEquals(await kind.begin(reader, 7, { signal }).catch(String), "no");
    await refused();
    assertEquals(socket.reads, 0);
    socket.arrive(bytes`hello\r\n`);
    await conn.peek(7);
    await refused();
    assertEquals(text(await conn.peek(7)), "hello\r\n");
    conn.close();
  });

  Deno.test(`${name} rejects with the reason of its signal, the same object`, async () => {
    const { conn, reader } = scriptedReader();
    const controller = new AbortController();
    const reason = new RangeError("mine");
    const read = kind.begin(reader, 7, { signal: controller.signal });
    await turn();
    controller.abort(reason);
    assertStrictEquals(await read.catch((error) => error), reason);
    assertFalse(conn.signal.aborted);
    conn.close();
  });

  Deno.test(`${name} with one signal 1,000 times leaves no listener at it`, async () => {
    const { socket, conn, reader } = scriptedReader();
    const signal = new CountedSignal();
    for (let i = 0; i < MANY; i++) {
      const read = kind.begin(reader, 7, { signal });
      assertEquals(signal.listeners, 1);
      socket.arrive(bytes`hello\r\n`);
      await read;
      assertEquals(signal.listeners, 0);
      if (name === "peek()") await conn.readExactly(7);
    }
    const read = kind.begin(reader, 7, { signal });
    signal.abort("over");
    assertEquals(await read.catch(String), "over");
    assertEquals(signal.listeners, 0);
    conn.close();
  });

  Deno.test(`${name} that succeeds leaves no timer`, async () => {
    for (const timeout of [50, 5000]) { // in real time: the sanitizers would see it
      const { socket, conn, reader } = scriptedReader();
      const read = kind.begin(reader, 7, { timeout });
      socket.arrive(bytes`hello\r\n`);
      assertEquals((await read)!.text.trim(), "hello");
      conn.close();
    }
  });

  Deno.test(`${name} has its timeout for its whole record, not for each byte`, async () => {
    using time = new FakeTime();
    for (const timeout of [50, 500]) {
      const { socket, conn, reader } = scriptedReader();
      const outcome = outcomeOf(kind.begin(reader, 7, { timeout }));
      if (name === "read()") time.tick(timeout + 200);
      else {
        for (let i = 0; i < 5; i++) {
          socket.arrive(bytes`x`);
          await turn();
          time.tick(timeout / 5 + 40);
        }
      }
      const result = await outcome;
      assert("error" in result);
      assertInstanceOf(result.error, DOMException);
      assertEquals(result.error.name, "TimeoutError");
      assertEquals(
        result.error.message,
        `The read gave up after its timeout of ${timeout} ms`,
      );
      conn.close();
    }
  });

  Deno.test(`${name} rejects unknown and invalid options, and is not pending then`, async () => {
    const known = name.startsWith("read()")
      ? "timeout, signal"
      : "timeout, signal, limit, frameTimeout, required";
    const wanted = "use milliseconds from 0 up, or Infinity";
    const given: [options: object, kind: typeof TypeError, message: string][] = [
      [{ timout: 5 }, TypeError, `an unknown option 'timout': known here are ${known}`],
      [{ timeout: NaN }, TypeError, `'timeout' of NaN: ${wanted}`],
      [{ timeout: "5" }, TypeError, `'timeout' of "5": ${wanted}`],
      [{ timeout: -1 }, RangeError, `'timeout' of -1: ${wanted}`],
      [{ timeout: -0.5 }, RangeError, `'timeout' of -0.5: ${wanted}`],
      [{ signal: new AbortController() }, TypeError, "a 'signal' that is none: use an AbortSignal"],
    ];
    const { socket, conn, reader } = scriptedReader();
    for (const buffered of [false, true]) {
      if (buffered) {
        socket.arrive(bytes`hello\r\nworld\r\n`);
        await conn.peek(14);
      }
      for (const [options, kindOfError, message] of given) {
        const read = kind.begin(reader, 7, options as ReadOptions);
        const error = await assertRejects(() => read, kindOfError, "", message);
        assertEquals(error.message, `Cannot read with ${message}`);
      }
      assertEquals(socket.reads, buffered ? 1 : 0);
    }
    assertEquals((await kind.begin(reader, 7))!.text.trim(), "hello");
    conn.close();
  });

  Deno.test(`${name} that is not awaited may give up, be refused or fail without ending the process`, async () => {
    using time = new FakeTime();
    const unhandled = await unhandledDuring(async () => {
      for (const make of Object.values(MANNERS)) {
        const { socket, conn, reader } = scriptedReader();
        const { options, giveUp } = make(time);
        kind.begin(reader, 7, options).catch(() => {}); // what `begin` itself makes of it
        bare(name, conn, reader.framed, options); // Busy, where the first did not give up at once
        await turn();
        giveUp();
        await turn();
        bare(name, conn, reader.framed, { timeout: -1 });
        bare(name, conn, reader.framed, options);
        await turn();
        giveUp();
        bare(name, conn, reader.framed, {});
        socket.failRead(new Error("lost"));
        await turn();
        bare(name, conn, reader.framed, {});
        conn.close();
      }
      const { conn, reader } = scriptedReader();
      conn.close();
      bare(name, conn, reader.framed, {});
    });
    assertEquals(unhandled, []);
  });
}

/** Calls the method itself and drops its promise, without a wrapper of the test. */
function bare(name: string, conn: Connection, framed: Framed<string>, options: ReadOptions): void {
  if (name === "read()") conn.read(new Uint8Array(7), options);
  else if (name === "readExactly()") conn.readExactly(7, options);
  else if (name === "readUntil()") conn.readUntil("\r\n", options);
  else if (name === "readLine()") conn.readLine(options);
  else if (name === "peek()") conn.peek(7, options);
  else framed.read(options);
}

Deno.test("a read that gives up between two parts of its record leaves the first of them", async () => {
  const { socket, conn } = scriptedReader();
  const controller = new AbortController();
  const { signal } = controller;
  const read = conn.readExactly(10, { signal });
  socket.arrive(bytes`first`);
  // Exactly when the reader has the first part and is about to wait for more.
  for (let i = 0; i < 3; i++) await null;
  controller.abort("stop");
  assertEquals(await read.catch(String), "stop");
  socket.arrive(bytes`,rest`);
  assertEquals(text((await conn.readExactly(10))!), "first,rest");
  conn.close();
});

Deno.test("a read whose signal is aborted at any moment gives up, or gets its record", async () => {
  for (let moment = 0; moment < 20; moment++) {
    const { socket, conn } = scriptedReader();
    const controller = new AbortController();
    const outcome = conn.readExactly(10, { signal: controller.signal }).catch(String);
    socket.arrive(bytes`first`);
    for (let i = 0; i < moment; i++) await null;
    controller.abort("stop");
    assertEquals(await outcome, "stop", `after ${moment} microtasks`);
    conn.close();
  }
});

// The connection afterwards

netTest("a read's timeout does not set the end reason of the connection", async () => {
  using time = new FakeTime();
  const { ended, onEnd } = noteEnds();
  const errors: unknown[] = [];
  const waiting = Promise.withResolvers<void>();
  await using server = serve({
    ...LOOPBACK,
    onEnd,
    onError: (error) => errors.push(error),
  }, async (conn) => {
    for (const timeout of [50, 500]) {
      const line = conn.readLine({ timeout });
      if (timeout === 500) waiting.resolve();
      else time.tick(50);
      await assertRejects(() => line, DOMException, "gave up");
    }
    assertFalse(conn.signal.aborted);
    await conn.write(bytes`still here\n`);
  });
  using client = await dial(server.addr);
  await waiting.promise;
  time.tick(LONG);
  assertEquals(text(await readAll(client)), "still here\n");
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "completed");
  assertEquals(ended[0]!.error, undefined);
  assertEquals(errors, []);
});

Deno.test("a FIN that comes after a read has given up is the end for the next one", async () => {
  for (const [name, kind] of Object.entries({ ...KINDS, ...OTHERS })) {
    const { socket, conn, reader } = scriptedReader();
    await conn.read(new Uint8Array(1), { timeout: 0 }).catch(() => {});
    socket.finish();
    await turn();
    const end = await kind.begin(reader, 7);
    assertEquals(end?.text ?? "", "", name);
    conn.close();
  }
});

Deno.test("a failure that comes after a read has given up ends the connection and rejects the next read", async () => {
  for (const [name, kind] of Object.entries({ ...KINDS, ...OTHERS })) {
    const { socket, conn, reader } = scriptedReader();
    const { signal } = conn;
    await conn.read(new Uint8Array(1), { timeout: 0 }).catch(() => {});
    const failure = new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)");
    const unhandled = await unhandledDuring(async () => {
      socket.failRead(failure);
      await turn();
    });
    assertEquals(unhandled, [], name);
    assertStrictEquals(signal.reason, failure, name);
    assertStrictEquals(await kind.begin(reader, 7).catch((error) => error), failure, name);
  }
});

Deno.test("close() while the raw read of one that gave up is pending is harmless", async () => {
  const unhandled = await unhandledDuring(async () => {
    const { socket, conn } = scriptedReader();
    await conn.readLine({ timeout: 0 }).catch(() => {});
    conn.close();
    assert(socket.closed);
    await assertRejects(() => conn.readLine(), Deno.errors.BadResource);
  });
  assertEquals(unhandled, []);
});

netTest(
  "a handler may return when its read has given up: what comes then is not reset",
  async () => {
    const { ended, onEnd } = noteEnds();
    await using server = serve(
      { ...LOOPBACK, onEnd },
      async (conn) => {
        await conn.readLine({ timeout: 0 }).catch(() => {});
        await conn.write(bytes`too slow`);
      },
    );
    const client = await dial(server.addr);
    const p = new Uint8Array(8);
    assertEquals(await client.read(p), 8);
    await client.write(bytes`sorry, here it is\n`);
    assertEquals(text(await readAll(client)), "");
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "completed");
    assertEquals(ended[0]!.bytesRead, 18);
  },
);

netTest(
  "idleTimeout does not count while no read waits, though one has begun and given up",
  async () => {
    using time = new FakeTime();
    const [socket, client] = await socketPair();
    using conn = connection(socket, { idleTimeout: 2000 });
    using _client = client;
    const line = conn.readLine({ timeout: 500 });
    time.tick(700);
    await assertRejects(() => line, DOMException);
    time.tick(60_000);
    assertFalse(conn.signal.aborted);
    const read = conn.readLine();
    time.tick(2200);
    await assertRejects(() => read, DOMException, "'idleTimeout'");
    assert(conn.signal.aborted);
  },
);

Deno.test("reads that give up after each byte get the whole record in the end", async () => {
  for (
    const name of ["readExactly()", "readUntil()", "readLine()", "peek()", "read() of framed()"]
  ) {
    const { socket, conn, reader } = scriptedReader();
    const record = "a record that takes its time";
    for (const byte of `${record}\r\n`) {
      const controller = new AbortController();
      const read = KINDS[name]!.begin(reader, record.length + 2, { signal: controller.signal });
      controller.abort();
      await assertRejects(() => read, DOMException);
      socket.arrive(bytes`${byte}`);
      await turn();
    }
    assertEquals((await KINDS[name]!.begin(reader, record.length + 2))!.text.trim(), record, name);
    assertEquals(socket.mostReads, 1);
    conn.close();
  }
});
