/** Frames come whole however bytes arrive, and so do the end and errors. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { FrameTooLargeError, ProtocolError } from "../../lib/errors.ts";
import type { Codec, Decoded } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { type Connection, connection, type Framed, framed, type FramedOptions } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { socketPair } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import type { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { cut, drive, type Driven, outcome, singly } from "../wire/codec/drive.ts";
import {
  CODECS,
  decoding,
  Dotted,
  headed,
  short,
  sizes,
  streams,
  Strict,
} from "../support/codecs.ts";
import { restOf, scripted, scriptedAfter } from "../support/scripted_connection.ts";
import { WAYS } from "../support/frames.ts";

const KIB = 1024;
const MIB = KIB * KIB;

// Frames out of bytes

/** What comes of a stream that is read through a connection. */
async function outcomeOf(
  codec: Codec<unknown>,
  parts: Uint8Array[],
  way: string,
): Promise<Driven<unknown>> {
  const { conn } = scriptedAfter(...parts, null);
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
      const { conn } = scriptedAfter(...together ? [stream] : singly(stream), null);
      const got: unknown[] = [];
      for await (const frame of framed(conn, one)) got.push(frame);
      assertEquals(got, values);
      conn.close();
    }
    const { conn } = scriptedAfter(Uint8Array.of(0, 1, 4));
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
    const { conn } = scriptedAfter(...parts, null);
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
    const { conn } = scriptedAfter(...parts, null);
    const got: string[] = [];
    for await (const frame of framed(conn, codec)) got.push(frame);
    assertEquals(got, ["3", "0"]);
    conn.close();
  }
  const { socket, conn } = scriptedAfter(bytes`3`);
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
    const { socket, conn } = scriptedAfter(bytes`3`);
    const frames = framed(conn, codec);
    assertEquals(await frames.read(), "3");
    socket.arrive(bytes`xxx0`);
    assertEquals(text((await conn.readExactly(raw))!), "x".repeat(raw));
    assertEquals(await frames.read(), "0");
    conn.close();
  }
});

Deno.test("a codec that takes nothing is refused, as it would be asked forever", async () => {
  const codecs: Codec<string>[] = [
    decoding<string>(() => ({ frame: "x", taken: 0 })),
    decoding<string>(() => ({ taken: 0 })),
    decoding<string>(() => ({ frame: "x", taken: -1 })),
    decoding<string>(() => ({ frame: "x", taken: NaN })),
    { ...short, decodeAll: () => ({ frames: ["x"], taken: 0 }) },
    { ...short, decodeAll: () => ({ frames: [], taken: 1 }) },
  ];
  for (const codec of codecs) {
    const { conn } = scriptedAfter(bytes`hello`);
    const frames = framed(conn, codec);
    for (let i = 0; i < 2; i++) {
      const error = await assertRejects(() => frames.read(), TypeError);
      assertEquals(
        error.message,
        "Cannot decode: the codec took nothing, so it would be asked forever",
      );
    }
    assertEquals(text(await conn.peek(5)), "hello");
    conn.close();
  }
});

Deno.test("a decoder may bring in another one without taking anything", async () => {
  const second = decoding<string>((bytes) => ({ frame: text(bytes), taken: bytes.length }));
  const first = decoding<string>(() => ({ taken: 0, next: second }));
  const { conn } = scriptedAfter(bytes`hello`);
  assertEquals(await framed(conn, first).read(), "hello");
  conn.close();
});

// The end of the stream

Deno.test("the end of the stream between frames is the end, again and again", async () => {
  for (const [name, way] of Object.entries(WAYS)) {
    const { conn } = scriptedAfter(bytes`a.b.`, null);
    const frames = framed(conn, new Dotted());
    const got: string[] = [];
    for await (const frame of way(frames)) got.push(frame);
    assertEquals(got, ["a", "b"], name);
    assertEquals(await frames.read(), null);
    assertEquals(await frames[Symbol.asyncIterator]().next(), { done: true, value: undefined });
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
      const { conn } = scriptedAfter(whole, start, null);
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
  const { conn } = scriptedAfter(new Uint8Array([1, 0, 7, 7, 7]), null);
  const frames = framed(conn, codec);
  const error = await assertRejects(() => frames.read(), Deno.errors.UnexpectedEof);
  assertEquals(error.message, "The stream ended 253 bytes before a frame's end");
  assertEquals((error as { partial?: unknown }).partial, new Uint8Array(0));
  await assertRejects(() => frames.read(), Deno.errors.UnexpectedEof);
  conn.close();
});

Deno.test("the end of the stream where another decoder is due is inside a frame, unless that says no", async () => {
  const { conn } = scriptedAfter(Uint8Array.of(3), null);
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
    const { conn } = scriptedAfter(bytes`x`, null);
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
      const { conn } = scriptedAfter(...parts, null);
      const frames = framed(conn, careful);
      const got: string[] = [];
      const error = await assertRejects(async () => {
        for await (const frame of way(frames)) got.push(frame);
      });
      assertStrictEquals(error, wrong);
      assertEquals(got, ["a", "b"], name);
      // Also when more has come, and however it is asked for.
      assertStrictEquals(await frames.read().catch((error) => error), wrong);
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
      const { conn } = scriptedAfter(...parts, null);
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
  const { conn } = scriptedAfter(bytes`ok\ntoo long\nok again\n`);
  const first = framed(conn, lines({ limit: 3 }));
  assertEquals(await first.read(), "ok");
  await assertRejects(() => first.read(), FrameTooLargeError);
  const second = framed(conn, lines());
  assertEquals([await second.read(), await second.read()], ["too long", "ok again"]);
  conn.close();
});

// Busy, closed, forgotten

Deno.test("a second frame while one is awaited is Busy, and the first goes on", async () => {
  for (const way of ["read", "iteration"] as const) {
    const { socket, conn } = scripted();
    const [one, other] = [framed(conn, lines()), framed(conn, lines())];
    const begin = (frames: Framed<string>): Promise<unknown> =>
      way === "read" ? frames.read() : frames[Symbol.asyncIterator]().next();
    const pending = begin(one);
    for (const frames of [one, other]) {
      await assertRejects(() => frames.read(), Deno.errors.Busy);
      await assertRejects(() => frames[Symbol.asyncIterator]().next(), Deno.errors.Busy);
    }
    await assertRejects(() => conn.read(new Uint8Array(1)), Deno.errors.Busy);
    socket.arrive(bytes`hello\n`);
    assert(JSON.stringify(await pending).includes("hello"), way);
    assertEquals(socket.mostReads, 1);
    conn.close();
  }
});

Deno.test("promises of frames that are not awaited may reject in any way", async () => {
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
      { frameTimeout: -1 },
      RangeError,
      "'frameTimeout' of -1: use milliseconds from 0 up, or Infinity",
    ],
    [
      { frameTimeout: NaN },
      TypeError,
      "'frameTimeout' of NaN: use milliseconds from 0 up, or Infinity",
    ],
    [
      { frameTimeout: "1" },
      TypeError,
      `'frameTimeout' of "1": use milliseconds from 0 up, or Infinity`,
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
  const { conn } = scriptedAfter(bytes`a\nb\nc\n`);
  const frames = framed(conn, lines());
  assertEquals(await frames.read(), "a");
  await assertRejects(() => frames.read({ timeout: -1 }), RangeError);
  const signal = AbortSignal.abort("enough");
  assertEquals(await frames.read({ signal }).catch(String), "enough");
  assertEquals(await frames.read({ timeout: 50 }), "b");
  conn.close();
});
