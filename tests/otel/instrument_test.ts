/** Tests that what the server counts reaches an OpenTelemetry collector, which Deno itself exports to. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { Server } from "../../mod.ts";
import { connect } from "../../lib/testing/mod.ts";
import { instrument, type InstrumentOptions } from "../../lib/otel/instrument.ts";
import { DURATION, METRICS } from "../../lib/watch/metrics.ts";
import type { RunningServer } from "../../lib/server/running_server.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";

/** How many observe the ends of a server's connections. */
function observed(server: Server): number {
  return (server as RunningServer<Deno.Addr>).records.observed;
}

type Value = { stringValue?: string; intValue?: string | number; doubleValue?: number };
type Attribute = { key: string; value: Value };

/** A number in OTLP as JSON, as far as it is looked at. */
interface Point {
  attributes?: Attribute[];
  asInt?: string | number;
  asDouble?: number;
  count?: string | number;
  sum?: number;
  bucketCounts?: (string | number)[];
  explicitBounds?: number[];
}

interface Metric {
  name: string;
  unit?: string;
  sum?: { dataPoints: Point[]; isMonotonic?: boolean };
  histogram?: { dataPoints: Point[] };
}

interface Span {
  name: string;
  kind: number;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Attribute[];
  status?: { code?: number };
  events?: { name: string }[];
}

/** An OTLP collector that keeps the last export of each metric, and every span. */
class Collector implements AsyncDisposable {
  readonly metrics = new Map<string, Metric>();
  readonly spans: Span[] = [];
  readonly #http = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    async (request) => {
      this.#take(await request.json());
      this.#exported.resolve();
      return new Response("{}", { headers: { "content-type": "application/json" } });
    },
  );
  #exported = Promise.withResolvers<void>();

  /** What a program is to be started with. */
  get environment(): string[] {
    return [
      "env",
      "OTEL_DENO=true",
      "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
      `OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:${this.#http.addr.port}`,
      "OTEL_METRIC_EXPORT_INTERVAL=100",
      "OTEL_BSP_SCHEDULE_DELAY=100",
    ];
  }

  /** Resolves when what was exported so far fulfils a condition. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      this.#exported = Promise.withResolvers();
      await this.#exported.promise;
    }
  }

  // deno-lint-ignore no-explicit-any -- what it is comes out when it is looked at
  #take(exported: any): void {
    for (const { scopeMetrics } of exported.resourceMetrics ?? []) {
      for (const { scope, metrics } of scopeMetrics) {
        if (scope.name !== "@usher/server") continue;
        for (const metric of metrics) this.metrics.set(metric.name, metric);
      }
    }
    for (const { scopeSpans } of exported.resourceSpans ?? []) {
      for (const { scope, spans } of scopeSpans) {
        if (scope.name === "@usher/server") this.spans.push(...spans);
      }
    }
  }

  /** The value of a metric, of the one with this word among its attributes. */
  value(name: string, word?: string): number | undefined {
    const point = this.metrics.get(name)?.sum?.dataPoints.find(({ attributes = [] }) =>
      word === undefined || attributes.some(({ value }) => value.stringValue === word)
    );
    return point && Number(point.asInt ?? point.asDouble);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#http.shutdown();
  }
}

function plain(attributes: Attribute[] = []): Record<string, string | number> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.stringValue ?? Number(value.intValue ?? value.doubleValue),
    ]),
  );
}

const program = new URL("programs/instrumented.ts", import.meta.url);

netTest(
  "instrument() exports every metric, and a span for each connection",
  async () => {
    await using collector = new Collector();
    await using child = new Program(program, {
      under: collector.environment,
      // With the names that the configuration gives to packages.
      how: ["run", "--quiet", "-A"],
    });
    const { port, ports } = JSON.parse(await child.line());
    await collector.until(() =>
      collector.value("usher.connections.accepted") === 5 && collector.spans.length >= 4 &&
      collector.metrics.has(DURATION.name)
    );
    // No connection is dismissed here and there are no workers; without a value nothing is exported.
    const exported = METRICS.filter(({ name }) =>
      name !== "usher.connections.dismissed" && !name.startsWith("usher.worker.")
    );
    assertEquals(
      [...collector.metrics.keys()].toSorted(),
      [...exported, DURATION].map(({ name }) => name).toSorted(),
    );
    assertEquals(collector.value("usher.connections.active"), 1);
    assertEquals(collector.value("usher.connections.limit"), 77);
    assertEquals(collector.value("usher.connections.ended", "completed"), 3);
    assertEquals(collector.value("usher.connections.ended", "handler_error"), 1);
    assertEquals(collector.value("usher.network.io", "receive"), 24);
    assertEquals(collector.value("usher.network.io", "transmit"), 15);
    assertEquals(collector.value("usher.server.state", "running"), 1);
    assertEquals(collector.value("usher.server.state", "stopped"), 0);
    for (const { name, kind, unit } of exported) {
      const metric = collector.metrics.get(name)!;
      assertEquals(
        [metric.unit, metric.sum?.isMonotonic ?? false],
        [unit, kind === "counter"],
        name,
      );
    }

    const about = {
      "network.transport": "tcp",
      "server.address": "127.0.0.1",
      "server.port": port,
    };
    const { dataPoints } = collector.metrics.get(DURATION.name)!.histogram!;
    const proper = dataPoints.find(({ attributes }) => !("error.type" in plain(attributes)))!;
    const failed = dataPoints.find(({ attributes }) => "error.type" in plain(attributes))!;
    assertEquals(plain(proper.attributes), about);
    assertEquals(plain(failed.attributes), { ...about, "error.type": "handler_error" });
    assertEquals([Number(proper.count), Number(failed.count)], [3, 1]);
    assertEquals(proper.explicitBounds, [
      ...[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
    ]);

    assertEquals(collector.spans.length, 4);
    const spans = collector.spans.toSorted((a, b) =>
      Number(plain(a.attributes)["usher.connection.id"]) -
      Number(plain(b.attributes)["usher.connection.id"])
    );
    for (const [i, span] of spans.entries()) {
      const reason = i < 3 ? "completed" : "handler_error";
      assertEquals([span.name, span.kind, span.parentSpanId || ""], ["connection", 2, ""]);
      assertEquals(plain(span.attributes), {
        ...about,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": ports[i],
        "client.address": "127.0.0.1",
        "client.port": ports[i],
        "usher.connection.id": i + 1,
        "usher.end.reason": reason,
        "usher.connection.bytes_read": 6,
        "usher.connection.bytes_written": i < 3 ? 5 : 0,
        ...(i < 3 ? {} : { "error.type": reason }),
      });
      assertEquals(span.status?.code ?? 0, i < 3 ? 0 : 2);
      assertEquals((span.events ?? []).map(({ name }) => name), i < 3 ? [] : ["exception"]);
      assert(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano));
    }

    await child.tell("stop");
    await collector.until(() => collector.spans.length === 5);
    assertEquals(plain(collector.spans[4]!.attributes)["usher.end.reason"], "forced");
    assertEquals((await child.status).code, 0);
  },
  { os: ["linux", "darwin"] },
);

Deno.test("instrument() observes ends until it is disposed", async () => {
  await using client = connect((conn) => conn.readLine());
  const { server } = client;
  const instrumented = instrument(server, { spans: true });
  assertEquals(observed(server), 1);
  client.close();
  assertEquals((await client.ended).reason, "completed");
  instrumented[Symbol.dispose]();
  assertEquals(observed(server), 0);
});

Deno.test("instrument() refuses a server twice, unless the first one was disposed", async () => {
  await using client = connect((conn) => conn.readLine());
  const { server } = client;
  const first = instrument(server);
  assertThrows(
    () => instrument(server),
    TypeError,
    "Cannot instrument a server twice: dispose what the first call returned",
  );
  first[Symbol.dispose]();
  using _second = instrument(server);
  first[Symbol.dispose]();
  assertThrows(() => instrument(server), TypeError, "twice");
});

Deno.test("instrument() refuses wrong options, and does not begin then", async () => {
  await using client = connect((conn) => conn.readLine());
  const { server } = client;
  const wrong: [options: unknown, message: string][] = [
    [null, "Cannot instrument with null as options: use an object"],
    [{ span: true }, "Cannot instrument with an unknown option 'span': known here are spans"],
    [{ spans: 1 }, "Cannot instrument with 'spans' of 1: use true or false"],
  ];
  for (const [options, message] of wrong) {
    assertThrows(() => instrument(server, options as InstrumentOptions), TypeError, message);
  }
  assertEquals(observed(server), 0);
});
