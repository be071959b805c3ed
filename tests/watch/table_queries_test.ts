/** Tests that queries for the table take turns, and leave most of the time to the server. @module */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { TableQueries } from "../../lib/watch/table_queries.ts";
import type { Server } from "../../mod.ts";
import { turn, turns } from "../support/wait.ts";

/** A server whose connections take some ms to be listed, and which counts how often they were. */
function slowServer(ms: number): { readonly server: Server; listed: number } {
  const slow = {
    listed: 0,
    server: {
      get connections() {
        slow.listed++;
        const since = performance.now();
        while (performance.now() - since < ms);
        return new Set();
      },
    } as unknown as Server,
  };
  return slow;
}

const query = (filter: string) => new URLSearchParams({ filter });

Deno.test("ask() gives the same answer to the same query for half a second", async () => {
  using _time = new FakeTime();
  const slow = slowServer(0);
  const queries = new TableQueries();
  const ask = () => queries.ask("", slow.server, query("a"));
  assertEquals(await ask(), '{"total":0,"matching":0,"offset":0,"connections":[]}');
  await Promise.all([ask(), ask(), ask()]);
  assertEquals(slow.listed, 1);
  const since = performance.now();
  while (slow.listed === 1) {
    await ask();
    await turn();
  }
  assert(performance.now() - since > 400);
});

Deno.test("ask() answers one query at a time, and pauses for three times as long as it took", async () => {
  using time = new FakeTime();
  const slow = slowServer(20);
  const queries = new TableQueries();
  const answers = ["a", "b", "c"].map((filter) => queries.ask("", slow.server, query(filter)));
  await answers[0];
  await turns();
  assertEquals(slow.listed, 1);
  await time.tickAsync(55);
  assertEquals(slow.listed, 1);
  await time.tickAsync(1000);
  await answers[1];
  await turns();
  assertEquals(slow.listed, 2);
  await time.tickAsync(1000);
  await answers[2];
  assertEquals(slow.listed, 3);
});

Deno.test("ask() refuses a query when 16 wait, and no longer when they are answered", async () => {
  const slow = slowServer(0);
  const queries = new TableQueries();
  const waiting = Array.from({ length: 16 }, (_, i) => queries.ask("", slow.server, query(`${i}`)));
  assertEquals(queries.ask("", slow.server, query("one more")), null);
  assertEquals(queries.ask("", slow.server, query("3")), waiting[3]);
  await Promise.all(waiting);
  const since = performance.now();
  while (queries.ask("", slow.server, query("one more")) === null) await turn();
  assert(performance.now() - since > 400);
});

Deno.test("ask() keeps servers apart, and goes on after a wrong query", async () => {
  const one = slowServer(0);
  const two = slowServer(0);
  const queries = new TableQueries();
  const wrong = queries.ask("one", one.server, new URLSearchParams({ sort: "colour" }))!;
  await assertRejects(() => wrong, RangeError, "Cannot list connections with 'sort'");
  await Promise.all([
    queries.ask("one", one.server, query("a")),
    queries.ask("two", two.server, query("a")),
  ]);
  assertEquals([one.listed, two.listed], [1, 1]);
});
