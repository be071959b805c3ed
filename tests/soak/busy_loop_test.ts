/** Timeouts keep to real time while handlers keep the event loop busy. @module */

import { assertEquals, assertGreaterOrEqual, assertLess } from "@std/assert";
import { connection, framed, lines, serve } from "../../mod.ts";
import { bytes } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { BEHIND } from "../support/balancer.ts";

/** Ms: each timeout; how long a handler computes at a time; what is late; what a busy machine takes. */
const TIMEOUT = 3000, BUSY = 300, LATE = 1000, SLACK = 2000;

netTest(
  "idle, frame, handshake and read timeouts of 3 s take 4 s at most under a loop that is busy",
  async () => {
    const after: Record<string, number> = {};
    let begun = 0;
    const limits = { idleTimeout: TIMEOUT, handshakeTimeout: TIMEOUT };
    await using server = serve({
      ...limits,
      listeners: [LOOPBACK, { ...LOOPBACK, ...BEHIND }],
      onEnd: ({ reason }) => after[reason] = performance.now() - begun,
    }, async (conn) => {
      const kind = await conn.readExactly(1);
      if (kind?.[0] === 102) { // "f"
        for await (const _ of framed(conn, lines(), { frameTimeout: TIMEOUT }));
      }
      await conn.read(new Uint8Array(1));
    });
    const [addr, behind] = server.addrs as Deno.NetAddr[];
    const [idle, frame, mute] = [await dial(addr!), await dial(addr!), await dial(behind!)];
    begun = performance.now();
    await idle.write(bytes`i`);
    await frame.write(bytes`fhalf a li`);
    await mute.write(bytes`PROXY `);
    const client = connection(await dial(addr!));
    await client.write(bytes`c`);
    const read = client.readLine({ timeout: TIMEOUT }).catch(() => performance.now() - begun);

    await until(() => {
      for (const since = performance.now(); performance.now() - since < BUSY;);
      return Object.keys(after).length === 3;
    });
    after["read_timeout"] = Number(await read);
    for (const conn of [idle, frame, mute, client]) conn.close();
    assertEquals(
      Object.keys(after).toSorted(),
      ["frame_timeout", "handshake_timeout", "idle_timeout", "read_timeout"],
    );
    for (const [reason, ms] of Object.entries(after)) {
      assertGreaterOrEqual(ms, TIMEOUT - 10, reason); // a timer may be early by a part of it
      assertLess(ms, TIMEOUT + LATE + SLACK, reason);
    }
  },
);
