/** Do observers hear of every end, beside the user's own hook? @module */

import { assertEquals } from "@std/assert";
import { endObserversOf, observeEnds } from "../../lib/server/end_observers.ts";
import { pair, scriptedListener } from "../../lib/testing/mod.ts";
import { type EndRecord, serve } from "../../mod.ts";

Deno.test("observeEnds() tells every observer the record that onEnd is told", async () => {
  const [client, socket] = pair();
  const told: EndRecord[][] = [[], [], []];
  const listener = scriptedListener([socket]);
  const server = serve(
    { listeners: [listener], onEnd: (record) => told[0]!.push(record) },
    async () => {},
  );
  observeEnds(server, (record) => told[1]!.push(record));
  observeEnds(server, (record) => told[2]!.push(record));
  client.close();
  await server.shutdown();
  assertEquals(told.map((records) => records.map(({ id }) => id)), [[1], [1], [1]]);
  assertEquals(told[1], told[0]);
});

Deno.test("observeEnds() tells an observer of a server without onEnd", async () => {
  const [client, socket] = pair();
  const told: EndRecord[] = [];
  const server = serve({ listeners: [scriptedListener([socket])] }, async () => {});
  using _observing = observeEnds(server, (record) => told.push(record));
  client.close();
  await server.shutdown();
  assertEquals(told.map(({ reason }) => reason), ["completed"]);
});

Deno.test("observeEnds() costs nobody anything when an observer fails, and says so", async () => {
  const [client, socket] = pair();
  const errors: unknown[] = [];
  const told: EndRecord[] = [];
  const listener = scriptedListener([socket]);
  const server = serve(
    { listeners: [listener], onError: (error) => errors.push(error) },
    async () => {},
  );
  observeEnds(server, () => {
    throw new TypeError("as asked");
  });
  observeEnds(server, (record) => told.push(record));
  client.close();
  await server.shutdown();
  assertEquals(told.length, 1);
  assertEquals(errors.map(String), ["TypeError: Hook 'instrument' failed: as asked"]);
});

Deno.test("observeEnds() tells nothing more once it was disposed, and disposes of itself alone", () => {
  const server = {};
  const [one, two] = [() => {}, () => {}];
  const first = observeEnds(server, one);
  const second = observeEnds(server, two);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals([...endObserversOf(server)!], [two]);
  second[Symbol.dispose]();
  assertEquals(endObserversOf(server), undefined);
});
