/** Runs examples/echo.ts as a fleet, and greets it. @module */

import { fleet } from "../../../lib/fleet/mod.ts";
import { shutdownOnSignals } from "../../../mod.ts";

const running = await fleet(new URL("../../../examples/echo.ts", import.meta.url), { workers: 2 });
shutdownOnSignals(running);
const client = await Deno.connect({ port: running.addr.port });
await client.write(new TextEncoder().encode("hello\n"));
const answer = new Uint8Array(6);
await client.read(answer);
// deno-lint-ignore no-console -- the test reads it
console.log(new TextDecoder().decode(answer).trim());
client.close();
