/** Reads of records get their record however it arrives, or reject with the reason. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import fc from "fast-check";
import { ByteSearch } from "../../lib/wire/codec/byte_search.ts";
import {
  type Connection,
  connection,
  copy,
  framed,
  FrameTooLargeError,
  lengthPrefixed,
  lines,
  ProtocolError,
  type RecordOptions,
  relay,
} from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import { resettablePair, socketPair, writeAll } from "../support/peers.ts";
import { turn, until } from "../support/wait.ts";
import { scriptedAfter } from "../support/scripted_connection.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";

const KIB = 1024;
const MIB = KIB * KIB;

/** A way to read a record, as text; `null` at the end. */
type Read = (conn: Connection, options?: RecordOptions) => Promise<string | null>;

/** The ways to read the record `hello` out of `hello\r\n`. */
const RECORDS: Record<string, Read> = {
  "readExactly()": async (conn, options) => asText(await conn.readExactly(5, options)),
  "readUntil()": async (conn, options) => asText(await conn.readUntil("\r\n", options)),
  "readLine()": (conn, options) => conn.readLine(options),
};

/** All ways, including those that return less. */
const READS: Record<string, Read> = {
  ...RECORDS,
  "peek()": async (conn, options) => text(await conn.peek(5, options)),
  "read()": async (conn) => {
    const p = new Uint8Array(5);
    const n = await conn.read(p);
    return n === null ? null : text(p.subarray(0, n));
  },
  "read() with options": async (conn) => {
    const p = new Uint8Array(5);
    const n = await conn.read(p, {});
    return n === null ? null : text(p.subarray(0, n));
  },
  "next()": async (conn) => asText((await conn[Symbol.asyncIterator]().next()).value ?? null),
  "read() of framed()": (conn) => framed(conn, lines()).read(),
  "next() of framed()": async (conn) => {
    const { value } = await framed(conn, lines())[Symbol.asyncIterator]().next();
    return value ?? null;
  },
};

function asText(p: Uint8Array | null): string | null {
  return p === null ? null : text(p);
}

/** The same bytes, one at a time. */
function singly(p: Uint8Array): Uint8Array[] {
  return Array.from(p, (_, i) => p.subarray(i, i + 1));
}

/** Bytes in parts, split at the places given. */
function split(p: Uint8Array, places: number[]): Uint8Array[] {
  const cuts = [0, ...places.map((place) => place % (p.length + 1)), p.length];
  cuts.sort((a, b) => a - b);
  const parts = cuts.slice(1).map((cut, i) => p.subarray(cuts[i], cut));
  return parts.filter(({ length }) => length > 0);
}

/** A socket that gives one byte per read, at once. */
class Trickle extends ScriptedSocket {
  readonly #source: Uint8Array;
  #at = 0;

  constructor(source: Uint8Array) {
    super();
    this.#source = source;
  }

  override read(p: Uint8Array): Promise<number | null> {
    if (this.#at === this.#source.length) return Promise.resolve(null);
    p[0] = this.#source[this.#at++]!;
    return Promise.resolve(1);
  }
}

/** A socket that records the size of each read's buffer. */
class Noting extends ScriptedSocket {
  readonly rooms: number[] = [];

  override read(p: Uint8Array): Promise<number | null> {
    this.rooms.push(p.buffer.byteLength);
    return super.read(p);
  }
}

async function restOf(conn: Connection): Promise<string> {
  let rest = "";
  for await (const chunk of conn) rest += text(chunk);
  return rest;
}

// What each gives

Deno.test("readExactly() gives just as many bytes, and leaves the rest", async () => {
  const { conn } = scriptedAfter(bytes`abc`, bytes`def`, bytes`ghi`, null);
  assertEquals(text((await conn.readExactly(4))!), "abcd");
  assertEquals(text((await conn.readExactly(1))!), "e");
  assertEquals(text((await conn.readExactly(4))!), "fghi");
  assertEquals(await conn.readExactly(1), null);
  conn.close();
});

Deno.test("readExactly() of nothing gives nothing at once, also at the end", async () => {
  const { socket, conn } = scriptedAfter();
  assertEquals(await conn.readExactly(0), new Uint8Array(0));
  assertEquals(await conn.readExactly(0, { limit: 0 }), new Uint8Array(0));
  assertEquals(socket.reads, 0);
  socket.finish();
  assertEquals(await conn.readExactly(1), null);
  assertEquals(await conn.readExactly(0), new Uint8Array(0));
  conn.close();
});

Deno.test("readExactly() rejects an invalid number of bytes", async () => {
  const { socket, conn } = scriptedAfter();
  const wanted = "use a whole number from 0 up";
  const given: [n: unknown, kind: typeof TypeError, shown: string][] = [
    [-1, RangeError, "-1"],
    [1.5, RangeError, "1.5"],
    [Infinity, RangeError, "Infinity"],
    [NaN, TypeError, "NaN"],
    ["5", TypeError, '"5"'],
    [undefined, TypeError, "undefined"],
    [5n, TypeError, "5n"],
  ];
  for (const [n, kind, shown] of given) {
    for (const method of ["readExactly", "peek"] as const) {
      const error = await assertRejects(() => conn[method](n as number), kind);
      const verb = method === "peek" ? "peek" : "read exactly";
      assertEquals(error.message, `Cannot ${verb} with 'n' of ${shown}: ${wanted}`);
    }
  }
  assertEquals(socket.reads, 0);
  conn.close();
});

Deno.test("readUntil() gives what comes before the delimiter, and takes both", async () => {
  const { conn } = scriptedAfter(bytes`one;two;;three`, null);
  assertEquals(text((await conn.readUntil(";"))!), "one");
  assertEquals(text((await conn.readUntil(bytes`;`))!), "two");
  assertEquals(text((await conn.readUntil(";"))!), "");
  assertEquals(await restOf(conn), "three");
  conn.close();
});

Deno.test("readUntil() finds a delimiter of many bytes wherever it is split, and none that only looks like it", async () => {
  const delimiter = "--boundary--";
  const content = "--bound--boundary-----boundary";
  const stream = bytes`${content}${delimiter}rest`;
  for (let place = 0; place <= stream.length; place++) {
    for (const parts of [split(stream, [place]), split(stream, [place, place + 1, place + 5])]) {
      const { conn } = scriptedAfter(...parts, null);
      assertEquals(asText(await conn.readUntil(delimiter)), "--bound", `split at ${place}`);
      // What is left begins in the middle of what looks like another one.
      assertEquals(asText(await conn.readUntil(delimiter)), "-", `split at ${place}`);
      assertEquals(await restOf(conn), "boundary--rest");
      conn.close();
    }
  }
});

Deno.test("readUntil() finds a delimiter that may begin inside of what looks like one", async () => {
  const cases: [delimiter: string, stream: string, record: string][] = [
    ["aab", "aaab", "a"],
    ["abab", "aababab", "a"],
    ["\r\n\r\n", "x\r\n\r\r\n\r\n", "x\r\n\r"],
    ["\n.\n", "\n\n.\n", "\n"],
  ];
  for (const [delimiter, stream, record] of cases) {
    for (const parts of [[bytes`${stream}`], singly(bytes`${stream}`)]) {
      const { conn } = scriptedAfter(...parts);
      assertEquals(asText(await conn.readUntil(delimiter)), record);
      conn.close();
    }
  }
});

Deno.test("readUntil() reads up to the first of several delimiters", async () => {
  const { conn } = scriptedAfter(bytes`one\r\ntwo\nthree;`, null);
  const delimiters = ["\r\n", "\n", bytes`;`] as const;
  assertEquals(asText(await conn.readUntil(delimiters)), "one");
  assertEquals(asText(await conn.readUntil(delimiters)), "two");
  assertEquals(asText(await conn.readUntil(delimiters, { limit: 5 })), "three");
  assertEquals(await conn.readUntil([";"]), null);
  conn.close();
});

Deno.test("readUntil() rejects an empty delimiter and one of another type", async () => {
  const { socket, conn } = scriptedAfter();
  for (const delimiter of ["", new Uint8Array(0)]) {
    await assertRejects(() => conn.readUntil(delimiter), RangeError, "empty 'delimiter'");
  }
  for (const delimiter of [10, null, undefined, {}, new ArrayBuffer(1)]) {
    await assertRejects(() => conn.readUntil(delimiter as string), TypeError, "'delimiter'");
  }
  assertEquals(socket.reads, 0);
  conn.close();
});

Deno.test("readLine() takes LF and CRLF for the end of a line, and no other CR", async () => {
  const stream = bytes`unix\ndos\r\nold\rmac\r\r\n\n\r\nlast\n`;
  for (const parts of [[stream], singly(stream)]) {
    const { conn } = scriptedAfter(...parts, null);
    const got: (string | null)[] = [];
    for (let i = 0; i < 8; i++) got.push(await conn.readLine());
    assertEquals(got, ["unix", "dos", "old\rmac\r", "", "", "last", null, null]);
    conn.close();
  }
});

Deno.test("readLine() reads UTF-8 wherever it is split, and puts U+FFFD for what is none", async () => {
  const stream = new Uint8Array([...bytes`naïve – 🦕\n`, 0xff, 0x41, 0xc3, 10]);
  for (let place = 0; place <= stream.length; place++) {
    const { conn } = scriptedAfter(...split(stream, [place]));
    assertEquals(await conn.readLine(), "naïve – 🦕");
    assertEquals(await conn.readLine(), "\ufffdA\ufffd");
    conn.close();
  }
});

Deno.test("peek() waits for as many bytes, and leaves them to any other read", async () => {
  for (const [name, read] of Object.entries(READS)) {
    const { socket, conn } = scriptedAfter();
    const peeked = conn.peek(5);
    socket.arrive(bytes`hel`);
    await turn();
    socket.arrive(bytes`lo\r\n`);
    assertEquals(text(await peeked), "hello");
    assertEquals(text(await conn.peek(2)), "he");
    assertEquals(text(await conn.peek(0)), "");
    assertEquals((await read(conn))!.replace("\r\n", ""), "hello", name);
    conn.close();
  }
});

Deno.test("peek() gives less at the end of the stream only, and nothing when all was read", async () => {
  const { conn } = scriptedAfter(bytes`hel`, null);
  assertEquals(text(await conn.peek(5)), "hel");
  assertEquals(text(await conn.peek(5)), "hel");
  assertEquals(text((await conn.readExactly(3))!), "hel");
  assertEquals(await conn.peek(5), new Uint8Array(0));
  conn.close();
});

Deno.test("read() gives what is left over from another kind of read, and then what comes", async () => {
  const { socket, conn } = scriptedAfter(bytes`one\ntwo`);
  assertEquals(await conn.readLine(), "one");
  const p = new Uint8Array(8);
  assertEquals([await conn.read(p.subarray(0, 2)), text(p.subarray(0, 2))], [2, "tw"]);
  assertEquals([await conn.read(p, { timeout: 50 }), text(p.subarray(0, 1))], [1, "o"]);
  socket.arrive(bytes`three`);
  assertEquals([await conn.read(p), text(p.subarray(0, 5))], [5, "three"]);
  conn.close();
});

Deno.test("read() with options gives 0 for no room, as without", async () => {
  const { socket, conn } = scriptedAfter(bytes`hello`);
  assertEquals(await conn.read(new Uint8Array(0), { timeout: 50 }), 0);
  await conn.peek(1);
  assertEquals(await conn.read(new Uint8Array(0), { timeout: 50 }), 0);
  assertEquals(await conn.read(new Uint8Array(0)), 0);
  assertEquals(text((await conn.readExactly(5))!), "hello");
  socket.finish();
  assertEquals(await conn.read(new Uint8Array(1), {}), null);
  conn.close();
});

Deno.test("a loop over chunks begins with what is left over, and may be left and entered again", async () => {
  const { conn } = scriptedAfter(bytes`one\ntwo\nthree`, bytes`four`, null);
  assertEquals(await conn.readLine(), "one");
  for await (const chunk of conn) {
    assertEquals(text(chunk), "two\nthree");
    break;
  }
  assertEquals(await restOf(conn), "four");
  assertEquals(await conn.readLine(), null);
  conn.close();
});

Deno.test("the stream of a connection begins with what is left over, and leaves what it did not read", async () => {
  const { socket, conn } = scriptedAfter(bytes`one\ntwo`);
  assertEquals(await conn.readLine(), "one");
  const reader = conn.readable.getReader();
  assertEquals(text((await reader.read()).value!), "two");
  reader.releaseLock();
  socket.arrive(bytes`three\nfour\n`);
  assertEquals(await conn.readLine(), "three");
  const again = conn.readable.getReader();
  assertEquals(text((await again.read()).value!), "four\n");
  conn.close();
});

Deno.test("every way to read gives the same one byte at a time as in one piece", async () => {
  const stream = bytes`hello\r\n`;
  for (const [name, read] of Object.entries(READS)) {
    const ways = [[stream], singly(stream)].map((parts) => scriptedAfter(...parts, null));
    const gather = async ({ conn }: { conn: Connection }) => {
      if (name === "peek()") return await read(conn);
      let got = "";
      for (let part; got.length < 5 && (part = await read(conn)) !== null;) got += part;
      return got.slice(0, 5); // a chunk has the line end as well
    };
    for (const way of ways) {
      assertEquals(await gather(way), "hello", name);
      way.conn.close();
    }
  }
});

/** One read of some kind on a stream of text: does it, and says what it must get. */
const steps: Record<string, (conn: Connection, rest: string, n: number) => Promise<number>> = {
  async readExactly(conn, rest, n) {
    const size = Math.min(n, rest.length);
    assertEquals(asText(await conn.readExactly(size)), size === 0 ? "" : rest.slice(0, size));
    return size;
  },
  async readUntil(conn, rest) {
    const at = rest.indexOf("ab");
    if (at < 0) return 0;
    assertEquals(asText(await conn.readUntil("ab")), rest.slice(0, at));
    return at + 2;
  },
  async readLine(conn, rest) {
    const at = rest.indexOf("\n");
    if (at < 0) return 0;
    assertEquals(await conn.readLine(), rest.slice(0, at).replace(/\r$/, ""));
    return at + 1;
  },
  async peek(conn, rest, n) {
    assertEquals(text(await conn.peek(n)), rest.slice(0, n));
    return 0;
  },
  async read(conn, rest, n) {
    const p = new Uint8Array(n);
    const got = await conn.read(p);
    assertEquals(text(p.subarray(0, got ?? 0)), rest.slice(0, got ?? 0));
    if (rest === "" && n > 0) assertEquals(got, null);
    return got ?? 0;
  },
  async next(conn, rest) {
    const { value } = await conn[Symbol.asyncIterator]().next();
    if (rest === "") assertEquals(value, undefined);
    assertEquals(text(value ?? new Uint8Array(0)), rest.slice(0, value?.length ?? 0));
    return value?.length ?? 0;
  },
  async framed(conn, rest) {
    const at = rest.indexOf("\n");
    if (at < 0) return 0;
    const frame = await framed(conn, lines())[Symbol.asyncIterator]().next();
    assertEquals(frame.value, rest.slice(0, at).replace(/\r$/, ""));
    return at + 1;
  },
};

Deno.test("reads of all kinds, mixed in any order, share one stream however it arrives", async () => {
  await fc.assert(fc.asyncProperty(
    fc.string({ unit: fc.constantFrom("a", "b", "x", "\r", "\n"), maxLength: 60, size: "max" }),
    fc.array(fc.nat(60), { maxLength: 20, size: "max" }),
    fc.array(fc.tuple(fc.constantFrom(...Object.keys(steps)), fc.nat(12)), {
      maxLength: 30,
      size: "max",
    }),
    async (stream, places, kinds) => {
      const { conn } = scriptedAfter(...split(bytes`${stream}`, places), null);
      let at = 0;
      for (const [kind, n] of kinds) at += await steps[kind]!(conn, stream.slice(at), n);
      assertEquals(await restOf(conn), stream.slice(at));
      assertEquals(conn.bytesRead, stream.length);
      conn.close();
    },
  ));
});

netTest("records of all sizes come whole from a real socket", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const sizes = [1, 100, 4096, 5000, 65_536, 100_000, MIB];
  const length = 2 * sizes.reduce((sum, size) => sum + size);
  const sent = writeAll(client, pattern(0, length)).then(() => client.close());
  let at = 0;
  const kept: Uint8Array[] = [];
  for (const size of [...sizes, ...sizes.toReversed()]) {
    kept.push((await conn.readExactly(size, { limit: MIB }))!);
    at += size;
  }
  assertEquals(at, length);
  assertEquals(await conn.readExactly(1), null);
  // Compared once all are there: none was overwritten by a later one.
  at = 0;
  for (const record of kept) {
    assertPattern(record, at);
    at += record.length;
  }
  await sent;
});

// The end of the stream

for (const [name, read] of Object.entries(RECORDS)) {
  Deno.test(`${name} gives null at the end of the stream, again and again`, async () => {
    for (const arrived of [[], [bytes`hello\r\n`]]) {
      const { socket, conn } = scriptedAfter(...arrived);
      if (arrived.length > 0) {
        assertEquals(await read(conn), "hello");
        if (name === "readExactly()") await conn.readExactly(2);
      }
      const pending = read(conn);
      await turn();
      socket.finish();
      assertEquals(await pending, null);
      for (let i = 0; i < 3; i++) assertEquals(await read(conn), null);
      assertFalse(conn.signal.aborted);
      conn.close();
    }
  });

  Deno.test(`${name} rejects with UnexpectedEof when the stream ends inside, and leaves what came`, async () => {
    const { socket, conn } = scriptedAfter(bytes`hel`);
    const pending = read(conn);
    await turn();
    socket.finish();
    const error = await assertRejects(() => pending, Deno.errors.UnexpectedEof);
    const messages: Record<string, string> = {
      "readExactly()": "The stream ended after 3 of 5 bytes",
      "readUntil()": "The stream ended inside a record, after 3 bytes of it",
      "readLine()": "The stream ended inside a line, after 3 bytes of it",
    };
    assertEquals(error.message, messages[name]);
    assertEquals((error as { partial?: unknown }).partial, bytes`hel`);
    assertFalse(conn.signal.aborted);
    await assertRejects(() => read(conn), Deno.errors.UnexpectedEof); // as often as it is asked
    const p = new Uint8Array(8);
    assertEquals([await conn.read(p), text(p.subarray(0, 3))], [3, "hel"]);
    assertEquals(await read(conn), null);
    conn.close();
  });
}

Deno.test("readUntil() and readLine() do not take half an end for one when the stream ends there", async () => {
  const ends: [read: (conn: Connection) => Promise<unknown>, stream: string][] = [
    [(conn) => conn.readUntil("\r\n"), "hello\r"],
    [(conn) => conn.readUntil("--end--"), "hello--end-"],
    [(conn) => conn.readLine(), "hello\r"],
  ];
  for (const [read, stream] of ends) {
    const { conn } = scriptedAfter(bytes`${stream}`, null);
    const error = await assertRejects(() => read(conn), Deno.errors.UnexpectedEof);
    assertEquals((error as { partial?: unknown }).partial, bytes`${stream}`);
    assertEquals(await restOf(conn), stream);
    conn.close();
  }
});

// Limits

for (const [name, limit] of [["readLine()", 64 * KIB], ["readUntil()", 64 * KIB]] as const) {
  for (const given of [undefined, 100]) {
    const most = given ?? limit;
    Deno.test(`${name} takes a record of ${most} bytes, and refuses one byte more as soon as that is sure`, async () => {
      const read = RECORDS[name]!;
      const options = given === undefined ? undefined : { limit: given };
      for (const parts of [[MIB], [1, MIB], [most - 1, 1, 1, MIB], [most, 2, MIB]]) {
        const { socket, conn } = scriptedAfter();
        // What just fits.
        socket.arrive(bytes`${"x".repeat(most)}\r\n`);
        assertEquals((await read(conn, options))!.length, most);
        // And one that does not fit, whose end never comes.
        const pending = read(conn, options);
        pending.catch(() => {});
        let sent = 0;
        for (const part of parts) {
          const size = Math.min(part, most + 2 - sent);
          socket.arrive(bytes`${"y".repeat(size)}`);
          sent += size;
          await turn();
        }
        const error = await assertRejects(() => pending, FrameTooLargeError, "'limit'");
        assertEquals(error.limit, most);
        assert(error instanceof ProtocolError);
        assertFalse(conn.signal.aborted);
        conn.close();
      }
    });
  }
}

Deno.test("a record over its limit stays: the next such read fails as well, any other gets the bytes", async () => {
  for (const name of ["readUntil()", "readLine()"]) {
    for (const complete of [true, false]) {
      const { socket, conn } = scriptedAfter(bytes`too long${complete ? "\r\nnext\r\n" : ""}`);
      const read = RECORDS[name]!;
      for (let i = 0; i < 3; i++) {
        await assertRejects(() => read(conn, { limit: 6 }), FrameTooLargeError);
      }
      if (!complete) socket.arrive(bytes`\r\nnext\r\n`);
      assertEquals(text((await conn.readExactly(4))!), "too ");
      assertEquals(await read(conn, { limit: 6 }), "long");
      assertEquals(await read(conn), "next");
      assertFalse(conn.signal.aborted);
      conn.close();
    }
  }
});

Deno.test("readExactly() and peek() take up to 64 KiB, or to the limit, and refuse more at once", async () => {
  const { socket, conn } = scriptedAfter(pattern(0, 100));
  const refused: [read: () => Promise<unknown>, message: string, limit: number, size: number][] = [
    [
      () => conn.readExactly(64 * KIB + 1),
      "Cannot read exactly 65537 bytes: the option 'limit' is 65536",
      64 * KIB,
      64 * KIB + 1,
    ],
    [
      () => conn.peek(64 * KIB + 1),
      "Cannot peek 65537 bytes: the option 'limit' is 65536",
      64 * KIB,
      64 * KIB + 1,
    ],
    [
      () => conn.readExactly(11, { limit: 10 }),
      "Cannot read exactly 11 bytes: the option 'limit' is 10",
      10,
      11,
    ],
    [
      () => conn.peek(1, { limit: 0 }),
      "Cannot peek 1 bytes: the option 'limit' is 0",
      0,
      1,
    ],
    [
      () => conn.readExactly(Number.MAX_SAFE_INTEGER),
      "Cannot read exactly 9007199254740991 bytes: the option 'limit' is 65536",
      64 * KIB,
      Number.MAX_SAFE_INTEGER,
    ],
  ];
  for (const [read, message, limit, size] of refused) {
    const error = await assertRejects(read, FrameTooLargeError);
    assertEquals([error.message, error.limit, error.size], [message, limit, size]);
  }
  assertEquals(socket.reads, 0);
  assertPattern((await conn.readExactly(10, { limit: 10 }))!, 0);
  socket.arrive(pattern(100, 64 * KIB));
  const pending = conn.readExactly(64 * KIB);
  assertPattern((await pending)!, 10);
  conn.close();
});

Deno.test("a limit of Infinity is none", async () => {
  for (const [name, read] of Object.entries(RECORDS)) {
    const { conn } = scriptedAfter(bytes`hello\r\n`);
    assertEquals(await read(conn, { limit: Infinity }), "hello", name);
    conn.close();
  }
  const { socket, conn } = scriptedAfter();
  const pending = conn.readExactly(2 * MIB, { limit: Infinity });
  socket.arrive(pattern(0, 2 * MIB));
  assertPattern((await pending)!, 0);
  conn.close();
});

Deno.test("an invalid limit is rejected, and nothing is read", async () => {
  const given: [limit: unknown, kind: typeof TypeError, shown: string][] = [
    [-1, RangeError, "-1"],
    [1.5, RangeError, "1.5"],
    [NaN, TypeError, "NaN"],
    ["5", TypeError, '"5"'],
    [null, TypeError, "null"],
  ];
  for (const [name, read] of Object.entries({ ...RECORDS, "peek()": READS["peek()"]! })) {
    const { socket, conn } = scriptedAfter();
    for (const [limit, kind, shown] of given) {
      const error = await assertRejects(() => read(conn, { limit: limit as number }), kind);
      assert(error.message.includes(`'limit' of ${shown}: use`), `${name}: ${error.message}`);
    }
    assertEquals(socket.reads, 0);
    conn.close();
  }
});

Deno.test("what was only announced is not reserved", async () => {
  const announced: Record<string, (conn: Connection) => Promise<unknown>> = {
    "readExactly()": (conn) => conn.readExactly(MIB, { limit: MIB }),
    "peek()": (conn) => conn.peek(MIB, { limit: MIB }),
    "framed()": async (conn) => {
      await conn.readExactly(4);
      return await framed(conn, lengthPrefixed({ limit: MIB })).read();
    },
  };
  for (const [name, read] of Object.entries(announced)) {
    const socket = new Noting();
    const conn = connection(socket);
    if (name === "framed()") socket.arrive(new Uint8Array([0, 0, 0, 0, 0, 16, 0, 0]));
    const pending = read(conn);
    await turn();
    let sent = 0;
    for (; sent < 20_000; sent += 100) {
      socket.arrive(pattern(sent, 100));
      await turn();
      assertLessOrEqual(socket.rooms.at(-1)!, Math.max(2 * (sent + 100), 4 * KIB) + KIB, name);
    }
    socket.arrive(pattern(sent, MIB - sent));
    assertPattern((await pending) as Uint8Array, 0);
    assertLessOrEqual(Math.max(...socket.rooms), MIB + KIB, name);
    conn.close();
  }
});

Deno.test("a connection that waits after a record of 1 MiB pins little of its memory", async () => {
  for (const [name, read] of Object.entries(RECORDS)) {
    const socket = new Noting();
    const conn = connection(socket);
    const record = new Uint8Array(MIB + 2).fill(120);
    record.set(bytes`\r\n`, MIB);
    socket.arrive(record);
    if (name === "readExactly()") await conn.readExactly(MIB + 2, { limit: Infinity });
    else await read(conn, { limit: MIB });
    // The next may be as large; 16 small ones say that none is.
    for (let i = 0; i <= 16; i++) {
      const most = i < 16 ? 256 * KIB : 4 * KIB;
      const waiting = read(conn);
      await turn();
      assertLessOrEqual(socket.rooms.at(-1)!, most, name);
      socket.arrive(name === "readExactly()" ? bytes`hello` : bytes`hello\r\n`);
      assertEquals(await waiting, "hello");
    }
    conn.close();
  }
});

// What it costs

/** Bytes looked at for the end of a record, and bytes copied, while `run` runs. */
async function costsOf(run: () => Promise<unknown>): Promise<{ looked: number; copied: number }> {
  const arrays = Object.getPrototypeOf(Uint8Array.prototype);
  const { set, slice, indexOf } = arrays;
  const { find } = ByteSearch.prototype;
  let [looked, copied, searching] = [0, 0, false];
  arrays.set = function (from: ArrayLike<number>, ...rest: number[]) {
    copied += from.length;
    return set.call(this, from, ...rest);
  };
  arrays.slice = function (...range: number[]) {
    const part = slice.apply(this, range);
    copied += part.length;
    return part;
  };
  arrays.indexOf = function (byte: number, from = 0) {
    const at = indexOf.call(this, byte, from);
    if (!searching) looked += (at < 0 ? this.length : at + 1) - from;
    return at;
  };
  ByteSearch.prototype.find = function (bytes, from, state) {
    searching = true;
    const result = find.call(this, bytes, from, state);
    searching = false;
    looked += result.at - from;
    return result;
  };
  try {
    await run();
  } finally {
    Object.assign(arrays, { set, slice, indexOf });
    Object.assign(ByteSearch.prototype, { find });
  }
  return { looked, copied };
}

const LONG_DELIMITER = "--a separator of very many bytes--";

for (const size of [256 * KIB, MIB]) {
  const content = new Uint8Array(size).fill(45); // like the beginning of the delimiter
  const kinds: Record<string, [end: string, read: (conn: Connection) => Promise<unknown>]> = {
    "readLine()": ["\r\n", (conn) => conn.readLine({ limit: size })],
    "readUntil() one byte": [";", (conn) => conn.readUntil(";", { limit: size })],
    "readUntil() many bytes": [
      LONG_DELIMITER,
      (conn) => conn.readUntil(LONG_DELIMITER, { limit: size }),
    ],
    "readExactly()": ["", (conn) => conn.readExactly(size, { limit: size })],
    "peek()": ["", (conn) => conn.peek(size, { limit: size })],
  };
  for (const [name, [end, read]] of Object.entries(kinds)) {
    Deno.test(`${name} of ${size} bytes, one at a time, looks at each twice at most and copies it 2.5 times`, async () => {
      const record = new Uint8Array(size + end.length);
      record.set(content);
      record.set(bytes`${end}`, size);
      const conn = connection(new Trickle(record));
      const { looked, copied } = await costsOf(() => read(conn));
      assertLessOrEqual(looked / record.length, 2);
      assertLessOrEqual(copied / record.length, 2.5);
      conn.close();
    });
  }
}

Deno.test("a chunk or a plain read costs no copy", async () => {
  const { conn } = scriptedAfter(pattern(0, 100), pattern(100, 100));
  const p = new Uint8Array(100);
  const { copied } = await costsOf(async () => {
    await conn[Symbol.asyncIterator]().next();
    await conn.read(p);
  });
  assertEquals(copied, 2 * 100); // what the socket itself copies
  conn.close();
});

// A socket that brings nothing

const EVERY_READ: Record<string, (conn: Connection) => Promise<unknown>> = {
  ...READS,
  "read() until something came": async (conn) => {
    const p = new Uint8Array(8);
    for (let n; (n = await conn.read(p)) !== null;) if (n > 0) return;
  },
  "iteration": async (conn) => {
    for await (const chunk of conn) if (chunk.length > 0) return;
  },
  "iteration over frames": async (conn) => {
    for await (const _ of framed(conn, lines())) return;
  },
  "readable": (conn) => conn.readable.getReader().read(),
  "copy()": async (conn) => {
    using to = connection(new ScriptedSocket());
    await copy(conn, to);
  },
  "relay()": (conn) => relay(conn, connection(new ScriptedSocket())),
};

for (const [name, read] of Object.entries(EVERY_READ)) {
  if (["read()", "read() with options", "next()"].includes(name)) continue; // which a single empty read settles
  Deno.test(`${name} gives up on a socket that brings nothing a hundred times in a row`, async () => {
    const { socket, conn } = scriptedAfter();
    let reads = 0;
    socket.read = () => Promise.resolve(++reads > 10_000 ? null : 0);
    const error = await assertRejects(() => read(conn), Deno.errors.InvalidData);
    assertEquals(error.message, "Cannot read: the socket gave no bytes 101 times in a row");
    assertEquals(reads, 101);
    assertStrictEquals(conn.signal.reason, error);
    await assertRejects(() => conn.readLine(), Deno.errors.InvalidData);
  });
}

Deno.test("a socket that now and then brings nothing is read on", async () => {
  const { socket, conn } = scriptedAfter();
  const line = conn.readLine();
  for (let i = 0; i < 1000; i++) socket.arrive(i % 100 === 0 ? bytes`x` : bytes``);
  socket.arrive(bytes`\n`);
  assertEquals(await line, "x".repeat(10));
  conn.close();
});

Deno.test("end() does not wait for a peer whose socket brings nothing", async () => {
  const { socket, conn } = scriptedAfter();
  socket.read = () => Promise.resolve(0);
  await conn.end();
  assert(socket.closed);
});

// One at a time

for (const [name, read] of Object.entries(READS)) {
  Deno.test(`a second read of any kind while ${name} waits is Busy, and the first goes on`, async () => {
    for (const [otherName, other] of Object.entries(READS)) {
      const { socket, conn } = scriptedAfter();
      const pending = read(conn);
      await turn();
      for (let i = 0; i < 2; i++) {
        const error = await assertRejects(() => other(conn), Deno.errors.Busy, "", otherName);
        assertEquals(
          error.message,
          "Cannot read while another read is pending: await that one first",
        );
      }
      assertEquals(socket.mostReads, 1);
      socket.arrive(bytes`hello\r\n`);
      assertEquals((await pending)!.replace("\r\n", ""), "hello", otherName);
      conn.close();
    }
  });

  netTest(`${name} rejects with the error of a reset, and so does every later read`, async () => {
    const [socket, peer] = await resettablePair();
    using conn = connection(socket);
    peer.write(bytes`hel`);
    await conn.peek(3);
    const pending = name.includes("read()") || name === "next()" ? conn.readExactly(5) : read(conn);
    await peer.reset();
    const error = await assertRejects(() => pending, Deno.errors.ConnectionReset);
    for (const [otherName, other] of Object.entries(READS)) {
      assertStrictEquals(await other(conn).catch((error) => error), error, otherName);
    }
    assertStrictEquals(conn.signal.reason, error);
  });

  netTest(
    `${name} rejects with Interrupted when close() comes meanwhile, and with BadResource after it`,
    async () => {
      const [socket, client] = await socketPair();
      using _client = client;
      const conn = connection(socket);
      const pending = read(conn);
      await turn();
      conn.close();
      await assertRejects(() => pending, Deno.errors.Interrupted);
      await assertRejects(() => read(conn), Deno.errors.BadResource, "closed");
    },
  );
}

Deno.test("promises of reads that are not awaited may reject in any way without ending the process", async () => {
  const mishaps: Record<string, (conn: Connection, socket: ScriptedSocket) => void> = {
    "a wrong number": (conn) => void conn.readExactly(-1),
    "a wrong delimiter": (conn) => void conn.readUntil(""),
    "a wrong limit": (conn) => void conn.readLine({ limit: -1 }),
    "too much": (conn) => void conn.readExactly(2 ** 40),
    "too long": (conn) => void conn.readLine({ limit: 1 }),
    "an end inside": (conn, socket) => {
      conn.readLine();
      socket.finish();
    },
    "a failure": (conn, socket) => {
      conn.peek(100);
      socket.failRead(new Error("lost"));
    },
    "close()": (conn) => {
      conn.readUntil(";");
      conn.close();
    },
    "Busy": (conn) => {
      conn.readExactly(100);
      conn.readExactly(100);
      conn.peek(100);
      conn.readUntil(";");
      conn.readLine();
      conn.read(new Uint8Array(1), {});
      conn[Symbol.asyncIterator]().next();
    },
  };
  for (const [name, mishap] of Object.entries(mishaps)) {
    const { socket, conn } = scriptedAfter(bytes`hello`);
    await conn.peek(5);
    const unhandled = await unhandledDuring(() => mishap(conn, socket));
    assertEquals(unhandled, [], name);
    conn.close();
  }
});

// What is kept, written into or transferred away

Deno.test("records that are kept stay as they were, whatever is read after them", async () => {
  const socket = new ScriptedSocket();
  const conn = connection(socket);
  const kept: { record: Uint8Array; copy: Uint8Array }[] = [];
  const keep = (record: Uint8Array) => kept.push({ record, copy: record.slice() });
  for (let i = 0; i < 500; i++) {
    const content = pattern(i, [1, 50, 3000, 20_000][i % 4]!).map((byte) =>
      byte === 59 ? 58 : byte
    );
    socket.arrive(content);
    socket.arrive(bytes`;`);
    if (i % 3 === 0) keep((await conn.readUntil(";"))!);
    else if (i % 3 === 1) keep((await conn.readExactly(content.length + 1))!);
    else {for (let got = 0; got <= content.length;) {
        const { value } = await conn[Symbol.asyncIterator]().next();
        keep(value!);
        got += value!.length;
      }}
  }
  for (const { record, copy } of kept) assertEquals(record, copy);
  // Nor do they share memory: writing into one changes no other.
  for (let i = 0; i < kept.length; i += 2) kept[i]!.record.fill(0);
  for (let i = 1; i < kept.length; i += 2) assertEquals(kept[i]!.record, kept[i]!.copy);
  conn.close();
});

Deno.test("a record may be transferred away when nothing has arrived behind it, and reading goes on", async () => {
  for (const [name, read] of Object.entries(READS)) {
    const { socket, conn } = scriptedAfter();
    for (let i = 0; i < 10; i++) {
      socket.arrive(bytes`12345`);
      const record = (await conn.readExactly(5))!;
      structuredClone(record, { transfer: [record.buffer] });
      socket.arrive(bytes`hello\r\n`);
      assertEquals((await read(conn))!.replace("\r\n", ""), "hello", name);
      const left = ["readExactly()", "read()", "read() with options"].includes(name) ? 2 : 0;
      await conn.readExactly(name === "peek()" ? 7 : left);
    }
    conn.close();
  }
});

Deno.test("what had arrived behind a record that was transferred away is refused to every read", async () => {
  for (const [name, read] of Object.entries(READS)) {
    const { socket, conn } = scriptedAfter(bytes`12345hello\r\n`);
    const record = (await conn.readExactly(5))!;
    structuredClone(record, { transfer: [record.buffer] });
    for (let i = 0; i < 2; i++) {
      await assertRejects(() => read(conn), TypeError, "transferred away", name);
    }
    await conn.write(bytes`an answer is still possible`);
    const unhandled = await unhandledDuring(() => void conn.readLine());
    assertEquals(unhandled, []);
    await conn.end();
    assert(socket.closed);
  }
});

netTest(
  "a record transferred away while a read is pending costs its connection what that brings, no more",
  async () => {
    for (const [name, read] of Object.entries(READS)) {
      if (name.startsWith("read()")) continue; // it fills memory of its caller
      const [socket, client] = await socketPair();
      using conn = connection(socket);
      await client.write(bytes`12345`);
      const record = (await conn.readExactly(5))!;
      const unhandled = await unhandledDuring(async () => {
        const pending = read(conn).catch((error) => error);
        await turn();
        structuredClone(record, { transfer: [record.buffer] });
        await client.write(bytes`hello\r\n`);
        const error = await pending;
        assertInstanceOf(error, TypeError, name);
        assert(error.message.includes("transferred away"), error.message);
        assertInstanceOf(await read(conn).catch((error) => error), TypeError);
      });
      assertEquals(unhandled, [], name);
      client.close();
    }
  },
);

netTest("a read that gave up and whose memory was transferred away ends nothing", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  await client.write(bytes`12345`);
  const record = (await conn.readExactly(5))!;
  const controller = new AbortController();
  const line = conn.readLine({ signal: controller.signal });
  controller.abort("enough");
  assertEquals(await line.catch(String), "enough");
  structuredClone(record, { transfer: [record.buffer] });
  const unhandled = await unhandledDuring(async () => {
    await client.write(bytes`hello\r\n`);
    await until(() => conn.bytesRead === 12);
    await assertRejects(() => conn.readLine(), TypeError, "transferred away");
  });
  assertEquals(unhandled, []);
});

netTest(
  "a connection counts in bytesRead what has arrived, whether it was taken or not",
  async () => {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    await client.write(bytes`one\ntwo`);
    assertEquals(await conn.readLine(), "one");
    await until(() => conn.bytesRead === 7);
    assertEquals(text(await conn.peek(3)), "two");
    assertEquals(conn.bytesRead, 7);
    client.close();
    assertEquals(await restOf(conn), "two");
    assertEquals(conn.bytesRead, 7);
  },
);
