/** Waits for events that announce themselves to nothing, without letting time decide. @module */

import type { FakeTime } from "@std/testing/time";

/** Ms after which something that a test waits for is taken for something that never comes. */
const LONGEST = 60_000;

/** Turns of the event loop after which {@linkcode until} leaves the processor to others: a child that it waits for needs it. */
const EAGER_TURNS = 100;

/** Ms between two looks from then on. */
const PAUSE = 5;

/** Turns of the event loop within which whatever is ready now has happened; for showing that something does not. */
export const ENOUGH_TURNS = 10;

/** The real one, under a fake clock, too. */
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

/** Moves fake time on in steps that a coarse clock notices, with what happens after each of them. */
export async function pass(time: FakeTime, ms: number, step = 100): Promise<void> {
  for (; ms > 0; ms -= step) {
    time.tick(Math.min(ms, step));
    await turns(2);
  }
}
