/** Statistics count exactly what happens. @module */

import { assert, assertEquals } from "@std/assert";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import type { ServedConnection } from "../../lib/server/served_connection.ts";
import { refusalCause, Statistics } from "../../lib/server/statistics.ts";
import { connect } from "../../lib/testing/mod.ts";
import { type EndReason, serve, type ServerStats } from "../../mod.ts";
import { accountedFor, arrived, BEHIND, dialSaying, proxied } from "../support/balancer.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, readExactly, writeAll } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { echo } from "../support/handlers.ts";

netTest("stats() has every count from the start, at 0", async () => {
  await using server = serve(LOOPBACK, async () => {});
  const { durations, ...counts } = server.stats();
  assertEquals(counts, {
    accepted: 0,
    active: 0,
    handshaking: 0,
    refused: { full: 0, peerLimit: 0, address: 0, handshaking: 0, rate: 0, admit: 0 },
    ended: Object.fromEntries(END_REASONS.map((reason) => [reason, 0])) as ServerStats["ended"],
    dismissed: {},
    acceptFailures: { aborted: 0, resources: 0 },
    bytesRead: 0,
    bytesWritten: 0,
    saturatedFor: 0,
    buffered: 0,
  });
  assertEquals(durations.sum, 0);
  assertEquals(durations.counts, Array(durations.bounds.length + 1).fill(0));
});

netTest("stats() is a snapshot: it does not change later", async () => {
  await using server = serve(LOOPBACK, async () => {});
  const before = server.stats();
  const copy = structuredClone(before);
  await readAll(await dial(server.addr));
  await until(() => server.stats().ended.completed === 1);
  assertEquals(before, copy);
});

netTest("stats() counts the bytes of running connections and of those that are over", async () => {
  await using server = serve(LOOPBACK, async (conn) => {
    for await (const chunk of conn) {
      await conn.write(chunk);
      await conn.write(bytes`!`);
    }
  });
  for (let i = 1; i <= 2; i++) {
    const client = await dial(server.addr);
    await client.write(bytes`12345`);
    await readExactly(client, 6);
    await until(() => server.stats().bytesWritten === 6 * i);
    assertEquals([server.stats().bytesRead, server.stats().active], [5 * i, 1]);
    client.close();
    await until(() => server.stats().active === 0);
    assertEquals([server.stats().bytesRead, server.stats().bytesWritten], [5 * i, 6 * i]);
  }
});

netTest("stats() counts a connection that waits for a slot as accepted and active", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  server.pause();
  using client = await dial(server.addr);
  await until(() => server.connections.size === 1);
  assertEquals([server.stats().accepted, server.stats().active, held.served], [1, 1, 0]);
  server.resume();
  await until(() => held.served === 1);
  client.close();
  held.letGo();
});

netTest("stats() counts failures of accepting by word", async () => {
  const listener = scriptedListener([]);
  const lost = () => new Deno.errors.NotConnected("Socket is not connected (os error 107)");
  listener.play(lost());
  listener.play("EMFILE");
  listener.play(lost());
  listener.play(lost());
  await using server = serve({ listeners: [listener], onError: () => {} }, async () => {});
  await until(() => listener.waiting);
  assertEquals(server.stats().acceptFailures, { aborted: 3, resources: 1 });
  assertEquals(server.stats().accepted, 0);
});

netTest("stats() has the time for which every slot was taken, and only that", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, maxConnections: 1 }, held.handler);
  await turns();
  assertEquals(server.stats().saturatedFor, 0);
  using client = await dial(server.addr);
  await until(() => held.served === 1);
  await until(() => server.stats().saturatedFor > 2);
  client.close();
  held.letGo();
  await until(() => server.stats().active === 0);
  await until(() => server.waitingFor === null);
  const { saturatedFor } = server.stats();
  assert(saturatedFor > 2);
  await turns();
  assertEquals(server.stats().saturatedFor, saturatedFor);
});

Deno.test("stats() sorts connections that are over by how long they lasted", async () => {
  await using client = connect((conn) => conn.readLine());
  const { bounds, counts } = client.server.stats().durations;
  assertEquals(counts.length, bounds.length + 1);
  assertEquals([...bounds], bounds.toSorted((a, b) => a - b));
  const statistics = new Statistics();
  const lasted = [0, bounds[0]!, bounds[0]! + 0.1, bounds.at(-1)!, 1e9];
  for (const duration of lasted) {
    const conn = { duration, bytesRead: 0, bytesWritten: 0 } as ServedConnection;
    statistics.end("completed", conn);
  }
  const { durations } = statistics.snapshot(new Set(), 0, 0, 0);
  const found = [0, 1, bounds.length - 1, bounds.length].map((i) => durations.counts[i]);
  assertEquals(found, [2, 1, 1, 1]);
  assertEquals(durations.counts.reduce((sum, count) => sum + count), lasted.length);
  assertEquals(durations.sum, lasted.reduce((sum, ms) => sum + ms));
});

netTest("stats() can still be asked when the server has stopped", async () => {
  const server = serve(LOOPBACK, (conn) => conn.write(bytes`bye`));
  await readAll(await dial(server.addr));
  await server.shutdown();
  const { accepted, active, ended, bytesWritten } = server.stats();
  assertEquals([accepted, active, ended.completed, bytesWritten], [1, 0, 1, 3]);
});

netTest("stats() counts those in their handshake apart, and as active", async () => {
  const held = new Holding();
  await using server = serve({ ...LOOPBACK, ...BEHIND }, held.handler);
  using client = await dialSaying(server.addr, proxied("192.0.2.7").subarray(0, 10));
  await until(() => arrived(server) === 10);
  assertEquals([server.stats().active, server.stats().handshaking], [1, 1]);
  await writeAll(client, proxied("192.0.2.7").subarray(10));
  await until(() => held.served === 1);
  const { active, handshaking, bytesRead } = server.stats();
  assertEquals([active, handshaking, bytesRead], [1, 0, 0]);
  client.close();
  held.letGo();
});

netTest("stats() never counts fewer bytes than before, whatever identifies a client", async () => {
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...certificate }, echo);
  const counted: number[] = [];
  const look = () => counted.push(server.stats().bytesRead);
  const header = proxied("192.0.2.7");
  const client = await dialSaying(server.addr, header.subarray(0, 20));
  await until(() => arrived(server) === 20);
  look();
  await writeAll(client, header.subarray(20));
  await until(() => [...server.connections][0]?.proxy !== undefined);
  look();
  using inside = await Deno.startTls(client, { hostname: "127.0.0.1", caCerts: [ca.cert] });
  await writeAll(inside, bytes`hello`);
  await readExactly(inside, 5);
  look();
  inside.close();
  await until(() => server.stats().active === 0);
  look();
  using _broken = await dialSaying(server.addr, bytes`PROXY of no kind`);
  await until(() => server.stats().ended.proxy_header_invalid === 1);
  look();
  assertEquals(counted, [0, 0, 5, 5, 5]);
});

/** What may happen to a client of the server below, with the reason and the cause. */
const FATES: [EndReason, keyof ServerStats["refused"] | null, Uint8Array | null][] = [
  ["completed", null, proxied("192.0.2.7")],
  ["refused_address", "address", proxied("192.0.2.9")],
  ["refused_peer_limit", "peerLimit", proxied("198.51.100.1")],
  ["refused_handshaking", "handshaking", null],
  ["proxy_header_invalid", null, bytes`GET /`],
  ["completed", null, proxied("2001:db8::1", 2)],
];

netTest("stats() adds up at every step, whatever becomes of the clients", async () => {
  const held = new Holding();
  const ended: EndReason[] = [];
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    maxConnectionsPerPeer: 1,
    maxHandshaking: 1,
    deny: ["192.0.2.9"],
    onEnd: ({ reason }) => {
      ended.push(reason);
      // Even here: a connection that has ended is not active any more.
      assertAddsUp();
    },
    onError: () => {},
  }, (conn) => conn.id === 1 ? held.handler(conn) : Promise.resolve());
  const assertAddsUp = () => {
    const stats = server.stats();
    assertEquals(accountedFor(stats), stats.accepted);
    assert(stats.handshaking <= stats.active);
  };

  using _first = await dialSaying(server.addr, proxied("198.51.100.1"));
  await until(() => held.served === 1);
  const expected = { full: 0, peerLimit: 0, address: 0, handshaking: 0, rate: 0, admit: 0 };
  for (let round = 0; round < 3; round++) {
    for (const [reason, cause, said] of FATES) {
      const { length } = ended;
      const client = await dialSaying(server.addr, said ?? bytes``);
      const displacing = said === null ? [await dial(server.addr)] : [];
      // Served clients send nothing more.
      if (said !== null) await client.closeWrite().catch(() => {});
      while (ended.length === length) {
        assertAddsUp();
        await turn();
      }
      assertEquals(ended.at(-1), reason);
      if (cause !== null) expected[cause]++;
      assertEquals(server.stats().refused, expected);
      for (const socket of displacing) {
        socket.close();
        await until(() => ended.at(-1) === "health_check");
      }
      client.close();
    }
  }
  assertEquals([server.stats().accepted, ended.length], [22, 21]);
  held.letGo();
});

Deno.test("refusalCause() knows the cause of each refusal, and of nothing else", () => {
  const causes = END_REASONS.flatMap((reason) => refusalCause(reason) ?? []);
  assertEquals(causes, ["full", "peerLimit", "address", "handshaking", "rate", "admit"]);
  for (const reason of END_REASONS) {
    assertEquals(refusalCause(reason) !== undefined, reason.startsWith("refused_"));
  }
});

netTest(
  "stats() counts what was dismissed by detail, 32 of them, and the rest as other",
  async () => {
    await using server = serve(LOOPBACK, async (conn) => {
      const detail = await conn.readLine();
      if (conn.id % 2 === 0) conn.close(detail ?? "");
      else await conn.end(detail ?? "");
    });
    const details = Array.from({ length: 40 }, (_, i) => i === 3 ? "__proto__" : `because of ${i}`);
    for (const detail of [...details, details[0]!, details[39]!]) {
      using client = await dial(server.addr);
      await client.write(bytes`${detail}\n`);
      assertEquals(await client.read(new Uint8Array(1)), null);
    }
    await until(() => server.stats().ended.dismissed === 42);
    const { dismissed } = server.stats();
    assertEquals(Object.keys(dismissed), [...details.slice(0, 32), "other"]);
    assertEquals(dismissed["other"], 9);
    assertEquals(dismissed["because of 0"], 2);
    assertEquals(Object.getOwnPropertyDescriptor(dismissed, "__proto__")?.value, 1);
  },
);
