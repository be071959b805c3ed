/** What a handler sent before it settled arrives whole, however it settled and over whatever. @module */

import { assertEquals } from "@std/assert";
import { type Connection, framed, lines, ProtocolError, serve } from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { dialTls } from "../support/tls_peers.ts";

/** How often each is tried: a loss would be random. */
const TIMES = 5;

/** Ways to send the last word before settling. */
const SAYS: Record<string, (conn: Connection) => unknown> = {
  "a frame, not awaited": (conn) => void framed(conn, lines()).send("500 the last word"),
  "a frame, awaited": (conn) => framed(conn, lines()).send("500 the last word"),
  "bytes, not awaited": (conn) => void conn.write(bytes`500 the last word\n`),
  "frames behind a large write": (conn) => {
    conn.write(new Uint8Array(2 << 20));
    framed(conn, lines()).send("500 the last word");
  },
};

const SETTLES: Record<string, () => Promise<void>> = {
  "returns": () => Promise.resolve(),
  "throws an error of its own": () => Promise.reject(new TypeError("mine")),
  "throws a ProtocolError": () => Promise.reject(new ProtocolError("theirs")),
};

for (const kind of ["TCP", "TLS"]) {
  for (const [how, settle] of Object.entries(SETTLES)) {
    netTest(`the last word arrives over ${kind} when the handler ${how}`, async () => {
      const says = Object.values(SAYS);
      await using server = serve({
        ...LOOPBACK,
        ...(kind === "TLS" && certificate),
        onError: () => {},
      }, async (conn) => {
        await conn.readLine();
        await says[(conn.id - 1) % says.length]!(conn);
        await settle();
      });
      for (let i = 0; i < TIMES * says.length; i++) {
        using client = await (kind === "TLS" ? dialTls : dial)(server.addr);
        // More than is read, which must not turn the answer into a reset.
        await client.write(bytes`a request\n${"and more ".repeat(500)}`);
        assertEquals(
          await lastLine(client),
          "500 the last word\n",
          Object.keys(SAYS)[i % says.length],
        );
      }
    });
  }
}

/** What is read before the end, without the zeros; inside TLS a failed answer does not end like a whole one. */
async function lastLine(client: Deno.Conn): Promise<string> {
  const p = new Uint8Array(65536);
  let last = "";
  for (let n; (n = await client.read(p).catch(() => null)) !== null;) {
    const from = p.subarray(0, n).findIndex((byte) => byte !== 0);
    if (from >= 0) last += text(p.subarray(from, n));
  }
  return last;
}
