import { assertEquals } from "@std/assert";
import { watch } from "../../lib/watch/mod.ts";
import { serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK } from "../support/peers.ts";

netTest("watch(): /readyz says 503 for a lame duck, which still accepts", async () => {
  const server = serve(LOOPBACK, async () => {});
  await using page = watch(server, { port: 0 });
  const stopped = server.shutdown({ lameDuck: Infinity });
  assertEquals(server.accepting, true);
  const response = await fetch(new URL("readyz", page.url));
  await response.body?.cancel();
  server.shutdown();
  await stopped;
  assertEquals(response.status, 503);
});
