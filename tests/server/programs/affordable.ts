/** Prints the limit of a server with the given `maxConnections`, and what it reports. @module */

import { serve } from "../../../mod.ts";

const [given = ""] = Deno.args;
const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  ...(given !== "" && { maxConnections: Number(given) }),
  onError: (error) => print(`${error}`),
}, async () => {});
print(`${server.maxConnections}`);
await server.shutdown();

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
