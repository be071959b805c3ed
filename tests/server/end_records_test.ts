/** Observers are called with every end record, in addition to the user's own hook. @module */

import { assertEquals } from "@std/assert";
import type { RunningServer } from "../../lib/server/running_server.ts";
import { pair, scriptedListener } from "../../lib/testing/mod.ts";
import { type EndRecord, serve, type Server } from "../../mod.ts";

/** The records of a server. */
function recordsOf(server: Server): RunningServer<Deno.Addr>["records"] {
  return (server as RunningServer<Deno.Addr>).records;
}

Deno.test("observe() calls an observer with the record that onEnd gets", async () => {
  const [client, socket] = pair();
  const received: EndRecord[][] = [[], [], []];
  const listener = scriptedListener([socket]);
  const server = serve(
    { listeners: [listener], onEnd: (record) => received[0]!.push(record) },
    async () => {},
  );
  recordsOf(server).observe((record) => received[1]!.push(record));
  recordsOf(server).observe((record) => received[2]!.push(record));
  client.close();
  await server.shutdown();
  assertEquals(received.map((records) => records.map(({ id }) => id)), [[1], [1], [1]]);
  assertEquals(received[1], received[0]);
});

Deno.test("observe() works on a server without onEnd", async () => {
  const [client, socket] = pair();
  const received: EndRecord[] = [];
  const server = serve({ listeners: [scriptedListener([socket])] }, async () => {});
  using _observing = recordsOf(server).observe((record) => received.push(record));
  client.close();
  await server.shutdown();
  assertEquals(received.map(({ reason }) => reason), ["completed"]);
});

Deno.test("an observer that fails is reported, and the others are called all the same", async () => {
  const [client, socket] = pair();
  const errors: unknown[] = [];
  const received: EndRecord[] = [];
  const listener = scriptedListener([socket]);
  const server = serve(
    { listeners: [listener], onError: (error) => errors.push(error) },
    async () => {},
  );
  recordsOf(server).observe(() => {
    throw new TypeError("on purpose");
  });
  recordsOf(server).observe((record) => received.push(record));
  client.close();
  await server.shutdown();
  assertEquals(received.length, 1);
  assertEquals(errors.map(String), ["TypeError: Hook 'instrument' failed: on purpose"]);
});

Deno.test("observe() ends when its result is disposed, and only for that observer", async () => {
  await using server = serve({ listeners: [scriptedListener([])] }, async () => {});
  const records = recordsOf(server);
  const first = records.observe(() => {});
  const second = records.observe(() => {});
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assertEquals(records.observed, 1);
  second[Symbol.dispose]();
  assertEquals(records.observed, 0);
});
