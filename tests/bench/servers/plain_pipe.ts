/** What forwarding costs the obvious way. `pipeTo` in both directions, to an echo. @module */

import { startBackend } from "./echo_backend.ts";

const backend = { port: startBackend(), hostname: "127.0.0.1" };
const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
await Deno.stdout.write(new TextEncoder().encode(`ready ${listener.addr.port}\n`));
for await (const conn of listener) forward(conn).catch(() => {});

async function forward(conn: Deno.Conn): Promise<void> {
  const beyond = await Deno.connect(backend);
  await Promise.all([
    conn.readable.pipeTo(beyond.writable),
    beyond.readable.pipeTo(conn.writable),
  ]);
}
