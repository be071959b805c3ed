/**
 * How fast usher is the way the README shows it, by iteration.
 *
 * `usher_iterate.ts [MODE [BYTES [MODULE]]]`: modes as in plain.ts, and the library to take, so that
 * the library of another checkout runs under the same server.
 *
 * @module
 */

import type { Connection, serve as Serve } from "../../../mod.ts";

const modes: Record<string, (conn: Connection) => Promise<void>> = {
  echo,
  once,
  two_writes: twoWrites,
  send,
  discard,
};
const handler = modes[Deno.args[0] ?? "echo"] ?? echo;
const bytes = Number(Deno.args[1] ?? 4194304);
const { serve }: { serve: typeof Serve } = await import(Deno.args[2] ?? "../../../mod.ts");

const { countChunks = (it) => it } = globalThis as {
  countChunks?: (it: typeof handler) => typeof handler;
};
const server = serve({ port: 0, hostname: "127.0.0.1" }, countChunks(handler));
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));

async function echo(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

async function once(conn: Connection): Promise<void> {
  for await (const chunk of conn) {
    await conn.write(chunk);
    return;
  }
}

async function twoWrites(conn: Connection): Promise<void> {
  for await (const chunk of conn) {
    await conn.write(chunk.subarray(0, chunk.length >> 1));
    await conn.write(chunk.subarray(chunk.length >> 1));
  }
}

async function send(conn: Connection): Promise<void> {
  const block = new Uint8Array(65536);
  for await (const _request of conn) {
    for (let left = bytes; left > 0; left -= block.length) {
      await conn.write(block.subarray(0, left));
    }
  }
}

async function discard(conn: Connection): Promise<void> {
  const reply = new Uint8Array(1);
  let taken = 0;
  for await (const chunk of conn) {
    for (taken += chunk.length; taken >= bytes; taken -= bytes) await conn.write(reply);
  }
}
