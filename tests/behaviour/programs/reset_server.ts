/** A server that reports its memory, after collecting garbage. @module */

import { serve } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";
import { until } from "../../support/wait.ts";

const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
say(`${server.addr.port}`);

for await (const command of commands()) {
  if (command === "pause") server.pause();
  if (command === "overLimit") await until(() => server.connections.size === 1);
  if (command === "resume") server.resume();
  if (command.startsWith("aborted")) {
    const count = Number(command.slice(8));
    await until(() =>
      server.stats().acceptFailures.aborted >= count && server.stats().active === 0
    );
  }
  // Exists with --expose-gc.
  (globalThis as unknown as { gc: () => void }).gc();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  const { accepted, acceptFailures } = server.stats();
  say(JSON.stringify({ rss, held: heapUsed + external, accepted, ...acceptFailures }));
}
await server.shutdown();
