/** An in-memory connection behaves as a real one. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { type End, pair } from "../../lib/testing/pair.ts";
import { catchFrom, type Caught } from "../support/caught.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { resettablePair, socketPair } from "../support/peers.ts";
import { turn, turns } from "../support/wait.ts";

const EPIPE = "BrokenPipe EPIPE Broken pipe (os error 32)";
const ECONNRESET = "ConnectionReset ECONNRESET Connection reset by peer (os error 104)";
const EINTR = "Interrupted EINTR operation canceled";
const EBADF = "BadResource undefined Bad resource ID";

function words({ kind, code, message }: Caught): string {
  return `${kind} ${code} ${message}`;
}

/** The error that `run` rejects with, in words. */
async function failure(run: () => Promise<unknown>): Promise<string> {
  return words(await catchFrom(run));
}

/** Reads once: text, or `null`. */
async function read(conn: Deno.Conn, size = 100): Promise<string | null> {
  const p = new Uint8Array(size);
  const n = await conn.read(p);
  return n === null ? null : text(p.subarray(0, n));
}

/** Writes until it fails, and returns the error. Leaves time for the peer's reset to arrive. */
function failureOfWriting(conn: Deno.Conn): Promise<string> {
  return failure(async () => {
    for (let i = 0; i < 100; i++) {
      await conn.write(bytes`x`);
      await turns();
    }
  });
}

/** Writes far more than fits; returns the pending write once it waits. */
async function fill(conn: Deno.Conn): Promise<{ writing: Promise<unknown> }> {
  const p = new Uint8Array(4_194_304);
  let writes = 0;
  const writing = (async () => {
    // A kernel that is still moving bytes accepts a little more, however long one waits.
    for (; writes < 100; writes++) await conn.write(p);
  })();
  writing.catch(() => {});
  for (let before = -1; before < writes;) {
    before = writes;
    await turns(50);
  }
  return { writing };
}

/** Holds for both kinds: `near` and `far` are the two ends. */
const SCENARIOS: Record<string, (near: Deno.Conn, far: Deno.Conn) => Promise<void>> = {
  async "gives what was written, and null at the end, again and again"(near, far) {
    assertEquals(await near.write(bytes`hello`), 5);
    near.close();
    assertEquals(await read(far), "hello");
    assertEquals([await read(far), await read(far)], [null, null]);
    far.close();
  },
  async "gives a read as much as it has room for, and several in their order"(near, far) {
    const reads = [read(far, 4), read(far, 100)];
    await near.write(bytes`abcdefgh`);
    assertEquals(await Promise.all(reads), ["abcd", "efgh"]);
    near.close();
    far.close();
  },
  async "goes on in one direction when the other has ended"(near, far) {
    await near.closeWrite();
    await near.closeWrite();
    assertEquals(await read(far), null);
    await far.write(bytes`still here`);
    assertEquals(await read(near), "still here");
    assertEquals(await failure(() => near.write(bytes`x`)), EPIPE);
    near.close();
    far.close();
  },
  async "rejects what waits when it is closed, and what comes later"(near, far) {
    const reading = failure(() => read(near));
    near.close();
    assertEquals(await reading, EINTR);
    assertEquals(await failure(() => read(near)), EBADF);
    assertEquals(await failure(() => near.write(bytes`x`)), EBADF);
    assertEquals(await failure(() => near.closeWrite()), EBADF);
    assertThrows(() => near.close(), Deno.errors.BadResource, "Bad resource ID");
    near[Symbol.dispose]();
    assertEquals(await near.read(new Uint8Array(0)), 0);
    far.close();
  },
  async "rejects a write that waits when it is closed"(near, far) {
    const { writing } = await fill(near);
    near.close();
    assertEquals(await failure(() => writing), EINTR);
    far.close();
  },
  async "takes nothing more after its peer has closed"(near, far) {
    far.close();
    assertEquals(await failureOfWriting(near), EPIPE);
    assertEquals(await read(near), null);
    near.close();
  },
  async "gives what a peer said before it closed without having read all"(near, far) {
    await near.write(bytes`a question`);
    assertEquals(await read(far, 1), "a");
    await far.write(bytes`an answer`);
    far.close();
    await turns();
    assertEquals(await read(near), "an answer");
    assertEquals(await read(near), null);
    assertEquals(await failureOfWriting(near), EPIPE);
    near.close();
  },
  async "rejects a write that waits when its peer closes"(near, far) {
    const { writing } = await fill(near);
    far.close();
    assertEquals(await failure(() => writing), EPIPE);
    near.close();
  },
  async "sends the end behind a write that waits"(near, far) {
    const { writing } = await fill(near);
    const ending = near.closeWrite();
    const p = new Uint8Array(1_048_576);
    for (let n; (n = await far.read(p)) !== null;) assertEquals(n > 0, true);
    await ending;
    assertEquals(await failure(() => writing), EPIPE); // a write behind it
    near.close();
    far.close();
  },
  async "closes as a whole when its stream has been read to the end"(near, far) {
    near.write(bytes`hello`).then(() => near.close());
    assertEquals(await new Response(far.readable).text(), "hello");
    assertEquals(await failure(() => far.write(bytes`x`)), EBADF);
  },
  async "closes as a whole when its reader cancels"(near, far) {
    await far.readable.cancel();
    assertEquals(await failure(() => far.write(bytes`x`)), EBADF);
    near.close();
  },
  async "writes a stream whole, and closes as a whole behind it"(near, far) {
    const writer = near.writable.getWriter();
    await writer.write(bytes`hello`);
    await writer.close();
    assertEquals(await read(far), "hello");
    assertEquals(await read(far), null);
    assertEquals(await failure(() => near.write(bytes`x`)), EBADF);
    far.close();
  },
};

for (const [name, run] of Object.entries(SCENARIOS)) {
  Deno.test(`pair(): an end ${name}`, () => run(...pair()));
  netTest(`pair() is right: a socket ${name}`, async () => run(...await socketPair()), {
    os: ["linux"],
  });
}

/** A connection that the other side can reset. */
interface Resettable {
  readonly near: Deno.Conn;
  readonly say: (p: Uint8Array) => unknown;
  readonly reset: () => unknown;
}

const RESETS: Record<string, (peer: Resettable) => Promise<void>> = {
  async "reports a reset to a pending read once, and then the end of the stream"(
    { near, reset },
  ) {
    const reading = failure(() => read(near));
    await turns();
    await reset();
    assertEquals(await reading, ECONNRESET);
    assertEquals(await read(near), null);
    assertEquals(await failure(() => near.write(bytes`x`)), EPIPE);
    near.close();
  },
  async "gives the bytes before a reset, then reports it"({ near, say, reset }) {
    await say(bytes`last words`);
    await turns();
    await reset();
    await turns();
    assertEquals(await read(near), "last words");
    assertEquals(await failure(() => read(near)), ECONNRESET);
    assertEquals(await read(near), null);
    near.close();
  },
  async "reports a reset to the first write, and a broken pipe to the next ones"(
    { near, reset },
  ) {
    await reset();
    await turns();
    assertEquals(await failure(() => near.write(bytes`x`)), ECONNRESET);
    assertEquals(await failure(() => near.write(bytes`x`)), EPIPE);
    await near.closeWrite();
    near.close();
  },
  async "reports a reset to a pending write"({ near, reset }) {
    const { writing } = await fill(near);
    await reset();
    assertEquals(await failure(() => writing), ECONNRESET);
    near.close();
  },
};

for (const [name, run] of Object.entries(RESETS)) {
  Deno.test(`pair(): an end ${name}`, async () => {
    const [near, far] = pair();
    await run({ near, say: (p) => far.write(p), reset: () => far.reset() });
  });
  netTest(`pair() is right: a socket ${name}`, async () => {
    const [near, peer] = await resettablePair();
    await run({ near, say: (p) => peer.write(p), reset: () => peer.reset() });
  }, { os: ["linux"] });
}

Deno.test("pair(): both ends see a reset, whichever made it", async () => {
  const [near, far] = pair();
  const both = [failure(() => read(near)), failure(() => read(far))];
  far.reset();
  far.reset();
  assertEquals(await Promise.all(both), [ECONNRESET, ECONNRESET]);
});

Deno.test("pair(): one write after the peer has closed is accepted, as by the kernel", async () => {
  const [near, far] = pair();
  far.close();
  assertEquals(await near.write(bytes`lost`), 4);
  assertEquals(await failure(() => near.write(bytes`x`)), EPIPE);
});

Deno.test("pair(): a read returns bytes of one write only", async () => {
  const [near, far] = pair();
  for (const word of ["one", "two", ""]) await near.write(bytes`${word}`);
  await near.closeWrite();
  assertEquals([await read(far), await read(far), await read(far)], ["one", "two", null]);
});

Deno.test("pair(): a buffer may change after the write, whatever kind of Uint8Array it is", async () => {
  const { Buffer } = await import("node:buffer");
  const [near, far] = pair();
  for (const p of [bytes`right`, Buffer.from("right")]) {
    await near.write(p);
    p.fill(0);
    assertEquals(await read(far), "right");
  }
});

Deno.test("pair(): transferring a buffer while its operation waits affects only that end", async () => {
  const [near, far] = pair({ toSecond: { capacity: 4 } });
  const room = new Uint8Array(2);
  const reading = far.read(room);
  structuredClone(room, { transfer: [room.buffer] });
  assertEquals(await near.write(bytes`abcdef`), 4);
  assertEquals(await reading, 2);
  await near.write(bytes`gh`);
  const late = bytes`late`;
  const writing = near.write(late);
  structuredClone(late, { transfer: [late.buffer] });
  assertEquals([await read(far), await writing, await read(far)], ["cd", 0, "gh"]);
  near.close();
  assertEquals(await read(far), null);
});

Deno.test("pair(): anything but bytes is refused, and ends nothing", async () => {
  const [near, far] = pair();
  const wrong = "text" as unknown as Uint8Array;
  assertEquals(
    await failure(() => near.write(wrong)),
    "TypeError undefined Cannot write what is no Uint8Array: use one",
  );
  assertEquals(
    await failure(() => near.read(wrong)),
    "TypeError undefined Cannot read into what is no Uint8Array: use one",
  );
  await near.write(bytes`right`);
  assertEquals(await read(far), "right");
});

Deno.test("pair(): each end has its address in the options, and its peer the other one", () => {
  const tcp = (port: number) => ({ transport: "tcp", hostname: "192.0.2.9", port }) as const;
  const [near, far] = pair({ addrs: [tcp(1), tcp(2)] });
  const where = ({ localAddr, remoteAddr }: End) => [localAddr.port, remoteAddr.port];
  assertEquals([where(near), where(far)], [[1, 2], [2, 1]]);
  const [client, server] = pair();
  assertEquals(client.localAddr, server.remoteAddr);
  assertEquals(server.localAddr, client.remoteAddr);
});

Deno.test("pair(): bytesPerRead limits reads, only in its direction", async () => {
  const [near, far] = pair({ toSecond: { bytesPerRead: 1 } });
  await near.write(bytes`ab`);
  await far.write(bytes`cd`);
  assertEquals([await read(far), await read(far), await read(near)], ["a", "b", "cd"]);
});

Deno.test("pair(): bytesPerWrite makes writes partial", async () => {
  const [near, far] = pair({ toSecond: { bytesPerWrite: 3 } });
  assertEquals(await near.write(bytes`abcde`), 3);
  assertEquals(await read(far), "abc");
  const writer = near.writable.getWriter();
  await writer.write(bytes`fghij`); // whole, as with Deno's streams
  assertEquals([await read(far), await read(far)], ["fgh", "ij"]);
});

Deno.test("pair(): a write waits while the buffer is full", async () => {
  const [near, far] = pair({ toSecond: { capacity: 4 } });
  assertEquals(await near.write(bytes`abcdef`), 4);
  let taken: number | undefined;
  const writing = near.write(bytes`ef`).then((n) => taken = n);
  await turn();
  assertEquals(taken, undefined);
  assertEquals(await read(far, 1), "a");
  assertEquals(await writing, 1);
  near.close();
  assertEquals([await read(far), await read(far), await read(far)], ["bcd", "e", null]);
});

Deno.test("pair(): after a stall neither bytes nor the end arrive, but a reset does", async () => {
  const [near, far] = pair({ toSecond: { stallAfter: 3, capacity: 5 } });
  assertEquals(await near.write(bytes`abcd`), 4);
  assertEquals(await read(far), "abc");
  let heard = false;
  const reading = failure(() => read(far)).finally(() => heard = true);
  assertEquals(await near.write(bytes`efghi`), 4);
  await near.closeWrite();
  await turns();
  assertEquals(heard, false);
  near.reset();
  assertEquals(await reading, ECONNRESET);
});

Deno.test("pair(): a stall after 0 bytes holds back an immediate end", async () => {
  const [near, far] = pair({ toSecond: { stallAfter: 0 } });
  const reading = read(far);
  near.close();
  assertEquals(await Promise.race([reading, turns()]), undefined);
});

for (const [direction, other] of [["toFirst", "toSecond"], ["toSecond", "toFirst"]] as const) {
  Deno.test(`pair(): a reset comes after its byte, ${direction}`, async () => {
    const ends = pair({ [direction]: { resetAfter: 3 }, [other]: { resetAfter: 100 } });
    const [writer, reader] = direction === "toSecond" ? ends : ends.toReversed();
    assertEquals(await writer!.write(bytes`ab`), 2);
    assertEquals(await writer!.write(bytes`cde`), 1);
    assertEquals(await failure(() => writer!.write(bytes`de`)), ECONNRESET);
    assertEquals([await read(reader!), await read(reader!)], ["ab", "c"]);
    assertEquals(await failure(() => read(reader!)), ECONNRESET);
  });
}

Deno.test("pair(): a reset may come before the first byte", async () => {
  const [near, far] = pair({ toFirst: { resetAfter: 0 } });
  assertEquals(await failure(() => near.write(bytes`x`)), ECONNRESET);
  assertEquals(await failure(() => read(far)), ECONNRESET);
});

Deno.test("pair(): two ends that talk without pause let the event loop turn", async () => {
  const [near, far] = pair();
  const p = new Uint8Array(10);
  let over = false;
  const talk = async (conn: Deno.Conn) => {
    while (!over) {
      await conn.write(bytes`x`);
      await conn.read(p);
    }
  };
  const talking = [talk(near), talk(far)];
  await turns();
  over = true;
  near.close();
  far.close();
  await Promise.allSettled(talking);
});

Deno.test("pair() refuses unknown options and invalid faults", () => {
  const wrong = (options: unknown) => () => pair(options as Parameters<typeof pair>[0]);
  assertThrows(wrong(null), TypeError, "Cannot make a pair with null as options: use an object");
  assertThrows(
    wrong({ toServer: {} }),
    TypeError,
    "Cannot make a pair with an unknown option 'toServer': known here are addrs, toFirst, toSecond",
  );
  assertThrows(
    wrong({ toFirst: { capacity: 0 } }),
    RangeError,
    "Cannot make a pair with 'toFirst.capacity' of 0: use a whole number from 1 up, or Infinity",
  );
});
