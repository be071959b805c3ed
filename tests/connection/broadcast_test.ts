/** Every member gets the same frames, in order, once each, and none waits for another. @module */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertLessOrEqual,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import {
  type Broadcast,
  broadcast,
  type BroadcastOptions,
  type ConnectionOptions,
  type Encoder,
  type Framed,
  framed,
  lines,
  type Membership,
  serve,
} from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds, serveNoting } from "../support/noting.ts";
import { connectMany, connectResettable, dial, LOOPBACK } from "../support/peers.ts";
import { type Scripted, scripted } from "../support/scripted_connection.ts";
import type { ScriptedSocket } from "../support/scripted_socket.ts";
import { dialTls } from "../support/tls_peers.ts";
import { unhandledDuring } from "../support/unhandled.ts";
import { pass, turns, until } from "../support/wait.ts";

const KIB = 1024;

/** A member whose writes are taken at once, and noted as text. */
interface Listener extends Scripted {
  readonly writes: string[];
  readonly own: Framed<string>;
  readonly membership: Membership;
}

function join(room: Broadcast<string>, options?: ConnectionOptions): Listener {
  const { socket, conn } = scripted(options);
  const writes: string[] = [];
  socket.takes = (p) => {
    writes.push(text(p));
    return p.length;
  };
  return { socket, conn, writes, own: framed(conn, lines()), membership: room.join(conn) };
}

/** A member whose peer takes only what the test says. */
function joinStuck(room: Broadcast<string>, options?: ConnectionOptions): Listener {
  const member = join(room, options);
  member.socket.takes = undefined;
  return member;
}

/** Lets the peer take all that waits, write by write. */
async function takeAll(socket: ScriptedSocket): Promise<void> {
  for (await turns(2); socket.writes.length > 0; await turns(2)) socket.writes[0]!.take();
}

/** Lines, counting how many were encoded. */
function counting(): Encoder<string> & { encoded: number } {
  const codec = lines();
  return {
    encoded: 0,
    encode(line) {
      this.encoded++;
      return codec.encode(line);
    },
  };
}

Deno.test("send() encodes once, writes once per member and turn, and says for how many it was queued", async () => {
  const codec = counting();
  const room = broadcast(codec);
  const members = [join(room), join(room), join(room)];
  assertEquals(await room.send("one"), 3);
  assertEquals(await Promise.all([room.send("two"), room.send("three")]), [3, 3]);
  await turns(2);
  assertEquals(codec.encoded, 3);
  for (const { writes } of members) assertEquals(writes, ["one\ntwo\nthree\n"]);
  assertEquals([room.size, room.skipped], [3, 0]);
  for (const { conn } of members) conn.close();
});

Deno.test("send() gives the one memory to every member that sends the same", async () => {
  const room = broadcast(lines());
  const memories = new Set<ArrayBufferLike>();
  const members = [1, 2, 3].map(() => join(room));
  for (const { socket } of members) {
    socket.takes = (p) => (memories.add(p.buffer), p.length);
  }
  room.send("hello");
  await turns(2);
  assertEquals(memories.size, 1);
  for (const { conn } of members) conn.close();
});

Deno.test("send() keeps the order with a member's own frames, bytes and FIN", async () => {
  const room = broadcast(lines());
  const { conn, own, writes, socket } = join(room);
  own.send("1");
  room.send("2");
  own.send("3");
  room.send("4");
  room.send("5");
  own.write(bytes`6\n`);
  await turns(2);
  assertEquals(writes.splice(0), ["1\n2\n3\n4\n5\n6\n"]);
  room.send("7");
  own.send("8");
  room.send("9");
  conn.write(bytes`10\n`);
  room.send("11");
  await turns();
  assertEquals(writes.join(""), "7\n8\n9\n10\n11\n");
  room.send("12");
  await conn.closeWrite();
  assertEquals(room.size, 0);
  assertEquals(await room.send("13"), 0);
  await turns();
  assertEquals(text(socket.taken).slice(-3), "12\n");
  conn.close();
});

Deno.test("send() leaves out the one it is not for, member or not", async () => {
  const room = broadcast(lines());
  const [ada, bob] = [join(room), join(room)];
  const guest = scripted();
  assertEquals(await room.send("1", { except: ada.conn }), 1);
  assertEquals(await room.send("2"), 2);
  assertEquals(await room.send("3", { except: bob.conn }), 1);
  // The socket of a connection stands for it.
  assertEquals(await room.send("4", { except: ada.socket }), 1);
  assertEquals(await room.send("5", { except: guest.conn }), 2);
  await turns(2);
  assertEquals(ada.writes, ["2\n3\n5\n"]);
  assertEquals(bob.writes, ["1\n2\n4\n5\n"]);
  for (const { conn } of [ada, bob, guest]) conn.close();
});

Deno.test("a member of two rooms gets the frames of both in the order of the calls", async () => {
  const [one, two] = [broadcast(lines()), broadcast(lines())];
  const member = join(one);
  using _ = two.join(member.conn);
  for (let i = 0; i < 6; i++) (i % 3 === 0 ? one : two).send(`${i}`);
  await turns(2);
  assertEquals(member.writes, ["0\n1\n2\n3\n4\n5\n"]);
  member.conn.close();
  assertEquals([one.size, two.size], [0, 0]);
});

Deno.test("join() counts: a connection that joins twice gets each frame once, and stays until both are disposed", async () => {
  const room = broadcast(lines());
  const { conn, membership, writes } = join(room);
  const again = room.join(conn);
  assertEquals([await room.send("1"), room.size], [1, 1]);
  again[Symbol.dispose]();
  again[Symbol.dispose](); // no longer its own, and so without effect
  assertEquals(await room.send("2"), 1);
  membership[Symbol.dispose]();
  assertEquals([await room.send("3"), room.size], [0, 0]);
  using _ = room.join(conn);
  assertEquals(await room.send("4"), 1);
  await turns(2);
  assertEquals(writes, ["1\n2\n4\n"]);
  conn.close();
});

Deno.test("a connection leaves when it is closed or can send nothing more, and cannot join afterwards", async () => {
  const room = broadcast(lines());
  const closed = join(room);
  const ended = join(room);
  const failed = join(room);
  assertEquals([...room], [closed.conn, ended.conn, failed.conn]);
  closed.conn.close();
  assertEquals(room.size, 2);
  ended.socket.finish();
  const ending = ended.conn.end();
  assertEquals(room.size, 1);
  failed.socket.failRead(new Deno.errors.ConnectionReset("reset"));
  await assertRejects(() => failed.conn.read(new Uint8Array(1)));
  assertEquals(room.size, 0);
  await ending;
  for (const { conn, membership } of [closed, ended, failed]) {
    using late = room.join(conn);
    assertEquals([room.size, await room.send("?"), late.skipped], [0, 0, 0]);
    membership[Symbol.dispose]();
  }
});

Deno.test("what a member was sent before it leaves still arrives", async () => {
  const room = broadcast(lines());
  const { conn, membership, writes } = join(room);
  room.send("goodbye");
  membership[Symbol.dispose]();
  room.send("nobody hears this");
  await turns(2);
  assertEquals(writes, ["goodbye\n"]);
  conn.close();
});

Deno.test("members may join and leave during a send, and those who listen to the end of one may send", async () => {
  const room: Broadcast<string> = broadcast(lines(), { slow: "end", slowAbove: 100 });
  const [first, slow, last] = [join(room), joinStuck(room), join(room)];
  slow.conn.signal.addEventListener("abort", () => {
    room.send("one has ended");
    first.membership[Symbol.dispose]();
  });
  const long = "x".repeat(200);
  room.send(long);
  await turns();
  room.send("hello");
  room.send("the rest");
  await turns(2);
  assertEquals(slow.conn.endReason, "write_overflow");
  assertEquals(first.writes.slice(1), ["hello\none has ended\n"]);
  assertEquals(last.writes.slice(1), ["hello\none has ended\nthe rest\n"]);
  for (const { conn } of [first, last]) conn.close();
});

Deno.test("a slow member is skipped and counted, holds up nobody, and hears how much it has missed", async () => {
  const room = broadcast(lines(), { slowAbove: 1000, missed: (n) => `* missed ${n}` });
  const [quick, slow] = [join(room), joinStuck(room)];
  const line = "x".repeat(99);
  for (let i = 0; i < 30; i++) {
    room.send(line);
    await turns(2);
  }
  assertEquals(quick.writes.length, 30);
  assertEquals(slow.conn.unsentBytes, 1100);
  assertEquals([slow.membership.skipped, quick.membership.skipped, room.skipped], [19, 0, 19]);
  await takeAll(slow.socket);
  room.send("hello");
  room.send("and again");
  await takeAll(slow.socket);
  const expected = `${line}\n`.repeat(11) + "* missed 19\nhello\nand again\n";
  assertEquals(text(slow.socket.taken), expected);
  for (const { conn } of [quick, slow]) conn.close();
});

Deno.test('with slow: "end" a slow member ends, and the others do not', async () => {
  const room = broadcast(lines(), { slow: "end", slowAbove: 1000 });
  const [quick, slow] = [join(room), joinStuck(room)];
  for (let i = 0; i < 12; i++) {
    assertEquals(room.size, 2);
    room.send("x".repeat(99));
    await turns(2);
  }
  assertEquals([slow.conn.endReason, room.size], ["write_overflow", 1]);
  await assertRejects(
    () => slow.conn.write(bytes`more`),
    Deno.errors.WouldBlock,
    "Cannot send a frame to a member with 1100 bytes unsent: 'slowAbove' is 1000, and 'slow' is \"end\"",
  );
  assertEquals([quick.writes.length, room.skipped], [12, 0]);
  quick.conn.close();
});

Deno.test("a member with 'maxUnsent' waiting is skipped and not ended, however large slowAbove is", async () => {
  const room = broadcast(lines(), { slowAbove: Infinity });
  const slow = joinStuck(room, { maxUnsent: 2000 });
  for (let i = 0; i < 100; i++) {
    room.send("x".repeat(99));
    await turns(2);
  }
  assertGreater(room.skipped, 50);
  assertEquals([room.size, slow.conn.endReason], [1, undefined]);
  slow.conn.close();
});

Deno.test("await send() waits until no member is above slowAbove, or such a member has left", async () => {
  const room = broadcast(lines(), { slowAbove: 1000 });
  const slow = [joinStuck(room), joinStuck(room), joinStuck(room)];
  join(room).conn.unref();
  const long = "x".repeat(1000);
  const done: number[] = [];
  const sent = room.send(long).then((n) => done.push(n));
  await turns();
  room.send("while it waits").then((n) => done.push(n));
  slow[0]!.socket.writes[0]!.take(1);
  slow[1]!.membership[Symbol.dispose]();
  await turns();
  assertEquals(done, []);
  slow[2]!.conn.close();
  await sent;
  await turns();
  assertEquals(done, [4, 1]); // all were above the second time but one
  slow[1]!.conn.close();
  slow[0]!.conn.close();
  for (const conn of room) conn.close();
});

Deno.test("sends that nobody awaits keep nothing for a member that never reads", async () => {
  const room = broadcast(lines(), { slowAbove: 1000 });
  const slow = joinStuck(room);
  const sent = new Set<Promise<number>>();
  for (let i = 0; i < 10_000; i++) {
    sent.add(room.send("x".repeat(99)));
    if (i < 100) await turns(2);
  }
  // Those that find it slow share a promise, or ten thousand callbacks would wait for it.
  assertLess(sent.size, 20);
  assertLess(slow.conn.unsentBytes, 1200);
  slow.conn.close();
  assertEquals(await [...sent].at(-1), 0);
});

Deno.test("a frame is held once, however many members have not sent it", async () => {
  const before = Deno.memoryUsage().external;
  const room = broadcast(lines(), { slowAbove: 200 * KIB });
  const members = Array.from({ length: 200 }, () => joinStuck(room));
  const line = "x".repeat(999);
  for (let i = 0; i < 300; i++) {
    room.send(line);
    if (i % 3 === 0) await turns(2);
  }
  const unsent = members.reduce((sum, { conn }) => sum + conn.unsentBytes, 0);
  assertGreater(unsent, 200 * 200 * KIB); // 40 MB to be sent
  assertLess(Deno.memoryUsage().external - before, 2048 * KIB);
  const { conn, socket } = members[0]!;
  await takeAll(socket);
  assertEquals(conn.unsentBytes, 0);
  assertEquals(text(socket.taken), `${line}\n`.repeat(socket.takenBytes / 1000));
  for (const { conn } of members) conn.close();
});

Deno.test("send() rejects with what the codec throws, nobody gets a part of it, and it need not be awaited", async () => {
  const room = broadcast(lines({ limit: 10 }));
  const member = join(room);
  await assertRejects(() => room.send("x".repeat(11)), RangeError);
  assertEquals(await unhandledDuring(() => void room.send("a\nb")), []);
  assertEquals(await room.send("hello"), 1);
  await turns(2);
  assertEquals(member.writes, ["hello\n"]);

  const wrong = broadcast<string>({ encode: () => "text" as unknown as Uint8Array });
  await assertRejects(
    () => wrong.send("x"),
    TypeError,
    "Cannot send a frame whose codec gives no bytes: use a Uint8Array",
  );
  member.conn.close();
});

Deno.test("what 'missed' throws is the sender's, and keeps the frame from nobody", async () => {
  const failure = new Error("cannot say");
  const room = broadcast(lines(), {
    slowAbove: 10,
    missed: () => {
      throw failure;
    },
  });
  const [slow, quick] = [joinStuck(room), join(room)];
  for (let i = 0; i < 3; i++) {
    room.send("some words");
    await turns(2);
  }
  await takeAll(slow.socket);
  assertStrictEquals(await room.send("hello").catch((error) => error), failure);
  await takeAll(slow.socket);
  assertEquals(text(slow.socket.taken), "some words\nhello\n");
  assertEquals(quick.writes.at(-1), "hello\n");
  for (const { conn } of [slow, quick]) conn.close();
});

Deno.test("broadcast(), join() and send() refuse what is wrong, and say what to use", async () => {
  const make = (options: unknown) => () => broadcast(lines(), options as BroadcastOptions<string>);
  const wrong: [() => unknown, typeof TypeError | typeof RangeError, string][] = [
    [
      () => broadcast({} as Encoder<string>),
      TypeError,
      "Cannot broadcast with an object as its codec: use lines(), or an object with 'encode'",
    ],
    [
      make({ slow: "wait" }),
      RangeError,
      `Cannot broadcast with 'slow' of "wait": use one of "skip", "end"`,
    ],
    [
      make({ slowAbove: -1 }),
      RangeError,
      "Cannot broadcast with 'slowAbove' of -1: use a whole number from 0 up, or Infinity",
    ],
    [
      make({ missed: "you" }),
      TypeError,
      `Cannot broadcast with 'missed' of "you": use a function that makes a frame`,
    ],
    [
      make({ limit: 1 }),
      TypeError,
      "Cannot broadcast with an unknown option 'limit': known here are slow, slowAbove, missed",
    ],
    [
      () => broadcast(lines()).join({} as Deno.Conn),
      TypeError,
      "Cannot wrap an object as a connection: use what Deno.connect() resolves with",
    ],
  ];
  for (const [attempt, type, message] of wrong) {
    assertEquals(assertThrows(attempt, type).message, message);
  }
  await assertRejects(
    () => broadcast(lines()).send("x", { but: 1 } as unknown as { except: Deno.Conn }),
    TypeError,
    "Cannot send a frame with an unknown option 'but': known here are except",
  );
});

/** What may happen to rooms and their members. */
type Step =
  | { readonly kind: "send"; room: number; size: number; except: number }
  | { readonly kind: "own" | "write" | "join" | "leave" | "flush"; room: number; member: number }
  | { readonly kind: "take"; member: number; n: number }
  | { readonly kind: "turn" };

const MEMBERS = 3;
const member = fc.nat(MEMBERS - 1);
const room = fc.nat(1);
const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("send" as const),
        room,
        size: fc.oneof(fc.nat(30), fc.nat(3000), fc.constant(40_000)),
        except: fc.integer({ min: -3, max: MEMBERS - 1 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constantFrom("own", "own", "write", "join", "leave", "flush"),
        room,
        member,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("take" as const),
        member,
        n: fc.integer({ min: 1, max: 50_000 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("turn" as const) }) },
  ),
  { maxLength: 60 },
);

Deno.test("each member gets exactly what it was sent, in order, whatever rooms, members and peers do", async () => {
  await fc.assert(
    fc.asyncProperty(
      steps as fc.Arbitrary<Step[]>,
      fc.constantFrom(500, 100_000, Infinity),
      fc.boolean(),
      async (steps, slowAbove, isQuick) => {
        const options = { slowAbove, missed: (n: number) => `* ${n}` };
        const rooms = [broadcast(lines(), options), broadcast(lines(), options)];
        const members = Array.from({ length: MEMBERS }, () => {
          const { socket, conn } = scripted({ maxUnsent: Infinity });
          if (!isQuick) socket.takes = undefined;
          const places: (Membership | undefined)[] = [undefined, undefined];
          return { socket, conn, own: framed(conn, lines()), places, missed: [0, 0], expected: "" };
        });
        let count = 0;
        const frame = (size: number) => `${count++}${"x".repeat(size)}`;
        for (const step of steps) {
          if (step.kind === "turn") await turns(2);
          else if (step.kind === "take") {
            const [write] = members[step.member]!.socket.writes;
            write?.take(Math.min(step.n, write.bytes.length));
            await write?.result; // in this turn of the event loop still
          } else if (step.kind === "send") {
            const { room, size } = step;
            const line = frame(size);
            const except = members[step.except];
            for (const one of members) {
              if (one === except || one.places[room] === undefined) continue;
              if (one.conn.unsentBytes > slowAbove) {
                one.missed[room]!++;
                continue;
              }
              const missed = one.missed[room]!;
              one.missed[room] = 0;
              one.expected += `${missed > 0 ? `* ${missed}\n` : ""}${line}\n`;
            }
            rooms[room]!.send(line, except && { except: except.conn });
          } else {
            const one = members[step.member]!;
            const { room } = step;
            if (step.kind === "join") one.places[room] ??= rooms[room]!.join(one.conn);
            else if (step.kind === "leave") {
              one.places[room]?.[Symbol.dispose]();
              one.places[room] = undefined;
              one.missed[room] = 0;
            } else if (step.kind === "flush") one.own.flush();
            else {
              const line = frame(20);
              one.expected += `${line}\n`;
              if (step.kind === "own") one.own.send(line);
              else one.conn.write(bytes`${line}\n`);
            }
          }
        }
        for (const { socket, conn, expected } of members) {
          await takeAll(socket);
          assertEquals(text(socket.taken), expected);
          assertEquals(conn.unsentBytes, 0);
          conn.close();
        }
        assertEquals(rooms.map(({ size }) => size), [0, 0]);
      },
    ),
    { numRuns: 300 },
  );
});

/** How members connect to a room that is served. */
const ROUTES = { TCP: {}, TLS: certificate };

for (const [route, options] of Object.entries(ROUTES)) {
  netTest(
    `members of a room over ${route} get every frame in order, with their own among them`,
    async () => {
      const room = broadcast(lines());
      const { ended, onEnd } = noteEnds();
      const server = serve({ ...LOOPBACK, ...options, onEnd }, async (conn) => {
        using _ = room.join(conn);
        const own = framed(conn, lines());
        for await (const line of own) {
          room.send(line);
          own.send(`you said ${line}`);
        }
      });
      const dialOne = async () =>
        framed(await (route === "TLS" ? dialTls(server.addr) : dial(server.addr)), lines());
      const guests = await Promise.all(Array.from({ length: 8 }, dialOne));
      await until(() => room.size === guests.length);
      const rounds = 50;
      await Promise.all(guests.map(async (guest, i) => {
        for (let n = 0; n < rounds; n++) await guest.send(`${i} ${n}`);
        await guest.flush();
      }));
      const heard = await Promise.all(guests.map(async (guest) => {
        const all: string[] = [];
        while (all.length < rounds * (guests.length + 1)) all.push((await guest.read())!);
        return all;
      }));
      const said = (lines: string[]) => lines.filter((line) => !line.startsWith("you"));
      for (const [i, lines] of heard.entries()) {
        assertEquals(said(lines), said(heard[0]!)); // all hear the same in the same order
        for (let n = 0; n < rounds; n++) {
          assert(lines.indexOf(`${i} ${n}`) < lines.indexOf(`you said ${i} ${n}`));
        }
      }
      for (const { conn } of guests) conn.close();
      await until(() => room.size === 0);
      await server.shutdown();
      assertEquals(new Set(ended.map(({ reason }) => reason)), new Set(["completed"]));
    },
  );
}

netTest(
  "resets, half-closed peers and one that never reads leave a room that goes on",
  async () => {
    const room = broadcast(lines(), { slowAbove: 64 * KIB });
    const { server, ended, errors } = serveNoting(async (conn) => {
      using _ = room.join(conn);
      for await (const _ of conn);
    });
    const quick = framed(await dial(server.addr), lines());
    await until(() => room.size === 1);
    const [served] = room;
    const resetting = await Promise.all([1, 2, 3].map(() => connectResettable(server.addr)));
    using _mute = await dial(server.addr);
    using halfClosed = await dial(server.addr);
    await until(() => room.size === 6);
    await halfClosed.closeWrite();
    await until(() => room.size === 5);
    const heard = (async () => {
      for await (const line of quick) if (line === "end") return line;
      return null;
    })();
    let most = 0;
    for (let i = 0; i < 500; i++) {
      // As fast as the one that reads; the others are skipped when their kernel takes no more.
      for (let n = 0; n < 20; n++) room.send("x".repeat(999));
      await served!.unsentBelow();
      for (const conn of room) most = Math.max(most, conn.unsentBytes);
      if (i === 250) await Promise.all(resetting.map((peer) => peer.reset()));
    }
    assertLessOrEqual(most, 65 * KIB);
    assertGreater(room.skipped, 0);
    room.send("end");
    assertEquals(await heard, "end");
    await until(() => room.size === 2);
    quick.conn.close();
    await until(() => ended.length === 5);
    await server.shutdown({ timeout: 0 });
    const reasons = ended.map(({ reason }) => reason).toSorted();
    assertEquals(reasons, [
      "completed",
      "completed",
      "forced",
      "peer_reset",
      "peer_reset",
      "peer_reset",
    ]);
    assertEquals(errors, []);
  },
);

netTest(
  "a peer that stops reading ends by its write timeout, and a producer that awaits goes on",
  async () => {
    using time = new FakeTime();
    const room = broadcast(lines(), { slowAbove: 64 * KIB });
    const { server, ended } = serveNoting(async (conn) => {
      using _ = room.join(conn);
      for await (const _ of conn);
    }, { writeTimeout: 5000 });
    using _mute = await dial(server.addr);
    await until(() => room.size === 1);
    const producing = (async () => {
      while (await room.send("x".repeat(9_999)) > 0);
    })();
    while (room.size > 0) await pass(time, 500);
    await producing;
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "write_timeout");
    assertGreater(ended[0]!.bytesWritten, 64 * KIB);
    assertEquals(room.skipped, 0); // it was waited for
    await server.shutdown();
  },
);

netTest("a thousand members join, hear a line, and leave no trace", async () => {
  const room = broadcast(lines());
  const { server } = serveNoting(async (conn) => {
    using _ = room.join(conn);
    for await (const _ of conn);
  });
  {
    using clients = await connectMany(server.addr, 1000);
    await until(() => room.size === 1000);
    assertEquals(await room.send("hello"), 1000);
    const heard = await Promise.all(clients.all.map(async (client) => {
      const p = new Uint8Array(100);
      return text(p.subarray(0, await client.read(p) ?? 0));
    }));
    assertEquals(new Set(heard), new Set(["hello\n"]));
  }
  await until(() => room.size === 0);
  assertEquals(await room.send("nobody"), 0);
  await server.shutdown();
});
