/** A signal ends the connection of what is under way, and of nothing else. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import {
  type AbortOptions,
  type Connection,
  connection,
  copy,
  framed,
  lines,
  relay,
  serve,
} from "../../mod.ts";
import { bytes } from "../support/bytes.ts";
import { CountedSignal } from "../support/counted_signal.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { ENOUGH_TURNS, turns, until } from "../support/wait.ts";

/** Two connections whose peers take nothing and send nothing. */
function stuck() {
  const [socket, otherSocket] = [new ScriptedSocket(), new ScriptedSocket()];
  socket.takes = undefined;
  return { socket, conn: connection(socket), otherSocket, other: connection(otherSocket) };
}

type Begin = (conn: Connection, other: Connection, options?: AbortOptions) => Promise<unknown>;

/** Begins something that does not end by itself. */
const UNDER_WAY: Record<string, Begin> = {
  "write": (conn, _, options) => conn.write(bytes`x`, options),
  "flush": (conn, _, options) => {
    const io = framed(conn, lines());
    io.send("x");
    return io.flush(options);
  },
  "copy": (conn, other, options) => copy(conn, other, options),
  "relay": (conn, other, options) => relay(conn, other, options),
};

for (const [name, begin] of Object.entries(UNDER_WAY)) {
  Deno.test(`a signal that fires during ${name}() ends the connection, and is what it rejects with`, async () => {
    const { socket, conn, other } = stuck();
    const controller = new AbortController();
    const reason = new RangeError("enough");
    const operation = begin(conn, other, { signal: controller.signal });
    await turns(ENOUGH_TURNS);
    assertFalse(socket.closed);
    controller.abort(reason);
    assert(socket.closed);
    assertStrictEquals(await operation.catch((error) => error), reason);
    assertEquals(conn.endReason, "dismissed");
    assertStrictEquals(conn.signal.reason, reason);
    assertEquals(other.signal.aborted, name === "copy" || name === "relay");
    other.close();
  });

  Deno.test(`a signal that fires after ${name}() has settled ends nothing, and nothing listens to it`, async () => {
    const signal = new CountedSignal();
    const { socket, conn, otherSocket, other } = stuck();
    const operation = begin(conn, other, { signal });
    assertEquals(signal.listeners, 1);
    socket.finish();
    otherSocket.finish();
    await turns(1);
    socket.writes[0]?.take();
    await operation;
    await turns(1);
    assertEquals(signal.listeners, 0);
    signal.abort(new RangeError("late"));
    assertFalse(conn.signal.aborted || other.signal.aborted);
    conn.close();
    other.close();
  });

  Deno.test(`${name}() with a signal that has fired rejects at once, and the connection lives`, async () => {
    const { socket, conn, other } = stuck();
    const reason = new RangeError("enough");
    const operation = begin(conn, other, { signal: AbortSignal.abort(reason) });
    assertStrictEquals(await operation.catch((error) => error), reason);
    assertFalse(conn.signal.aborted);
    if (name === "write") assertEquals(socket.writes, []);
    conn.close();
    other.close();
  });

  Deno.test(`${name}() refuses options that it does not know or cannot use`, async () => {
    const refused: [options: unknown, message: string][] = [
      [{ timeout: 5 }, `Cannot ${name} with an unknown option 'timeout': known here are signal`],
      [null, `Cannot ${name} with null as options: use an object`],
      [{ signal: {} }, `Cannot ${name} with a 'signal' that is none: use an AbortSignal`],
    ];
    for (const [options, message] of refused) {
      const { conn, other } = stuck();
      const error = await begin(conn, other, options as AbortOptions).catch((error) => error);
      assertInstanceOf(error, TypeError);
      assertEquals(error.message, message);
      assertFalse(conn.signal.aborted);
      conn.close();
      other.close();
    }
  });
}

netTest(
  "a write to a peer that does not read ends by its signal, and the record says so",
  async () => {
    const { ended, onEnd } = noteEnds();
    const controller = new AbortController();
    await using server = serve({ ...LOOPBACK, onEnd }, async (conn) => {
      await conn.write(new Uint8Array(64 << 20), { signal: controller.signal });
    });
    const client = await dial(server.addr);
    await until(() => server.stats().bytesWritten > 0);
    await turns(ENOUGH_TURNS);
    controller.abort();
    await until(() => ended.length === 1);
    assertEquals([ended[0]!.reason, ended[0]!.detail], ["dismissed", "write aborted"]);
    assertStrictEquals(ended[0]!.error, controller.signal.reason);
    await readAll(client);
  },
);

netTest("promises of what was aborted may be left alone", async () => {
  const controller = new AbortController();
  await using server = serve(LOOPBACK, async (conn) => {
    for (let i = 0; i < 2; i++) conn.write(new Uint8Array(8 << 20), { signal: controller.signal });
    await until(() => conn.signal.aborted);
  });
  using _client = await dial(server.addr);
  await until(() => server.stats().bytesWritten > 0);
  controller.abort();
  await until(() => server.stats().ended.dismissed === 1);
});
