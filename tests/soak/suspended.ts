/**
 * Suspends a server for as long as asked (SIGSTOP, SIGCONT), with clients in the middle of an idle
 * connection, of a frame, of a record and of a read with a timeout of its own, each of 3 s: each client
 * that speaks when the server goes on is answered.
 *
 *     deno run -A tests/soak/suspended.ts 30
 *
 * @module
 */

import { connection } from "../../mod.ts";
import { dial } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const SERVER = new URL("./suspended_server.ts", import.meta.url);

/** What each client sends before the server is suspended: its kind, and what has begun by then. */
const BEFORE = { idle: "idle\n", frame: "frame\nhalf", record: "record\nhalf", read: "read\n" };

/** What each client has heard after the server was suspended for so many ms. */
export async function suspended(ms: number): Promise<Record<string, string | null>> {
  await using program = new Program(SERVER);
  const port = Number(await program.line());
  const addr = { transport: "tcp", hostname: "127.0.0.1", port } as const;
  const encoder = new TextEncoder();
  const clients = await Promise.all(
    Object.entries(BEFORE).map(async ([kind, before]) => {
      const client = connection(await dial(addr), { idleTimeout: Infinity });
      await client.write(encoder.encode(before));
      return { kind, client };
    }),
  );
  program.kill("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, ms));
  program.kill("SIGCONT");
  const heard: Record<string, string | null> = {};
  for (const { client } of clients) await client.write(encoder.encode("hello\n"));
  for (const { kind, client } of clients) {
    heard[kind] = await client.readLine();
    client.close();
  }
  return heard;
}

if (import.meta.main) {
  // deno-lint-ignore no-console -- the output of the program
  console.log(await suspended(1000 * Number(Deno.args[0] ?? 30)));
}
