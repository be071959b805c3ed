/**
 * Exports the metrics of a server through OpenTelemetry, and on request a span for each connection.
 *
 * {@linkcode instrument} reads what the server counts in any case, whenever a metric reader collects:
 * in between it costs nothing.
 *
 * @module
 */

export { instrument, type InstrumentOptions } from "./instrument.ts";
