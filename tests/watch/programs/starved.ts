/** An echo server with a status page, for running without free descriptors. @module */

import { watch } from "../../../lib/watch/watch.ts";
import { serve } from "../../../mod.ts";

const hostname = "127.0.0.1";
const server = serve({ port: 0, hostname, onError: () => {} }, async (conn) => {
  for await (const chunk of conn) await conn.write(chunk);
});
const page = watch(server, { port: 0, onError: () => {} });
// deno-lint-ignore no-console -- what the test reads; writing to stdout by hand needs no more
console.log(JSON.stringify({ addr: server.addr, page: page.addr }));
