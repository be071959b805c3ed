/** Are connections found, sorted and paged as asked? @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { pair, scriptedListener } from "../../lib/testing/mod.ts";
import { CELLS, type Row } from "../../lib/watch/row.ts";
import { pageOf, readQuery } from "../../lib/watch/connections.ts";
import { serve, type Server } from "../../mod.ts";
import { turns } from "../support/wait.ts";

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
  while (server.stats().accepted < count) await turns(1);
  await turns(2);
  return server;
}

/** A page, as it is asked for in an address. */
function ask(server: Server, query: string) {
  return pageOf(server, readQuery(new URLSearchParams(query)));
}

const idsOf = ({ connections }: { connections: readonly Row[] }) => connections.map(({ id }) => id);

Deno.test("pageOf() gives the first fifty as they came unless asked otherwise", async () => {
  const server = await crowd(60);
  const page = ask(server, "");
  assertEquals([page.total, page.matching, page.offset], [60, 60, 0]);
  assertEquals(idsOf(page), Array.from({ length: 50 }, (_, i) => i + 1));
  assertEquals(idsOf(ask(server, "order=desc&limit=2")), [60, 59]);
  assertEquals(idsOf(ask(server, "offset=58&limit=1000")), [59, 60]);
  assertEquals(idsOf(ask(server, "offset=60")), []);
  await server.shutdown({ timeout: 0 });
});

Deno.test("pageOf() sorts by any cell, up and down, and keeps those together that are equal", async () => {
  const server = await crowd(12);
  const received = (query: string) =>
    ask(server, query).connections.map(({ id, received }) => [received, id]);
  assertEquals(received("sort=received&limit=4"), [[0, 1], [0, 6], [0, 11], [1, 2]]);
  assertEquals(received("sort=received&order=desc&limit=3"), [[4, 5], [4, 10], [3, 4]]);
  for (const sort of Object.keys(CELLS) as (keyof Row)[]) {
    const keys = ask(server, `sort=${sort}`).connections.map((row) => row[sort]);
    assert(keys.every((key, i) => i === 0 || keys[i - 1]! <= key), sort);
  }
  await server.shutdown({ timeout: 0 });
});

Deno.test("pageOf() finds by a part of the address, whatever its case, and by state", async () => {
  const server = await crowd(30);
  const found = ask(server, "filter=TCP://198.51.100.2");
  assertEquals([found.total, found.matching], [30, 11]);
  assertEquals(idsOf(found), [3, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  assertEquals(ask(server, "filter=203.0.113").matching, 0);
  assertEquals(ask(server, "state=reading").matching, 30);
  assertEquals(ask(server, "state=writing&filter=198").matching, 0);
  await server.shutdown({ timeout: 0 });
});

Deno.test("pageOf() misses nobody and gives nobody twice over all pages", async () => {
  const server = await crowd(101);
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.keys(CELLS)),
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
  ["state=asleep", "'state' of \"asleep\": use waiting, handshaking, reading"],
  ["limit=0", "'limit' of \"0\": use a whole number from 1 to 1000"],
  ["limit=1001", "'limit' of \"1001\""],
  ["limit=1e3", "'limit' of \"1e3\""],
  ["limit=", "'limit' of \"\""],
  ["offset=-1", "'offset' of \"-1\": use a whole number from 0"],
];
for (const [query, message] of WRONG) {
  Deno.test(`readQuery() refuses ${query}`, () => {
    assertThrows(() => readQuery(new URLSearchParams(query)), RangeError, message);
  });
}
