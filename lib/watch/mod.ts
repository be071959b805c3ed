/**
 * Shows what goes on in a server.
 *
 * {@linkcode metricsText} writes its numbers for Prometheus, {@linkcode instrument} gives them to
 * OpenTelemetry, and {@linkcode watch} answers probes and shows a status page on a port of its own.
 * All three read what the server counts anyway: nothing happens between two looks at it.
 *
 * @module
 */

export { metricsText } from "./prometheus.ts";
export { type StatusPage, watch } from "./watch.ts";
export type { WatchOptions } from "./watch_options.ts";
