/**
 * Echoes behind some computing: fleet_work.ts STEPS WORKERS, with 0 workers as a single server.
 *
 * @module
 */

import { isMainThread } from "node:worker_threads";
import { fleet } from "../../../lib/fleet/mod.ts";
import { serve } from "../../../mod.ts";
import { compute } from "./work.mjs";

const [steps = "0", workers = "0"] = Deno.args;

if (isMainThread && workers !== "0") {
  const running = await fleet(import.meta.url, { workers: Number(workers) });
  ready(running.addr);
} else {
  const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
    for await (const chunk of conn.chunks({ reuse: true })) {
      compute(Number(steps));
      await conn.write(chunk);
    }
  });
  if (isMainThread) ready(server.addr);
}

function ready({ port }: Deno.NetAddr): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`ready ${port}\n`));
}
