/** Tests that the text is what Prometheus reads, and what the server has counted. @module */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import { connect } from "../../lib/testing/mod.ts";
import { metricsText } from "../../lib/watch/prometheus.ts";
import { serve, type Server } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { echo } from "../support/handlers.ts";

/** The samples of a text, by name and labels. */
function samples(text: string): Record<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => {
    const at = line.lastIndexOf(" ");
    return [line.slice(0, at), Number(line.slice(at + 1).replace("+Inf", "Infinity"))];
  }));
}

/** Has the text checked by the tool of Prometheus. */
async function promtool(text: string): Promise<{ code: number; said: string }> {
  const child = new Deno.Command("promtool", {
    args: ["check", "metrics"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(bytes`${text}`);
  await input.close();
  const { code, stdout, stderr } = await child.output();
  return { code, said: new TextDecoder().decode(new Uint8Array([...stdout, ...stderr])) };
}

netTest("metricsText() writes the figures of stats()", async () => {
  await using server = serve(LOOPBACK, echo);
  for (let i = 0; i < 3; i++) {
    const client = await dial(server.addr);
    await client.write(bytes`hello`);
    await client.closeWrite();
    await readAll(client);
  }
  using _staying = await dial(server.addr);
  await until(() => server.stats().ended.completed === 3 && server.stats().accepted === 4);
  const found = samples(metricsText(server));
  assertEquals(found["usher_connections_accepted_total"], 4);
  assertEquals(found["usher_connections_active"], 1);
  assertEquals(found["usher_connections_limit"], 10_000);
  assertEquals(found['usher_connections_ended_total{reason="completed"}'], 3);
  assertEquals(found['usher_network_io_bytes_total{direction="receive"}'], 15);
  assertEquals(found['usher_network_io_bytes_total{direction="transmit"}'], 15);
  assertEquals(found["usher_server_accepting"], 1);
  assertEquals(found['usher_server_state{state="running"}'], 1);
  assertEquals(found["usher_connection_duration_seconds_count"], 3);
  assertEquals(found['usher_connection_duration_seconds_bucket{le="+Inf"}'], 3);
  const { sum } = server.stats().durations;
  assertEquals(found["usher_connection_duration_seconds_sum"], sum / 1000);
});

netTest("metricsText() passes promtool, for one server and for several", async () => {
  await using one = serve(LOOPBACK, async () => {});
  await using two = serve(LOOPBACK, async () => {});
  await readAll(await dial(one.addr));
  await until(() => one.stats().ended.completed === 1);
  assertEquals(await promtool(metricsText(one)), { code: 0, said: "" });
  const several = metricsText({ one, 'a "name"\\\n': two });
  assertEquals(await promtool(several), { code: 0, said: "" });
  assertEquals((await promtool(several.replace("counter", "gauge"))).code, 3);
}, { programs: ["promtool"] });

Deno.test("metricsText() labels the samples of several servers with their names", async () => {
  await using one = connect(async () => {});
  await using two = connect((conn) => conn.readLine());
  await one.ended;
  const text = metricsText({ one: one.server, two: two.server });
  const found = samples(text);
  assertEquals(found['usher_connections_accepted_total{server="one"}'], 1);
  assertEquals(found['usher_server_state{server="one",state="stopped"}'], 1);
  assertEquals(found['usher_server_state{server="two",state="stopped"}'], 0);
  // The format wants it once, however many servers there are.
  assertEquals(text.split("# TYPE usher_connections_active ").length, 2);
});

Deno.test("metricsText() contains no address of a client", async () => {
  await using client = connect((conn) => conn.readLine(), {
    remoteAddr: { transport: "tcp", hostname: "198.51.100.77", port: 50_077 },
  });
  assertEquals(/198\.51\.100|50077/.test(metricsText(client.server)), false);
});

Deno.test("metricsText() refuses a value that is no server", () => {
  for (const value of [undefined, null, "x", { one: {} }, { one: undefined }]) {
    assertThrows(
      () => metricsText(value as unknown as Server),
      TypeError,
      "Cannot write metrics of what is no server: use what serve() returns",
    );
  }
  assertEquals(metricsText({}), "");
});

Deno.test("metricsText() writes units and totals into names, by the conventions of Prometheus", async () => {
  await using client = connect(async () => {});
  const text = metricsText(client.server);
  for (
    const name of [
      "usher_connections_active",
      "usher_connections_accepted_total",
      "usher_network_io_bytes_total",
      "usher_connection_duration_seconds",
    ]
  ) assertStringIncludes(text, `\n# TYPE ${name} `);
});

Deno.test("metricsText() writes no family without a sample", async () => {
  await using client = connect(async () => {}, { maxConnections: Infinity });
  assertEquals(metricsText(client.server).includes("usher_connections_limit"), false);
});

Deno.test("metricsText() writes the buckets of durations cumulatively, up to +Inf", async () => {
  await using client = connect(async () => {});
  const { server } = client;
  const durations = { bounds: [100, 1000], counts: [3, 0, 2], sum: 7500 };
  const fake = { ...server, addr: server.addr, stats: () => ({ ...server.stats(), durations }) };
  const lines = metricsText(fake as unknown as Server).split("\n");
  const at = lines.indexOf("# TYPE usher_connection_duration_seconds histogram");
  assertEquals(lines.slice(at + 1, -1), [
    'usher_connection_duration_seconds_bucket{le="0.1"} 3',
    'usher_connection_duration_seconds_bucket{le="1"} 3',
    'usher_connection_duration_seconds_bucket{le="+Inf"} 5',
    "usher_connection_duration_seconds_sum 7.5",
    "usher_connection_duration_seconds_count 5",
  ]);
});

Deno.test("metricsText() escapes any name so that it is on one line and can be read back", async () => {
  await using client = connect(async () => {});
  const unescape: Record<string, string> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }).filter((name) => !["", "__proto__"].includes(name)),
      (name) => {
        const text = metricsText({ [name]: client.server });
        const [, label] =
          /^usher_connections_active\{server="((?:[^"\\]|\\.)*)"\} \d+$/mu.exec(text) ??
            [];
        assertEquals(label?.replaceAll(/\\./g, (pair) => unescape[pair]!), name);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("metricsText() takes less than a millisecond", async () => {
  await using client = connect((conn) => conn.readLine());
  const times = 500;
  for (let i = 0; i < times; i++) metricsText(client.server);
  const since = performance.now();
  for (let i = 0; i < times; i++) metricsText(client.server);
  const each = (performance.now() - since) / times;
  assert(each < 1, `${each} ms`);
  assertStringIncludes(metricsText(client.server), "# TYPE usher_connections_active gauge\n");
});
