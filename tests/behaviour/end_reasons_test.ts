/** Each end reason has its cause and its record. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { stub } from "@std/testing/mock";
import { formatAddress } from "../../lib/format_address.ts";
import { metricsText } from "../../lib/watch/prometheus.ts";
import { FakeTime } from "@std/testing/time";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import {
  type Connection,
  type EndReason,
  type EndRecord,
  framed,
  lines,
  ProtocolError,
  ProxyHeaderError,
  type ReadOptions,
  relay,
  serve,
  type ServeAddressOptions,
  type Server,
  type ServeSettings,
  type TlsListenOptions,
} from "../../mod.ts";
import { arrived, BEHIND } from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { connectResettable, dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";
import { type ScriptedListener, scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** The parts that a row uses. */
interface Scene {
  server: Server<Deno.NetAddr>;
  time: FakeTime;
  /** Gives the server a scripted socket. */
  foreign: ScriptedListener;
  /** Records so far. */
  ended: EndRecord[];
}

/** One end reason: how it is provoked, and its record. */
interface Row {
  settings?: ServeSettings;
  /** Options of the address. */
  address?: TlsListenOptions & ServeAddressOptions;
  /** Serves the connections; without one, none may be served. */
  handler?: (conn: Connection) => Promise<unknown>;
  /** Provokes the end; what it opened is closed by `using` or by itself. */
  provoke: (scene: Scene) => Promise<void>;
  /** The connection that the record is about; 1 if not given. */
  id?: number;
  /** The record besides the reason and the addresses. */
  record: {
    error?: (error: unknown) => boolean;
    detail?: string;
    bytesRead?: number;
    bytesWritten?: number;
  };
}

const notServed = () => Promise.reject(new TypeError("No connection was to be served"));
const never = () => new Promise<never>(() => {});
const readOne = (conn: Connection, options?: ReadOptions) => conn.read(new Uint8Array(1), options);
const isTimeout = (error: unknown) =>
  error instanceof DOMException && error.name === "TimeoutError";

/** Connects, waits until it is served, and does something before it leaves. */
async function visit(
  { server }: Scene,
  then: (client: Deno.TcpConn) => unknown = () => {},
): Promise<void> {
  const { accepted } = server.stats();
  using client = await dial(server.addr);
  await until(() => server.stats().accepted > accepted);
  await then(client);
}

/** Advances time tick by tick, with what follows from each. */
async function pass({ time }: Scene, ms: number): Promise<void> {
  for (; ms > 0; ms -= 100) {
    time.tick(100);
    await turns(1);
  }
}

/** Comes a second time from the same address, and is let go without a word. */
const secondIsRefused = (scene: Scene): Promise<void> =>
  visit(scene, async () => {
    const second = await dial(scene.server.addr);
    assertEquals(await readAll(second), bytes``);
    await until(() => scene.ended.length > 0);
  });

/** A connection has it of a fleet only, and then no record: tests/fleet/place_test.ts. */
type Recorded = Exclude<EndReason, "worker_lost">;

/** A row for each reason: without one for a new reason, this does not compile. */
const ROWS: Record<Recorded, Row> = {
  completed: {
    handler: echo,
    provoke: async ({ server }) => {
      const client = await dial(server.addr);
      await client.write(bytes`hello`);
      await readExactly(client, 5);
      await client.closeWrite();
      await readAll(client);
    },
    record: { bytesRead: 5, bytesWritten: 5 },
  },
  peer_closed_early: {
    handler: async (conn) => {
      await readOne(conn); // null: the peer has closed
      for (;;) await conn.write(bytes`are you there?`);
    },
    provoke: (scene) => visit(scene),
    record: { error: (error) => error instanceof Deno.errors.BrokenPipe, bytesRead: 0 },
  },
  peer_reset: {
    handler: readOne,
    provoke: async ({ server }) => {
      const client = await connectResettable(server.addr);
      await until(() => server.connections.size === 1);
      await client.reset();
    },
    record: { error: (error) => error instanceof Deno.errors.ConnectionReset },
  },
  network_error: {
    handler: readOne,
    provoke: ({ foreign }) => {
      const socket = new ScriptedSocket();
      foreign.play(socket);
      socket.failRead(new Deno.errors.TimedOut("Connection timed out (os error 110)"));
      return Promise.resolve();
    },
    record: { error: (error) => error instanceof Deno.errors.TimedOut },
  },
  handler_error: {
    handler: () => Promise.reject(new RangeError("division by cucumber")),
    provoke: (scene) => visit(scene, (client) => client.read(new Uint8Array(1))),
    record: { error: (error) => error instanceof RangeError, bytesRead: 0, bytesWritten: 0 },
  },
  protocol_error: {
    handler: () => Promise.reject(new ProtocolError("say HELO first")),
    provoke: (scene) => visit(scene, (client) => client.read(new Uint8Array(1))),
    record: { error: (error) => error instanceof ProtocolError, bytesRead: 0, bytesWritten: 0 },
  },
  idle_timeout: {
    handler: readOne,
    provoke: (scene) =>
      visit(scene, async (client) => {
        scene.time.tick(299_900);
        assertEquals(scene.ended.length, 0);
        scene.time.tick(300);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 0 },
  },
  receive_timeout: {
    settings: { receiveTimeout: 1000 },
    handler: async (conn) => {
      const reading = readOne(conn);
      for (; !conn.signal.aborted; await turns(1)) await conn.write(bytes`still here`);
      await reading;
    },
    provoke: (scene) =>
      visit(scene, async (client) => {
        assertGreater(await client.read(new Uint8Array(10)) ?? 0, 0);
        await pass(scene, 900);
        assertEquals(scene.ended.length, 0);
        await pass(scene, 300);
      }),
    record: { error: isTimeout, bytesRead: 0 },
  },
  deadline: {
    handler: async (conn) => {
      using _ = conn.deadline(2000);
      for await (const chunk of conn) await conn.write(chunk);
    },
    provoke: (scene) =>
      visit(scene, async (client) => {
        for (let i = 0; i < 19; i++) { // whatever it reads and writes
          await client.write(bytes`x`);
          assertEquals(await client.read(new Uint8Array(1)), 1);
          scene.time.tick(100);
        }
        assertEquals(scene.ended.length, 0);
        await pass(scene, 300);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 19, bytesWritten: 19 },
  },
  dismissed: {
    handler: async (conn) => {
      conn.write(bytes`bye`);
      await conn.end("kicked");
    },
    provoke: (scene) =>
      visit(scene, async (client) => assertEquals(text(await readAll(client)), "bye")),
    record: { detail: "kicked", bytesRead: 0, bytesWritten: 3 },
  },
  memory_limit: {
    settings: { maxBuffered: 65_536 },
    handler: (conn) => conn.readExactly(200_000, { limit: 200_000 }),
    provoke: (scene) =>
      visit(scene, async (client) => {
        for (let i = 0; i < 150 && scene.ended.length === 0; i++) {
          await client.write(new Uint8Array(1000)).catch(() => {});
          await turns(1);
        }
        await until(() => scene.ended.length > 0);
      }),
    record: { error: (error) => error instanceof Deno.errors.Interrupted },
  },
  relay_failed: {
    handler: async (conn) => {
      const upstream = new ScriptedSocket();
      upstream.failRead(new Deno.errors.ConnectionReset("Connection reset by peer (os error 104)"));
      await relay(conn, upstream);
    },
    provoke: (scene) =>
      visit(scene, async (client) => {
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: (error) => error instanceof Deno.errors.ConnectionReset, bytesRead: 0 },
  },
  max_age: {
    settings: { maxAge: 10_000, shutdownTimeout: 2000 },
    handler: async (conn) => {
      while (await readOne(conn) !== null); // which does not look at `draining`
    },
    provoke: (scene) =>
      visit(scene, async (client) => {
        await pass(scene, 8900);
        const [conn] = scene.server.connections;
        assertFalse(conn!.draining);
        await pass(scene, 2200);
        assert(conn!.draining);
        assertEquals(conn!.drainSignal.reason.message, "The connection has reached 'maxAge'");
        assertEquals(scene.ended.length, 0);
        await pass(scene, 2200);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 0 },
  },
  frame_timeout: {
    handler: async (conn) => {
      for await (const _line of framed(conn, lines()));
    },
    provoke: (scene) =>
      visit(scene, async (client) => {
        await client.write(bytes`HEL`); // and never the rest of the line
        await until(() => scene.server.stats().bytesRead === 3);
        scene.time.tick(30_000);
        assertEquals(scene.ended.length, 0);
        scene.time.tick(200);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 3 },
  },
  read_timeout: {
    handler: (conn) => conn.readLine({ timeout: 2000 }),
    provoke: (scene) =>
      visit(scene, async (client) => {
        await client.write(bytes`HEL`);
        await until(() => scene.server.stats().bytesRead === 3);
        await pass(scene, 1900);
        assertEquals(scene.ended.length, 0);
        await pass(scene, 300);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 3, bytesWritten: 0 },
  },
  read_aborted: {
    handler: (conn) => readOne(conn, { signal: AbortSignal.timeout(2000) }),
    provoke: (scene) =>
      visit(scene, async (client) => {
        await pass(scene, 1900);
        assertEquals(scene.ended.length, 0);
        await pass(scene, 100);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 0, bytesWritten: 0 },
  },
  write_timeout: {
    handler: (conn) => conn.write(new Uint8Array(64 << 20)),
    provoke: (scene) =>
      visit(scene, async () => {
        // The kernel's buffers take some megabytes first, each kilobyte of which is progress.
        while (scene.ended.length === 0) {
          scene.time.tick(10_000);
          await turns();
        }
      }),
    record: { error: isTimeout },
  },
  write_overflow: {
    settings: { maxUnsent: 1024 },
    handler: async (conn) => {
      conn.write(new Uint8Array(64 << 20));
      conn.write(new Uint8Array(1024)); // waits, and may
      await conn.write(new Uint8Array(1));
    },
    provoke: (scene) => visit(scene, () => until(() => scene.ended.length > 0)),
    record: { error: (error) => error instanceof Deno.errors.WouldBlock },
  },
  handshake_timeout: {
    address: BEHIND,
    provoke: (scene) =>
      visit(scene, async (client) => {
        await client.write(bytes`PROXY `); // and never who
        await until(() => arrived(scene.server) === 6);
        scene.time.tick(10_000);
        assertEquals(scene.ended.length, 0);
        scene.time.tick(200);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: isTimeout, bytesRead: 0 },
  },
  handshake_failed: {
    address: { ...certificate },
    provoke: (scene) =>
      visit(scene, async (client) => {
        await client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
        await until(() => scene.ended.length > 0);
      }),
    // No handler could have read any of these bytes.
    record: { error: (error) => error instanceof Error, bytesRead: 0, bytesWritten: 0 },
  },
  proxy_header_invalid: {
    address: BEHIND,
    provoke: (scene) =>
      visit(scene, async (client) => {
        await client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
        await until(() => scene.ended.length > 0);
      }),
    record: { error: (error) => error instanceof ProxyHeaderError, bytesWritten: 0 },
  },
  health_check: {
    address: BEHIND,
    provoke: (scene) => visit(scene),
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  refused_full: {
    settings: { maxConnections: 1, whenFull: bytes`full` },
    handler: readOne,
    provoke: (scene) =>
      visit(scene, async () => {
        const second = await dial(scene.server.addr);
        assertEquals(await readAll(second), bytes`full`);
        await until(() => scene.ended.length > 0);
      }),
    id: 2,
    record: { bytesRead: 0, bytesWritten: 4 },
  },
  refused_peer_limit: {
    settings: { maxConnectionsPerPeer: 1 },
    handler: readOne,
    provoke: secondIsRefused,
    id: 2,
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  refused_address: {
    settings: { deny: ["127.0.0.0/8"] },
    provoke: (scene) =>
      visit(scene, async (client) => {
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  refused_handshaking: {
    settings: { maxHandshaking: 1 },
    address: BEHIND,
    provoke: (scene) =>
      visit(scene, async (client) => {
        using _second = await dial(scene.server.addr);
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  refused_rate: {
    settings: { maxRatePerPeer: { rate: 1, per: 60_000 } },
    handler: readOne,
    provoke: secondIsRefused,
    id: 2,
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  refused_admit: {
    settings: { admit: () => Promise.resolve(false) },
    provoke: (scene) =>
      visit(scene, async (client) => {
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { bytesRead: 0, bytesWritten: 0 },
  },
  forced: {
    handler: readOne,
    provoke: (scene) =>
      visit(scene, async (client) => {
        scene.server.shutdown({ timeout: 0 });
        assertEquals(await client.read(new Uint8Array(1)), null);
      }),
    record: { error: (error) => error instanceof Deno.errors.Interrupted },
  },
  abandoned: {
    handler: never,
    provoke: (scene) =>
      visit(scene, () => {
        scene.server.shutdown({ timeout: 0 });
        scene.time.tick(1000);
      }),
    record: { error: (error) => error instanceof Deno.errors.Interrupted },
  },
};

/** What causes each end, and the one line that it writes to stderr by default; most write none. */
const CAUSES: Record<Recorded, { by: "peer" | "network" | "program" | "server"; log?: RegExp }> = {
  completed: { by: "program" },
  peer_closed_early: { by: "peer" },
  peer_reset: { by: "peer" },
  network_error: { by: "network" },
  handler_error: {
    by: "program",
    log:
      /^usher: connection 1 from tcp:.*: RangeError: division by cucumber \(at .*end_reasons_test/,
  },
  protocol_error: { by: "peer" },
  idle_timeout: { by: "peer" },
  receive_timeout: { by: "peer" },
  frame_timeout: { by: "peer" },
  read_timeout: { by: "peer" },
  read_aborted: { by: "program" },
  write_timeout: { by: "peer" },
  write_overflow: { by: "peer" },
  deadline: { by: "peer" },
  dismissed: { by: "program" },
  memory_limit: { by: "peer" },
  relay_failed: { by: "network" },
  max_age: { by: "program" },
  handshake_timeout: { by: "peer" },
  handshake_failed: { by: "peer" },
  proxy_header_invalid: { by: "peer" },
  health_check: { by: "peer" },
  refused_full: { by: "server", log: /^usher: 1 refused in \d+ s: 1 full/ },
  refused_peer_limit: { by: "server", log: /^usher: 1 refused in \d+ s: 1 per-peer limit/ },
  refused_address: { by: "server", log: /^usher: 1 refused in \d+ s: 1 address/ },
  refused_handshaking: {
    by: "server",
    log: /^usher: 1 refused in \d+ s: 1 displaced in the handshake/,
  },
  refused_rate: { by: "server", log: /^usher: 1 refused in \d+ s: 1 per-peer rate/ },
  refused_admit: { by: "program", log: /^usher: 1 refused in \d+ s: 1 not admitted/ },
  forced: { by: "server" },
  abandoned: { by: "program" },
};

/** Of a connection whose worker died there is no record. */
const RECORDED = END_REASONS.filter((reason) => reason !== "worker_lost");

for (const reason of RECORDED) {
  const { by, log } = CAUSES[reason];
  netTest(
    `${reason}: caused by the ${by}, in one record, one metric and ${
      log ? "one line" : "no line"
    } of the log`,
    async () => {
      using stderr = stub(console, "error", () => {});
      const { settings, address, handler = notServed, provoke, id = 1, record } = ROWS[reason];
      using time = new FakeTime();
      const { ended, onEnd } = noteEnds();
      const foreign = scriptedListener([]);
      const server = serve({
        ...settings,
        listeners: [{ ...LOOPBACK, ...address }, foreign],
        onEnd,
      }, handler) as Server<Deno.NetAddr>;

      await provoke({ server, time, foreign, ended });
      const about = () => ended.filter((record) => record.id === id);
      await until(() => about().length > 0);
      await server.shutdown();

      const [{ error, bytesRead, bytesWritten, ...rest }, ...more] = about() as [EndRecord];
      assertEquals([rest.reason, more], [reason, []]);
      assertEquals(
        rest.listenerName,
        formatAddress(id === 1 && reason === "network_error" ? foreign.addr : server.addr),
      );
      const lines = stderr.calls.map(({ args }) => String(args[0]));
      assertEquals(lines.length, log === undefined ? 0 : 1, lines.join("\n"));
      if (log !== undefined) assertMatch(lines[0]!, log);
      assertStringIncludes(
        metricsText(server),
        `usher_connections_ended_total{reason="${reason}"} 1\n`,
      );
      assert(record.error?.(error) ?? error === undefined, `error is ${error}`);
      assertEquals(rest.detail, record.detail);
      assertEquals(bytesRead, record.bytesRead ?? bytesRead);
      assertEquals(bytesWritten, record.bytesWritten ?? bytesWritten);
      assertEquals(rest.remoteAddr, rest.peerAddr);

      const { accepted, active, ended: counts } = server.stats();
      assertEquals(counts[reason], 1);
      assertEquals([active, accepted], [0, ended.length]);
      assertEquals(Object.values(counts).reduce((sum, count) => sum + count), accepted);
    },
  );
}

Deno.test("every end reason has a row, and every row a reason", () => {
  assertEquals(Object.keys(ROWS).toSorted(), RECORDED.toSorted());
});
