/** One of several threads that work on the same shared memory at once: see `contention.ts`. @module */

import { parentPort, workerData } from "node:worker_threads";
import { SharedPeers } from "../../lib/fleet/shared_peers.ts";
import { SharedSlots } from "../../lib/fleet/shared_slots.ts";
import { Chance } from "./chance.ts";

/** What all threads do. */
export interface Job {
  readonly name: "peers" | "newcomers" | "slots";
  readonly memory: SharedArrayBuffer;
  /** How many of each key are in, as the threads themselves count. */
  readonly tally: SharedArrayBuffer;
  readonly operations: number;
  readonly keys: number;
  readonly limit: number;
  readonly seed: number;
  /** Before each access to the memory a thread may pause, so that others come in between. */
  readonly pauses?: boolean;
  /** Threads die in the middle of operations, about once in so many accesses, and begin anew. */
  readonly deathEvery?: number;
}

/** What a thread found. */
export interface Found {
  entered: number;
  refused: number;
  /** How often there were more than the limit. */
  over: number;
  deaths: number;
  /** Where two threads did not agree. */
  split: number;
  /** The most at once that this thread saw. */
  most: number;
  /** Waits for a slot that no give-back ended. */
  late: number;
  ms: number;
}

/** Thrown out of the middle of an operation: nothing of it happens after that. */
const DEATH = Symbol("death");

/** Ms after which a wait for a slot is late: the main thread's tick has ended it. */
const LATE = 1000;

/** Cells of the gate before those in which each thread says that it has died. */
export const GATE = 2;

const real = Atomics;
const spare = new Int32Array(new SharedArrayBuffer(4));

/** Accesses until the thread dies. */
let life = Infinity;

function meddle(chance: Chance, pauses: boolean): void {
  const before = () => {
    if (--life <= 0) {
      life = Infinity;
      throw DEATH;
    }
    if (!pauses) return;
    const dice = chance.next();
    // As if the kernel had given the processor to another thread; or a memory that is slow.
    if (dice < 1 / 5000) real.wait(spare, 0, 0, 1);
    else if (dice < 1 / 20) { for (let i = dice * 4000; i > 0; i--) real.load(spare, 0); }
  };
  const names = ["load", "store", "add", "sub", "exchange", "compareExchange", "notify"] as const;
  const meddled = Object.fromEntries(names.map((name) => [
    name,
    (...args: unknown[]) => {
      before();
      return (real[name] as (...args: unknown[]) => unknown)(...args);
    },
  ]));
  globalThis.Atomics = Object.assign(Object.create(real), meddled);
}

interface Thread extends Job {
  readonly row: number;
  readonly threads: number;
  readonly gate: SharedArrayBuffer;
}

const found: Found = {
  entered: 0,
  refused: 0,
  over: 0,
  deaths: 0,
  split: 0,
  most: 0,
  late: 0,
  ms: 0,
};

/** Waits until all threads have come here as often as this one. */
function meet(gate: Int32Array, threads: number): void {
  const round = real.load(gate, 1);
  if (real.add(gate, 0, 1) + 1 === threads) {
    real.store(gate, 0, 0);
    real.add(gate, 1, 1);
    real.notify(gate, 1);
    return;
  }
  for (let i = 0; real.load(gate, 1) === round; i++) if (i > 2000) real.wait(gate, 1, round, 100);
}

/** The main thread buries this one, and lets another begin in its row. */
function die(gate: SharedArrayBuffer, row: number): void {
  found.deaths++;
  const graves = new Int32Array(gate);
  real.store(graves, GATE + row, 1);
  parentPort!.postMessage("died");
  // The notice of the death before may come late.
  while (real.load(graves, GATE + row) === 1) real.wait(graves, GATE + row, 1);
}

/** Peers come and go at random; a thread that dies leaves all it has. */
function peers(thread: Thread, chance: Chance): void {
  const { memory, row, tally, operations, keys, limit, gate } = thread;
  const inside = new Int32Array(tally);
  let counts = new SharedPeers(memory, row);
  let mine: number[] = [];
  const out = (key: number) => void real.sub(inside, key, 1);
  life = lifetime(thread, chance);
  for (let i = 0; i < operations; i++) {
    const leaves = chance.next() * 64 < mine.length;
    const key = leaves ? chance.pick(mine) : chance.from(0, keys - 1);
    try {
      if (leaves) {
        out(key);
        mine.splice(mine.indexOf(key), 1);
        counts.leave(`peer ${key}`);
      } else if (counts.enter(`peer ${key}`, limit)) {
        found.entered++;
        mine.push(key);
        if (real.add(inside, key, 1) + 1 > limit) found.over++;
      } else found.refused++;
    } catch (error) {
      if (error !== DEATH) throw error;
      mine.forEach(out);
      mine = [];
      die(gate, row);
      counts = new SharedPeers(memory, row);
      life = lifetime(thread, chance);
    }
  }
  life = Infinity;
  mine.forEach(out);
  for (const key of mine) counts.leave(`peer ${key}`);
}

/** All threads enter one new peer at the same moment, again and again. */
function newcomers({ memory, row, operations, keys, threads, gate }: Thread): void {
  const counts = new SharedPeers(memory, row);
  const meeting = new Int32Array(gate);
  for (let i = 0; i < operations; i++) {
    const key = `newcomer ${i % keys}`;
    meet(meeting, threads);
    if (counts.enter(key, threads)) found.entered++;
    else found.refused++;
    meet(meeting, threads);
    if (counts.count(key) !== threads) found.split++;
    meet(meeting, threads);
    counts.leave(key);
  }
}

/** Takes slots, waiting for each as a server does, and gives them back. */
async function slots(thread: Thread, chance: Chance): Promise<void> {
  const { memory, row, tally, operations, limit, gate } = thread;
  const inside = new Int32Array(tally);
  let mine = new SharedSlots(memory, row);
  let held = 0;
  const giveBack = () => {
    held--;
    real.sub(inside, 0, 1);
    mine.giveBack();
  };
  life = lifetime(thread, chance);
  for (let i = 0; i < operations; i++) {
    try {
      if (mine.take()) {
        found.entered++;
        held++;
        const now = real.add(inside, 0, 1) + 1;
        found.most = Math.max(found.most, now);
        if (now > limit) found.over++;
        // Most are given back at once, some are kept for a while.
        while (held > 0 && (held > 4 || chance.next() < 0.7)) giveBack();
      } else {
        found.refused++;
        if (held > 0) giveBack();
        else {
          const change = changed(mine);
          life = Infinity; // what is called back from now on is no part of a loop that can begin anew
          await change;
          life = lifetime(thread, chance);
        }
      }
    } catch (error) {
      if (error !== DEATH) throw error;
      real.sub(inside, 0, held);
      held = 0;
      die(gate, row);
      mine = new SharedSlots(memory, row);
      life = lifetime(thread, chance);
    }
  }
  life = Infinity;
  while (held > 0) giveBack();
}

async function changed(slots: SharedSlots): Promise<void> {
  const since = performance.now();
  await new Promise<void>((resolve) => slots.watch(resolve));
  if (performance.now() - since > LATE) found.late++;
}

/** Accesses after which the thread dies. */
function lifetime({ deathEvery }: Thread, chance: Chance): number {
  return deathEvery === undefined ? Infinity : chance.from(1, 2 * deathEvery);
}

if (parentPort !== null) {
  const thread = workerData as Thread;
  const chance = new Chance(thread.seed + 1000 * thread.row);
  if (thread.pauses || thread.deathEvery !== undefined) meddle(chance, thread.pauses === true);
  meet(new Int32Array(thread.gate), thread.threads);
  const since = performance.now();
  await { peers, newcomers, slots }[thread.name](thread, chance);
  found.ms = performance.now() - since;
  parentPort.postMessage(found);
}
