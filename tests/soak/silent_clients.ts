/**
 * Clients connect and say nothing to a server that gives up on them by `readLine({ timeout })`: not one
 * line goes to its log.
 *
 *     deno run -A tests/soak/silent_clients.ts 10000
 *
 * @module
 */

import { dial } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const SERVER = new URL("./silent_server.ts", import.meta.url);

/** Connections that are made at a time, so that the kernel's queue does not overflow. */
const AT_ONCE = 100;

/** What a run has shown. */
export interface Silence {
  /** How many connections are over, by reason. */
  readonly ended: Record<string, number>;
  /** Lines on the server's stderr. */
  readonly logged: readonly string[];
}

/** Connects so many silent clients, until the server has given up on each. */
export async function silentClients(count: number): Promise<Silence> {
  await using program = new Program(SERVER, { args: [String(count)] });
  const addr = {
    transport: "tcp",
    hostname: "127.0.0.1",
    port: Number(await program.line()),
  } as const;
  const clients: Deno.Conn[] = [];
  while (clients.length < count) {
    const more = Math.min(AT_ONCE, count - clients.length);
    clients.push(...await Promise.all(Array.from({ length: more }, () => dial(addr))));
  }
  const closed = clients.map(async (client) => {
    while (await client.read(new Uint8Array(1)) !== null);
    client.close();
  });
  const ended = JSON.parse(await program.line());
  await Promise.all(closed);
  await program.status;
  return { ended, logged: await program.complaints() };
}

if (import.meta.main) {
  const { ended, logged } = await silentClients(Number(Deno.args[0] ?? 10_000));
  // deno-lint-ignore no-console -- the output of the program
  console.log(`${JSON.stringify(ended)}, ${logged.length} lines on stderr ${logged.slice(0, 3)}`);
}
