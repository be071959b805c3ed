/** Waits for conditions that announce themselves by no event, without letting time decide. @module */

import type { FakeTime } from "@std/testing/time";

/** Ms after which an awaited condition counts as never coming true. */
const LONGEST = 60_000;

/** Turns of the event loop after which {@linkcode until} yields the processor, for a child process that it waits for. */
const EAGER_TURNS = 100;

/** Ms between two checks from then on. */
const PAUSE = 5;

/** Turns of the event loop after which whatever is ready now has happened; for showing that something does not. */
export const ENOUGH_TURNS = 10;

/** The real timer, also under a fake clock. */
const startTimer = setTimeout;

/** Resolves once `condition` holds after a turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  const since = performance.now();
  for (let i = 0; !condition(); i++) {
    if (performance.now() - since > LONGEST) throw new Error(`Never came true: ${condition}`);
    if (i < EAGER_TURNS) await turn();
    else await new Promise((resolve) => startTimer(resolve, PAUSE));
  }
}

/** One turn of the event loop: what the kernel had ready by now has arrived after it. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Some turns of the event loop, for showing that something does not happen. */
export async function turns(count: number = ENOUGH_TURNS): Promise<void> {
  for (let i = 0; i < count; i++) await turn();
}

/** Resolves after some ms of fake time, which {@linkcode pass} lets pass. */
export function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Advances fake time in steps that a coarse clock notices, with what happens after each of them. */
export async function pass(time: FakeTime, ms: number, step = 100): Promise<void> {
  for (; ms > 0; ms -= step) {
    time.tick(Math.min(ms, step));
    await turns(2);
  }
}
