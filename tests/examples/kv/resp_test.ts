/** The RESP codec reads what Redis reads, however the bytes are split. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Command,
  commands,
  Failure,
  replies,
  type Reply,
  Status,
} from "../../../examples/kv/resp.ts";
import { fromLatin1, latin1 } from "../../../examples/kv/text.ts";
import { ProtocolError } from "../../../mod.ts";
import { cut, drive, outcome, singly } from "../../wire/codec/drive.ts";
import { bytesOf, propertyTest, sizes } from "../../wire/property.ts";

/** Commands on the wire, and decoded. */
const SPOKEN: Record<string, string[][]> = {
  "*1\r\n$4\r\nPING\r\n": [["PING"]],
  "*2\r\n$3\r\nGET\r\n$0\r\n\r\n": [["GET", ""]],
  "*1\r\n$6\r\na\r\nb\r\n\r\n": [["a\r\nb\r\n"]],
  "*1\r\n$10\r\n0123456789\r\n*1\r\n$1\r\nx\r\n": [["0123456789"], ["x"]],
  "PING\r\n": [["PING"]],
  "PING\n": [["PING"]],
  "  set\ta  b \r\n": [["set", "a", "b"]],
  "SET \"a b\" 'c d'\r\n": [["SET", "a b", "c d"]],
  "\"\\x00\\xff\\n\\r\\t\\b\\a\\\"\\q\" '\\'\\n'\r\n": [['\0\xff\n\r\t\b\x07"q', "'\\n"]],
  'a"b c" ""\r\n': [["ab c", ""]],
  "\xe4\xa0\x01\r\n": [["\xe4\xa0\x01"]],
  "\r\n\n   \r\nPING\r\n": [["PING"]],
  "*0\r\n*-1\r\n*-7\r\nPING\r\n": [["PING"]],
  "PING\r\n*1\r\n$1\r\na\r\nQUIT\r\n": [["PING"], ["a"], ["QUIT"]],
};

for (const [spoken, expected] of Object.entries(SPOKEN)) {
  Deno.test(`commands: ${JSON.stringify(spoken)} is read, however it is split`, () => {
    const stream = fromLatin1(spoken);
    const wanted = { frames: expected.map(toBytes), end: "between" as const, taken: stream.length };
    for (const chunks of everyWay(stream)) {
      assertEquals(outcome(drive(commands, chunks)), wanted);
      assertEquals(outcome(drive(commands, chunks, { batches: false })), wanted);
    }
  });
}

/** Invalid commands, and the error that Redis gives. */
const WRONG: Record<string, string> = {
  "*1\r\n$-5\r\n": "invalid bulk length",
  "*1\r\n$-1\r\n": "invalid bulk length",
  "*1\r\n$99999999999\r\n": "invalid bulk length",
  "*1\r\n$1048577\r\n": "invalid bulk length",
  "*1\r\n$9223372036854775808\r\n": "invalid bulk length",
  "*1\r\n$01\r\na\r\n": "invalid bulk length",
  "*1\r\n$+1\r\na\r\n": "invalid bulk length",
  "*1\r\n$\r\n": "invalid bulk length",
  "*1\r\n$1\na\r\n": "invalid bulk length",
  "*1\r\n$1\r\nab\r\n": "invalid bulk length",
  "*1\r\n$1\r\na\nb": "invalid bulk length",
  "*2147483648\r\n": "invalid multibulk length",
  "*65537\r\n": "invalid multibulk length",
  "*-9223372036854775809\r\n": "invalid multibulk length",
  "*x\r\n": "invalid multibulk length",
  "*\r\n": "invalid multibulk length",
  "*1 \r\n": "invalid multibulk length",
  "*1\n": "invalid multibulk length",
  "*1\r\n*1\r\n$1\r\na\r\n": "expected '$', got '*'",
  "*1\r\nPING\r\n": "expected '$', got 'P'",
  "*1\r\n\r\n": "expected '$', got '\\xd'",
  "*2\r\n$1\r\na\r\n:1\r\n": "expected '$', got ':'",
  'SET "a b\r\n': "unbalanced quotes in request",
  'SET "a"b\r\n': "unbalanced quotes in request",
  "SET 'a\r\n": "unbalanced quotes in request",
  "SET 'a\\'\r\n": "unbalanced quotes in request",
  'SET "a\\"\r\n': "unbalanced quotes in request",
  'SET a"\r\n': "unbalanced quotes in request",
  [`*${"1".repeat(65_536)}`]: "too big mbulk count string",
  [`*1\r\n$${"1".repeat(65_536)}`]: "too big bulk count string",
  ["a".repeat(65_537)]: "too big inline request",
  [`${"a".repeat(65_537)}\r\n`]: "too big inline request",
  [`*17\r\n${`$1048576\r\n${"x".repeat(1_048_576)}\r\n`.repeat(16)}`]: "too big request",
};

for (const [spoken, wrong] of Object.entries(WRONG)) {
  Deno.test(`commands: ${JSON.stringify(spoken).slice(0, 60)} is refused`, () => {
    const stream = fromLatin1(`*1\r\n$4\r\nPING\r\n${spoken}`);
    const wanted = {
      frames: [toBytes(["PING"])],
      end: { error: `ProtocolError: Protocol error: ${wrong}` },
      taken: 14,
    };
    // The long ones exceed a limit.
    const ways = stream.length < 100 ? everyWay(stream) : [[stream], cut(stream, [14, 9, 1, 70])];
    for (const chunks of ways) assertEquals(outcome(drive(commands, chunks)), wanted);
  });
}

Deno.test("commands: an end in the middle of a command is inside a frame", () => {
  const stream = fromLatin1("*2\r\n$4\r\nECHO\r\n$2\r\nab\r\n");
  for (let i = 1; i < stream.length; i++) {
    assertEquals(drive(commands, [stream.subarray(0, i)]).end, "inside", `${i} bytes`);
  }
});

Deno.test("commands: commands up to the limits are read", () => {
  const widest = Array.from({ length: 65_536 }, () => new Uint8Array(0));
  const longest = [new Uint8Array(1_048_576).fill(13)];
  for (const command of [widest, longest]) {
    const stream = commands.encode(command);
    for (const chunks of [[stream], cut(stream, new Array(20).fill(60_000))]) {
      assertEquals(drive(commands, chunks).frames.length, 1);
    }
  }
});

Deno.test("commands: each byte is read only a few times, also when they come one by one", () => {
  for (const count of [100, 400]) {
    const command = Array.from({ length: count }, (_, i) => fromLatin1("x".repeat(i % 30)));
    const stream = commands.encode(command);
    const { frames, examined } = drive(commands, singly(stream), { count: true });
    assertEquals(frames, [command]);
    assert(examined < 5 * stream.length, `${examined} for ${stream.length} bytes`);
  }
});

Deno.test("commands: the announced length is requested at once, but not allocated", () => {
  const found = commands.decode(fromLatin1("*2\r\n$3\r\nGET\r\n$1000000\r\n"), 0, false);
  assert(found !== null && "need" in found);
  assertEquals(found.need, 23 + 1_000_000 + 2);
  assert(found.next !== undefined);
});

Deno.test("commands: decoding is pure: the same call twice gives the same", () => {
  const stream = fromLatin1("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n");
  const begun = commands.decode(stream.subarray(0, 15), 0, false);
  assert(begun !== null && "need" in begun && begun.next !== undefined);
  const more = begun.next.decode(stream.subarray(0, 22), 0, false);
  assert(more !== null && "need" in more && more.next !== undefined);
  for (const decoder of [begun.next, more.next, begun.next, more.next]) {
    const found = decoder.decode(stream, 0, false);
    assert(found !== null && "frame" in found);
    assertEquals(found.frame, toBytes(["SET", "a", "b"]));
  }
});

const telling = bytesOf([...fromLatin1("**$$$+-:0112359\r\r\n\n\r\n \"'\\xPQ\0\xff")], 60);

propertyTest(
  "commands: any bytes, cut anywhere, are the same commands or the same error",
  [telling, sizes],
  (stream, cuts) => {
    const whole = outcome(drive(commands, [stream], { batches: false }));
    assertEquals(outcome(drive(commands, [stream])), whole);
    assertEquals(outcome(drive(commands, cut(stream, cuts))), whole);
    assertEquals(outcome(drive(commands, singly(stream))), whole);
  },
  5,
);

const command: fc.Arbitrary<Command> = fc.array(fc.uint8Array({ maxLength: 40 }), {
  minLength: 1,
  maxLength: 12,
});

propertyTest(
  "commands: what was written is read, however it is cut, and with others behind it",
  [fc.array(command, { maxLength: 5 }), sizes],
  (list, cuts) => {
    const stream = joined(list.map((each) => commands.encode(each)));
    const { frames, end } = drive(commands, cut(stream, cuts));
    assertEquals({ frames, end }, { frames: list, end: "between" });
  },
);

const line = fc.string({ unit: "binary", maxLength: 20 });
const { reply } = fc.letrec<{ reply: Reply }>((tie) => ({
  reply: fc.oneof(
    { depthSize: "small", maxDepth: 7 },
    line.map((text) => new Status(text)),
    line.map((text) => new Failure(text)),
    fc.maxSafeInteger().map((number) => number + 0), // without minus zero, which is not written
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
    fc.uint8Array({ maxLength: 40 }),
    fc.constant(null),
    fc.array(tie("reply"), { maxLength: 4 }),
  ),
}));

propertyTest(
  "replies: what was written is read, however it is cut",
  [fc.array(reply, { maxLength: 4 }), sizes],
  (list, cuts) => {
    const stream = joined(list.map((each) => replies.encode(each)));
    const { frames, end } = drive(replies, cut(stream, cuts));
    assertEquals({ frames, end }, { frames: list, end: "between" });
  },
);

propertyTest(
  "replies: encodeInto() writes what encode() does, where there is room for it",
  [reply, fc.integer({ min: -3, max: 3 })],
  (each, spare) => {
    const written = replies.encode(each);
    const room = new Uint8Array(Math.max(0, written.length + spare));
    const size = replies.encodeInto!(each, room);
    assertEquals(size, spare < 0 && written.length > 0 ? null : written.length);
    if (size !== null) assertEquals(room.subarray(0, size), written);
  },
);

propertyTest(
  "replies: any bytes, cut anywhere, are the same replies or the same error",
  [telling, sizes],
  (stream, cuts) => {
    const whole = outcome(drive(replies, [stream]));
    assertEquals(outcome(drive(replies, cut(stream, cuts))), whole);
  },
  3,
);

Deno.test("replies: arrays can be nested 8 deep", () => {
  const nested = (depth: number) => fromLatin1("*1\r\n".repeat(depth) + ":1\r\n");
  assertEquals(drive(replies, [nested(8)]).frames, [[[[[[[[[1]]]]]]]]]);
  assertEquals(drive(replies, [nested(9)]).end, {
    error: "ProtocolError: Protocol error: arrays too deep",
  });
});

Deno.test("replies: an invalid reply is refused", () => {
  for (const wrong of ["x\r\n", ":1.5\r\n", ":\r\n", "$-2\r\n", "*-2\r\n", "+a\n"]) {
    assertThrows(
      () => replies.decode(fromLatin1(wrong), 0, false),
      ProtocolError,
      "Protocol error",
    );
  }
});

Deno.test("Failure stays on one line, whatever its text", () => {
  assertEquals(latin1(replies.encode(new Failure("ERR a\r\n+OK"))), "-ERR a  +OK\r\n");
});

Deno.test("latin1() and fromLatin1() keep every byte", () => {
  const all = Uint8Array.from({ length: 10_000 }, (_, i) => i);
  assertEquals(fromLatin1(latin1(all)), all);
});

function toBytes(words: string[]): Uint8Array[] {
  return words.map(fromLatin1);
}

/** Whole, in any two pieces, and byte by byte. */
function everyWay(stream: Uint8Array): Uint8Array[][] {
  const inTwo = Array.from({ length: stream.length }, (_, i) => cut(stream, i === 0 ? [] : [i]));
  return [...inTwo, singly(stream)];
}

function joined(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
