/**
 * The echo server with a status page on a port of its own, which also answers Prometheus (/metrics)
 * and Kubernetes (/readyz, /livez). `--page` chooses its port; with `--token`, connections can be
 * closed and the server drained from it. Started with `OTEL_DENO=true`, it exports to OpenTelemetry, too.
 *
 * deno run --allow-net examples/watched.ts
 *
 * @module
 */

import { type Handler, serve } from "jsr:@usher/server@^0.2.0";
import { instrument } from "jsr:@usher/server@^0.2.0/otel";
import { watch } from "jsr:@usher/server@^0.2.0/watch";
import { echo } from "./echo.ts";
import { start } from "./start.ts";

/** The handler of the observed server. */
export const watched: Handler = echo;

if (import.meta.main) {
  const command = "deno run --allow-net examples/watched.ts";
  const options = { page: "9090", token: "AT-LEAST-16-CHARACTERS" };
  await start({ command, port: 7000, options }, (place, { page = "9090", token }) => {
    const listening = serve(place, watched);
    instrument(listening, { spans: true });
    const { url } = watch(listening, { port: Number(page), ...(token !== undefined && { token }) });
    return { listening, hint: `Status page at ${url}` };
  });
}
