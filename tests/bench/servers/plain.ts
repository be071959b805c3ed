/**
 * The loop that every tutorial shows. This is the baseline of every ratio: it stays as
 * it is, so that figures of different days can be compared.
 *
 * Like every server here: `plain.ts [MODE [BYTES]]`, one line `ready PORT`, then until it is ended.
 * - `echo`: what was read is written back
 * - `once`: the same, and after the first read it closes
 * - `two_writes`: the same in two halves
 * - `send`: every read is answered by BYTES bytes
 * - `discard`: every BYTES bytes read are answered by one byte
 *
 * @module
 */

const modes: Record<string, (conn: Deno.Conn) => Promise<void>> = {
  echo,
  once,
  two_writes: twoWrites,
  send,
  discard,
};
const serve = modes[Deno.args[0] ?? "echo"] ?? echo;
const bytes = Number(Deno.args[1] ?? 4194304);

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) serve(conn).catch(() => {}).finally(() => conn.close());

async function echo(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    for (let sent = 0; sent < n;) sent += await conn.write(p.subarray(sent, n));
  }
}

async function once(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  const n = await conn.read(p) ?? 0;
  for (let sent = 0; sent < n;) sent += await conn.write(p.subarray(sent, n));
}

async function twoWrites(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    const half = n >> 1;
    for (let sent = 0; sent < half;) sent += await conn.write(p.subarray(sent, half));
    for (let sent = half; sent < n;) sent += await conn.write(p.subarray(sent, n));
  }
}

async function send(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  while (await conn.read(p) !== null) {
    for (let left = bytes; left > 0;) left -= await conn.write(p.subarray(0, left));
  }
}

async function discard(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  let taken = 0;
  for (let n = await conn.read(p); n !== null; n = await conn.read(p)) {
    for (taken += n; taken >= bytes; taken -= bytes) await conn.write(p.subarray(0, 1));
  }
}
