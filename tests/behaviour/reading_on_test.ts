/** What follows a frame reaches the next reader of the connection. @module */

import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import fc from "fast-check";
import type { Codec } from "../../lib/wire/codec/codec.ts";
import { delimited } from "../../lib/wire/codec/delimited.ts";
import { lengthPrefixed } from "../../lib/wire/codec/length_prefixed.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { type Connection, type Framed, framed, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, writeAll } from "../support/peers.ts";
import { cut, singly } from "../wire/codec/drive.ts";
import { short, shortInBatches, sizes } from "../support/codecs.ts";
import { restOf, scripted, scriptedAfter } from "../support/scripted_connection.ts";

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
        const { conn } = scriptedAfter(...parts, null);
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
      const { conn } = scriptedAfter(...parts, null);
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
  const { conn } = scriptedAfter(new TextEncoder().encode("\x01!0".repeat(count)), null);
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
        const { conn } = scriptedAfter(...cut(bytes`${stream}`, sizes), null);
        // Two on one connection, in turn.
        const all = [framed(conn, line), framed(conn, line)];
        let at = 0;
        for (const [kind, n] of kinds) {
          // The bytes of a read that gave up were checked by that one.
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
  const { conn } = scriptedAfter(
    new Uint8Array([...bytes`BODY\n`, 3, ...bytes`a\nb`, ...bytes`END\n`]),
  );
  const [heads, bodies] = [framed(conn, lines()), framed(conn, short)];
  assertEquals(await heads.read(), "BODY");
  assertEquals(await bodies.read(), "a\nb");
  assertEquals(await heads.read(), "END");
  conn.close();
});

Deno.test("dropped bytes of a frame do not reach the next reader of the connection", async () => {
  const codec = lengthPrefixed({ bytes: 1, limit: 2, onOversize: "truncate" });
  // All of the frame has come, or a part of what is dropped.
  for (
    const parts of [[Uint8Array.of(4, 1, 2, 3, 4, 9)], singly(Uint8Array.of(4, 1, 2, 3, 4, 9))]
  ) {
    const { conn } = scriptedAfter(...parts);
    assertEquals(await framed(conn, codec).read(), Uint8Array.of(1, 2));
    assertEquals(await conn.readExactly(1), Uint8Array.of(9));
    conn.close();
  }
});

Deno.test("a frame belongs to its receiver forever, whatever comes after it", async () => {
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
