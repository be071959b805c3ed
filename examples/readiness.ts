/**
 * The echo server with health checks over HTTP, for a balancer or Kubernetes. `/readyz` says whether to
 * send new clients here: after the first signal it says no, but the server accepts for another
 * `--lame-duck` ms, until every balancer has noticed. `/livez` says whether the server is alive.
 * `deploy/` has configurations that use them.
 *
 * deno run --allow-net examples/readiness.ts
 *
 * @module
 */

import { serve } from "jsr:@usher/server@^0.2.0";
import { watch } from "jsr:@usher/server@^0.2.0/watch";
import { echo } from "./echo.ts";
import { parseNumber, type Place, start, type Started } from "./start.ts";

/** The flags of this example, and their defaults. */
export const READINESS_OPTIONS = { "health-port": "7080", "lame-duck": "5000" } as const;

/**
 * Starts the server and its status page, which answers the probes as long as the process lives.
 *
 * @param fd A socket that the process was started with, in place of the port.
 */
export function echoWithProbes(
  place: Place,
  flags: Partial<Record<keyof typeof READINESS_OPTIONS, string>>,
  fd?: number,
): Started {
  const options = { ...READINESS_OPTIONS, ...flags };
  const port = parseNumber("health-port", options["health-port"], 65535);
  const lameDuck = parseNumber("lame-duck", options["lame-duck"], 3_600_000);
  const listening = serve(fd === undefined ? place : { fd }, echo);
  // The page also lists the clients: beyond loopback, only the cluster should reach it.
  const { url } = watch(listening, { hostname: place.hostname, port });
  return { listening, hint: `Probes on ${url}readyz`, stop: { lameDuck } };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/readiness.ts";
  await start({ command, port: 7000, options: READINESS_OPTIONS }, echoWithProbes);
}
