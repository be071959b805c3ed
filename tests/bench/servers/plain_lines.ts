/**
 * What answering lines costs the obvious way. A buffer of 64 KiB, a search for the line feed, one
 * `TextDecoder` call and one awaited write for each line. Without Nagle's algorithm, which is not
 * what is measured. See plain.ts for the arguments; lines only.
 *
 * @module
 */

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) {
  conn.setNoDelay(true);
  answerLines(conn).catch(() => {}).finally(() => conn.close());
}

async function answerLines(conn: Deno.Conn): Promise<void> {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  const p = new Uint8Array(65536);
  let length = 0;
  for (let n; (n = await conn.read(p.subarray(length))) !== null;) {
    length += n;
    let start = 0;
    for (let end; (end = p.subarray(0, length).indexOf(10, start)) >= 0; start = end + 1) {
      const line = decoder.decode(p.subarray(start, end));
      const answer = encoder.encode(line + "\n");
      for (let sent = 0; sent < answer.length;) sent += await conn.write(answer.subarray(sent));
    }
    p.copyWithin(0, start, length);
    length -= start;
    if (length === p.length) throw new RangeError("Cannot read a line of more than 64 KiB");
  }
}
