/** What do the other ends of connections do in tests? @module */

import { connect } from "node:net";

/** Connects and resets as soon as the connection stands; resolves when it is gone. */
export function connectAndReset(addr: Deno.NetAddr): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(addr.port, addr.hostname, () => socket.resetAndDestroy());
  socket.once("error", reject);
  socket.once("close", () => resolve());
  return promise;
}

/** Reads everything until the other end closes, then closes too. */
export async function readAll(conn: Deno.Conn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const p = new Uint8Array(65536);
  for (let n; (n = await conn.read(p)) !== null;) chunks.push(p.slice(0, n));
  conn.close();
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

/** Reads exactly `length` bytes. */
export async function readExactly(conn: Deno.Conn, length: number): Promise<Uint8Array> {
  const p = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const n = await conn.read(p.subarray(filled));
    if (n === null) throw new Error(`The stream ended after ${filled} of ${length} bytes`);
    filled += n;
  }
  return p;
}

/** Writes all of `p` to a plain connection, whose `write` may take a part only. */
export async function writeAll(conn: Deno.Conn, p: Uint8Array): Promise<void> {
  for (let sent = 0; sent < p.length;) sent += await conn.write(p.subarray(sent));
}

/** The bytes of a text, for literals in tests: bytes`hello`. */
export function bytes(parts: TemplateStringsArray, ...values: unknown[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String.raw({ raw: parts }, ...values));
}

/** The text of some bytes. */
export function text(p: Uint8Array): string {
  return new TextDecoder().decode(p);
}

/** The next time `condition` holds after an event-loop turn; for what announces itself to nobody. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
