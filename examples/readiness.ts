/**
 * The echo server with health checks over HTTP, for a balancer or Kubernetes. `/readyz` says whether to
 * send new clients here: after the first signal it says no, but the server accepts for another
 * `--lame-duck` ms, until every balancer has noticed, and then lets the clients go over `--spread` ms.
 * `/livez` says whether the server is alive. `--max-age` is how long a client may stay, in ms, and
 * `--trust` names balancers that send PROXY headers. `deploy/` has configurations that use all of these.
 *
 * deno run --allow-net examples/readiness.ts
 *
 * @module
 */

import { serve } from "jsr:@usher/server@^0.2.0";
import { watch } from "jsr:@usher/server@^0.2.0/watch";
import { echo } from "./echo.ts";
import { parseNumber, type Place, start, type Started } from "./start.ts";

/** The longest time that a flag takes, in ms: a day. */
const LONGEST = 86_400_000;

const DEFAULTS = { "health-port": "7080", "lame-duck": "5000", spread: "0" } as const;

type Flag = keyof typeof DEFAULTS | "max-age" | "trust";

/** The flags of this example, each with its default, or with a sample where it has none. */
export const READINESS_OPTIONS: Readonly<Record<Flag, string>> = {
  ...DEFAULTS,
  "max-age": "3600000",
  trust: "127.0.0.1",
};

/**
 * Starts the server and its status page, which answers the probes as long as the process lives.
 *
 * @param fd A socket that the process was started with, in place of the port.
 */
export function echoWithProbes(
  place: Place,
  flags: Partial<Record<Flag, string>>,
  fd?: number,
): Started {
  const options = { ...DEFAULTS, ...flags };
  const time = (flag: "lame-duck" | "spread" | "max-age", given: string) =>
    parseNumber(flag, given, LONGEST);
  const { "health-port": health, "lame-duck": lameDuck, spread, "max-age": maxAge, trust } =
    options;
  const listening = serve({
    ...(fd === undefined ? place : { fd }),
    // No other peer may connect then: with a PROXY header it could claim any address.
    ...(trust !== undefined && { proxyProtocol: { trust: trust.split(",") } }),
    ...(maxAge !== undefined && { maxAge: time("max-age", maxAge) }),
  }, echo);
  // The page also lists the clients: beyond loopback, only the cluster should reach it.
  const port = parseNumber("health-port", health, 65535);
  const { url } = watch(listening, { hostname: place.hostname, port });
  const stop = { lameDuck: time("lame-duck", lameDuck), spread: time("spread", spread) };
  return { listening, hint: `Probes on ${url}readyz`, stop };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/readiness.ts";
  await start({ command, port: 7000, options: READINESS_OPTIONS }, echoWithProbes);
}
