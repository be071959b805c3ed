/** Does everybody have his turn when more are busy than Deno serves at once? @module */

import { assert, assertEquals, assertFalse } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connection } from "../../mod.ts";
import { Fairness } from "../../lib/connection/fairness.ts";
import { bytes, turns } from "../support/peers.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** As many as Deno's event loop serves in one go. */
const GO = 128;

/** Timers that fire when the test says so. */
class Timers {
  readonly #set = new Set<() => void>();

  readonly later = (run: () => void): () => void => {
    this.#set.add(run);
    return () => this.#set.delete(run);
  };

  get pending(): number {
    return this.#set.size;
  }

  fire(): void {
    for (const run of [...this.#set]) {
      this.#set.delete(run);
      run();
    }
  }
}

/** A thread with so many connections. */
function threadOf(connections: number): { fairness: Fairness; timers: Timers } {
  const timers = new Timers();
  const fairness = new Fairness(timers.later);
  for (let i = 0; i < connections; i++) fairness.enter();
  return { fairness, timers };
}

/** So many reads have brought something in one go of the event loop. */
async function go(fairness: Fairness, reads: number): Promise<void> {
  for (let i = 0; i < reads; i++) fairness.count();
  await null;
}

/** So many want to read next; how many of them have had their turn is in `served`. */
function wait(fairness: Fairness, many: number): { served: number } {
  const state = { served: 0 };
  for (let i = 0; i < many; i++) fairness.turn().then(() => state.served++);
  return state;
}

Deno.test("nobody waits while no more than 128 connections are there", async () => {
  const { fairness, timers } = threadOf(GO);
  await go(fairness, GO);
  assertFalse(fairness.rationed);
  assertEquals(timers.pending, 0);
});

Deno.test("nobody waits after a go that has left something of the budget", async () => {
  const { fairness, timers } = threadOf(500);
  await go(fairness, GO - 1);
  assertFalse(fairness.rationed);
  assertEquals(timers.pending, 0);
});

Deno.test("who was served waits until a smaller go shows that the others were", async () => {
  const { fairness, timers } = threadOf(500);
  await go(fairness, GO);
  assert(fairness.rationed);
  const first = wait(fairness, GO);
  await go(fairness, GO);
  const second = wait(fairness, GO);
  assertEquals([first.served, second.served], [0, 0]);
  await go(fairness, 44);
  await turns(1);
  assertEquals([first.served, second.served], [GO, GO]);
  assertFalse(fairness.rationed);
  timers.fire();
  assertEquals(timers.pending, 0);
});

Deno.test("nobody waits for others when everybody who is there waits", async () => {
  const { fairness } = threadOf(2 * GO);
  await go(fairness, GO);
  const first = wait(fairness, GO);
  await go(fairness, GO);
  const second = wait(fairness, GO - 1);
  await turns(1);
  assertEquals([first.served, second.served], [0, 0]);
  const last = wait(fairness, 1);
  await turns(1);
  assertEquals([first.served, second.served, last.served], [GO, GO - 1, 1]);
});

Deno.test("nobody waits for those who have left", async () => {
  const { fairness } = threadOf(GO + 2);
  await go(fairness, GO);
  const waiting = wait(fairness, GO);
  fairness.leave();
  await turns(1);
  assertEquals(waiting.served, 0);
  fairness.leave();
  await turns(1);
  assertEquals(waiting.served, GO);
});

Deno.test("silence ends a round: two timers in a row without a go between them", async () => {
  const { fairness, timers } = threadOf(500);
  await go(fairness, GO);
  const waiting = wait(fairness, GO);
  timers.fire();
  await go(fairness, GO);
  const late = wait(fairness, GO);
  timers.fire();
  timers.fire();
  await turns(1);
  assertEquals([waiting.served, late.served], [0, 0]);
  timers.fire();
  await turns(1);
  assertEquals([waiting.served, late.served], [GO, GO]);
  assertEquals(timers.pending, 0);
});

Deno.test("a round that only silence ended is known, and the next one needs none", async () => {
  const { fairness, timers } = threadOf(500);
  /** A round of exactly those whom one go serves; how many were served before any silence. */
  const round = async () => {
    await go(fairness, GO);
    const waiting = wait(fairness, GO);
    await turns(1);
    const { served } = waiting;
    for (let i = 0; i < 3; i++) timers.fire();
    await turns(1);
    assertEquals(waiting.served, GO);
    return served;
  };
  const served: number[] = [];
  for (let i = 0; i < 9; i++) served.push(await round());
  // Tried again after one, two and four rounds: others may have become busy.
  assertEquals(served, [0, GO, 0, GO, GO, 0, GO, GO, GO]);
});

Deno.test("no timer is left when the last connection is gone", async () => {
  const { fairness, timers } = threadOf(GO + 1);
  await go(fairness, GO);
  wait(fairness, GO);
  assertEquals(timers.pending, 1);
  for (let i = 0; i < GO + 1; i++) fairness.leave();
  assertEquals(timers.pending, 0);
  assertFalse(fairness.rationed);
});

Deno.test("connections that were served let the others read first, whatever they read with", async () => {
  const sockets = Array.from({ length: 2 * GO + 40 }, () => new ScriptedSocket());
  const conns = sockets.map((socket) => connection(socket));
  const loops = conns.map(async (conn, i) => {
    // All kinds of reads, side by side.
    if (i % 3 === 0) { for await (const _chunk of conn); }
    else if (i % 3 === 1) { while (await conn.read(new Uint8Array(8)) !== null); }
    else while (await conn.readLine() !== null);
  });
  const readsOf = (from: number, to: number) =>
    sockets.slice(from, to).reduce((sum, { reads }) => sum + reads, 0);
  const arrive = (from: number, to: number) =>
    sockets.slice(from, to).forEach((socket) => socket.arrive(bytes`a\n`));

  arrive(0, GO);
  for (let i = 0; i < 10; i++) await null;
  assertEquals(readsOf(0, GO), GO, "they wait with their next read");
  arrive(GO, 2 * GO);
  for (let i = 0; i < 10; i++) await null;
  assertEquals(readsOf(0, 2 * GO), 2 * GO);
  arrive(2 * GO, 2 * GO + 40);
  await turns(1);
  assertEquals(readsOf(0, sockets.length), 2 * sockets.length, "everybody reads again");

  for (const socket of sockets) socket.finish();
  await Promise.all(loops);
  for (const conn of conns) conn.close();
});

Deno.test("who waits for his turn hears that his connection was closed", async () => {
  using _time = new FakeTime(); // its timer is a real one all the same
  const sockets = Array.from({ length: GO + 1 }, () => new ScriptedSocket());
  const conns = sockets.map((socket) => connection(socket));
  const p = new Uint8Array(8);
  const reads = conns.slice(0, GO).map((conn) => conn.read(p));
  for (const socket of sockets.slice(0, GO)) socket.arrive(bytes`a`);
  await Promise.all(reads);
  const next = conns[0]!.read(p).then(() => "read", (error) => error.name);
  assertEquals(sockets[0]!.reads, 1, "it waits");
  conns[0]!.close();
  assertEquals(await next, "Interrupted");
  const other = conns[1]!.read(p);
  sockets[1]!.arrive(bytes`b`);
  assertEquals(await other, 1, "the others go on");
  for (const conn of conns) conn.close();
});
