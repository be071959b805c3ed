/**
 * Servers that are stopped in the midst of a storm, in a process of their own. Its arguments are the
 * loop, `usher` or `plain`, and the clients' route. Each line on stdin is the number of
 * clients after which to stop: the first answer is the port, and the second comes when it has stopped.
 *
 * @module
 */

import { serve, type ServeTcpOptions, type ShutdownReport } from "../../mod.ts";
import { BEHIND } from "../support/balancer.ts";
import { server as certificate } from "../support/certificates.ts";
import { commands, say } from "../support/commands.ts";
import { until } from "../support/wait.ts";
import type { RouteKind } from "./routes.ts";

const HOSTNAME = "127.0.0.1";

/** Bytes that a client sends and receives. */
const SIZE = 64;

const ROUTES: Partial<Record<RouteKind, Partial<ServeTcpOptions>>> = {
  tcp: {},
  proxy: BEHIND,
  tls: certificate,
};

const [whose, kind = ""] = Deno.args;
for await (const line of commands()) await (whose === "plain" ? plain : usher)(Number(line));

/** usher's loop, stopped after so many accepts. */
async function usher(after: number): Promise<void> {
  const options = { hostname: HOSTNAME, port: 0, onError: () => {}, ...ROUTES[kind as RouteKind] };
  const server = serve(options as ServeTcpOptions, answer);
  say(`${server.addr.port}`);
  await until(() => server.stats().accepted >= after);
  server.shutdown();
  await server.finished;
  say(JSON.stringify(server.report satisfies ShutdownReport | undefined));
}

/** The usual loop, which closes its listener after so many accepts. */
async function plain(after: number): Promise<void> {
  const address = { hostname: HOSTNAME, port: 0 };
  const listener = kind === "tls"
    ? Deno.listenTls({ ...address, ...certificate })
    : Deno.listen(address);
  say(`${listener.addr.port}`);
  const answered: Promise<void>[] = [];
  for (let i = 0; i < after; i++) {
    const conn = await listener.accept();
    answered.push(answer(conn).catch(() => {}).finally(() => conn.close()));
  }
  listener.close();
  await Promise.all(answered);
  say(JSON.stringify({ completed: after, forced: 0, abandoned: 0, swept: 0, ms: 0 }));
}

async function answer(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(SIZE);
  for (let filled = 0; filled < SIZE;) {
    const n = await conn.read(p.subarray(filled));
    if (n === null) return;
    filled += n;
  }
  for (let sent = 0; sent < SIZE;) sent += await conn.write(p.subarray(sent));
}
