/**
 * What a small part costs that a handler keeps of what usher gives it. `usher_keep.ts keep WHAT
 * [MODULE]`, of kept_items.ts.
 *
 * @module
 */

import { type Kept, KEPT_ITEMS } from "./kept_items.ts";

type Usher = typeof import("../../../mod.ts");
type Connection = import("../../../mod.ts").Connection;

const usher: Usher = await import(Deno.args[2] ?? "../../../mod.ts");
const { delimited, framed, lengthPrefixed, lines, serve } = usher;
const kept: unknown[] = [];
const ANSWER = new Uint8Array(1);
const DROPPED = KEPT_ITEMS.chunk16k.parts[1]!.length;
const ITEM = KEPT_ITEMS.line.parts[0]!.length;

const handlers: Record<Kept, (conn: Connection) => Promise<void>> = {
  async chunk(conn) {
    for await (const chunk of conn) {
      kept.push(chunk);
      await conn.write(ANSWER);
    }
  },
  async chunk16k(conn) {
    let dropping = 0;
    for await (const chunk of conn) {
      if (dropping === 0) {
        kept.push(chunk);
        dropping = DROPPED;
        await conn.write(ANSWER);
      } else {
        dropping -= chunk.length;
        if (dropping === 0) await conn.write(ANSWER);
      }
    }
  },
  async exactly(conn) {
    while (await conn.readExactly(4) !== null) {
      kept.push(await conn.readExactly(1));
      await conn.write(ANSWER);
    }
  },
  async line(conn) {
    let bytes = 0;
    for await (const line of framed(conn, lines())) {
      if (line.startsWith("K")) kept.push(line);
      if ((bytes += line.length + 1) % ITEM === 0) await conn.write(ANSWER);
    }
  },
  async delimited(conn) {
    let bytes = 0;
    for await (const frame of framed(conn, delimited("\n"))) {
      if (frame[0] === 0x4b) kept.push(frame);
      if ((bytes += frame.length + 1) % ITEM === 0) await conn.write(ANSWER);
    }
  },
  async prefixed(conn) {
    for await (const frame of framed(conn, lengthPrefixed())) {
      if (frame.length > 1) continue;
      kept.push(frame);
      await conn.write(ANSWER);
    }
  },
  async message16k(conn) {
    let left = KEPT_ITEMS.message16k.size;
    for await (const chunk of conn) {
      kept.push(chunk);
      if ((left -= chunk.length) > 0) continue;
      left = KEPT_ITEMS.message16k.size;
      await conn.write(ANSWER);
    }
  },
};

const server = serve(
  { port: 0, hostname: "127.0.0.1" },
  handlers[(Deno.args[1] ?? "chunk") as Kept],
);
await Deno.stdout.write(new TextEncoder().encode(`ready ${server.addr.port}\n`));
