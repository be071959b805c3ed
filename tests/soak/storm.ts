/**
 * Counts the clients that are lost by a stop in the midst of a storm. Prints a table; the arguments
 * are how many storms for each row (50), how many clients in each (500), and the seed.
 *
 * @module
 */

import { Chance } from "../support/chance.ts";
import type { RouteKind } from "./routes.ts";
import { storm } from "./storm_run.ts";

const ROWS: ["usher" | "plain", RouteKind][] = [
  ["usher", "tcp"],
  ["usher", "proxy"],
  ["usher", "tls"],
  ["plain", "tcp"],
  ["plain", "tls"],
];

const [storms = 50, clients = 500, seed = Math.floor(Math.random() * 2 ** 32)] = Deno.args
  .map(Number);
print(`Seed ${seed}; ${storms} storms of ${clients} clients in each row`);
let lost = 0;
for (const [whose, kind] of ROWS) {
  const chance = new Chance(seed);
  const result = await storm(whose, kind, storms, clients, chance);
  if (whose === "usher") lost += result.lost;
  print(
    `${whose.padEnd(6)} ${kind.padEnd(9)} lost ${result.lost} in ${result.bad} storms ` +
      `(${(result.lost / storms).toFixed(2)} each) ${JSON.stringify(result.errors)}; ` +
      `answered ${result.answered}, ended ${result.ended}, refused ${result.refused}; ` +
      `swept ${result.swept}, forced ${result.forced}, longest stop ${
        result.longest.toFixed(0)
      } ms`,
  );
}
Deno.exit(lost === 0 ? 0 : 1);

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
