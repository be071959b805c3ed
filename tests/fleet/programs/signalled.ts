/** Runs itself as a fleet whose workers stop on signals, and prints its port and its report. @module */

import { fleet } from "../../../lib/fleet/mod.ts";
import { serve, shutdownOnSignals } from "../../../mod.ts";

if ("DedicatedWorkerGlobalScope" in globalThis) {
  const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
    for await (const chunk of conn) await conn.write(chunk);
  });
  shutdownOnSignals(server);
} else {
  const running = await fleet(new URL(import.meta.url), { workers: 2 });
  // deno-lint-ignore no-console -- the test reads it
  console.log(running.addr.port);
  await running.finished;
  // deno-lint-ignore no-console -- the test reads it
  console.log(JSON.stringify(running.report));
}
