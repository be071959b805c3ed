/** A fleet of two workers with the flags and the probes of examples/readiness.ts. @module */

import { parseArgs } from "node:util";
import { fleet } from "../../lib/fleet/mod.ts";
import { watch } from "../../lib/watch/mod.ts";
import { formatAddress, shutdownOnSignals } from "../../mod.ts";
import { say } from "../support/commands.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { "health-port": { type: "string" }, "lame-duck": { type: "string" } },
  strict: false,
});
const server = await fleet(new URL("renewed_worker.ts", import.meta.url), { workers: 2 });
shutdownOnSignals(server, { lameDuck: Number(values["lame-duck"]) });
const { url } = watch(server, { hostname: "127.0.0.1", port: Number(values["health-port"]) });
say(`Listening on ${formatAddress(server.addr)}`);
say(`Probes on ${url}readyz`);
