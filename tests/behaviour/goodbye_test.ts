/** A server that is never silent says goodbye to every client when it stops, and ends with 0. @module */

import { assertEquals, assertLess } from "@std/assert";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { connectMany } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { until } from "../support/wait.ts";

const PUSHING = new URL("./programs/pushing.ts", import.meta.url);

/** Windows cannot send signals. */
const NEEDS = { os: ["linux" as const, "darwin" as const] };

const CLIENTS = 100;

/** Additional ms for a busy machine. */
const SLACK = 2000;

/** Stops the program by SIGTERM, checks that each client got "goodbye" last, and returns the ms it took. */
async function stop(answer: (client: Deno.Conn) => unknown): Promise<number> {
  await using program = new Program(PUSHING);
  const port = Number(await program.line());
  using clients = await connectMany({ transport: "tcp", hostname: "127.0.0.1", port }, CLIENTS);
  let here = 0;
  const heard = clients.all.map(async (client) => {
    await client.write(bytes`hello\n`);
    let last = "";
    const p = new Uint8Array(1024);
    for (let n, first = true; (n = await client.read(p)) !== null; first = false) {
      if (first) here++;
      last = (last + text(p.subarray(0, n))).slice(-16);
      // It may have closed meanwhile: what it sent before can still be read.
      await Promise.resolve(answer(client)).catch(() => {});
    }
    return last.trim().split("\n").at(-1);
  });
  await until(() => here === CLIENTS);
  const since = performance.now();
  program.kill("SIGTERM");
  assertEquals(await Promise.all(heard), Array(CLIENTS).fill("goodbye"));
  assertEquals((await program.status).code, 0);
  assertEquals(await program.complaints(), []);
  return performance.now() - since;
}

netTest(
  "a server that pushes every 50 ms says goodbye to 100 clients within a second",
  async () => {
    assertLess(await stop(() => {}), 1000 + SLACK);
  },
  NEEDS,
);

netTest(
  "100 clients that send every 50 ms get their goodbye after a third of the timeout",
  async () => {
    const ms = await stop((client) => client.write(bytes`still here\n`));
    assertLess(ms, 3000 + SLACK);
  },
  NEEDS,
);
