/**
 * Measures whether a status page, or the server that it shows, grows while 500 connections come
 * and go.
 *
 * deno run -A tests/soak/status_page.ts [seconds, 60 unless given]
 *
 * Prints what both hold after ten seconds and at the end, each after a collection that was forced, and
 * whether the page then says what the server does. Its exit code is 1 if one has grown by more than a
 * tenth, if the figures differ, or if the page complained.
 *
 * @module
 */

import { bytes } from "../support/bytes.ts";
import { dial, readExactly } from "../support/peers.ts";
import { Browsing } from "../support/browser.ts";
import { Program } from "../support/program.ts";

const CLIENTS = 500;
const SECONDS = Number(Deno.args[0] ?? 60);
const FIRST = 10;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

await using child = new Program(new URL("../watch/programs/observed.ts", import.meta.url), {
  flags: ["--v8-flags=--expose-gc"],
});
const { addr, url } = JSON.parse(await child.line());
await using browsing = await Browsing.open(url);

let stopping = false;
let served = 0;

/** Connects, sends a few messages, leaves, and begins anew. */
async function client(): Promise<void> {
  while (!stopping) {
    const conn = await dial(addr);
    for (let i = Math.floor(20 * Math.random()); i >= 0 && !stopping; i--) {
      await conn.write(bytes`hello`);
      await readExactly(conn, 5);
      await sleep(200 * Math.random());
    }
    conn.close();
    served++;
  }
}

/** Bytes in use in both heaps. */
async function held(): Promise<{ page: number; nodes: number; server: number; rss: number }> {
  const { JSHeapUsedSize: page = NaN, Nodes: nodes = NaN } = await browsing.do<
    Record<string, number>
  >("held");
  const { heap, rss } = JSON.parse(await child.ask("collect"));
  return { page, nodes, server: heap, rss };
}

const clients = Promise.all(Array.from({ length: CLIENTS }, client));
await sleep(1000 * FIRST);
const before = await held();
await sleep(1000 * (SECONDS - FIRST));
const after = await held();
stopping = true;
await clients;
await browsing.until(`document.getElementById("active").textContent === "0"`);
// The update one second after the one with the last change.
await sleep(2500);
const stats = JSON.parse(await child.ask("stats"));
const shown = JSON.parse(
  await browsing.look<string>(`(() => {
    const figure = (id) => Number(document.getElementById(id).textContent.replaceAll(",", ""));
    return JSON.stringify([figure("active"), figure("accepted"), figure("refused")]);
  })()`),
);
const complaints = await browsing.complaints();
const ratios = {
  page: after.page / before.page,
  nodes: after.nodes / before.nodes,
  server: after.server / before.server,
  rss: after.rss / before.rss,
};
// deno-lint-ignore no-console -- the output of the program
console.log(JSON.stringify(
  {
    seconds: SECONDS,
    served,
    before,
    after,
    ratios,
    shown,
    stats: [stats.active, stats.accepted, 0],
    complaints,
  },
  null,
  2,
));
const isSame = String(shown) === String([stats.active, stats.accepted, 0]);
const grew = Math.max(ratios.page, ratios.server) > 1.1;
Deno.exitCode = isSame && !grew && complaints.length === 0 ? 0 : 1;
