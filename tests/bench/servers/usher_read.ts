/**
 * How fast usher is with a buffer of one's own, by `read(p)`. Arguments as in usher_iterate.ts.
 *
 * @module
 */

import type { Connection, serve as Serve } from "../../../mod.ts";

/** Bytes per read: what a careful user would hold for each connection. */
const SIZE = 65536;

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
  const p = new Uint8Array(SIZE);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    await conn.write(p.subarray(0, n));
  }
}

async function once(conn: Connection): Promise<void> {
  const p = new Uint8Array(SIZE);
  const n = await conn.read(p);
  if (n !== null) await conn.write(p.subarray(0, n));
}

async function twoWrites(conn: Connection): Promise<void> {
  const p = new Uint8Array(SIZE);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    await conn.write(p.subarray(0, n >> 1));
    await conn.write(p.subarray(n >> 1, n));
  }
}

async function send(conn: Connection): Promise<void> {
  const p = new Uint8Array(SIZE);
  const block = new Uint8Array(65536);
  while (await conn.read(p) !== null) {
    for (let left = bytes; left > 0; left -= block.length) {
      await conn.write(block.subarray(0, left));
    }
  }
}

async function discard(conn: Connection): Promise<void> {
  const p = new Uint8Array(SIZE);
  let taken = 0;
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    for (taken += n; taken >= bytes; taken -= bytes) await conn.write(p.subarray(0, 1));
  }
}
