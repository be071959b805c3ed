/**
 * The four socket calls of a server in C, one by one. `echo.ts` does the same with `serve()`, which adds
 * limits, timeouts and a graceful stop.
 *
 * deno run --allow-net examples/four_steps.ts
 *
 * @module
 */

import { type Connection, connection, listen } from "jsr:@usher/server@^0.2.0";
import { type Place, start } from "./start.ts";

/** Serves one client: read(fd, ...) until it returns 0, and write(fd, ...) until all is written. */
export async function answer(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

function fourSteps({ port, hostname }: Place): Deno.TcpListener {
  const listener = listen({
    // 1. fd = socket(AF_INET, SOCK_STREAM, 0);
    // A port means TCP (a path would mean a Unix socket); the hostname chooses IPv4 or IPv6.

    // 2. addr.sin_port = htons(port); addr.sin_addr.s_addr = htonl(INADDR_ANY);
    //    if (bind(fd, &addr, sizeof addr) == -1) ...
    // A plain number and a plain string, checked before the first call.
    port,
    hostname,

    // 3. if (listen(fd, 5) == -1) ...
    // The kernel gets this queue length unchanged.
    tcpBacklog: 5,
  });
  // What returns -1 in C has thrown by now: `start` prints the message, which says what to do.

  acceptAll(listener);
  return listener;
}

async function acceptAll(listener: Deno.TcpListener): Promise<void> {
  for (;;) {
    // 4. client = accept(fd, &addr, &len);
    // The listener stays, and each client gets a socket of its own; a client that left before it was
    // accepted ends nothing.
    const socket = await listener.accept();
    // Not awaited: the next client need not wait for this one.
    serveOne(socket);
  }
}

async function serveOne(socket: Deno.TcpConn): Promise<void> {
  // close(client), once everything is sent.
  await using conn = connection(socket);
  try {
    await answer(conn);
  } catch {
    // A client that resets its connection ends that one. serve() counts it, in `stats()`.
  }
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/four_steps.ts";
  await start({ command }, fourSteps);
}
