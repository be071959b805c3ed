/** Exports the metrics of a server through OpenTelemetry. @module */

import {
  metrics,
  type Observable,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { checkBoolean, checkKeys } from "../check.ts";
import type { EndRecord } from "../server/end_records.ts";
import type { RunningServer } from "../server/running_server.ts";
import type { ServerControl } from "../server/server.ts";
import { type Attributes, DURATION, METRICS } from "../watch/metrics.ts";
import { checkServer } from "../watch/observed.ts";

/** The name of the instrumentation scope. */
const SCOPE = "@usher/server";

/** Values with the same name and attributes are added up: instrumented twice, a server counts double. */
const instrumented = new WeakMap<ServerControl, Disposable>();

/**
 * What is exported besides the metrics.
 *
 * @example A span for each connection
 * ```ts
 * import { serve } from "@usher/server";
 * import { instrument, type InstrumentOptions } from "@usher/server/otel";
 *
 * const options: InstrumentOptions = { spans: true };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * using _instrumented = instrument(server, options);
 * ```
 *
 * @category Watching
 */
export interface InstrumentOptions {
  /**
   * A span for each connection, made when it is over. It has the client's address, which metrics
   * never have.
   *
   * @default {false}
   */
  spans?: boolean;
}

/** The one home of the defaults. */
export const INSTRUMENT_DEFAULTS: Readonly<Required<InstrumentOptions>> = Object.freeze({
  spans: false,
});

/**
 * Exports what a server counts through OpenTelemetry: the metrics of `metricsText()`, with names in
 * OpenTelemetry's style, such as `usher.connections.active`. Deno exports them by itself when it is
 * started with `OTEL_DENO=true`; without that, this costs next to nothing.
 *
 * @param server The server, or a fleet, of which there are no spans and no durations: its connections
 * are in other threads.
 * @param options Whether spans are exported, too.
 * @returns Disposing it ends the export. What has happened since the last collection is not exported
 * then.
 * @throws {TypeError} If it is no server, one that is instrumented already, or an option is wrong.
 *
 * @example Right after the start
 * ```ts
 * import { serve } from "@usher/server";
 * import { instrument } from "@usher/server/otel";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * instrument(server);
 * ```
 *
 * @category Watching
 */
export function instrument(
  server: ServerControl,
  options: InstrumentOptions = {},
): Disposable {
  const verb = "instrument";
  checkServer(verb, server);
  checkKeys(verb, options, Object.keys(INSTRUMENT_DEFAULTS));
  const { spans = INSTRUMENT_DEFAULTS.spans } = options;
  checkBoolean(verb, "spans", spans);
  if (instrumented.has(server)) {
    throw new TypeError("Cannot instrument a server twice: dispose what the first call returned");
  }
  const about = attributesOf(server.addr, "server");
  const { records } = server as unknown as Partial<RunningServer<Deno.Addr>>;
  if (records === undefined && spans) {
    throw new TypeError(
      "Cannot instrument a fleet with 'spans': records of connections are in its workers, so use " +
        "'onEnd' there",
    );
  }
  // Of a fleet there are only its figures: no durations of single connections.
  const ends = records?.observe(recorder(server, about, spans));
  const stop = observe(server, about);
  const instrumentation = {
    [Symbol.dispose]() {
      // Disposed a second time, it must not end a later instrumentation of the same server.
      if (instrumented.get(server) !== instrumentation) return;
      instrumented.delete(server);
      ends?.[Symbol.dispose]();
      stop();
    },
  };
  instrumented.set(server, instrumentation);
  return instrumentation;
}

/** Reads the counts at each collection, until the returned function is called. */
function observe(server: ServerControl, about: Attributes): () => void {
  const meter = metrics.getMeter(SCOPE);
  const instruments = METRICS.map(({ name, kind, unit, help: description, read }) => {
    const options = { unit, description };
    const instrument: Observable = kind === "counter"
      ? meter.createObservableCounter(name, options)
      : meter.createObservableUpDownCounter(name, options);
    return { instrument, read };
  });
  const observables = instruments.map(({ instrument }) => instrument);
  const callback: Parameters<typeof meter.addBatchObservableCallback>[0] = (result) => {
    const stats = server.stats();
    for (const { instrument, read } of instruments) {
      for (const [value, attributes] of read(stats, server)) {
        result.observe(instrument, value, { ...about, ...attributes });
      }
    }
  };
  meter.addBatchObservableCallback(callback, observables);
  return () => meter.removeBatchObservableCallback(callback, observables);
}

/** Records the duration of each connection that ends, and its span. */
function recorder(
  server: ServerControl,
  about: Attributes,
  spans: boolean,
): (record: EndRecord) => void {
  const { bounds } = server.stats().durations;
  const duration = metrics.getMeter(SCOPE).createHistogram(DURATION.name, {
    unit: DURATION.unit,
    description: DURATION.help,
    // The default ones of Deno are for milliseconds.
    advice: { explicitBucketBoundaries: bounds.map((ms) => ms / 1000) },
  });
  return (record) => {
    duration.record(record.duration / 1000, { ...about, ...failureOf(record) });
    if (spans) addSpan(record, about);
  };
}

function addSpan(record: EndRecord, about: Attributes): void {
  const { id, reason, peerAddr, remoteAddr, bytesRead, bytesWritten, openedAt, error } = record;
  const span = trace.getTracer(SCOPE).startSpan("connection", {
    kind: SpanKind.SERVER,
    startTime: openedAt,
    attributes: {
      ...about,
      ...attributesOf(peerAddr, "network.peer"),
      ...attributesOf(remoteAddr, "client"),
      ...failureOf(record),
      "usher.connection.id": id,
      "usher.end.reason": reason,
      "usher.connection.bytes_read": bytesRead,
      "usher.connection.bytes_written": bytesWritten,
    },
  }, ROOT_CONTEXT);
  // A failure of the peer or the network is no failure of this server.
  if (reason === "handler_error" || reason === "abandoned") {
    span.setStatus({ code: SpanStatusCode.ERROR });
    if (error instanceof Error) span.recordException(error, openedAt + record.duration);
  }
  span.end(openedAt + record.duration);
}

/** A connection that has completed has no `error.type`. */
function failureOf({ reason }: EndRecord): Attributes {
  return reason === "completed" || reason === "health_check" ? {} : { "error.type": reason };
}

/** An address in the attributes of OpenTelemetry's conventions. */
function attributesOf(addr: Deno.Addr, whose: "server" | "client" | "network.peer"): Attributes {
  const transport: Attributes = whose === "server" ? { "network.transport": addr.transport } : {};
  if ("path" in addr) return { ...transport, [`${whose}.address`]: addr.path };
  if (!("hostname" in addr)) return transport;
  return { ...transport, [`${whose}.address`]: addr.hostname, [`${whose}.port`]: addr.port };
}
