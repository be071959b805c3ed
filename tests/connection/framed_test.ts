/** Do frames come whole however bytes arrive, and what follows them to whoever reads on? @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { FrameTooLargeError, ProtocolError } from "../../lib/errors.ts";
import type { Codec, Decoded, Decoder, Need } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import {
  type Connection,
  connection,
  type ConnectionOptions,
  type EndRecord,
  type Framed,
  framed,
  type FramedOptions,
  serve,
  type ServeSettings,
} from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, readExactly, socketPair, writeAll } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { cut, drive, type Driven, outcome } from "../wire/codec/drive.ts";

const KIB = 1024;
const MIB = KIB * KIB;

/** Turns of the event loop after which what was sent has long left. */
const SOON = 3;

/** A connection over a scripted socket, to which something has come already. */
function scripted(...arrived: (Uint8Array | null)[]) {
  const socket = new ScriptedSocket();
  for (const p of arrived) p === null ? socket.finish() : socket.arrive(p);
  return { socket, conn: connection(socket) };
}

/** The same bytes, one at a time. */
function singly(p: Uint8Array): Uint8Array[] {
  return Array.from(p, (_, i) => p.subarray(i, i + 1));
}

async function restOf(conn: Connection): Promise<string> {
  let rest = "";
  for await (const chunk of conn) rest += text(chunk);
  return rest;
}

// Codecs, as users would write them

/** One byte says how much text follows. */
const short: Codec<string> = {
  decode(bytes) {
    const end = 1 + (bytes[0] ?? 0);
    return bytes.length < end ? { need: end } : { frame: text(bytes.subarray(1, end)), taken: end };
  },
  encode: (frame) => new Uint8Array([frame.length, ...bytes`${frame}`]),
};

/** The same, decoded together as far as they are there. */
const shortInBatches: Codec<string> = {
  ...short,
  decodeAll(bytes) {
    const frames: string[] = [];
    let taken = 0;
    for (let found; (found = short.decode(bytes.subarray(taken), 0, false)) !== null;) {
      if ("need" in found || taken === bytes.length) break;
      frames.push(found.frame!);
      taken += found.taken;
    }
    return frames.length === 0 ? null : { frames, taken };
  },
};

/** Letters that end with a dot; `null` until it is there, with a count of what was looked at. */
class Dotted implements Codec<string> {
  looked = 0;

  decode(bytes: Uint8Array, seen: number): Decoded<string> | null {
    const at = bytes.indexOf(46, seen);
    this.looked += (at < 0 ? bytes.length : at + 1) - seen;
    return at < 0 ? null : { frame: text(bytes.subarray(0, at)), taken: at + 1 };
  }

  encode(frame: string): Uint8Array {
    return bytes`${frame}.`;
  }
}

/** A head of one byte, which says how long the body is, and another decoder for that. */
const headed: Codec<string> = {
  decode(head) {
    return { taken: 1, next: bodyOf(head[0]!) };
  },
  encode: short.encode,
};

function bodyOf(length: number): Decoder<string> {
  return {
    decode: (bytes) =>
      bytes.length < length
        ? { need: length }
        : { frame: text(bytes.subarray(0, length)), taken: length, next: headed },
  };
}

/** Decodes with `decode` and does nothing else. */
function decoding<T>(decode: Decoder<T>["decode"]): Codec<T> {
  return { decode, encode: () => new Uint8Array(0) };
}

/**
 * A codec that sees to it that it is asked as its contract says: about bytes that only grow, how much
 * of them it has seen, never too early, never again after an error.
 */
class Strict<T> implements Codec<T> {
  readonly #codec: Codec<T>;
  readonly #wrapped = new Map<Decoder<T>, Decoder<T>>();
  #last: { by: Decoder<T>; bytes: Uint8Array; need: number } | undefined;
  /** What the last batch said of the bytes behind it. */
  #seen = 0;
  #failed = false;
  readonly decodeAll?: NonNullable<Codec<T>["decodeAll"]>;

  constructor(codec: Codec<T>) {
    this.#codec = codec;
    this.#wrapped.set(codec, this);
    if (codec.decodeAll !== undefined) {
      this.decodeAll = (bytes) => {
        assert(bytes.length > 0);
        assertEquals(this.#last, undefined, "asked for all though some was seen");
        assertEquals(this.#seen, 0, "asked for all though the last batch has seen some");
        const batch = codec.decodeAll!(bytes);
        this.#seen = batch?.seen ?? 0;
        return batch;
      };
    }
  }

  decode(bytes: Uint8Array, seen: number, end: boolean): Decoded<T> | Need<T> | null {
    return this.#ask(this.#codec, bytes, seen, end);
  }

  encode(frame: T): Uint8Array {
    return this.#codec.encode(frame);
  }

  #ask(by: Decoder<T>, bytes: Uint8Array, seen: number, end: boolean) {
    assertFalse(this.#failed, "asked again after an error");
    assert(bytes.length > 0 || (end && by !== this.#codec), "asked about nothing");
    if (this.#last !== undefined) {
      assertEquals(bytes.subarray(0, this.#last.bytes.length), this.#last.bytes);
      assert(end || bytes.length > this.#last.bytes.length, "asked again about the same");
      assert(end || bytes.length >= this.#last.need, "asked too early");
    }
    if (this.#last === undefined) assertEquals(seen, this.#seen);
    else assertEquals(seen, this.#last.bytes.length);
    this.#seen = 0;
    let answer;
    try {
      answer = by.decode(bytes, seen, end);
    } catch (error) {
      this.#failed = true;
      throw error;
    }
    if (answer === null) this.#last = { by, bytes: bytes.slice(), need: 0 };
    else if ("need" in answer) {
      this.#last = { by: answer.next ?? by, bytes: bytes.slice(), need: answer.need };
      if (this.#last.by !== by) this.#last.bytes = bytes.slice();
    } else this.#last = undefined;
    if (answer?.next === undefined) return answer;
    return { ...answer, next: this.#wrap(answer.next) };
  }

  #wrap(decoder: Decoder<T>): Decoder<T> {
    let wrapped = this.#wrapped.get(decoder);
    if (wrapped === undefined) {
      wrapped = { decode: (bytes, seen, end) => this.#askNext(decoder, bytes, seen, end) };
      this.#wrapped.set(decoder, wrapped);
    }
    return wrapped;
  }

  /** One that was brought in by a `Need` begins anew, with bytes that another one has seen. */
  #askNext(by: Decoder<T>, bytes: Uint8Array, seen: number, end: boolean) {
    if (this.#last?.by === by && seen === 0) this.#last = undefined;
    return this.#ask(by, bytes, seen, end);
  }
}

// Frames out of bytes

/** Ways to get all the frames of a connection. */
const WAYS: Record<string, <T>(framed: Framed<T>) => AsyncGenerator<T>> = {
  async *"read()"(framed) {
    // A frame may be `null`, too, but not in these tests.
    for (let frame; (frame = await framed.read()) !== null;) yield frame;
  },
  async *"iteration"(framed) {
    yield* framed;
  },
  async *"batches()"(framed) {
    for await (const batch of framed.batches()) {
      assertGreater(batch.length, 0);
      yield* batch;
    }
  },
  async *"all of them in turn"(framed) {
    for (let i = 0;; i++) {
      if (i % 3 === 0) {
        const frame = await framed.read();
        if (frame === null) return;
        yield frame;
      } else if (i % 3 === 1) {
        const { done, value } = await framed[Symbol.asyncIterator]().next();
        if (done) return;
        yield value;
      } else {
        const { done, value } = await framed.batches().next();
        if (done) return;
        yield* value;
      }
    }
  },
};

const CODECS: Record<string, () => Codec<unknown>> = {
  "a toy": () => short,
  "a toy in batches": () => shortInBatches,
  "a toy that returns null": () => new Dotted(),
  "a toy of two decoders": () => headed,
  "lines()": () => lines(),
  "lines() with a limit": () => lines({ limit: 4 }),
  "lines() that skip": () => lines({ limit: 3, onOversize: "skip" }),
  "lines() that truncate": () => lines({ limit: 3, onOversize: "truncate" }),
  "lines() that truncate, the last without an end": () =>
    lines({ limit: 3, onOversize: "truncate", unterminated: "frame" }),
  "delimited() by a byte": () => delimited("a"),
  "delimited() by many": () => delimited("aba", { unterminated: "frame" }),
  "delimited() by several": () => delimited(["\r\n", "\n", "bb"], { limit: 5 }),
  "delimited() that skip": () => delimited("aba", { limit: 2, onOversize: "skip" }),
  "delimited() that truncate": () =>
    delimited("\r\n", { limit: 2, onOversize: "truncate", unterminated: "frame" }),
  "lengthPrefixed()": () => lengthPrefixed({ bytes: 1 }),
  "lengthPrefixed() that skip": () => lengthPrefixed({ bytes: 1, limit: 3, onOversize: "skip" }),
  "lengthPrefixed() that truncate": () =>
    lengthPrefixed({ bytes: 1, limit: 3, onOversize: "truncate" }),
  "lengthPrefixed() by varint": () => lengthPrefixed({ bytes: "varint", limit: 9 }),
};

/** What comes of a stream that is read through a connection. */
async function outcomeOf(
  codec: Codec<unknown>,
  parts: Uint8Array[],
  way: string,
): Promise<Driven<unknown>> {
  const { conn } = scripted(...parts, null);
  const frames: unknown[] = [];
  let end: Driven<unknown>["end"] = "between";
  try {
    for await (const frame of WAYS[way]!(framed(conn, codec))) frames.push(frame);
  } catch (error) {
    if (error instanceof Deno.errors.UnexpectedEof) end = "inside";
    else if (!(error instanceof ProtocolError)) throw error;
    else {
      end = { error: `${error}` };
      if (error instanceof FrameTooLargeError) Object.assign(end, error);
      if (error instanceof FrameTooLargeError) {
        end = { ...end, limit: error.limit, size: error.size };
      }
    }
  }
  const left = (await restOf(conn)).length;
  conn.close();
  return { frames, end, taken: conn.bytesRead - left };
}

/** Bytes with much in them that means something to a codec. */
const streams = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...bytes`ab\r\n.`) },
    { weight: 2, arbitrary: fc.nat(6) },
    fc.constantFrom(0, 128, 255, 46),
  ),
  { maxLength: 60, size: "max" },
).map((list) => Uint8Array.from(list));

const sizes = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 12 })), {
  maxLength: 60,
  size: "max",
});

for (const [name, make] of Object.entries(CODECS)) {
  Deno.test(`framed() gives the frames of ${name} that the codec gives, however bytes arrive and are asked for`, async () => {
    await fc.assert(
      fc.asyncProperty(
        streams,
        sizes,
        fc.constantFrom(...Object.keys(WAYS)),
        async (stream, sizes, way) => {
          const expected = outcome(drive(make(), [stream]));
          const got = await outcomeOf(new Strict(make()), cut(stream, sizes), way);
          // What is left of a frame that the stream's end has cut is there to be read.
          if (expected.end === "inside") got.taken = expected.taken;
          assertEquals(normal(got), normal(expected));
        },
      ),
      { numRuns: 500 },
    );
  });
}

/** An end that names its error, and no more than that. */
function normal({ frames, end, taken }: Driven<unknown>) {
  return { frames, taken, end: typeof end === "string" ? end : end.error };
}

Deno.test("framed() looks at each byte once, however often it is asked in between", async () => {
  const codec = new Dotted();
  const { socket, conn } = scripted();
  const frame = framed(conn, codec).read();
  for (let i = 0; i < 10_000; i++) socket.arrive(bytes`x`);
  socket.arrive(bytes`.`);
  assertEquals((await frame)!.length, 10_000);
  assertEquals(codec.looked, 10_001);
  conn.close();
});

netTest("frames of all sizes come whole from a real socket, and are what was sent", async () => {
  const codecs: [Codec<Uint8Array>, number][] = [
    [lengthPrefixed({ bytes: 4, limit: 2 * MIB }), MIB + 1],
    [lengthPrefixed({ bytes: "varint", limit: MIB }), MIB],
    [delimited("--end--", { limit: MIB }), MIB],
  ];
  for (const [codec, most] of codecs) {
    const [socket, client] = await socketPair();
    using conn = connection(socket);
    using peer = connection(client);
    const [frames, messages] = [framed(conn, codec), framed(peer, codec)];
    const sizes = [0, 1, 100, 0, 65_536, 5000, most, 3];
    const sending = (async () => {
      for (const size of sizes) await messages.send(new Uint8Array(size).fill(size));
      await messages.flush();
      await peer.closeWrite();
    })();
    const got: Uint8Array[] = [];
    for await (const frame of frames) got.push(frame);
    await sending;
    // All are looked at when all are there: none was written over by a later one.
    assertEquals(got.map(({ length }) => length), sizes);
    for (const frame of got) assert(frame.every((byte) => byte === (frame.length & 255)));
  }
});

Deno.test("a frame may be anything, also undefined, null, false, zero or nothing at all", async () => {
  const values = [undefined, null, false, 0, "", NaN];
  const codec = decoding<unknown>(([first]) => ({ frame: values[first!], taken: 1 }));
  const batching: Codec<unknown> = {
    ...codec,
    decodeAll: (bytes) => ({
      frames: Array.from(bytes, (byte) => values[byte]),
      taken: bytes.length,
    }),
  };
  for (const one of [codec, batching]) {
    for (const together of [true, false]) {
      const stream = Uint8Array.from(values, (_, i) => i);
      const { conn } = scripted(...together ? [stream] : singly(stream), null);
      const got: unknown[] = [];
      for await (const frame of framed(conn, one)) got.push(frame);
      assertEquals(got, values);
      conn.close();
    }
    const { conn } = scripted(Uint8Array.of(0, 1, 4));
    const messages = framed(conn, one);
    assertEquals([await messages.read(), await messages.read(), await messages.read()], [
      undefined,
      null,
      "",
    ]);
    conn.close();
  }
});

Deno.test("a Decoded without a frame takes its bytes and gives nothing", async () => {
  const codec = decoding<string>((bytes) =>
    bytes[0] === 35
      ? { taken: 1 } // "#"
      : { frame: text(bytes.subarray(0, 1)), taken: 1 }
  );
  for (const parts of [[bytes`#a##b#`], singly(bytes`#a##b#`)]) {
    const { conn } = scripted(...parts, null);
    const got: string[] = [];
    for await (const frame of framed(conn, codec)) got.push(frame);
    assertEquals(got, ["a", "b"]);
    conn.close();
  }
});

Deno.test("what a frame takes beyond what is there is dropped as it comes", async () => {
  // A digit says how much follows it, which is dropped.
  const codec = decoding<string>(([digit]) => ({
    frame: String.fromCharCode(digit!),
    taken: 1 + digit! - 48,
  }));
  for (const parts of [[bytes`3xxx0 9`.subarray(0, 5)], singly(bytes`3xxx0`)]) {
    const { conn } = scripted(...parts, null);
    const got: string[] = [];
    for await (const frame of framed(conn, codec)) got.push(frame);
    assertEquals(got, ["3", "0"]);
    conn.close();
  }
  const { socket, conn } = scripted(bytes`3`);
  const frames = framed(conn, codec);
  assertEquals(await frames.read(), "3"); // given before the rest has come
  const next = frames.read();
  socket.arrive(bytes`xx`);
  await turn();
  socket.arrive(bytes`x2`);
  assertEquals(await next, "2");
  conn.close();
});

Deno.test("what is to be dropped and was read raw meanwhile is not dropped again", async () => {
  const codec = decoding<string>(([digit]) => ({
    frame: String.fromCharCode(digit!),
    taken: 1 + digit! - 48,
  }));
  for (const raw of [1, 3]) {
    const { socket, conn } = scripted(bytes`3`);
    const frames = framed(conn, codec);
    assertEquals(await frames.read(), "3");
    socket.arrive(bytes`xxx0`);
    assertEquals(text((await conn.readExactly(raw))!), "x".repeat(raw));
    assertEquals(await frames.read(), "0");
    conn.close();
  }
});

Deno.test("a codec that takes nothing is refused, as it would be asked for ever", async () => {
  const codecs: Codec<string>[] = [
    decoding<string>(() => ({ frame: "x", taken: 0 })),
    decoding<string>(() => ({ taken: 0 })),
    decoding<string>(() => ({ frame: "x", taken: -1 })),
    decoding<string>(() => ({ frame: "x", taken: NaN })),
    { ...short, decodeAll: () => ({ frames: ["x"], taken: 0 }) },
    { ...short, decodeAll: () => ({ frames: [], taken: 1 }) },
  ];
  for (const codec of codecs) {
    const { conn } = scripted(bytes`hello`);
    const frames = framed(conn, codec);
    for (let i = 0; i < 2; i++) {
      const error = await assertRejects(() => frames.read(), TypeError);
      assertEquals(
        error.message,
        "Cannot decode: the codec took nothing, so it would be asked for ever",
      );
    }
    assertEquals(text(await conn.peek(5)), "hello");
    conn.close();
  }
});

Deno.test("a decoder may bring in another one without taking anything", async () => {
  const second = decoding<string>((bytes) => ({ frame: text(bytes), taken: bytes.length }));
  const first = decoding<string>(() => ({ taken: 0, next: second }));
  const { conn } = scripted(bytes`hello`);
  assertEquals(await framed(conn, first).read(), "hello");
  conn.close();
});

// The end of the stream

Deno.test("the end of the stream between frames is the end, again and again", async () => {
  for (const [name, way] of Object.entries(WAYS)) {
    const { conn } = scripted(bytes`a.b.`, null);
    const frames = framed(conn, new Dotted());
    const got: string[] = [];
    for await (const frame of way(frames)) got.push(frame);
    assertEquals(got, ["a", "b"], name);
    assertEquals(await frames.read(), null);
    assertEquals(await frames[Symbol.asyncIterator]().next(), { done: true, value: undefined });
    assertEquals(await frames.batches().next(), { done: true, value: undefined });
    assertFalse(conn.signal.aborted);
    conn.close();
  }
});

Deno.test("the end of the stream inside a frame is UnexpectedEof, and what came of it is left", async () => {
  for (const [name, way] of Object.entries(WAYS)) {
    for (const codec of [new Dotted(), lines(), delimited("\r\n"), short]) {
      const [start, whole] = codec === short
        ? [Uint8Array.of(5, 104, 101, 108), Uint8Array.of(2, 111, 107)]
        : [bytes`hel`, bytes`ok\r\n.`.subarray(0, codec instanceof Dotted ? 5 : 4)];
      const { conn } = scripted(whole, start, null);
      const frames = framed(conn, codec as Codec<unknown>);
      const got: unknown[] = [];
      const error = await assertRejects(async () => {
        for await (const frame of way(frames)) got.push(frame);
      }, Deno.errors.UnexpectedEof);
      assertEquals(got.length, 1, name);
      assertEquals(
        error.message,
        `The stream ended inside a frame, after ${start.length} bytes of it`,
      );
      assertEquals((error as { partial?: unknown }).partial, start);
      await assertRejects(() => frames.read(), Deno.errors.UnexpectedEof);
      assertEquals(await restOf(conn), text(start));
      assertEquals(await conn.read(new Uint8Array(1)), null);
      conn.close();
    }
  }
});

Deno.test("the end of the stream inside what is dropped says how much was missing", async () => {
  const codec = lengthPrefixed({ bytes: 2, limit: 10, onOversize: "skip" });
  const { conn } = scripted(new Uint8Array([1, 0, 7, 7, 7]), null);
  const frames = framed(conn, codec);
  const error = await assertRejects(() => frames.read(), Deno.errors.UnexpectedEof);
  assertEquals(error.message, "The stream ended 253 bytes before a frame's end");
  assertEquals((error as { partial?: unknown }).partial, new Uint8Array(0));
  await assertRejects(() => frames.read(), Deno.errors.UnexpectedEof);
  conn.close();
});

Deno.test("the end of the stream where another decoder is due is inside a frame, unless that says no", async () => {
  const { conn } = scripted(Uint8Array.of(3), null);
  const error = await assertRejects(() => framed(conn, headed).read(), Deno.errors.UnexpectedEof);
  assertEquals(error.message, "The stream ended inside a frame, after 0 bytes of it");
  conn.close();

  const given: [answer: Decoded<string> | null, frames: string[]][] = [
    [{ taken: 0 }, []],
    [{ frame: "kept", taken: 0 }, ["kept"]],
  ];
  for (const [answer, frames] of given) {
    const codec: Codec<string> = decoding<string>(() => ({ taken: 1, next: last }));
    const last = decoding<string>((_, __, end) => end ? { ...answer!, next: codec } : null);
    const { conn } = scripted(bytes`x`, null);
    const got: string[] = [];
    for await (const frame of framed(conn, codec)) got.push(frame);
    assertEquals(got, frames);
    conn.close();
  }
});

// What the codec throws

Deno.test("what a codec throws comes after the frames before it, and is final; the bytes are left", async () => {
  const wrong = new ProtocolError("Cannot take an exclamation mark");
  let asked = 0;
  const careful = decoding<string>((bytes) => {
    if (bytes[0] === 33) {
      asked++;
      throw wrong;
    }
    return { frame: text(bytes.subarray(0, 1)), taken: 1 };
  });
  for (const [name, way] of Object.entries(WAYS)) {
    for (const parts of [[bytes`ab!cd`], singly(bytes`ab!cd`)]) {
      asked = 0;
      const { conn } = scripted(...parts, null);
      const frames = framed(conn, careful);
      const got: string[] = [];
      const error = await assertRejects(async () => {
        for await (const frame of way(frames)) got.push(frame);
      });
      assertStrictEquals(error, wrong);
      assertEquals(got, ["a", "b"], name);
      // Also when more has come, and however it is asked for.
      assertStrictEquals(await frames.read().catch((error) => error), wrong);
      assertStrictEquals(await frames.batches().next().catch((error) => error), wrong);
      const { next } = frames[Symbol.asyncIterator]();
      assertStrictEquals(await next().catch((error) => error), wrong);
      assertEquals(asked, 1);
      assertFalse(conn.signal.aborted);
      assertEquals(await restOf(conn), "!cd");
      conn.close();
    }
  }
});

Deno.test("a frame over the limit of a codec is an error that names the option, and is left", async () => {
  const codecs: [Codec<unknown>, Uint8Array][] = [
    [lines({ limit: 3 }), bytes`ab\nabcd\n`],
    [delimited("\n", { limit: 3 }), bytes`ab\nabcd\n`],
    [delimited("\r\n", { limit: 3 }), bytes`b\r\nabcd\r\n`],
    [lengthPrefixed({ bytes: 1, limit: 3 }), Uint8Array.of(2, 1, 1, 4, 1, 1, 1, 1)],
  ];
  for (const [codec, stream] of codecs) {
    for (const parts of [[stream], singly(stream)]) {
      const { conn } = scripted(...parts, null);
      const frames = framed(conn, codec);
      assertFalse(await frames.read() === null);
      const error = await assertRejects(() => frames.read(), FrameTooLargeError, "'limit'");
      assertEquals(error.limit, 3);
      assertEquals((await restOf(conn)).length, 5 + (stream.length - 8));
      conn.close();
    }
  }
});

Deno.test("another framed() goes on where the codec of the first one threw", async () => {
  const { conn } = scripted(bytes`ok\ntoo long\nok again\n`);
  const first = framed(conn, lines({ limit: 3 }));
  assertEquals(await first.read(), "ok");
  await assertRejects(() => first.read(), FrameTooLargeError);
  const second = framed(conn, lines());
  assertEquals([await second.read(), await second.read()], ["too long", "ok again"]);
  conn.close();
});

// Who reads on

Deno.test("after break, what follows the last frame is read raw, and nothing of it is lost", async () => {
  const codecs: [Codec<unknown>, Uint8Array, number][] = [
    [lines(), bytes`one\ntwo\nthree\nfour\nfi`, 4],
    [shortInBatches, Uint8Array.of(1, 1, 1, 2, 1, 3, 1, 4, 9, 9), 2],
    [short, Uint8Array.of(1, 1, 1, 2, 1, 3, 1, 4, 9, 9), 2],
    [delimited("\n"), bytes`one\ntwo\nthree\nfour\nfi`, 4],
  ];
  for (const [codec, stream, size] of codecs) {
    for (const frames of [1, 2]) {
      for (const parts of [[stream], singly(stream)]) {
        const { conn } = scripted(...parts, null);
        let count = 0;
        for await (const _ of framed(conn, codec)) if (++count === frames) break;
        assertEquals(await restOf(conn), text(stream.subarray(frames * size)));
        conn.close();
      }
    }
  }
});

netTest(
  "an upgrade gets every byte that came behind the request for it, in one piece or not",
  async () => {
    await using server = serve(LOOPBACK, async (conn) => {
      const requests = framed(conn, lines());
      for await (const request of requests) {
        await requests.send(`heard ${request}`);
        if (request === "UPGRADE") break;
      }
      for await (const chunk of conn) await conn.write(chunk);
    });
    const raw = bytes`raw bytes\nthat look like lines\n\0\xff`;
    for (const together of [true, false]) {
      const client = await dial(server.addr);
      const stream = new Uint8Array([...bytes`HELLO\nUPGRADE\n`, ...raw]);
      if (together) await writeAll(client, stream);
      else for (const part of singly(stream)) await client.write(part);
      await client.closeWrite();
      const answer = await readAll(client);
      assertEquals(
        text(answer),
        text(new Uint8Array([...bytes`heard HELLO\nheard UPGRADE\n`, ...raw])),
      );
    }
  },
);

Deno.test("reads between the frames of one batch get what follows the last frame, as in SMTP", async () => {
  const mail = "line\n.\nDATA 3\n";
  const stream = bytes`MAIL\nDATA ${mail.length}\n${mail}RCPT\nDATA 3\nabcQUIT\n`;
  for (const parts of [[stream], singly(stream)]) {
    for (
      const [name, next] of Object.entries<(commands: Framed<string>) => Promise<string | null>>({
        "read()": (commands) => commands.read(),
        "iteration": async (commands) =>
          (await commands[Symbol.asyncIterator]().next()).value ?? null,
      })
    ) {
      const { conn } = scripted(...parts, null);
      const commands = framed(conn, lines());
      const got: string[] = [];
      for (let command; (command = await next(commands)) !== null;) {
        got.push(command);
        const [, length] = command.split(" ");
        if (length !== undefined) got.push(text((await conn.readExactly(Number(length)))!));
      }
      assertEquals(got, ["MAIL", "DATA 14", mail, "RCPT", "DATA 3", "abc", "QUIT"], name);
      conn.close();
    }
  }
});

Deno.test("a protocol that reads between its frames is not decoded ahead each time in vain", async () => {
  let decoded = 0;
  const counting: Codec<string> = {
    ...shortInBatches,
    decodeAll(bytes) {
      const batch = shortInBatches.decodeAll!(bytes);
      decoded += batch?.frames.length ?? 0;
      return batch;
    },
  };
  const count = 100;
  // Each frame says that one byte follows, which is not for the codec.
  const { conn } = scripted(new TextEncoder().encode("\x01!0".repeat(count)), null);
  let frames = 0;
  for await (const _ of framed(conn, counting)) {
    frames++;
    assertEquals(text((await conn.readExactly(1))!), "0");
  }
  assertEquals(frames, count);
  assertLessOrEqual(decoded, 2 * count);
  conn.close();
});

Deno.test("frames and reads of all kinds, mixed in any order, share one stream however it arrives", async () => {
  const steps: Record<
    string,
    (conn: Connection, all: Framed<string>[], rest: string, n: number) => Promise<number>
  > = {
    async frame(_, all, rest, n) {
      const at = rest.indexOf("\n");
      if (at < 0) return 0;
      assertEquals(await all[n % 2]!.read(), rest.slice(0, at));
      return at + 1;
    },
    async next(_, all, rest, n) {
      const at = rest.indexOf("\n");
      if (at < 0) return 0;
      const { value } = await all[n % 2]![Symbol.asyncIterator]().next();
      assertEquals(value, rest.slice(0, at));
      return at + 1;
    },
    async batch(_, all, rest, n) {
      const at = rest.indexOf("\n");
      if (at < 0) return 0;
      const { value } = await all[n % 2]!.batches().next();
      const taken = value!.map((line) => `${line}\n`).join("");
      assertEquals(taken, rest.slice(0, taken.length));
      return taken.length;
    },
    async exactly(conn, _, rest, n) {
      const size = Math.min(n, rest.length);
      assertEquals(text((await conn.readExactly(size))!), rest.slice(0, size));
      return size;
    },
    async peek(conn, _, rest, n) {
      assertEquals(text(await conn.peek(n)), rest.slice(0, n));
      return 0;
    },
    async read(conn, _, rest, n) {
      const p = new Uint8Array(n + 1);
      const got = (await conn.read(p)) ?? 0;
      assertEquals(text(p.subarray(0, got)), rest.slice(0, got));
      return got;
    },
    async chunk(conn, _, rest) {
      const { value } = await conn[Symbol.asyncIterator]().next();
      assertEquals(text(value ?? new Uint8Array(0)), rest.slice(0, value?.length ?? 0));
      return value?.length ?? 0;
    },
    async givenUp(conn, all, _, n) {
      const signal = AbortSignal.abort();
      await (n % 2 === 0 ? conn.readExactly(n, { signal }) : all[0]!.read({ signal }))
        .then(() => assert(false, "read"), () => {});
      return 0;
    },
  };
  const line = lines();
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: fc.constantFrom("a", "b", "\n"), maxLength: 60, size: "max" }),
      sizes,
      fc.array(fc.tuple(fc.constantFrom(...Object.keys(steps)), fc.nat(7)), {
        maxLength: 40,
        size: "max",
      }),
      async (stream, sizes, kinds) => {
        const { conn } = scripted(...cut(bytes`${stream}`, sizes), null);
        // Two on one connection, in turn.
        const all = [framed(conn, line), framed(conn, line)];
        let at = 0;
        for (const [kind, n] of kinds) {
          // What another one gave up with was checked by that one.
          if (kind === "givenUp" && stream.slice(at) === "") continue;
          at += await steps[kind]!(conn, all, stream.slice(at), n);
        }
        assertEquals(await restOf(conn), stream.slice(at));
        conn.close();
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("two framed() of different codecs read one connection in turn", async () => {
  const { conn } = scripted(new Uint8Array([...bytes`BODY\n`, 3, ...bytes`a\nb`, ...bytes`END\n`]));
  const [heads, bodies] = [framed(conn, lines()), framed(conn, short)];
  assertEquals(await heads.read(), "BODY");
  assertEquals(await bodies.read(), "a\nb");
  assertEquals(await heads.read(), "END");
  conn.close();
});

Deno.test("what is dropped of a frame is not given to whoever reads the connection next", async () => {
  const codec = lengthPrefixed({ bytes: 1, limit: 2, onOversize: "truncate" });
  // All of the frame has come, or a part of what is dropped.
  for (
    const parts of [[Uint8Array.of(4, 1, 2, 3, 4, 9)], singly(Uint8Array.of(4, 1, 2, 3, 4, 9))]
  ) {
    const { conn } = scripted(...parts);
    assertEquals(await framed(conn, codec).read(), Uint8Array.of(1, 2));
    assertEquals(await conn.readExactly(1), Uint8Array.of(9));
    conn.close();
  }
});

Deno.test("a frame is its receiver's for ever, whatever comes after it", async () => {
  const { socket, conn } = scripted();
  const codec = lengthPrefixed({ bytes: 2 });
  const frames = framed(conn, codec);
  const kept: Uint8Array[] = [];
  for (let i = 0; i < 300; i++) {
    socket.arrive(codec.encode(new Uint8Array([1, 30, 500, 9000, 40_000][i % 5]!).fill(i)));
    kept.push((await frames.read())!);
  }
  kept.forEach((frame, i) => assert(frame.every((byte) => byte === (i & 255)), `${i}`));
  conn.close();
});

// Busy, closed, forgotten

Deno.test("a second frame while one is awaited is Busy, and the first goes on", async () => {
  for (const way of ["read", "iteration", "batches"] as const) {
    const { socket, conn } = scripted();
    const [one, other] = [framed(conn, lines()), framed(conn, lines())];
    const begin = (frames: Framed<string>): Promise<unknown> =>
      way === "read"
        ? frames.read()
        : way === "iteration"
        ? frames[Symbol.asyncIterator]().next()
        : frames.batches().next();
    const pending = begin(one);
    for (const frames of [one, other]) {
      await assertRejects(() => frames.read(), Deno.errors.Busy);
      await assertRejects(() => frames[Symbol.asyncIterator]().next(), Deno.errors.Busy);
      await assertRejects(() => frames.batches().next(), Deno.errors.Busy);
    }
    await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.Busy);
    socket.arrive(bytes`hello\n`);
    assert(JSON.stringify(await pending).includes("hello"), way);
    assertEquals(socket.mostReads, 1);
    conn.close();
  }
});

Deno.test("promises of frames that nobody awaits may reject in any way", async () => {
  const wrong = decoding<string>(() => {
    throw new ProtocolError("wrong");
  });
  const mishaps: Record<string, (conn: Connection, socket: ScriptedSocket) => void> = {
    "a codec that throws": (_, socket) => socket.arrive(bytes`x`),
    "an end": (_, socket) => socket.finish(),
    "a failure": (_, socket) => socket.failRead(new Error("lost")),
    "close()": (conn) => conn.close(),
  };
  for (const [name, mishap] of Object.entries(mishaps)) {
    for (const codec of [wrong, new Dotted(), lines({ limit: 1 })]) {
      const begins: ((frames: Framed<string>) => void)[] = [
        (frames) => void frames.read(),
        (frames) => void frames[Symbol.asyncIterator]().next(),
        (frames) => void frames.batches().next(),
      ];
      for (const begin of begins) {
        const { socket, conn } = scripted();
        const frames = framed(conn, codec);
        const unhandled = await unhandledDuring(async () => {
          begin(frames);
          for (const again of begins) again(frames);
          await turn();
          socket.arrive(bytes`xx`);
          await turn();
          mishap(conn, socket);
          await turn();
          for (const again of begins) again(frames);
          frames.send("xxxxx");
          frames.flush();
        });
        assertEquals(unhandled, [], name);
        conn.close();
      }
    }
  }
});

Deno.test("framed() refuses options that it does not know or cannot use, and what is no connection", () => {
  const { conn } = scripted();
  const given: [options: unknown, kind: typeof TypeError, message: string][] = [
    [{ timeout: 5 }, TypeError, "an unknown option 'timeout': known here are frameTimeout"],
    [
      { frameTimeout: 0 },
      RangeError,
      "'frameTimeout' of 0: use a whole number from 1 up, or Infinity",
    ],
    [
      { frameTimeout: NaN },
      TypeError,
      "'frameTimeout' of NaN: use a whole number from 1 up, or Infinity",
    ],
    [
      { frameTimeout: "1" },
      TypeError,
      `'frameTimeout' of "1": use a whole number from 1 up, or Infinity`,
    ],
    [null, TypeError, "null as options: use an object"],
  ];
  for (const [options, kind, message] of given) {
    const error = assertThrows(() => framed(conn, lines(), options as FramedOptions), kind);
    assertEquals(error.message, `Cannot frame a connection with ${message}`);
  }
  conn.close();
});

Deno.test("read() checks its options also when frames are there already", async () => {
  const { conn } = scripted(bytes`a\nb\nc\n`);
  const frames = framed(conn, lines());
  assertEquals(await frames.read(), "a");
  await assertRejects(() => frames.read({ timeout: -1 }), RangeError);
  const signal = AbortSignal.abort("enough");
  assertEquals(await frames.read({ signal }).catch(String), "enough");
  assertEquals(await frames.read({ timeout: 50 }), "b");
  conn.close();
});

Deno.test("batches() gives all frames that are there at once, of any codec", async () => {
  for (const codec of [shortInBatches, short]) {
    const { socket, conn } = scripted(Uint8Array.of(1, 97, 1, 98, 1, 99, 2, 100));
    const batches = framed(conn, codec).batches();
    assertEquals((await batches.next()).value, ["a", "b", "c"]);
    socket.arrive(Uint8Array.of(101, 0));
    assertEquals((await batches.next()).value, ["de", ""]);
    conn.close();
  }
});

Deno.test("batches() after some frames of a batch gives the others of it", async () => {
  const { conn } = scripted(bytes`a\nb\nc\nd\n`, bytes`e\n`);
  const frames = framed(conn, lines());
  assertEquals(await frames.read(), "a");
  assertEquals((await frames[Symbol.asyncIterator]().next()).value, "b");
  assertEquals((await frames.batches().next()).value, ["c", "d"]);
  assertEquals(await frames.read(), "e");
  conn.close();
});

// Time

/** A server that notes how its connections end. */
function serveNoting(
  handler: (conn: Connection<Deno.NetAddr>) => Promise<unknown>,
  settings: ServeSettings = {},
) {
  const ended: EndRecord[] = [];
  const errors: unknown[] = [];
  const server = serve({
    ...LOOPBACK,
    ...settings,
    onEnd: (record) => void ended.push(record),
    onError: (error) => void errors.push(error),
  }, handler);
  return { server, ended, errors };
}

/** Moves fake time on, with a turn for what is to happen after each step. */
async function pass(time: FakeTime, ms: number, step = 100): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    time.tick(step);
    await turn();
  }
}

netTest(
  "a frame that has begun must be complete within frameTimeout, or its connection ends for that",
  async () => {
    using time = new FakeTime();
    for (const name of ["read()", "iteration", "batches()"]) {
      const begun = Promise.withResolvers<Connection>();
      const { server, ended } = serveNoting(async (conn) => {
        begun.resolve(conn);
        await assertRejects(async () => {
          for await (const _ of WAYS[name]!(framed(conn, lines(), { frameTimeout: 2000 })));
        }, DOMException);
      });
      const client = await dial(server.addr);
      const conn = await begun.promise;
      await client.write(bytes`a line\n`);
      await pass(time, 10_000); // between frames there is no hurry
      assertFalse(conn.signal.aborted);
      await client.write(bytes`half a li`);
      await until(() => conn.bytesRead === 16);
      await pass(time, 1900);
      assertFalse(conn.signal.aborted);
      await pass(time, 400);
      assert(conn.signal.aborted, name);
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, "frame_timeout");
      assertInstanceOf(ended[0]!.error, DOMException);
      assertEquals(ended[0]!.error.name, "TimeoutError");
      assert(ended[0]!.error.message.includes("a frame that has begun did not end in time"));
      client.close();
      await server.shutdown();
    }
  },
);

netTest("one byte per second does not help who is slow on purpose", async () => {
  using time = new FakeTime();
  const codecs: [Codec<unknown>, Uint8Array][] = [
    [lines(), bytes`x`],
    [lengthPrefixed({ bytes: 4, limit: 2 ** 30 }), Uint8Array.of(1)],
    [lengthPrefixed({ bytes: 1, limit: 1, onOversize: "skip" }), Uint8Array.of(255)],
    [lines({ limit: 1, onOversize: "skip" }), bytes`x`],
    [lines({ limit: 1, onOversize: "truncate" }), bytes`x`],
    [delimited("--", { limit: 3, onOversize: "skip" }), bytes`x`],
    [headed, Uint8Array.of(200)],
  ];
  for (const [i, [codec, byte]] of codecs.entries()) {
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket);
    const { signal } = conn;
    const frame = framed(conn, codec, { frameTimeout: 5000 }).read();
    for (let seconds = 0; seconds < 8 && !signal.aborted; seconds++) {
      await client.write(byte);
      await until(() => conn.bytesRead === seconds + 1);
      await turn();
      await pass(time, 1000, 100);
    }
    assert(signal.aborted, `codec ${i}`);
    await assertRejects(() => frame, DOMException, "did not end in time");
  }
});

netTest("frameTimeout counts for what must follow a frame, in a loop as elsewhere", async () => {
  using time = new FakeTime();
  // A letter, and a digit that has to come behind it.
  const letter: Codec<string> = decoding<string>((bytes) => ({
    frame: text(bytes.subarray(0, 1)),
    taken: 1,
    next: digit,
  }));
  const digit = decoding<string>((bytes) => ({
    frame: text(bytes.subarray(0, 1)),
    taken: 1,
    next: letter,
  }));
  for (const [name, way] of Object.entries(WAYS)) {
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket);
    const { signal } = conn;
    const got: string[] = [];
    const reading = (async () => {
      for await (const frame of way(framed(conn, letter, { frameTimeout: 2000 }))) got.push(frame);
    })();
    reading.catch(() => {});
    await pass(time, 5000);
    await client.write(bytes`a`);
    await until(() => got.length === 1);
    await pass(time, 2300);
    assert(signal.aborted, name);
    await assertRejects(() => reading, DOMException, "did not end in time");
  }
});

netTest("frameTimeout begins anew with each frame, and what was skipped is none", async () => {
  using time = new FakeTime();
  const codec = lines({ limit: 5, onOversize: "skip" });
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  const got: string[] = [];
  const { signal } = conn;
  const reading = (async () => {
    for await (const line of framed(conn, codec, { frameTimeout: 2000 })) got.push(line);
  })();
  reading.catch(() => {});
  let sent = 0;
  const send = async (part: string) => {
    await client.write(bytes`${part}`);
    sent += part.length;
    await until(() => conn.bytesRead === sent);
    await turn();
  };
  for (let i = 0; i < 3; i++) {
    // Each takes most of the time there is.
    for (const part of ["on", "e\n"]) {
      await send(part);
      await pass(time, 1500);
    }
    for (const part of ["too lo", "ng\n"]) {
      await send(part);
      await pass(time, 1500);
    }
  }
  await pass(time, 10_000); // nothing has begun
  assertFalse(signal.aborted);
  client.close();
  await reading;
  assertEquals(got, ["one", "one", "one"]);
});

netTest("a handler that is slow is not blamed on its peer", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  const frames = framed(conn, lines(), { frameTimeout: 2000 });
  await client.write(bytes`one\ntwo\nthr`);
  // Between frames of one batch, and before the one that has begun.
  for (const line of ["one", "two"]) {
    assertEquals(await frames.read(), line);
    await pass(time, 60_000);
  }
  const three = frames.read();
  await pass(time, 1500);
  await client.write(bytes`ee\n`);
  assertEquals(await three, "three");
  // Nor for the time in which nobody waited for the rest of a frame.
  await client.write(bytes`fo`);
  const given = frames.read({ timeout: 500 });
  await until(() => conn.bytesRead === 16);
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  await pass(time, 60_000);
  const four = frames.read();
  await pass(time, 500);
  assertFalse(conn.signal.aborted);
  await client.write(bytes`ur\n`);
  assertEquals(await four, "four");
});

Deno.test("a frame that was begun for another reader is no longer in a hurry", async () => {
  using time = new FakeTime();
  const { socket, conn } = scripted(bytes`abc`);
  const frames = framed(conn, lines(), { frameTimeout: 2000 });
  const given = frames.read({ timeout: 500 });
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  assertEquals(text((await conn.readExactly(3))!), "abc");
  const next = frames.read();
  await pass(time, 60_000);
  assertFalse(conn.signal.aborted);
  socket.arrive(bytes`x\n`);
  assertEquals(await next, "x");
  conn.close();
});

netTest("frameTimeout of Infinity never comes, and idleTimeout is another thing", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using conn = connection(socket, { idleTimeout: 3000 });
  using _client = client;
  const frames = framed(conn, lines(), { frameTimeout: Infinity });
  const line = frames.read();
  for (let i = 1; i <= 20; i++) {
    await client.write(bytes`x`);
    await until(() => conn.bytesRead === i);
    await pass(time, 2000);
  }
  assertFalse(conn.signal.aborted);
  await client.write(bytes`\n`);
  assertEquals((await line)!.length, 20);
  const idle = frames.read();
  await pass(time, 3300);
  await assertRejects(() => idle, DOMException, "'idleTimeout'");
});

Deno.test("a read of a frame whose timeout comes loses nothing, also while answers still leave", async () => {
  using time = new FakeTime();
  const { socket, conn } = scripted(bytes`one\ntw`);
  const messages = framed(conn, lines());
  assertEquals(await messages.read(), "one");
  socket.takes = undefined;
  await messages.send("an answer that the peer does not take");
  const given = messages.read({ timeout: 500 });
  await turn();
  assertEquals(socket.writes.length, 1);
  await pass(time, 700);
  await assertRejects(() => given, DOMException, "gave up");
  const two = messages.read();
  socket.writes[0]!.take();
  socket.arrive(bytes`o\n`);
  assertEquals(await two, "two");
  assertFalse(conn.signal.aborted);
  conn.close();
});

// Answers

/** A scripted connection whose writes are noted as text, and taken at once. */
function noting(options?: ConnectionOptions) {
  const socket = new ScriptedSocket();
  const writes: string[] = [];
  socket.takes = (p) => {
    writes.push(text(p));
    return p.length;
  };
  return { socket, writes, conn: connection(socket, options) };
}

/** Answers every line with itself, in some way. */
const ECHOES: Record<string, (messages: Framed<string>) => Promise<void>> = {
  async "iteration"(messages) {
    for await (const line of messages) await messages.send(line);
  },
  async "iteration that awaits no send"(messages) {
    for await (const line of messages) messages.send(line);
  },
  async "read()"(messages) {
    for (let line; (line = await messages.read()) !== null;) await messages.send(line);
  },
  async "batches()"(messages) {
    for await (const batch of messages.batches()) for (const line of batch) messages.send(line);
  },
};

for (const [name, echo] of Object.entries(ECHOES)) {
  Deno.test(`answers to requests that came together leave in one write, by ${name}`, async () => {
    const { socket, writes, conn } = noting();
    const echoing = echo(framed(conn, lines()));
    const requests = Array.from({ length: 16 }, (_, i) => `${i}\n`).join("");
    for (let i = 0; i < 3; i++) {
      socket.arrive(bytes`${requests}`);
      await turns(SOON);
    }
    assertEquals(writes, [requests, requests, requests]);
    // Also where a request is cut in the middle: what is complete is answered.
    socket.arrive(bytes`a\nb\nc`);
    await turns(SOON);
    socket.arrive(bytes`d\n`);
    await turns(SOON);
    assertEquals(writes.slice(3), ["a\nb\n", "cd\n"]);
    socket.finish();
    await echoing;
    conn.close();
  });

  Deno.test(`answers to requests that came one by one leave one by one, by ${name}`, async () => {
    const { socket, writes, conn } = noting();
    const echoing = echo(framed(conn, lines()));
    for (let i = 0; i < 10; i++) {
      socket.arrive(bytes`${i}\n`);
      await until(() => writes.length === i + 1);
      assertEquals(writes[i], `${i}\n`);
    }
    socket.finish();
    await echoing;
    conn.close();
  });

  Deno.test(`answers leave before more is read, by ${name}`, async () => {
    const calls: string[] = [];
    const socket = new class extends ScriptedSocket {
      override read(p: Uint8Array): Promise<number | null> {
        calls.push("read");
        return super.read(p);
      }
      override write(p: Uint8Array): Promise<number> {
        calls.push(`write ${text(p)}`);
        return super.write(p);
      }
    }();
    const conn = connection(socket);
    const echoing = echo(framed(conn, lines()));
    socket.arrive(bytes`a\nb\n`);
    await turns(SOON);
    socket.arrive(bytes`c\n`);
    await turns(SOON);
    assertEquals(calls, ["read", "write a\nb\n", "read", "write c\n", "read"]);
    socket.finish();
    await echoing;
    conn.close();
  });

  Deno.test(`no further request is answered while a peer has not taken the last answer, by ${name}`, async () => {
    const { socket, conn } = noting();
    socket.takes = undefined;
    const messages = framed(conn, lines());
    let answered = 0;
    const counting: Framed<string> = {
      conn,
      read: (options) => messages.read(options),
      flush: () => messages.flush(),
      batches: () => messages.batches(),
      [Symbol.asyncIterator]: () => messages[Symbol.asyncIterator](),
      send(line) {
        answered++;
        return messages.send(line);
      },
    };
    const echoing = echo(counting);
    socket.arrive(bytes`a\nb\n`);
    await turns(SOON);
    for (const more of ["c\n", "d\n", "e\nf\n"]) {
      socket.arrive(bytes`${more}`);
      await turns(SOON);
      assertEquals(answered, 2);
    }
    while (answered < 6) {
      socket.writes[0]?.take();
      await turn();
    }
    socket.takes = (p) => p.length;
    socket.writes[0]?.take();
    socket.finish();
    await echoing;
    assertEquals(text(socket.taken), "a\nb\nc\nd\ne\nf\n");
    conn.close();
  });

  netTest(
    `a peer that sends and never reads is served no further than its answers go, by ${name}`,
    async () => {
      let answered = 0;
      let most = 0;
      const { server } = serveNoting(async (conn) => {
        const messages = framed(conn, lines());
        const { send } = messages;
        messages.send = (line) => {
          answered++;
          most = Math.max(most, conn.unsentBytes);
          return send.call(messages, line.repeat(20));
        };
        await echo(messages);
      });
      await using _server = server;
      using client = await dial(server.addr);
      const line = bytes`${"x".repeat(99)}\n`;
      const chunk = new Uint8Array(100 * 655);
      for (let at = 0; at < chunk.length; at += 100) chunk.set(line, at);
      let [sent, stuck] = [0, false];
      const sending = (async () => {
        while (!stuck) {
          await writeAll(client, chunk);
          sent += chunk.length;
        }
      })().catch(() => {});
      // Until nothing moves any more.
      for (let still = 0, before = -1; still < 300; before = answered + sent) {
        await turn();
        still = before === answered + sent ? still + 1 : 0;
      }
      stuck = true;
      assertGreater(answered, 1000);
      assertLess(most, MIB + 2 * 64 * KIB);
      client.close();
      await sending;
    },
  );
}

Deno.test("an answer leaves when the handler turns to something else", async () => {
  const { socket, writes, conn } = noting();
  const messages = framed(conn, lines());
  const elsewhere = Promise.withResolvers<void>();
  const serving = (async () => {
    for await (const line of messages) {
      await messages.send(line);
      await elsewhere.promise;
    }
  })();
  socket.arrive(bytes`a\nb\n`);
  await turns(SOON);
  assertEquals(writes, ["a\n"]);
  elsewhere.resolve();
  await turns(SOON);
  assertEquals(writes, ["a\n", "b\n"]);
  socket.finish();
  await serving;
  conn.close();
});

Deno.test("conn.write(), closeWrite() and end() come behind the frames that were sent", async () => {
  for (const last of ["closeWrite", "end"] as const) {
    const { socket, conn } = noting();
    const messages = framed(conn, lines());
    messages.send("1");
    conn.write(bytes`2\n`);
    messages.send("3");
    conn.write(bytes`4\n`);
    messages.send("5");
    socket.finish();
    await conn.read(new Uint8Array(1));
    messages.send("6");
    await conn[last]();
    assertEquals(text(socket.taken), "1\n2\n3\n4\n5\n6\n");
    conn.close();
  }
});

netTest("what was sent is delivered when the handler returns", async () => {
  const { server, ended } = serveNoting((conn) => {
    const messages = framed(conn, lines());
    for (let i = 0; i < 10_000; i++) messages.send(`line ${i}`);
    return Promise.resolve();
  });
  await using _server = server;
  const expected = Array.from({ length: 10_000 }, (_, i) => `line ${i}\n`).join("");
  assertEquals(text(await readAll(await dial(server.addr))), expected);
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "completed");
});

netTest("what was sent is not delivered when the handler throws", async () => {
  for (const awaited of [true, false]) {
    const { server, ended, errors } = serveNoting(async (conn) => {
      const messages = framed(conn, lines());
      await messages.send("left before");
      await messages.flush();
      const sent = messages.send("half an answer");
      if (awaited) await sent;
      throw new TypeError("mine");
    });
    await using _server = server;
    assertEquals(text(await readAll(await dial(server.addr))), "left before\n");
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "handler_error");
    assertEquals(errors.length, 1);
  }
});

netTest(
  "what a codec throws ends the connection as a protocol error, and is not reported",
  async () => {
    const { server, ended, errors } = serveNoting(async (conn) => {
      const messages = framed(conn, lines({ limit: 10 }));
      for await (const line of messages) await messages.send(line);
    });
    await using _server = server;
    const client = await dial(server.addr);
    await client.write(bytes`fine\n`);
    assertEquals(text(await readExactly(client, 5)), "fine\n");
    await client.write(bytes`much too long for this server\n`);
    assertEquals(text(await readAll(client)), "");
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "protocol_error");
    assertInstanceOf(ended[0]!.error, FrameTooLargeError);
    assertEquals(errors, []);
  },
);

netTest(
  "the end of the stream inside a frame ends the loop with UnexpectedEof, which is no news",
  async () => {
    const { server, ended, errors } = serveNoting(async (conn) => {
      for await (const _ of framed(conn, lines()));
    });
    await using _server = server;
    const client = await dial(server.addr);
    await client.write(bytes`half a line`);
    client.close();
    await until(() => ended.length === 1);
    assertInstanceOf(ended[0]!.error, Deno.errors.UnexpectedEof);
    assertEquals(errors, []);
  },
);

Deno.test("send() rejects with what the codec throws, sends nothing of that frame and goes on", async () => {
  const { socket, conn } = noting();
  const messages = framed(conn, lines({ limit: 5 }));
  messages.send("one");
  await assertRejects(() => messages.send("two\nlines"), RangeError, "LF");
  await assertRejects(() => messages.send("too long"), RangeError, "'limit'");
  await assertRejects(() => messages.send(7 as unknown as string), TypeError);
  messages.send("last");
  await messages.flush();
  assertEquals(text(socket.taken), "one\nlast\n");
  assertFalse(conn.signal.aborted);
  conn.close();
});

Deno.test("an answer that could not be written is told by the iteration, and by the next send", async () => {
  for (const first of ["iteration", "send"]) {
    const { socket, conn } = noting();
    const messages = framed(conn, lines());
    const failure = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
    const { next } = messages[Symbol.asyncIterator]();
    socket.takes = undefined;
    socket.arrive(bytes`a\n`);
    assertEquals((await next()).value, "a");
    const unhandled = await unhandledDuring(async () => {
      await messages.send("answer");
      await turns(SOON);
      socket.writes[0]!.fail(failure);
      await turn();
    });
    assertEquals(unhandled, []);
    if (first === "iteration") {
      assertStrictEquals(await next().catch((error) => error), failure);
    }
    assertStrictEquals(await messages.send("more").catch((error) => error), failure);
    assertStrictEquals(await next().catch((error) => error), failure);
    assertStrictEquals(await messages.flush().catch((error) => error), failure);
    assertStrictEquals(conn.signal.reason, failure);
  }
});

Deno.test("an iteration that waits hears of an answer that could not be written", async () => {
  const { socket, conn } = noting();
  const messages = framed(conn, lines());
  const failure = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  socket.takes = undefined;
  socket.settlesLate = false;
  socket.arrive(bytes`a\n`);
  const loop = (async () => {
    for await (const line of messages) await messages.send(line);
  })();
  await until(() => socket.writes.length === 1);
  socket.writes[0]!.fail(failure);
  assertStrictEquals(await loop.catch((error) => error), failure);
  assert(conn.signal.aborted);
});

netTest("a peer that leaves ends the loop that answers it, and nothing else", async () => {
  const { server, ended, errors } = serveNoting(async (conn) => {
    const messages = framed(conn, lines());
    for await (const line of messages) messages.send(line.repeat(100));
  });
  await using _server = server;
  const unhandled = await unhandledDuring(async () => {
    const client = await dial(server.addr);
    await writeAll(client, bytes`${"a line\n".repeat(10_000)}`);
    client.close(); // without having read its answers
    await until(() => ended.length === 1);
  });
  assertEquals(unhandled, []);
  assertEquals(errors, []);
  assert(["peer_reset", "peer_closed_early"].includes(ended[0]!.reason), ended[0]!.reason);
});

Deno.test("sends that nobody awaits to a peer that does not read end the connection at maxUnsent", async () => {
  const maxUnsent = 256 * KIB;
  const { socket, conn } = noting({ maxUnsent });
  socket.takes = undefined;
  const messages = framed(conn, lines());
  const unhandled = await unhandledDuring(async () => {
    for (let i = 0, most = 0; !conn.signal.aborted; i++) {
      messages.send("a line of a broadcast");
      most = Math.max(most, conn.unsentBytes);
      assertLessOrEqual(most, maxUnsent + 2 * 64 * KIB);
      if (i % 100 === 0) await turn();
    }
  });
  assertEquals(unhandled, []);
  await assertRejects(() => messages.send("x"), Deno.errors.WouldBlock, "'maxUnsent'");
});

Deno.test("unsentBytes counts what waits to leave together, so that a broadcast can skip the slow", async () => {
  const { socket, conn } = noting();
  const messages = framed(conn, lines());
  await messages.send("12345");
  assertEquals(conn.unsentBytes, 6);
  await messages.flush();
  assertEquals(conn.unsentBytes, 0);
  socket.takes = undefined;
  await messages.send("12345");
  await turns(SOON);
  await messages.send("12345");
  assertEquals(conn.unsentBytes, 12);
  conn.close();
});

netTest("both ends may speak in frames, many at once, and each gets its own answers", async () => {
  const { server, ended } = serveNoting(async (conn) => {
    const messages = framed(conn, lines());
    for await (const line of messages) await messages.send(`${line}!`);
  });
  await using _server = server;
  await Promise.all(Array.from({ length: 20 }, async (_, id) => {
    using client = connection(await dial(server.addr));
    const messages = framed(client, lines());
    for (let round = 0; round < 20; round++) {
      const requests = Array.from(
        { length: 1 + (id * round) % 30 },
        (_, i) => `${id},${round},${i}`,
      );
      for (const request of requests) messages.send(request);
      for (const request of requests) assertEquals(await messages.read(), `${request}!`);
    }
  }));
  await until(() => ended.length === 20);
  assertGreaterOrEqual(ended.length, 20);
});
