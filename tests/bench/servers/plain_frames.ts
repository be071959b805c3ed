/**
 * What answering frames with their length in front costs the obvious way: a buffer of 64 KiB, a view
 * for the length, one awaited write for each frame. Without Nagle's algorithm, which is not what is
 * measured. See plain.ts for the arguments; frames only.
 *
 * @module
 */

const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) {
  conn.setNoDelay(true);
  answerFrames(conn).catch(() => {}).finally(() => conn.close());
}

async function answerFrames(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(65536);
  const view = new DataView(p.buffer);
  let length = 0;
  for (let n; (n = await conn.read(p.subarray(length))) !== null;) {
    length += n;
    let start = 0;
    while (length - start >= 4) {
      const end = start + 4 + view.getUint32(start);
      if (end > length) break;
      const frame = p.slice(start + 4, end);
      const answer = new Uint8Array(4 + frame.length);
      new DataView(answer.buffer).setUint32(0, frame.length);
      answer.set(frame, 4);
      for (let sent = 0; sent < answer.length;) sent += await conn.write(answer.subarray(sent));
      start = end;
    }
    p.copyWithin(0, start, length);
    length -= start;
    if (length === p.length) throw new RangeError("Cannot read a frame of more than 64 KiB");
  }
}
