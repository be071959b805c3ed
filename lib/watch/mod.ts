/**
 * Shows what goes on in servers.
 *
 * {@linkcode watch} answers probes and scrapes and shows a status page, on a port of its own;
 * {@linkcode metricsText} writes the metrics for an HTTP server that a program has already. Both read
 * what a server counts in any case: between two requests they cost nothing.
 *
 * @module
 */

export { metricsText } from "./prometheus.ts";
export { type StatusPage, watch } from "./watch.ts";
export type { WatchOptions } from "./watch_options.ts";
