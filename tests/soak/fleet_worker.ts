/** Echoes, and fails as a client asks for: the program of fleet_server.ts. @module */

import { serve } from "../../mod.ts";

const decoder = new TextDecoder();

serve({ port: 0, hostname: "127.0.0.1", tcpBacklog: 4096 }, async (conn) => {
  for await (const chunk of conn) {
    if (chunk[0] === 0x21) fail(decoder.decode(chunk));
    await conn.write(chunk);
  }
});

/** `!crash`, `!heap` or `!hang`. */
function fail(how: string): void {
  if (how.startsWith("!crash")) {
    queueMicrotask(() => {
      throw new Error("A crash that was asked for");
    });
  }
  const all: unknown[] = [];
  if (how.startsWith("!heap")) { for (;;) all.push(new Array(1000).fill({ all })); }
  if (how.startsWith("!hang")) { for (;;); }
}
