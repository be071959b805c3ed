/**
 * What a timeout for each read costs, made the obvious way. The plain loop with `setTimeout`,
 * `clearTimeout` and `Promise.race` around every read; see plain.ts for the arguments, echo only.
 *
 * @module
 */

/** Milliseconds; longer than any run, so it never fires here. */
const TIMEOUT = 300_000;

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) echo(conn).catch(() => {}).finally(() => conn.close());

async function echo(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await readInTime(conn, p); n !== null; n = await readInTime(conn, p)) {
    for (let sent = 0; sent < n;) sent += await conn.write(p.subarray(sent, n));
  }
}

async function readInTime(conn: Deno.Conn, p: Uint8Array): Promise<number | null> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Deno.errors.TimedOut("No byte in time")), TIMEOUT);
  try {
    return await Promise.race([conn.read(p), late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
