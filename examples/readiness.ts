/**
 * The echo server, and beside it what a balancer or Kubernetes asks over HTTP. `/readyz` says whether
 * new clients should be sent here: from the first signal on they should not, but the server accepts for
 * another `--lame-duck` ms, until every balancer has noticed. `/livez` says whether the server is alive.
 * `deploy/` has the configurations that ask.
 *
 * deno run --allow-net examples/readiness.ts
 *
 * @module
 */

import { serve } from "jsr:@usher/server@^0.1.0";
import { watch } from "jsr:@usher/server@^0.1.0/watch";
import { echo } from "./echo.ts";
import { parseNumber, type Place, start, type Started } from "./start.ts";

/** The flags of this example, and their defaults. */
export const READINESS_OPTIONS = { "health-port": "7080", "lame-duck": "5000" } as const;

/** Starts the server and its status page, which answers the probes as long as the process lives. */
export function echoWithProbes(
  place: Place,
  flags: Partial<Record<keyof typeof READINESS_OPTIONS, string>>,
): Started {
  const options = { ...READINESS_OPTIONS, ...flags };
  const port = parseNumber("health-port", options["health-port"], 65535);
  const lameDuck = parseNumber("lame-duck", options["lame-duck"], 3_600_000);
  const listening = serve(place, echo);
  // The page also lists the clients: an address beyond loopback should be for the cluster alone.
  const { url } = watch(listening, { hostname: place.hostname, port });
  return { listening, hint: `Probes on ${url}readyz`, stop: { lameDuck } };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/readiness.ts";
  await start({ command, port: 7000, options: READINESS_OPTIONS }, echoWithProbes);
}
