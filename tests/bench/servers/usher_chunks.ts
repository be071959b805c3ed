/**
 * How fast usher is with borrowed chunks, by `chunks({ reuse: true })`. Arguments as in usher_iterate.ts.
 *
 * @module
 */

import type { Connection, serve as Serve } from "../../../mod.ts";

/** Libraries from before it are not started with this program. */
type Borrowing = Connection & {
  chunks(options: { reuse: true }): AsyncIterable<Uint8Array<ArrayBuffer>>;
};

const modes: Record<string, (conn: Borrowing) => Promise<void>> = {
  echo,
  once,
  two_writes: twoWrites,
  discard,
};
const handler = modes[Deno.args[0] ?? "echo"] ?? echo;
const bytes = Number(Deno.args[1] ?? 4194304);
const { serve }: { serve: typeof Serve } = await import(Deno.args[2] ?? "../../../mod.ts");

const { countChunks = (it) => it } = globalThis as {
  countChunks?: (it: typeof handler) => typeof handler;
};
const counted = countChunks(handler) as (conn: Connection) => Promise<void>;
const server = serve({ port: 0, hostname: "127.0.0.1" }, counted);
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));

async function echo(conn: Borrowing): Promise<void> {
  for await (const chunk of conn.chunks({ reuse: true })) await conn.write(chunk);
}

async function once(conn: Borrowing): Promise<void> {
  for await (const chunk of conn.chunks({ reuse: true })) {
    await conn.write(chunk);
    return;
  }
}

async function twoWrites(conn: Borrowing): Promise<void> {
  for await (const chunk of conn.chunks({ reuse: true })) {
    await conn.write(chunk.subarray(0, chunk.length >> 1));
    await conn.write(chunk.subarray(chunk.length >> 1));
  }
}

async function discard(conn: Borrowing): Promise<void> {
  const reply = new Uint8Array(1);
  let taken = 0;
  for await (const chunk of conn.chunks({ reuse: true })) {
    for (taken += chunk.length; taken >= bytes; taken -= bytes) await conn.write(reply);
  }
}
