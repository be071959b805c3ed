/** Exchanges one byte, which proves that the other end answers. @module */

/** Milliseconds after which no answer counts as none. */
const LIMIT = 15_000;

/** Sends one byte and awaits one; rejects when none comes. */
export async function exchangeOneByte(conn: Deno.Conn): Promise<void> {
  // Only closing ends a read.
  const timer = setTimeout(() => conn.close(), LIMIT);
  try {
    await conn.write(new Uint8Array(1));
    if (await conn.read(new Uint8Array(1)) === null) throw new Error("The server closed");
  } finally {
    clearTimeout(timer);
  }
}
