/**
 * The server that strangers leave unfinished records with: reads in the way of the first argument, with
 * default limits, and prints its port. A line on stdin makes it print what it
 * occupies. @module
 */

import { type Connection, framed, lengthPrefixed, lines, serve } from "../../mod.ts";
import { server as certificate } from "../support/certificates.ts";
import { echo } from "../support/handlers.ts";

const READERS: Record<string, (conn: Connection) => Promise<unknown>> = {
  "mute": drop,
  "mute in TLS": drop,
  "chunks": drop,
  "lines": async (conn) => {
    for await (const _ of framed(conn, lines()));
  },
  "lengthPrefixed": async (conn) => {
    for await (const _ of framed(conn, lengthPrefixed()));
  },
  "readLine": (conn) => conn.readLine(),
  "readUntil": (conn) => conn.readUntil("\n"),
  "readExactly": (conn) => conn.readExactly(65536),
  "peek": (conn) => conn.peek(65536),
  "echo to a client that never reads": echo,
};

async function drop(conn: Connection): Promise<void> {
  for await (const _ of conn);
}

const [way] = Deno.args as [string];
const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  ...(way.includes("TLS") && certificate),
  onError: () => {},
}, READERS[way]!);
print(server.addr.port);
const line = new Uint8Array(64);
while (await Deno.stdin.read(line) !== null) {
  (globalThis as { gc?: () => void }).gc?.();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  const { active, bytesRead } = server.stats();
  print(JSON.stringify({ rss, heapUsed, external, active, bytesRead }));
}
await server.shutdown({ timeout: 0 });

function print(what: unknown): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${what}\n`));
}
