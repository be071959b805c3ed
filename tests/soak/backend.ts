/**
 * A server behind a balancer, in a process of its own: its arguments are `usher` or `plain`, its
 * address, the address of its readiness probe, and the lame duck time. Prints "ready" when it
 * listens, and ends when stdin does. @module
 */

import { serve } from "../../mod.ts";
import { say } from "../support/commands.ts";

const HOSTNAME = "127.0.0.1";

const [whose = "usher", ...numbers] = Deno.args;
const [port = 0, readiness = 0, lameDuck = 0] = numbers.map(Number);

/** The answer to a client, which repeats what it sent. */
const ANSWER = new TextEncoder().encode("answer to ");

let isReady = () => true;
const stop = whose === "plain" ? plain() : usher();
const readyz = Deno.serve(
  { hostname: HOSTNAME, port: readiness, onListen: () => say("ready") },
  () => new Response(null, { status: isReady() ? 200 : 503 }),
);
for await (const _ of Deno.stdin.readable);
await stop();
await readyz.shutdown();

function usher(): () => Promise<void> {
  const server = serve({ hostname: HOSTNAME, port }, answer);
  isReady = () => server.state === "running" && server.accepting;
  return () => server.shutdown({ lameDuck });
}

/** The usual loop, with an end: it closes the listener and finishes the connections. */
function plain(): () => Promise<void> {
  const listener = Deno.listen({ hostname: HOSTNAME, port });
  const answered = new Set<Promise<void>>();
  const over = (async () => {
    for await (const conn of listener) {
      const one = answer(conn).catch(() => {}).finally(() => {
        conn.close();
        answered.delete(one);
      });
      answered.add(one);
    }
  })();
  return async () => {
    isReady = () => false;
    await new Promise((resolve) => setTimeout(resolve, lameDuck));
    listener.close();
    await over;
    await Promise.all(answered);
  };
}

async function answer(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(64);
  const n = await conn.read(p);
  if (n === null) return;
  await conn.write(new Uint8Array([...ANSWER, ...p.subarray(0, n)]));
}
