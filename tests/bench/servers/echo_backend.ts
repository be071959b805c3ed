/** The backend of the forwarders: a plain echo server in the forwarder's own process. @module */

/** Starts it; returns its port. */
export function startBackend(): number {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  serve(listener);
  return listener.addr.port;
}

async function serve(listener: Deno.Listener): Promise<void> {
  for await (const conn of listener) echo(conn).catch(() => {}).finally(() => conn.close());
}

async function echo(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    for (let sent = 0; sent < n;) sent += await conn.write(p.subarray(sent, n));
  }
}
