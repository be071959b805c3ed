/**
 * Measures how long the answers of a status page take while many are connected, and whether
 * traffic waits.
 *
 * deno run -A tests/soak/status_answers.ts [connections, 10000 unless given]
 *
 * Prints what `metricsText()` and `/connections` take, and what an echo takes meanwhile and alone.
 *
 * @module
 */

import { bytes } from "../support/bytes.ts";
import { dial, readExactly, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const CONNECTIONS = Number(Deno.args[0] ?? 10_000);
const REQUESTS = 30;

/** Connections that are opened at once: fewer than a queue holds. */
const AT_ONCE = 100;

await using child = new Program(new URL("../watch/programs/observed.ts", import.meta.url), {
  longest: 120_000,
});
const { addr, url } = JSON.parse((await child.line())!);
const clients: Deno.Conn[] = [];
while (clients.length < CONNECTIONS) {
  const some = Array.from(
    { length: Math.min(AT_ONCE, CONNECTIONS - clients.length) },
    () => dial(addr),
  );
  clients.push(...await Promise.all(some));
}
show("metricsText()", JSON.parse(await child.ask("metrics")));

await exchange(clients[0]!); // what is made at the first one is not counted
show(
  "an echo, alone",
  await echoesDuring(async () => {
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }),
);
const requests: number[] = [];
show(
  "an echo, meanwhile",
  await echoesDuring(async () => {
    for (let i = 0; i < REQUESTS; i++) {
      const began = performance.now();
      await (await fetch(`${url}connections?sort=received&order=desc`)).json();
      requests.push(performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, 70));
    }
  }),
);
show("/connections", requests);
for (const client of clients) client.close();

/** Ms of each exchange on one connection for as long as something goes on. */
async function echoesDuring(work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  let over = false;
  const working = work().then(() => over = true);
  while (!over) {
    const began = performance.now();
    await exchange(clients[0]!);
    times.push(performance.now() - began);
  }
  await working;
  return times;
}

async function exchange(client: Deno.Conn): Promise<void> {
  await writeAll(client, bytes`hello`);
  await readExactly(client, 5);
}

function show(what: string, times: number[]): void {
  const sorted = times.toSorted((one, other) => one - other);
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]!.toFixed(2);
  // deno-lint-ignore no-console -- what this program is for
  console.log(`${what.padEnd(20)} median ${at(0.5)} ms, 99 % ${at(0.99)} ms, longest ${at(1)} ms`);
}
