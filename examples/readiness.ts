/**
 * The echo server, and beside it what a balancer or Kubernetes asks over HTTP. `/readyz` says whether
 * new clients are welcome; from the first signal on they are not, but are served for `--lame-duck` ms
 * more, until everybody has noticed. `/livez` says whether the process lives. `deploy/` has what asks.
 *
 * deno run --allow-net examples/readiness.ts
 *
 * @module
 */

import { serve, type Server } from "@usher/server";
import { echo } from "./echo.ts";
import { parseNumber, type Place, start, type Started } from "./start.ts";

/** The flags of this example, and what holds without them. */
export const READINESS_OPTIONS = { "health-port": "7080", "lame-duck": "5000" } as const;

/** Answers probes about a server. */
export function probes(server: Server): (request: Request) => Response {
  return (request) => {
    switch (new URL(request.url).pathname) {
      case "/readyz":
        // A lame duck still accepts, so that nobody is refused; but nobody new should come.
        if (server.state !== "running") return say(503, server.state);
        return server.accepting ? say(200, "ready") : say(503, `waits for ${server.waitingFor}`);
      case "/livez":
        // While it stops, too: who is not alive is started anew, in the middle of the last answers.
        return say(200, "alive");
      default:
        return say(404, "not found");
    }
  };
}

function say(status: number, word: string): Response {
  return new Response(`${word}\n`, { status, headers: { "cache-control": "no-store" } });
}

/** Starts both servers. The probes are answered as long as the process lives. */
export function echoWithProbes(
  place: Place,
  flags: Partial<Record<keyof typeof READINESS_OPTIONS, string>>,
): Started {
  const options = { ...READINESS_OPTIONS, ...flags };
  const port = parseNumber("health-port", options["health-port"], 65535);
  const lameDuck = parseNumber("lame-duck", options["lame-duck"], 3_600_000);
  const listening = serve(place, echo);
  const health = Deno.serve({ ...place, port, onListen() {} }, probes(listening));
  const hint = `Probes on http://${place.hostname}:${health.addr.port}/readyz`;
  return { listening, hint, stop: { lameDuck } };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/readiness.ts";
  await start({ command, port: 7000, options: READINESS_OPTIONS }, echoWithProbes);
}
