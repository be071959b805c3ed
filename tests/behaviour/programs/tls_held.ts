/**
 * A server with TLS that reports its memory while its clients do not cooperate. The argument is what its
 * handlers do: `"echo"` the first client and read from no other, or `"talk"` without end. Answers
 * `"memory"` with the bytes of the process, `"sockets"` with how many are open, and `"stop"` with how
 * many are left once every connection was closed. @module
 */

import { type Connection, serve } from "../../../mod.ts";
import { server as certificate } from "../../support/certificates.ts";
import { commands, say } from "../../support/commands.ts";
import { LOOPBACK } from "../../support/peers.ts";
import { turns } from "../../support/wait.ts";

const HANDLERS: Record<string, (conn: Connection) => Promise<unknown>> = {
  async echo(conn) {
    if (conn.id > 1) return await new Promise<never>(() => {});
    for await (const chunk of conn) await conn.write(chunk);
    return undefined;
  },
  talk: (conn) => conn.write(new Uint8Array(64 << 20)),
};

const ANSWERS: Record<string, () => unknown> = {
  memory: () => Deno.memoryUsage().rss,
  sockets,
  async stop() {
    await server.shutdown({ timeout: 0 });
    // What is closed is gone some turns later.
    await turns(100);
    return sockets();
  },
};

function sockets(): number {
  const descriptors = [...Deno.readDirSync("/proc/self/fd")];
  return descriptors.filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:");
    } catch {
      return false; // the one with which the folder was read
    }
  }).length;
}

const server = serve({ ...LOOPBACK, ...certificate }, HANDLERS[Deno.args[0]!]!);
say(`${server.addr.port}`);
for await (const command of commands()) {
  // Everything that has arrived by now is stored.
  await turns();
  say(`${await ANSWERS[command]!()}`);
}
