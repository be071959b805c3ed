/**
 * What the tutorial's loop costs with TLS. The baseline of every ratio with TLS; see plain.ts for
 * the arguments, echo only. The certificate is where build.ts puts it.
 *
 * @module
 */

const listener = Deno.listenTls({
  port: 0,
  hostname: "127.0.0.1",
  cert: await Deno.readTextFile("build/tls/cert.pem"),
  key: await Deno.readTextFile("build/tls/key.pem"),
});
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) echo(conn).catch(() => {}).finally(() => conn.close());

async function echo(conn: Deno.TlsConn): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    for (let sent = 0; sent < n;) sent += await conn.write(p.subarray(sent, n));
  }
}
