/** The first thing that ends a connection counts, and timeouts come in time. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLessOrEqual,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { CoarseClock, TICK } from "../../lib/connection/coarse_clock.ts";
import type { EndReason } from "../../lib/connection/end_reason.ts";
import { Lifeline } from "../../lib/connection/lifeline.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import type { SocketConnection } from "../../lib/connection/socket_connection.ts";
import { type Connection, connection, framed, lines, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, socketPair } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { Switchboard } from "../support/switchboard.ts";
import { noteEnds, serveNoting } from "../support/noting.ts";

const MINUTE = 60_000;

/** Bytes of a write that is not joined with others while it waits. */
const LARGE = 5000;

function newLife(socket: Deno.Conn = new ScriptedSocket()): Lifeline {
  return new Lifeline(socket, new CoarseClock(false), DEFAULT_LIMITS);
}

/** Ms of fake time, moved on 1 ms at a time, until the connection is over; `most` if it stays. */
function lasts(time: FakeTime, conn: Connection, most: number): number {
  let passed = 0;
  for (; passed < most && !conn.signal.aborted; passed++) time.tick(1);
  return passed;
}

/** Fails unless the promise rejects with the `TimeoutError` of the option named. */
async function assertTimesOut(promise: Promise<unknown>, option: string): Promise<DOMException> {
  const error = await assertRejects(() => promise, DOMException, `'${option}'`);
  assertEquals(error.name, "TimeoutError");
  return error;
}

Deno.test("a lifeline has silent peers probed from the first tick on at which no write is pending", () => {
  const socket = new Switchboard();
  const life = newLife(socket);
  life.keepAliveDue = true;
  life.writing = true;
  life.tick(TICK);
  assertEquals(socket.set, []);
  life.writing = false;
  life.tick(2 * TICK);
  life.tick(3 * TICK);
  assertEquals(socket.set, ["keepAlive true"]);
});

Deno.test("a lifeline outlives a socket on which no option can be set any more", () => {
  const socket = Object.assign(new ScriptedSocket(), {
    setKeepAlive(): void {
      throw new Deno.errors.BadResource("Bad resource ID");
    },
  });
  const life = newLife(socket);
  life.keepAliveDue = life.noDelayDue = true;
  life.setOptions();
  assertFalse(life.closed);
});

Deno.test("a lifeline keeps the first reason and the first error", () => {
  const socket = new ScriptedSocket();
  const life = newLife(socket);
  assertEquals(life.reason, undefined);
  const first = new Deno.errors.ConnectionReset("first");
  life.end("peer_reset", first);
  life.end("forced", new Deno.errors.Interrupted("second"));
  life.setReason("completed");
  assertEquals(life.reason, "peer_reset");
  assertStrictEquals(life.error, first);
  assert(life.closed);
  assertEquals(socket.closes, 1);
});

Deno.test("Lifeline.setReason() decides the reason and leaves the socket open", () => {
  const socket = new ScriptedSocket();
  const life = newLife(socket);
  life.setReason("completed");
  assertFalse(life.closed);
  assertFalse(socket.closed);
  life.end("peer_reset", new Deno.errors.ConnectionReset());
  assertEquals(life.reason, "completed");
  assertEquals(life.error, undefined);
  assert(socket.closed);
});

Deno.test("Lifeline.close() leaves the reason open", () => {
  const life = newLife();
  life.close();
  life.close();
  assert(life.closed);
  assertEquals(life.reason, undefined);
  life.setReason("handler_error");
  assertEquals(life.reason, "handler_error");
});

Deno.test("Lifeline.close() takes a socket that was closed elsewhere for closed", () => {
  const socket = new ScriptedSocket();
  socket.close();
  const life = newLife(socket);
  life.close();
  assert(life.closed);
});

Deno.test("Lifeline.close() tells its holder once", () => {
  const life = newLife();
  let calls = 0;
  life.onClose = { closed: () => void calls++ };
  life.end("forced");
  life.close();
  assertEquals(calls, 1);
});

Deno.test("Lifeline.failed() names the reason by the kind of the error", () => {
  const kinds: [unknown, EndReason][] = [
    [new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"), "peer_reset"],
    [new Deno.errors.BrokenPipe("Broken pipe (os error 32)"), "peer_closed_early"],
    [new Deno.errors.UnexpectedEof("peer closed connection"), "peer_closed_early"],
    [new Deno.errors.TimedOut("Connection timed out (os error 110)"), "network_error"],
    [new Error("No route to host (os error 113)"), "network_error"],
    // As Windows and macOS say it.
    [new Deno.errors.ConnectionAborted("connection aborted (os error 10053)"), "peer_reset"],
    [new Deno.errors.NotConnected("Socket is not connected (os error 57)"), "peer_reset"],
    [new Error("Protocol wrong type for socket (os error 41)"), "peer_closed_early"],
    [
      Object.assign(new Error("Protocol wrong type for socket (os error 41)"), {
        code: "EPROTOTYPE",
      }),
      "peer_closed_early",
    ],
    ["not even an error", "network_error"],
  ];
  for (const [error, reason] of kinds) {
    const life = newLife();
    assertStrictEquals(life.failed(error), error);
    assertEquals(life.reason, reason, String(error));
    assertStrictEquals(life.error, error);
    assert(life.closed);
  }
});

Deno.test("Lifeline.failed() takes what the kernel did not say for the handler's mistake", () => {
  const life = newLife();
  const mistake = new TypeError("expected typed ArrayBufferView");
  assertStrictEquals(life.failed(mistake), mistake);
  assertEquals(life.reason, "handler_error");
  assertStrictEquals(life.error, mistake);
  assertFalse(Lifeline.produced(mistake)); // so that it is reported
  assert(life.closed);
  const kernels = newLife();
  const invalid = Object.assign(new TypeError("Invalid argument (os error 22)"), {
    code: "EINVAL",
  });
  kernels.failed(invalid);
  assertEquals(kernels.reason, "network_error");
  assert(Lifeline.produced(invalid));
});

Deno.test("Lifeline.failed() tells every later failure the first error", () => {
  const life = newLife();
  const first = new Deno.errors.ConnectionReset("first");
  life.failed(first);
  assertStrictEquals(life.failed(new Deno.errors.Interrupted("operation canceled")), first);
  assertStrictEquals(life.refusal(), first);
});

Deno.test("Lifeline.refusal() of a connection that was just closed says so", () => {
  const life = newLife();
  life.close();
  const error = life.refusal();
  assertInstanceOf(error, Deno.errors.BadResource);
  assertEquals(error.message, "Cannot use a connection that is closed");
});

Deno.test("Lifeline.produced() knows the errors that a connection gave, wrapped ones too", () => {
  const ended = new Deno.errors.Interrupted("ended");
  newLife().end("forced", ended);
  const failed = new Error("failed");
  newLife().failed(failed);
  const late = new Error("late");
  const life = newLife();
  life.close();
  life.failed(late);
  for (const error of [ended, failed, late]) {
    assert(Lifeline.produced(error), error.message);
    const cause = new TypeError("in the middle", { cause: error });
    assert(Lifeline.produced(new Error("wrapped twice", { cause })), error.message);
  }
  for (const error of [new Error("mine"), new Error("mine", { cause: "text" }), "text", null]) {
    assertFalse(Lifeline.produced(error), String(error));
  }
});

Deno.test("Lifeline.produced() survives errors that are causes of each other", () => {
  const [a, b] = [new Error("a"), new Error("b")];
  a.cause = b;
  b.cause = a;
  assertFalse(Lifeline.produced(a));
});

netTest(
  "idleTimeout ends a connection that reads from a silent peer, never early, a tick late at most",
  async () => {
    using time = new FakeTime();
    const idleTimeout = 10 * TICK;
    for (let offset = 0; offset < TICK; offset += 7) {
      const [socket, client] = await socketPair();
      using _client = client;
      using conn = connection(socket, { idleTimeout });
      time.tick(offset);
      const read = conn.read(new Uint8Array(1));
      const lasted = lasts(time, conn, MINUTE);
      assertGreater(lasted, idleTimeout - 1, `begun ${offset} ms after a tick`);
      assertLessOrEqual(lasted, idleTimeout + TICK, `begun ${offset} ms after a tick`);
      await assertTimesOut(read, "idleTimeout");
    }
  },
);

netTest("idleTimeout that is no multiple of a tick is never early either", async () => {
  using time = new FakeTime();
  for (const idleTimeout of [1, 99, 101, 250]) {
    for (let offset = 0; offset < TICK; offset += 33) {
      const [socket, client] = await socketPair();
      using _client = client;
      using conn = connection(socket, { idleTimeout });
      time.tick(offset);
      const read = conn.read(new Uint8Array(1));
      assertGreaterOrEqual(lasts(time, conn, MINUTE), idleTimeout);
      await assertTimesOut(read, "idleTimeout");
    }
  }
});

netTest("idleTimeout ends an iteration, too, and the stream of a connection", async () => {
  using time = new FakeTime();
  const idleTimeout = 10 * TICK;
  for (
    const begin of [
      (conn: Connection) => conn[Symbol.asyncIterator]().next(),
      (conn: Connection) => conn.readable.getReader().read(),
    ]
  ) {
    const [socket, client] = await socketPair();
    using _client = client;
    using conn = connection(socket, { idleTimeout });
    const read = begin(conn);
    await turn(); // a stream reads a microtask later
    time.tick(idleTimeout + TICK);
    await assertTimesOut(read, "idleTimeout");
    assert(conn.signal.aborted);
  }
});

netTest("a byte from the peer renews idleTimeout", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { idleTimeout: 10 * TICK });
  const p = new Uint8Array(1);
  for (let i = 0; i < 5; i++) {
    const read = conn.read(p);
    time.tick(9 * TICK);
    await client.write(bytes`x`);
    assertEquals(await read, 1);
  }
  const last = conn.read(p);
  time.tick(9 * TICK);
  assertFalse(conn.signal.aborted);
  time.tick(2 * TICK);
  await assertTimesOut(last, "idleTimeout");
});

netTest("a byte to the peer renews the idleTimeout of a pending read", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { idleTimeout: 10 * TICK });
  const read = conn.read(new Uint8Array(1));
  for (let i = 0; i < 5; i++) {
    time.tick(9 * TICK);
    await conn.write(bytes`x`);
  }
  assertFalse(conn.signal.aborted);
  time.tick(11 * TICK);
  await assertTimesOut(read, "idleTimeout");
});

Deno.test("idleTimeout counts for a write that waits, too", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using conn = connection(socket, { idleTimeout: 10 * TICK, writeTimeout: Infinity });
  const write = conn.write(bytes`hello`);
  time.tick(9 * TICK);
  socket.writes[0]!.take(1);
  await until(() => socket.writes[0]?.bytes.length === 4);
  time.tick(9 * TICK);
  assertFalse(conn.signal.aborted);
  time.tick(2 * TICK);
  await assertTimesOut(write, "idleTimeout");
});

/** The two ways to begin a read of the socket. */
const READS = [
  (conn: Connection) => conn.read(new Uint8Array(1)),
  (conn: Connection) => conn[Symbol.asyncIterator]().next(),
];

Deno.test("a read that begins behind a write without progress does not renew idleTimeout", async () => {
  using time = new FakeTime();
  for (const begin of READS) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { idleTimeout: 10 * TICK, writeTimeout: Infinity });
    const write = conn.write(bytes`hello`);
    time.tick(9 * TICK);
    const read = begin(conn);
    time.tick(2 * TICK);
    await assertTimesOut(write, "idleTimeout");
    await assertTimesOut(read, "idleTimeout");
  }
});

Deno.test("a write that begins behind a read without a byte renews idleTimeout as it moves", async () => {
  using time = new FakeTime();
  for (const begin of READS) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { idleTimeout: 10 * TICK, writeTimeout: Infinity });
    const read = begin(conn);
    time.tick(5 * TICK);
    const write = conn.write(bytes`hello`);
    time.tick(4 * TICK);
    socket.writes[0]!.take();
    await write;
    time.tick(9 * TICK);
    assertFalse(conn.signal.aborted);
    time.tick(2 * TICK);
    await assertTimesOut(read, "idleTimeout");
  }
});

Deno.test("a byte from the peer renews the idleTimeout of a write that waits", async () => {
  using time = new FakeTime();
  for (const begin of READS) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { idleTimeout: 10 * TICK, writeTimeout: Infinity });
    const write = conn.write(bytes`hello`);
    for (let i = 0; i < 5; i++) {
      const read = begin(conn);
      time.tick(9 * TICK);
      socket.arrive(bytes`x`);
      await read;
    }
    assertFalse(conn.signal.aborted);
    time.tick(2 * TICK);
    await turn();
    time.tick(9 * TICK);
    await assertTimesOut(write, "idleTimeout");
  }
});

netTest("a handler that works for minutes without input or output is not idle", async () => {
  using time = new FakeTime();
  const work = Promise.withResolvers<void>();
  const working = Promise.withResolvers<void>();
  const { ended, onEnd } = noteEnds();
  await using server = serve(
    { ...LOOPBACK, idleTimeout: 10 * TICK, onEnd },
    async (conn) => {
      await conn.read(new Uint8Array(8));
      working.resolve();
      await work.promise;
      await conn.write(bytes`done at last`);
    },
  );
  const client = await dial(server.addr);
  await client.write(bytes`work!`);
  await working.promise;
  time.tick(5 * MINUTE);
  work.resolve();
  assertEquals(text(await readAll(client)), "done at last");
  await until(() => ended.length === 1);
  assertEquals(ended[0]!.reason, "completed");
});

Deno.test("the time in which a handler worked does not count against its next read or write", async () => {
  using time = new FakeTime();
  const operations = [...READS, (conn: Connection) => conn.write(bytes`x`)];
  for (const begin of operations) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { idleTimeout: 10 * TICK, writeTimeout: Infinity });
    time.tick(5 * MINUTE);
    const operation = begin(conn);
    time.tick(9 * TICK);
    assertFalse(conn.signal.aborted);
    time.tick(2 * TICK);
    await assertTimesOut(operation, "idleTimeout");
  }
});

netTest("a connection that is idle without an operation pending stays", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { idleTimeout: TICK, writeTimeout: TICK });
  time.tick(10 * MINUTE);
  assertFalse(conn.signal.aborted);
});

netTest("timeouts of Infinity never come", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { idleTimeout: Infinity, writeTimeout: Infinity });
  const read = conn.read(new Uint8Array(1));
  const write = conn.write(new Uint8Array(64 << 20));
  await until(() => conn.bytesWritten > 0);
  time.tick(24 * 60 * MINUTE);
  assertFalse(conn.signal.aborted);
  conn.close();
  await assertRejects(() => read, Deno.errors.Interrupted);
  await assertRejects(() => write, Deno.errors.Interrupted);
});

netTest(
  "idleTimeout ends a connection whose handler swallows the error, and is its end reason",
  async () => {
    using time = new FakeTime();
    const reading = Promise.withResolvers<Connection>();
    const swallowed = Promise.withResolvers<unknown>();
    const release = Promise.withResolvers<void>();
    const { ended, onEnd } = noteEnds();
    await using server = serve(
      { ...LOOPBACK, idleTimeout: 10 * TICK, onEnd },
      async (conn) => {
        const read = conn.read(new Uint8Array(1));
        reading.resolve(conn);
        await read.catch((error) => swallowed.resolve(error));
        await release.promise;
      },
    );
    const client = await dial(server.addr);
    const conn = await reading.promise;
    time.tick(11 * TICK);
    const error = await swallowed.promise;
    assertEquals(text(await readAll(client)), ""); // closed, though the handler has not returned
    assertStrictEquals(conn.signal.reason, error);
    release.resolve();
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "idle_timeout");
    assertStrictEquals(ended[0]!.error, error);
  },
);

netTest("after a timeout every operation rejects with that error", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { idleTimeout: 10 * TICK });
  const read = conn.read(new Uint8Array(1));
  time.tick(11 * TICK);
  const error = await assertTimesOut(read, "idleTimeout");
  const operations: (() => Promise<unknown>)[] = [
    () => conn.read(new Uint8Array(1)),
    () => conn[Symbol.asyncIterator]().next(),
    () => conn.write(bytes`x`),
    () => conn.closeWrite(),
    () => conn.readable.getReader().read(),
    () => conn.writable.getWriter().write(bytes`x`),
  ];
  for (const operation of operations) {
    assertStrictEquals(await operation().catch((error) => error), error, String(operation));
  }
  await conn.end();
});

netTest("writeTimeout ends a connection whose peer reads nothing", async () => {
  using time = new FakeTime();
  const [socket, client] = await socketPair();
  using _client = client;
  using conn = connection(socket, { writeTimeout: 10 * TICK });
  const write = conn.write(new Uint8Array(64 << 20));
  await until(() => conn.bytesWritten > 0);
  time.tick(11 * TICK);
  const error = await assertTimesOut(write, "writeTimeout");
  assertStrictEquals(conn.signal.reason, error);
});

Deno.test("writeTimeout is never early and a tick late at most", async () => {
  using time = new FakeTime();
  const writeTimeout = 10 * TICK;
  for (let offset = 0; offset < TICK; offset += 7) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { writeTimeout });
    time.tick(offset);
    const write = conn.write(bytes`hello`);
    const lasted = lasts(time, conn, MINUTE);
    assertGreater(lasted, writeTimeout - 1, `begun ${offset} ms after a tick`);
    assertLessOrEqual(lasted, writeTimeout + TICK, `begun ${offset} ms after a tick`);
    await assertTimesOut(write, "writeTimeout");
  }
});

Deno.test("writeTimeout ends a peer that takes one byte every few seconds", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using conn = connection(socket);
  const write = conn.write(new Uint8Array(100_000));
  let seconds = 0;
  while (!conn.signal.aborted && seconds < 300) {
    socket.writes[0]!.take(1);
    await turn();
    time.tick(3000);
    seconds += 3;
  }
  await assertTimesOut(write, "writeTimeout");
  assertEquals(seconds, 33); // 30 s, and at most a tick, seen every 3 s
  assertEquals(conn.bytesWritten, 11);
});

Deno.test("writeTimeout ends a peer that takes 1023 bytes in that time, not one that takes 1024", async () => {
  using time = new FakeTime();
  for (const [n, lives] of [[1023, false], [1024, true]] as const) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { writeTimeout: 10 * TICK });
    const write = conn.write(new Uint8Array(10 * 1024));
    for (let i = 0; i < 9; i++) {
      time.tick(10 * TICK);
      if (conn.signal.aborted) break;
      socket.writes[0]!.take(n);
      await turn();
    }
    assertEquals(!conn.signal.aborted, lives, `${n} bytes`);
    if (!lives) {
      await assertTimesOut(write, "writeTimeout");
      continue;
    }
    socket.writes[0]!.take();
    assertEquals(await write, 10 * 1024);
  }
});

Deno.test("writeTimeout wants the rest of a write where that is less than 1 KiB", async () => {
  using time = new FakeTime();
  for (const whole of [true, false]) {
    const socket = new ScriptedSocket();
    socket.takes = undefined;
    using conn = connection(socket, { writeTimeout: 10 * TICK });
    const write = conn.write(new Uint8Array(1024 + 5));
    socket.writes[0]!.take(1024);
    await turn();
    time.tick(9 * TICK);
    socket.writes[0]!.take(whole ? 5 : 4);
    await turn();
    time.tick(2 * TICK);
    if (whole) assertEquals(await write, 1029);
    else await assertTimesOut(write, "writeTimeout");
  }
});

Deno.test("each write in the queue has a writeTimeout of its own", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  socket.takes = undefined;
  using conn = connection(socket, { writeTimeout: 10 * TICK });
  const writes = Array.from({ length: 5 }, () => conn.write(new Uint8Array(LARGE)));
  for (const write of writes) {
    time.tick(9 * TICK);
    await until(() => socket.writes.length === 1);
    socket.writes[0]!.take();
    assertEquals(await write, LARGE);
  }
  await turns();
  time.tick(MINUTE);
  assertFalse(conn.signal.aborted);
});

Deno.test("a write that is done has no writeTimeout left", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  using conn = connection(socket, { writeTimeout: 10 * TICK });
  await conn.write(bytes`hello`);
  time.tick(MINUTE);
  assertFalse(conn.signal.aborted);
});

netTest(
  "writeTimeout ends a connection whose handler swallows the error, and is its end reason",
  async () => {
    using time = new FakeTime();
    const writing = Promise.withResolvers<Connection>();
    const release = Promise.withResolvers<void>();
    const { ended, onEnd } = noteEnds();
    await using server = serve(
      { ...LOOPBACK, writeTimeout: 10 * TICK, onEnd },
      async (conn) => {
        const write = conn.write(new Uint8Array(64 << 20));
        writing.resolve(conn);
        await write.catch(() => {});
        await release.promise;
      },
    );
    using client = await dial(server.addr);
    const conn = await writing.promise;
    await until(() => conn.bytesWritten > 0);
    time.tick(11 * TICK);
    assert(conn.signal.aborted);
    release.resolve();
    await until(() => ended.length === 1);
    assertEquals(ended[0]!.reason, "write_timeout");
    assertInstanceOf(ended[0]!.error, DOMException);
    assertEquals(ended[0]!.bytesWritten, conn.bytesWritten);
    client.close();
  },
);

netTest("the timeouts of one connection leave the others alone", async () => {
  using time = new FakeTime();
  const pairs = await Promise.all([socketPair(), socketPair()]);
  using _impatientClient = pairs[0][1];
  using _patientClient = pairs[1][1];
  using impatient = connection(pairs[0][0], { idleTimeout: TICK });
  using patient = connection(pairs[1][0], { idleTimeout: MINUTE });
  const reads = [impatient.read(new Uint8Array(1)), patient.read(new Uint8Array(1))] as const;
  time.tick(3 * TICK);
  await assertTimesOut(reads[0], "idleTimeout");
  assertFalse(patient.signal.aborted);
  await pairs[1][1].write(bytes`x`);
  assertEquals(await reads[1], 1);
});

// Limits of a live connection

Deno.test("receiveTimeout ends a connection whose peer says nothing, whatever it is sent", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  using conn = connection(socket, { receiveTimeout: 1000 });
  assertEquals(conn.receiveTimeout, 1000);
  const reading = conn.readLine();
  let passed = 0;
  for (; passed < 3000 && !conn.signal.aborted; passed += 50) {
    await conn.write(bytes`still here`);
    time.tick(50);
  }
  assert(passed >= 1000 && passed <= 1000 + 3 * TICK, `${passed}`);
  await assertTimesOut(reading, "receiveTimeout");
  assertEquals(conn.endReason, "receive_timeout");
});

Deno.test("receiveTimeout does not count the time in which nothing is read, and begins anew with each byte", async () => {
  using time = new FakeTime();
  const socket = new ScriptedSocket();
  using conn = connection(socket, { receiveTimeout: 1000 });
  for (let i = 0; i < 3; i++) {
    time.tick(MINUTE); // the handler does something else
    const line = conn.readLine();
    time.tick(900);
    socket.arrive(bytes`a `);
    await turns(1);
    time.tick(900);
    socket.arrive(bytes`line\n`);
    assertEquals(await line, "a line");
  }
  assertFalse(conn.signal.aborted);
});

Deno.test("idleTimeout and receiveTimeout can be set on a live connection, and count from what has happened", async () => {
  for (const name of ["idleTimeout", "receiveTimeout"] as const) {
    using time = new FakeTime();
    using conn = connection(new ScriptedSocket());
    assertEquals(conn[name], name === "idleTimeout" ? 300_000 : Infinity);
    const reading = conn.read(new Uint8Array(1));
    reading.catch(() => {});
    time.tick(MINUTE);
    conn[name] = MINUTE + 1000.5;
    assertEquals(conn[name], MINUTE + 1000.5);
    const passed = lasts(time, conn, MINUTE);
    assert(passed >= 1000 && passed <= 1000 + 3 * TICK, `${name}: ${passed}`);
    await assertTimesOut(reading, name);
  }
});

Deno.test("idleTimeout and receiveTimeout refuse what is no time, and stay as they were", () => {
  using conn = connection(new ScriptedSocket());
  for (const name of ["idleTimeout", "receiveTimeout"] as const) {
    const before = conn[name];
    for (const [ms, kind, shown] of [[-1, RangeError, "-1"], ["5", TypeError, '"5"']] as const) {
      const error = assertThrows(() => conn[name] = ms as number, kind);
      assertEquals(
        error.message,
        `Cannot change a connection with '${name}' of ${shown}: use milliseconds from 0 up, or Infinity`,
      );
    }
    assertEquals(conn[name], before);
  }
});

// Why

Deno.test("end(detail) and close(detail) say why, the first of them, and close as without", async () => {
  const polite = new ScriptedSocket();
  const ended = connection(polite);
  ended.write(bytes`bye`);
  polite.finish();
  await ended.end("no backend");
  assertEquals(text(polite.taken), "bye");
  assertEquals(polite.finishedAt, [3]);
  assertEquals(ended.endReason, "dismissed");

  const stuck = new ScriptedSocket();
  stuck.takes = undefined;
  const closed = connection(stuck);
  const write = closed.write(bytes`never`);
  closed.close("kicked");
  closed.close("again");
  closed.end("and again");
  await assertRejects(() => write, Deno.errors.Interrupted);
  assert(stuck.closed);
  assertEquals((closed as SocketConnection).life.detail, "kicked");
});

Deno.test("a detail that comes after close() is too late", () => {
  const conn = connection(new ScriptedSocket());
  conn.close();
  conn.close("kicked");
  assertEquals(conn.endReason, undefined);
});

Deno.test("a detail is cut at 200 characters, and must be a text", () => {
  using conn = connection(new ScriptedSocket());
  for (const detail of [5, null, new Event("abort")]) {
    for (const call of ["end", "close"] as const) {
      const error = assertThrows(() => void conn[call](detail as unknown as string), TypeError);
      assertMatch(
        error.message,
        RegExp(`^Cannot ${call} a connection with 'detail' of .*: use a text`),
      );
    }
  }
  assertEquals(conn.endReason, undefined);
  conn.close("x".repeat(1000));
  assertEquals((conn as SocketConnection).life.detail, "x".repeat(200));
});

Deno.test("endReason is there once something has ended the connection, and not before", async () => {
  const socket = new ScriptedSocket();
  const conn = connection(socket);
  assertEquals(conn.endReason, undefined);
  socket.failRead(new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"));
  await conn.read(new Uint8Array(1)).catch(() => {});
  assertEquals(conn.endReason, "peer_reset");
});

netTest(
  "close() from another task ends a loop that waits with Interrupted, and close(detail) is its reason",
  async () => {
    const { server, ended, errors } = serveNoting(async (conn) => {
      for await (const _ of conn);
    });
    await using _server = server;
    for (const detail of [undefined, "kicked"]) {
      const client = await dial(server.addr);
      await until(() => server.connections.size === 1);
      await turns(2);
      const [conn] = server.connections;
      conn!.close(detail);
      assertEquals(text(await readAll(client)), "");
      await until(() => server.connections.size === 0);
    }
    const ends = ended.map(({ reason, detail, error }) => [reason, detail, error]);
    assertEquals(ends, [["completed", undefined, undefined], ["dismissed", "kicked", undefined]]);
    assertEquals(errors, []);
  },
);

netTest(
  "flush() resolves after a polite end that says why, as after one that does not",
  async () => {
    for (const detail of [undefined, "that is all"]) {
      const { server, ended } = serveNoting(async (conn) => {
        const messages = framed(conn, lines());
        await messages.send("bye");
        await conn.end(detail);
        await messages.flush();
      });
      await using _server = server;
      assertEquals(text(await readAll(await dial(server.addr))), "bye\n");
      await until(() => ended.length === 1);
      assertEquals(ended[0]!.reason, detail === undefined ? "completed" : "dismissed");
    }
  },
);
