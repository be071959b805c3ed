/**
 * The least that answering lines costs on Deno: every line of a read is decoded in one call, each is
 * awaited, as a `for await` does, and all of them leave in one write. Nothing is limited, and nothing
 * belongs to the handler. See plain.ts for the arguments; lines only.
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
  const p = new Uint8Array(65536);
  const answers = new Uint8Array(65536);
  let length = 0;
  for (let n; (n = await conn.read(p.subarray(length))) !== null;) {
    length += n;
    const complete = p.subarray(0, length).lastIndexOf(10) + 1;
    const text = decoder.decode(p.subarray(0, complete));
    let size = 0;
    for (let start = 0, end; (end = text.indexOf("\n", start)) >= 0; start = end + 1) {
      const line = await text.slice(start, end);
      for (let i = 0; i < line.length; i++) answers[size++] = line.charCodeAt(i);
      answers[size++] = 10;
    }
    p.copyWithin(0, complete, length);
    length -= complete;
    for (let sent = 0; sent < size;) sent += await conn.write(answers.subarray(sent, size));
    if (length === p.length) throw new RangeError("Cannot read a line of more than 64 KiB");
  }
}
