/** Contends for the limits of a fleet on real threads, millions of times, and prints what it found. @module */

import { SharedPeers } from "../../lib/fleet/shared_peers.ts";
import { SharedSlots } from "../../lib/fleet/shared_slots.ts";
import type { Job } from "../support/contender.ts";
import { contend } from "../support/contention.ts";

/** A contest: what each of the threads does, and with how many places or slots. */
interface Contest extends Omit<Job, "memory" | "tally" | "seed"> {
  readonly threads: number;
}

/** Many times what any contest needs; each death looks at all of them. */
const PLACES = 2 ** 14;

const base = { keys: 1000, limit: 3 };
const contests: Record<string, Contest> = {
  "peers, 2 threads, 1,000 of them": { ...base, name: "peers", threads: 2, operations: 1_000_000 },
  "peers, 2 threads, 100,000 of them": {
    ...base,
    name: "peers",
    threads: 2,
    operations: 1_000_000,
    keys: 100_000,
  },
  "peers, 4 threads, 64 of them": {
    ...base,
    name: "peers",
    threads: 4,
    operations: 500_000,
    keys: 64,
  },
  "one newcomer at once, 2 threads": {
    ...base,
    name: "newcomers",
    threads: 2,
    operations: 500_000,
    limit: 2,
  },
  "one newcomer at once, 3 threads": {
    ...base,
    name: "newcomers",
    threads: 3,
    operations: 50_000,
    limit: 3,
  },
  "16 slots, 4 threads": { ...base, name: "slots", threads: 4, operations: 1_000_000, limit: 16 },
  "1 slot, 4 threads": { ...base, name: "slots", threads: 4, operations: 250_000, limit: 1 },
  "peers, deaths, 4 threads": {
    ...base,
    name: "peers",
    threads: 4,
    operations: 250_000,
    keys: 64,
    pauses: true,
    deathEvery: 200,
  },
  "3 slots, deaths, 4 threads": {
    ...base,
    name: "slots",
    threads: 4,
    operations: 100_000,
    pauses: true,
    deathEvery: 200,
  },
};

/** Runs a contest. What is left at its end must be nothing. */
async function run({ threads, ...job }: Contest) {
  const isOfSlots = job.name === "slots";
  const memory = isOfSlots
    ? SharedSlots.allocate(threads + 1)
    : SharedPeers.allocate(threads + 1, PLACES);
  const slots = new SharedSlots(memory, threads);
  const main = isOfSlots ? slots : new SharedPeers(memory, threads);
  if (isOfSlots) slots.limit = job.limit;
  const tally = new SharedArrayBuffer(4 * job.keys);
  const seed = Math.floor(Math.random() * 2 ** 31);
  const found = await contend(threads, { ...job, memory, tally, seed }, main);
  const sum = (of: (one: typeof found[number]) => number) =>
    found.reduce((total, one) => total + of(one), 0);
  return {
    operations: threads * job.operations,
    entered: sum(({ entered }) => entered),
    refused: sum(({ refused }) => refused),
    over: sum(({ over }) => over),
    split: sum(({ split }) => split),
    late: sum(({ late }) => late),
    deaths: sum(({ deaths }) => deaths),
    left: main instanceof SharedPeers ? main.total : main.taken,
    "µs each": Number((1e3 * Math.max(...found.map(({ ms }) => ms)) / job.operations).toFixed(2)),
  };
}

let isWell = true;
for (const [name, contest] of Object.entries(contests)) {
  const { over, split, late, left, ...rest } = await run(contest);
  isWell &&= over + split + late + left === 0;
  const figures = Object.entries({ over, split, late, left, ...rest });
  print(`${name}: ${figures.map(([key, value]) => `${key} ${value}`).join(", ")}`);
}
Deno.exit(isWell ? 0 : 1);

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
