/** Tests that every count of a server is a metric with a proper name. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import { connect } from "../../lib/testing/mod.ts";
import { DURATION, METRICS } from "../../lib/watch/metrics.ts";
import type { Server, ServerStats } from "../../mod.ts";

/** What a metric says of a server. */
function read(name: string, server: Server, stats: ServerStats = server.stats()) {
  const metric = METRICS.find((metric) => metric.name === name);
  assert(metric !== undefined, `no metric "${name}"`);
  return metric.read(stats, server);
}

Deno.test("METRICS have unique names in one style, and help without a full stop", () => {
  const names = [...METRICS, DURATION].map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const { name, help } of [...METRICS, DURATION]) {
    assertMatch(name, /^usher(\.[a-z_]+){2,3}$/);
    assertMatch(help, /^[A-Z][^.\n]*$/);
  }
});

Deno.test("METRICS contain each count of stats() exactly once", async () => {
  await using client = connect(async () => {});
  // A number of its own for each of them.
  let next = 0;
  const numbered = <T>(value: T): T =>
    (typeof value === "object"
      ? Object.fromEntries(Object.entries(value as object).map(([k, v]) => [k, numbered(v)]))
      : ++next) as T;
  const { durations: _, ...stats } = client.server.stats();
  const counted = numbered(stats);
  const server = { ...client.server, accepting: false, waitingFor: null, maxConnections: Infinity };
  const measured = METRICS.flatMap(({ read }) =>
    read(counted as ServerStats, { ...server, state: "running" } as unknown as Server)
      .map(([value]) => value)
  );
  const told = measured.map((value) =>
    value === counted.saturatedFor / 1000 ? counted.saturatedFor : value
  );
  for (let i = 2; i <= next; i++) {
    assertEquals(told.filter((value) => value === i).length, 1, `the ${i}th count`);
  }
});

Deno.test("METRICS have every reason and cause from the start, as words with underscores", async () => {
  await using client = connect(async () => {});
  const { server } = client;
  const reasons = read("usher.connections.ended", server).map(([, about]) =>
    about?.["usher.end.reason"]
  );
  assertEquals(reasons, [...END_REASONS]);
  const causes = read("usher.connections.refused", server).map(([, about]) =>
    about?.["usher.refusal.cause"]
  );
  assertEquals(causes, ["full", "peer_limit", "address", "handshaking", "rate", "admit"]);
});

Deno.test("METRICS contain dismissals by detail, as the program wrote it", async () => {
  await using client = connect((conn) => conn.end("Kicked by Ada"));
  await client.closeWrite();
  await client.ended;
  assertEquals(read("usher.connections.dismissed", client.server), [
    [1, { "usher.end.detail": "Kicked by Ada" }],
  ]);
});

Deno.test("METRICS contain state, accepting and its cause of waiting", async () => {
  await using client = connect((conn) => conn.readLine(), { maxConnections: 1 });
  const { server } = client;
  const present = (name: string) =>
    read(name, server).filter(([value]) => value === 1).flatMap(([, about]) =>
      Object.values(about ?? {})
    );
  server.pause();
  assertEquals(present("usher.server.state"), ["running"]);
  assertEquals(present("usher.server.waiting"), ["resume"]);
  assertEquals(read("usher.server.accepting", server), [[0]]);
  server.resume();
  await server.shutdown({ timeout: 0 });
  assertEquals(present("usher.server.state"), ["stopped"]);
  assertEquals(present("usher.server.waiting"), []);
});

Deno.test("METRICS have a limit only where there is one", async () => {
  await using some = connect(async () => {}, { maxConnections: 7 });
  await using none = connect(async () => {}, { maxConnections: Infinity });
  assertEquals(read("usher.connections.limit", some.server), [[7]]);
  assertEquals(read("usher.connections.limit", none.server), []);
});
