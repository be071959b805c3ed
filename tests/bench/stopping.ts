/** Measures how long a server takes to stop when every client is done. @module */

import type { LoadReport, LoadSettings } from "./load_process.ts";
import { exchangeOneByte } from "./one_byte.ts";
import type { Running } from "./servers.ts";

export interface StopPlan {
  readonly kind: "stop";
  /** Connections that have had an answer and are idle; each closes once the server does. */
  readonly connections: number;
}

/** Connections opened at once: far below any backlog. */
const AT_ONCE = 64;

/** Milliseconds after which a stop counts as stuck. */
const LIMIT = 30_000;

/** The seconds of the report are the server's own. */
export async function stopServer(
  { child, port }: Running,
  { connections }: StopPlan,
  { atRest }: LoadSettings,
): Promise<LoadReport> {
  const ends: Promise<unknown>[] = [];
  for (let from = 0; from < connections; from += AT_ONCE) {
    const group = Math.min(AT_ONCE, connections - from);
    const opened = await Promise.all(Array.from({ length: group }, () => speak(port)));
    for (const conn of opened) ends.push(closeBehind(conn));
  }
  await atRest("warm");
  await child.tell("stop");
  const line = await child.line(LIMIT);
  const milliseconds = Number(/^stopped ([\d.]+)$/.exec(line)?.[1]);
  if (!Number.isFinite(milliseconds)) throw new Error(`Said '${line}' instead of 'stopped MS'`);
  const impolite = (await Promise.all(ends)).find((end) => end !== null);
  if (impolite !== undefined) throw new Error(`A connection ended with ${impolite}`);
  return { requests: 1, seconds: milliseconds / 1000, busy: 0 };
}

async function speak(port: number): Promise<Deno.Conn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await exchangeOneByte(conn);
  return conn;
}

/** Closes when the server has; returns `null`, or what came instead of the end. Never rejects. */
async function closeBehind(conn: Deno.Conn): Promise<unknown> {
  using _conn = conn;
  return await conn.read(new Uint8Array(1)).catch((error: unknown) => error);
}
