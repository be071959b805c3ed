/** Tests that connections are listed as they are, and found, sorted and paged as asked. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { formatAddress } from "../../lib/format_address.ts";
import { FakeTime } from "@std/testing/time";
import fc from "fast-check";
import { pair, scriptedListener } from "../../lib/testing/mod.ts";
import {
  CONNECTION_STATES,
  type ConnectionRow,
  listConnections,
} from "../../lib/watch/connections.ts";
import { serve, type Server } from "../../mod.ts";
import { encodeProxyHeader, type ProxyTlvs } from "../../lib/wire/mod.ts";
import { BEHIND } from "../support/balancer.ts";
import { bytes } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK, readExactly } from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";

/** The cells of a row, in the order of the JSON. */
const CELLS: readonly (keyof ConnectionRow)[] = [
  ...["id", "state", "client", "peer", "age", "idle", "received", "sent", "unsent", "buffered"],
  ...["tls", "label", "listener", "name", "worker", "reason", "detail"],
] as (keyof ConnectionRow)[];

/** A server with connections from 198.51.100.0 on, which have sent 0, 1, 2, 3, 4, 0, 1, … bytes. */
async function crowd(count: number): Promise<Server> {
  const pairs = Array.from({ length: count }, (_, i) => {
    const client: Deno.NetAddr = {
      transport: "tcp",
      hostname: `198.51.${100 + Math.floor(i / 256)}.${i % 256}`,
      port: 1000 + i,
    };
    return pair({ addrs: [client, { transport: "tcp", hostname: "192.0.2.1", port: 7 }] });
  });
  for (const [i, [client]] of pairs.entries()) {
    if (i % 5 > 0) await client.write(new Uint8Array(i % 5));
  }
  const listener = scriptedListener(pairs.map(([, socket]) => socket));
  const server = serve({ listeners: [listener] }, (conn) => conn.readLine());
  while (server.stats().accepted < count) await turn();
  await turns();
  return server;
}

/** A page, as it is asked for in an address. */
function ask(server: Server, query: string) {
  return listConnections(server, new URLSearchParams(query));
}

const idsOf = ({ connections }: { connections: readonly ConnectionRow[] }) =>
  connections.map(({ id }) => id);

Deno.test("listConnections() gives the first fifty in the order of arrival unless asked otherwise", async () => {
  const server = await crowd(60);
  const page = ask(server, "");
  assertEquals([page.total, page.matching, page.offset], [60, 60, 0]);
  assertEquals(idsOf(page), Array.from({ length: 50 }, (_, i) => i + 1));
  assertEquals(idsOf(ask(server, "order=desc&limit=2")), [60, 59]);
  assertEquals(idsOf(ask(server, "offset=58&limit=1000")), [59, 60]);
  assertEquals(idsOf(ask(server, "offset=60")), []);
  await server.shutdown({ timeout: 0 });
});

Deno.test("listConnections() sorts by any cell, both ways, and keeps the order of equal ones", async () => {
  const server = await crowd(12);
  const received = (query: string) =>
    ask(server, query).connections.map(({ id, received }) => [received, id]);
  assertEquals(received("sort=received&limit=4"), [[0, 1], [0, 6], [0, 11], [1, 2]]);
  assertEquals(received("sort=received&order=desc&limit=3"), [[4, 5], [4, 10], [3, 4]]);
  for (const sort of CELLS) {
    const keys = ask(server, `sort=${sort}`).connections.map((row) => row[sort]);
    assert(keys.every((key, i) => i === 0 || keys[i - 1]! <= key), sort);
  }
  await server.shutdown({ timeout: 0 });
});

Deno.test("listConnections() finds by a part of the address, whatever its case, and by state", async () => {
  const server = await crowd(30);
  const found = ask(server, "filter=TCP://198.51.100.2");
  assertEquals([found.total, found.matching], [30, 11]);
  assertEquals(idsOf(found), [3, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  assertEquals(ask(server, "filter=203.0.113").matching, 0);
  assertEquals(ask(server, "state=reading").matching, 30);
  assertEquals(ask(server, "state=writing&filter=198").matching, 0);
  await server.shutdown({ timeout: 0 });
});

Deno.test("listConnections() lists each connection exactly once over all pages", async () => {
  const server = await crowd(101);
  fc.assert(
    fc.property(
      fc.constantFrom(...CELLS),
      fc.constantFrom("asc", "desc"),
      fc.integer({ min: 7, max: 200 }),
      (sort, order, limit) => {
        const ids: number[] = [];
        for (let offset = 0; offset < 101; offset += limit) {
          const query = `sort=${sort}&order=${order}&offset=${offset}&limit=${limit}`;
          ids.push(...idsOf(ask(server, query)));
        }
        assertEquals(ids.length, 101);
        assertEquals(new Set(ids).size, 101);
      },
    ),
    { numRuns: 30 },
  );
  await server.shutdown({ timeout: 0 });
});

const WRONG: [query: string, message: string][] = [
  ["colour=red", "'parameter' of \"colour\": use sort, order, offset, limit, filter, state"],
  ["sort=colour", "'sort' of \"colour\": use id, state, client"],
  ["sort=constructor", "'sort' of \"constructor\""],
  ["sort=__proto__", "'sort' of \"__proto__\""],
  ["order=up", "'order' of \"up\": use asc, desc"],
  ["state=asleep", "'state' of \"asleep\": use waiting, handshaking, admitting, reading"],
  ["limit=0", "'limit' of \"0\": use a whole number from 1 to 1000"],
  ["limit=1001", "'limit' of \"1001\""],
  ["limit=1e3", "'limit' of \"1e3\""],
  ["limit=", "'limit' of \"\""],
  ["offset=-1", "'offset' of \"-1\": use a whole number from 0"],
];
for (const [query, message] of WRONG) {
  Deno.test(`listConnections() refuses ${query}`, () => {
    const server = { connections: new Set() } as unknown as Server;
    assertThrows(() => ask(server, query), RangeError, message);
  });
}

/** The only row of a server. */
function only(server: Server): ConnectionRow {
  const { total, connections: [row] } = ask(server, "");
  assertEquals(total, 1);
  return row!;
}

Deno.test("listConnections() gives every cell of a connection", async () => {
  const [client, socket] = pair();
  const server = serve({ listeners: [scriptedListener([socket])] }, (conn) => conn.readLine());
  await turn();
  const { age: _, ...cells } = only(server);
  assertEquals(cells, {
    id: 1,
    state: "reading",
    client: "tcp://192.0.2.2:40007",
    peer: "",
    idle: 0,
    received: 0,
    sent: 0,
    unsent: 0,
    buffered: 0,
    tls: "",
    label: "",
    listener: formatAddress(server.addr),
    name: "",
    worker: "",
    reason: "",
    detail: "",
  });
  assertEquals(Object.keys(only(server)), [...CELLS]);
  client.close();
  await server.shutdown();
});

Deno.test("listConnections() gives the time since a byte moved last", async () => {
  using time = new FakeTime();
  const [client, socket] = pair();
  const server = serve({ listeners: [scriptedListener([socket])] }, (conn) => conn.readLine());
  await time.tickAsync(5000);
  assertEquals(only(server).idle, 5000);
  await client.write(bytes`x`);
  await time.tickAsync(200);
  assertEquals([only(server).idle, only(server).received], [200, 1]);
  client.close();
  await server.shutdown({ timeout: 0 });
});

Deno.test("listConnections() gives the state of a connection", async () => {
  const [client, socket] = pair({ toFirst: { capacity: 1 } });
  const held = new Holding();
  const server = serve({ listeners: [scriptedListener([socket])] }, async (conn) => {
    await conn.readExactly(1);
    await held.handler(conn);
    await conn.write(bytes`ab`);
    await held.handler(conn);
  });
  server.pause();
  await turn();
  assertEquals(only(server).state, "waiting");
  server.resume();
  await turn();
  assertEquals(only(server).state, "reading");
  await client.write(bytes`x`);
  await until(() => held.served === 1);
  assertEquals(only(server).state, "working");
  held.letGo();
  await turn();
  assertEquals([only(server).state, only(server).unsent], ["writing", 1]);
  await client.read(new Uint8Array(1));
  await client.read(new Uint8Array(1));
  await until(() => held.served === 2);
  assertEquals([only(server).state, only(server).sent], ["working", 2]);
  held.letGo();
  await turn();
  assertEquals(only(server).state, "closing");
  client.close();
  await server.shutdown();
});

Deno.test("listConnections() gives the bytes in buffers, and why a connection ends", async () => {
  const [client, socket] = pair({ toFirst: { capacity: 1 } });
  const server = serve({ listeners: [scriptedListener([socket])] }, async (conn) => {
    await conn.peek(4);
    conn.write(bytes`answer`);
    await conn.readExactly(1);
    await conn.end("kicked\nout");
  });
  await client.write(bytes`four`);
  await until(() => only(server).state === "closing");
  const { unsent, buffered, reason, detail } = only(server);
  assertEquals([unsent, buffered], [5, 8]);
  assertEquals([reason, detail], ["dismissed", "kicked\\u000aout"]);
  client.close();
  await server.shutdown();
});

netTest("listConnections() shows a connection in its handshake", async () => {
  const { cert, key } = certificate;
  await using server = serve({ ...LOOPBACK, cert, key }, (conn) => conn.readLine());
  const client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  assertEquals([only(server).state, only(server).tls], ["handshaking", ""]);
  client.close();
  await until(() => server.connections.size === 0);
});

netTest(
  "listConnections() shows client, balancer and what the balancer says, each on one line",
  async () => {
    const tlvs: ProxyTlvs = { authority: "<script>alert(1)</script>\r\nX: y\u202e" };
    await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
      await conn.write(bytes`.`);
      await conn.readLine();
    });
    const client = await dial(server.addr);
    const source = { transport: "tcp", hostname: "2001:db8::7", port: 4711 } as const;
    const destination = { transport: "tcp", hostname: "2001:db8::1", port: 443 } as const;
    await client.write(
      encodeProxyHeader({ version: 2, command: "PROXY", source, destination, tlvs }),
    );
    await readExactly(client, 1);
    const { client: shown, peer, name } = only(server);
    assertEquals(shown, "tcp://[2001:db8::7]:4711");
    assertEquals(peer, `tcp://127.0.0.1:${(client.localAddr as Deno.NetAddr).port}`);
    assertEquals(name, "<script>alert(1)</script>\\u000d\\u000aX: y\\u202e");
    client.close();
  },
);

Deno.test("listConnections() prefers what TLS has proven to what a balancer says", () => {
  const about = (facts: object) => {
    const address = { transport: "tcp", hostname: "192.0.2.2", port: 7 } as const;
    const life = { closed: true, clock: { now: 0 }, movedAt: 0 };
    const conn = {
      remoteAddr: address,
      peerAddr: address,
      life,
      listenerName: "",
      reader: [],
      ...facts,
    };
    const { tls, name } = only({ connections: new Set([conn]) } as unknown as Server);
    return [tls, name];
  };
  const ssl = { ssl: true, version: "TLSv1.2", commonName: "ada" };
  assertEquals(about({}), ["", ""]);
  assertEquals(about({ tls: {} }), ["TLS", ""]);
  assertEquals(about({ proxy: { tlvs: { ssl } } }), ["TLSv1.2", "ada"]);
  assertEquals(about({ proxy: { tlvs: { ssl: { ssl: true }, authority: "a.example" } } }), [
    "TLS",
    "a.example",
  ]);
  const tls = { version: "TLSv1.3", serverName: "b.example" };
  assertEquals(about({ tls, proxy: { tlvs: { ssl } } }), ["TLSv1.3", "b.example"]);
});

Deno.test("CONNECTION_STATES has each state once", () => {
  assertEquals(new Set(CONNECTION_STATES).size, CONNECTION_STATES.length);
});
