/** Tests that a ClientHello comes out the same however it is cut, and anything else as it went in. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { HelloRecords, type JoinedHello } from "../../lib/tls/hello_records.ts";
import { bytes } from "../support/bytes.ts";
import { pattern } from "../support/pattern.ts";

/** A handshake message: its type, the length of its body, and the body. */
function message(type: number, length: number): Uint8Array<ArrayBuffer> {
  return join([type, length >> 16, length >> 8 & 255, length & 255], pattern(0, length));
}

function join(...parts: Iterable<number>[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** Payload in records of a size. */
function records(payload: Uint8Array, size: number, type = 22): Uint8Array<ArrayBuffer> {
  const all: number[] = [];
  for (let at = 0; at < payload.length; at += size) {
    const part = payload.subarray(at, at + size);
    all.push(type, 3, 1, part.length >> 8, part.length & 255, ...part);
  }
  return new Uint8Array(all);
}

/** Adds in pieces; none of them may be needed before the last one. */
function add(all: Uint8Array<ArrayBuffer>, size = all.length): JoinedHello | null {
  const hello = new HelloRecords();
  let joined: JoinedHello | null = null;
  const room = new Uint8Array(size); // filled again each time, as a socket's is
  for (let at = 0; at < all.length && joined === null; at += size) {
    const part = all.subarray(at, at + size);
    room.set(part);
    joined = hello.add(room.subarray(0, part.length));
    if (joined !== null) {
      const rest = join(joined.rest, all.subarray(at + size));
      return { hello: joined.hello.slice(), rest };
    }
  }
  return joined;
}

Deno.test("HelloRecords.begin() knows the first byte of a handshake", () => {
  assertEquals(HelloRecords.begin(records(message(1, 40), 99)), true);
  for (const other of [bytes`GET / HTTP/1.1`, new Uint8Array([21, 3, 3]), new Uint8Array(0)]) {
    assertEquals(HelloRecords.begin(other), false);
  }
});

Deno.test("HelloRecords gives a ClientHello in one record as it is, with what follows apart", () => {
  const one = records(message(1, 300), 1000);
  assertEquals(add(one), { hello: one, rest: new Uint8Array(0) });
  const early = records(pattern(7, 50), 50, 23);
  assertEquals(add(join(one, early)), { hello: one, rest: early });
});

Deno.test("HelloRecords joins records of any size, arriving in pieces of any size", () => {
  const hello = message(1, 700);
  const early = records(pattern(7, 50), 50, 23);
  for (const size of [1, 2, 3, 5, 64, 703]) {
    for (const arriving of [1, 4, 5, 6, 7, 100, 5000]) {
      const joined = add(join(records(hello, size), early), arriving);
      const whole = `records of ${size}, arriving by ${arriving}`;
      assertEquals(joined, { hello: records(hello, 16_384), rest: early }, whole);
    }
  }
});

Deno.test("HelloRecords joins a ClientHello of many thousand records into a few", () => {
  const hello = message(1, 60_000);
  const joined = add(records(hello, 1), 2048)!;
  assertEquals(joined.hello.length, hello.length + 4 * 5);
  assertEquals(joined.hello, records(hello, 16_384));
});

Deno.test("HelloRecords waits while a ClientHello is incomplete", () => {
  const one = records(message(1, 300), 100);
  for (let length = 0; length < one.length; length++) {
    assertEquals(add(one.slice(0, length), Math.max(1, length)), null, `${length} bytes`);
  }
});

Deno.test("HelloRecords passes on whatever is not a ClientHello", () => {
  const half = records(message(1, 300), 100).slice(0, 105);
  const odd: Record<string, Uint8Array<ArrayBuffer>> = {
    "an alert": new Uint8Array([21, 3, 3, 0, 2, 2, 80]),
    "an empty record": new Uint8Array([22, 3, 1, 0, 0, 22]),
    "a record that is too large": new Uint8Array([22, 3, 1, 255, 255, 1]),
    "another message": records(message(2, 60), 100),
  };
  for (const [what, record] of Object.entries(odd)) {
    assertEquals(add(record), { hello: record, rest: new Uint8Array(0) }, what);
    if (what === "another message") continue;
    assertEquals(add(join(half, record)), { hello: join(half, record), rest: new Uint8Array(0) });
  }
});

Deno.test("HelloRecords refuses a ClientHello that is larger than any", () => {
  const begin = records(message(1, 0).with(1, 1), 4);
  assertThrows(() => add(begin), Deno.errors.InvalidData, "its ClientHello has 65536 bytes");
});
