/** A slot is free again with our FIN, and few connections wait for the peer's. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Lingering } from "../../lib/server/lingering.ts";
import { serve } from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { Clients, dial, LOOPBACK, readExactly } from "../support/peers.ts";
import { until } from "../support/wait.ts";

netTest("a peer that does not answer our FIN keeps no client from the only slot", async () => {
  using _time = new FakeTime(); // it stands still, so nothing stops lingering
  await using server = serve(
    { ...LOOPBACK, maxConnections: 1, maxConnectionsPerPeer: 1 },
    (conn) => {
      return conn.write(bytes`hello`);
    },
  );
  const all: Deno.TcpConn[] = [];
  for (let i = 1; i <= 5; i++) {
    all.push(await dial(server.addr));
    assertEquals(text(await readExactly(all.at(-1)!, 5)), "hello");
    await until(() => server.stats().bytesWritten === 5 * i);
  }
  using _clients = new Clients(all);
  assertEquals([server.stats().active, server.stats().ended.completed], [5, 0]);
});

netTest(
  "beyond 64, or a sixteenth of the slots, the connection that lingers longest is closed",
  async () => {
    using _time = new FakeTime();
    const { ended, onEnd } = noteEnds();
    await using server = serve({ ...LOOPBACK, maxConnections: 2, onEnd }, async () => {});
    const all: Deno.TcpConn[] = [];
    for (let i = 1; i <= 70; i++) {
      all.push(await dial(server.addr));
      await until(() => server.stats().accepted === i);
    }
    using _clients = new Clients(all);
    await until(() => ended.length === 6);
    assertEquals(server.stats().active, 64);
    assertEquals(ended.map(({ id, reason }) => `${id} ${reason}`), [
      "1 completed",
      "2 completed",
      "3 completed",
      "4 completed",
      "5 completed",
      "6 completed",
    ]);
  },
);

Deno.test("Lingering.limit() is a sixteenth of the slots, and 64 at least", () => {
  const limits = [1, 1024, 1040, 10_000, Infinity].map((slots) => Lingering.limit(slots));
  assertEquals(limits, [64, 64, 65, 625, Infinity]);
});
