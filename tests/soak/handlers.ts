/** Kinds of handlers, well-behaved and not. @module */

import { type Connection, framed, lines, ProtocolError } from "../../mod.ts";
import type { Chance } from "../support/chance.ts";

/** A client's greeting: four bytes with its number and one with the kind of handler that it wants. */
export const GREETING = 5;

/** The greeting of a client. */
export function greeting(client: number, way: Way): Uint8Array<ArrayBuffer> {
  const p = new Uint8Array(GREETING);
  new DataView(p.buffer).setUint32(0, client);
  p[4] = WAYS.indexOf(way);
  return p;
}

/** The number of a client, and the handler that it wants. */
export function greeted(p: Uint8Array): { client: number; way: Way } {
  const client = new DataView(p.buffer, p.byteOffset).getUint32(0);
  return { client, way: WAYS[p[4]! % WAYS.length]! };
}

/** The handlers that echo every byte. */
export const ECHOES = ["chunks", "read", "frames", "streams", "exactly"] as const;

/** The other ones. */
export const FAULTS = [
  "throws",
  "rejects",
  "protocol",
  "forgets",
  "swallows",
  "closes",
  "pours",
  "stays",
] as const;

/** A kind of handler. */
export type Way = (typeof ECHOES)[number] | (typeof FAULTS)[number];

const WAYS: readonly Way[] = [...ECHOES, ...FAULTS];

const fault = () => new Error("a fault of this run");

/** Each kind, by its name. */
export const HANDLERS: Record<Way, (conn: Connection, chance: Chance) => Promise<unknown>> = {
  async chunks(conn) {
    for await (const chunk of conn) await conn.write(chunk);
  },
  async read(conn) {
    const p = new Uint8Array(4096);
    for (let n; (n = await conn.read(p)) !== null;) await conn.write(p.subarray(0, n));
  },
  async frames(conn) {
    const frames = framed(conn, bytewise);
    for await (const frame of frames) await frames.send(frame);
  },
  async streams(conn) {
    await conn.readable.pipeTo(conn.writable);
  },
  async exactly(conn) {
    for (let p; (p = await conn.peek(1)).length > 0;) {
      await conn.write((await conn.readExactly(p.length))!);
    }
  },
  throws() {
    throw fault();
  },
  async rejects(conn, chance) {
    await conn.write(new Uint8Array(chance.from(0, 1000)));
    throw fault();
  },
  async protocol(conn) {
    await framed(conn, lines({ limit: 100 })).read();
    throw new ProtocolError("say HELO first");
  },
  async forgets(conn, chance) {
    for (let i = 0; i < 10; i++) conn.write(new Uint8Array(chance.from(0, 100_000)));
    conn.read(new Uint8Array(10));
    conn.closeWrite();
    await conn.peek(1).catch(() => {});
  },
  async swallows(conn, chance) {
    for (let i = 0; i < 10; i++) {
      try {
        await conn.read(new Uint8Array(chance.from(1, 10)));
        await conn.write(new Uint8Array(chance.from(0, 10_000)));
      } catch {
        // and goes on
      }
    }
  },
  async closes(conn) {
    conn.close();
    await conn.write(new Uint8Array(1));
  },
  async pours(conn) {
    for (;;) await conn.write(new Uint8Array(65536));
  },
  // Ends only by being abandoned.
  stays: () => new Promise(() => {}),
};

/** Frames of whatever has arrived. */
const bytewise = {
  decode: (bytes: Uint8Array) =>
    bytes.length === 0
      ? null
      : { frame: bytes.slice(0, 1000), taken: Math.min(1000, bytes.length) },
  encode: (frame: Uint8Array) => frame,
};
