/**
 * A server whose metrics are exported. Three clients are answered, the handler throws at a fourth, and a
 * fifth stays until the test sends a line.
 *
 * @module
 */

import { instrument } from "../../../lib/otel/instrument.ts";
import { serve } from "../../../mod.ts";
import { commands, say } from "../../support/commands.ts";
import { bytes } from "../../support/bytes.ts";
import { dial, LOOPBACK, readAll } from "../../support/peers.ts";
import { until } from "../../support/wait.ts";

const server = serve({ ...LOOPBACK, maxConnections: 77, onError: () => {} }, async (conn) => {
  const line = await conn.readLine();
  if (line === "throw") throw new RangeError("as asked");
  if (line !== null) await conn.write(bytes`${line}`);
});
instrument(server, { spans: true });

const ports: number[] = [];
for (const line of ["hello", "hello", "hello", "throw"]) {
  const client = await dial(server.addr);
  ports.push((client.localAddr as Deno.NetAddr).port);
  await client.write(bytes`${line}\n`);
  await readAll(client);
}
using _staying = await dial(server.addr);
await until(() => server.stats().ended.handler_error === 1 && server.stats().active === 1);
say(JSON.stringify({ port: server.addr.port, ports }));
for await (const _ of commands()) break;
await server.shutdown({ timeout: 0 });
