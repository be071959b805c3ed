/**
 * The server of a crowd: a port for each way of reading that strangers leave something unfinished with,
 * one that echoes, and one that takes uploads of 1 MiB. Prints the ports by name; a line on stdin makes it
 * print what it has and holds.
 *
 * @module
 */

import { type Connection, framed, type Handler, lengthPrefixed, lines, serve } from "../../mod.ts";
import { echo } from "../support/handlers.ts";

const UPLOAD = 1_048_576;

const HANDLERS: Record<string, Handler> = {
  async lines(conn) {
    for await (const _ of framed(conn, lines()));
  },
  async lengthPrefixed(conn) {
    for await (const _ of framed(conn, lengthPrefixed()));
  },
  readLine: (conn) => conn.readLine(),
  readUntil: (conn) => conn.readUntil("\n"),
  readExactly: (conn) => conn.readExactly(65_536),
  peek: (conn) => conn.peek(65_536),
  deaf: pushing,
  echo,
  async upload(conn) {
    const bytes = await conn.readExactly(UPLOAD, { limit: UPLOAD });
    await conn.write(new TextEncoder().encode(`${bytes?.length}\n`));
  },
};

/** Answers a request with as much as its peer takes, and more. */
async function pushing(conn: Connection): Promise<void> {
  await conn.peek(1);
  for (;;) await conn.write(new Uint8Array(65_536));
}

/** How the connections of those that behave have ended. */
const behaved: Record<string, number> = {};

const names = Object.keys(HANDLERS);
const server = serve({
  listeners: names.map((name) => ({
    port: 0,
    hostname: "127.0.0.1",
    name,
    handler: HANDLERS[name]!,
    tcpBacklog: 4096,
  })),
  maxConnections: 12_000,
  onError: () => {},
  onEnd: ({ listenerName, reason }) => {
    if (listenerName !== "echo" && listenerName !== "upload") return;
    const end = `${listenerName} ${reason}`;
    behaved[end] = (behaved[end] ?? 0) + 1;
  },
  ...JSON.parse(Deno.args[0] ?? "{}"),
});
print(Object.fromEntries(names.map((name, i) => [name, (server.addrs[i] as Deno.NetAddr).port])));
const line = new Uint8Array(64);
while (await Deno.stdin.read(line) !== null) {
  const { accepted, active, ended, buffered } = server.stats();
  const over = Object.fromEntries(Object.entries(ended).filter(([, count]) => count > 0));
  print({ accepted, active, buffered, ended: over, behaved, ...Deno.memoryUsage() });
}
await server.shutdown({ timeout: 0 });
print({ buffered: server.stats().buffered });

function print(what: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(what)}\n`));
}
