import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { fleet } from "../../lib/fleet/mod.ts";
import { instrument } from "../../lib/otel/mod.ts";
import { type StatusPage, watch } from "../../lib/watch/mod.ts";
import { netTest } from "../support/needs.ts";
import { until } from "../support/wait.ts";
import { Asker, Hang } from "./asking.ts";
import { SERVED } from "./programs.ts";

const token = "a-token-of-the-test";

/** A fleet with so many clients, and its page. */
async function watched(workers: number, clients: number) {
  const running = await fleet(SERVED, { workers, hangTimeout: 500, onError: () => {} });
  const page = watch(running, { port: 0, token });
  const askers: Asker[] = [];
  for (let i = 0; i < clients; i++) {
    const asker = await Asker.connect(running.addr);
    await asker.ask("who");
    askers.push(asker);
  }
  const release = async () => {
    for (const asker of askers) asker[Symbol.dispose]();
    await running.shutdown();
    await page.shutdown();
  };
  return { running, page, askers, [Symbol.asyncDispose]: release };
}

async function get(page: StatusPage, path: string, init?: RequestInit): Promise<[number, string]> {
  const response = await fetch(new URL(path, page.url), init);
  return [response.status, await response.text()];
}

netTest(
  "watch(fleet) has the connections of all workers in one sorted list, page by page",
  async () => {
    await using scene = await watched(2, 10);
    const rows: { id: number; worker: string }[] = [];
    for (let offset = 0; offset < 10; offset += 4) {
      const [status, text] = await get(
        scene.page,
        `connections?sort=id&order=desc&limit=4&offset=${offset}`,
      );
      assertEquals(status, 200);
      const { total, matching, connections } = JSON.parse(text);
      assertEquals([total, matching], [10, 10]);
      rows.push(...connections);
    }
    const ids = rows.map(({ id }) => id);
    assertEquals(ids, ids.toSorted((a, b) => b - a));
    assertEquals(new Set(ids).size, 10);
    assertEquals(new Set(rows.map(({ worker }) => worker)), new Set(["0", "1"]));
  },
);

netTest("watch(fleet) refuses a wrong query with the worker's message", async () => {
  await using scene = await watched(1, 0);
  const [status, text] = await get(scene.page, "connections?sort=colour");
  assertEquals(status, 400);
  assertStringIncludes(text, "'sort' of \"colour\"");
});

netTest("watch(fleet) closes a connection in whichever worker", async () => {
  await using scene = await watched(2, 4);
  const [, text] = await get(scene.page, "connections?sort=id&order=desc&limit=1");
  const [{ id }] = JSON.parse(text).connections;
  const init = { method: "POST", headers: { authorization: `Bearer ${token}` } };
  assertEquals((await get(scene.page, `connections/${id}/close`, init))[0], 200);
  await until(() => scene.running.stats().ended.dismissed === 1);
  await until(() => scene.running.stats().dismissed["status page"] === 1);
  assertEquals((await get(scene.page, `connections/${id}/close`, init))[0], 404);
});

netTest("the metrics of a fleet have figures by worker, and its sums without", async () => {
  await using scene = await watched(2, 4);
  const [, text] = await get(scene.page, "metrics");
  assertStringIncludes(text, "\nusher_connections_active 4\n");
  assertStringIncludes(text, '\nusher_worker_connections{worker="0"} ');
  assertStringIncludes(text, '\nusher_worker_restarts_total{worker="1"} 0\n');
  assertStringIncludes(text, '\nusher_worker_serving{worker="1"} 1\n');
});

netTest("/livez of a fleet fails while a worker hangs, and /readyz does not", async () => {
  await using scene = await watched(2, 4);
  const hang = await Hang.begin(scene.askers[0]!);
  await until(() => scene.running.workers.some(({ state }) => state === "hung"));
  const [status, text] = await get(scene.page, "livez");
  assertEquals(status, 503);
  assert(/^hung: worker [01]\n$/.test(text), text);
  assertEquals((await get(scene.page, "readyz"))[0], 200);
  hang[Symbol.dispose]();
  await until(() => scene.running.workers.every(({ state }) => state === "serving"));
  assertEquals((await get(scene.page, "livez"))[0], 200);
});

netTest(
  "instrument(fleet) exports its figures, and refuses spans, which it does not have",
  async () => {
    await using scene = await watched(1, 0);
    assertThrows(
      () => instrument(scene.running, { spans: true }),
      TypeError,
      "Cannot instrument a fleet with 'spans'",
    );
    using _instrumented = instrument(scene.running);
  },
);
