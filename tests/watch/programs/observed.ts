/** An echo server with a status page, which prints its counts and its memory when asked. @module */

import { metricsText } from "../../../lib/watch/prometheus.ts";
import { watch } from "../../../lib/watch/watch.ts";
import { serve } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";
import { LOOPBACK } from "../../support/peers.ts";

const server = serve(LOOPBACK, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
const page = watch(server, { port: 0 });
say(JSON.stringify({ addr: server.addr, url: page.url }));
const { gc } = globalThis as unknown as { gc?: () => void };
for await (const command of commands()) {
  if (command === "stats") say(JSON.stringify(server.stats()));
  if (command === "metrics") {
    const times = Array.from({ length: 51 }, () => {
      const began = performance.now();
      metricsText(server);
      return performance.now() - began;
    });
    say(JSON.stringify(times));
  }
  if (command === "collect") {
    gc?.();
    const { heapUsed: heap, rss } = Deno.memoryUsage();
    say(JSON.stringify({ heap, rss }));
  }
}
