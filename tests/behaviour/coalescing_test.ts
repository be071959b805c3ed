/** Replies leave together, in order, and no faster than their peer takes them. @module */

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
} from "@std/assert";
import { FrameTooLargeError, ProtocolError } from "../../lib/errors.ts";
import { lines } from "../../lib/wire/codec/lines.ts";
import { connection, type ConnectionOptions, type Framed, framed } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, readAll, readExactly, writeAll } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { serveNoting } from "../support/noting.ts";

const KIB = 1024;
const MIB = KIB * KIB;

/** A scripted connection whose writes are recorded as text, and taken at once. */
function noting(options?: ConnectionOptions) {
  const socket = new ScriptedSocket();
  const writes: string[] = [];
  socket.takes = (p) => {
    writes.push(text(p));
    return p.length;
  };
  return { socket, writes, conn: connection(socket, options) };
}

/** Echoes every line, in one of several ways. */
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
};

for (const [name, echo] of Object.entries(ECHOES)) {
  Deno.test(`answers to requests that came together leave in one write, by ${name}`, async () => {
    const { socket, writes, conn } = noting();
    const echoing = echo(framed(conn, lines()));
    const requests = Array.from({ length: 16 }, (_, i) => `${i}\n`).join("");
    for (let i = 0; i < 3; i++) {
      socket.arrive(bytes`${requests}`);
      await turns();
    }
    assertEquals(writes, [requests, requests, requests]);
    // Also where a request is cut in the middle: what is complete is answered.
    socket.arrive(bytes`a\nb\nc`);
    await turns();
    socket.arrive(bytes`d\n`);
    await turns();
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
    await turns();
    socket.arrive(bytes`c\n`);
    await turns();
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
      write: (p) => messages.write(p),
      [Symbol.asyncIterator]: () => messages[Symbol.asyncIterator](),
      send(line) {
        answered++;
        return messages.send(line);
      },
    };
    const echoing = echo(counting);
    socket.arrive(bytes`a\nb\n`);
    await turns();
    for (const more of ["c\n", "d\n", "e\nf\n"]) {
      socket.arrive(bytes`${more}`);
      await turns();
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
  await turns();
  assertEquals(writes, ["a\n"]);
  elsewhere.resolve();
  await turns();
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

netTest("what was sent before the handler threw is delivered, awaited or not", async () => {
  for (const awaited of [true, false]) {
    for (const thrown of [new TypeError("mine"), new ProtocolError("theirs")]) {
      const { server, ended } = serveNoting(async (conn) => {
        const messages = framed(conn, lines());
        await messages.send("first");
        await messages.flush();
        const sent = messages.send("500 the last word");
        if (awaited) await sent;
        throw thrown;
      });
      await using _server = server;
      assertEquals(text(await readAll(await dial(server.addr))), "first\n500 the last word\n");
      await until(() => ended.length === 1);
      assertStrictEquals(ended[0]!.error, thrown);
    }
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
  "the end of the stream inside a frame ends the loop with UnexpectedEof, which is not reported",
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

Deno.test("an answer that could not be written rejects the iteration and the next send", async () => {
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
      await turns();
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

Deno.test("an iteration that waits rejects when an answer could not be written", async () => {
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

Deno.test("sends that are not awaited, to a peer that does not read end the connection at maxUnsent", async () => {
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
  await turns();
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

Deno.test("Framed.write() puts bytes among the frames, in order and in one write with them", async () => {
  const { writes, conn } = noting();
  const messages = framed(conn, lines());
  const body = bytes`body`;
  await messages.send("head");
  await messages.write(body);
  body.fill(33); // it was copied
  await messages.send("tail");
  assertEquals(writes, []);
  await messages.flush();
  assertEquals(writes, ["head\nbodytail\n"]);
  await messages.write(new Uint8Array(0));
  await messages.write(bytes`by itself`);
  await turns(3);
  assertEquals(writes.slice(1), ["by itself"]);
  await messages.write(bytes`${"x".repeat(200_000)}`); // more than is coalesced
  assertEquals(writes.slice(2), ["x".repeat(200_000)]);
  conn.close();
});

Deno.test("Framed.write() rejects anything but bytes, and after the end, and sends nothing then", async () => {
  const { writes, conn } = noting();
  const messages = framed(conn, lines());
  for (const wrong of ["text", [1, 2], null]) {
    await assertRejects(
      () => messages.write(wrong as unknown as Uint8Array),
      TypeError,
      "Cannot write among frames with 'bytes' of",
    );
  }
  await conn.closeWrite();
  await assertRejects(() => messages.write(bytes`late`), Deno.errors.BrokenPipe);
  assertEquals(writes, []);
  conn.close();
});
