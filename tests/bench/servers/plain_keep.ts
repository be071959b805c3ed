/**
 * What keeping a part of what arrives costs the obvious way: an exact copy of it, or its text.
 * `plain_keep.ts keep WHAT`, of kept_items.ts.
 *
 * @module
 */

import { type Kept, KEPT_ITEMS, type KeptItem } from "./kept_items.ts";

const what = (Deno.args[1] ?? "chunk") as Kept;
const { parts, from, size }: KeptItem = KEPT_ITEMS[what];
const kept: unknown[] = [];

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) keep(conn).catch(() => {}).finally(() => conn.close());

async function keep(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(131_072);
  const answer = new Uint8Array(1);
  for (let turn = 0;; turn++) {
    const part = turn % parts.length;
    for (let length = 0; length < parts[part]!.length;) {
      const n = await conn.read(p.subarray(length));
      if (n === null) return;
      length += n;
    }
    if (part === 0) {
      const copy = p.slice(from, from + size);
      kept.push(what === "line" ? new TextDecoder().decode(copy) : copy);
    }
    await conn.write(answer);
  }
}
