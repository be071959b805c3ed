/** Computes for so many µs, on Deno and on Node: a loop whose length is found out at the start. */

import { performance } from "node:perf_hooks";

let state = 1;

/** @param {number} steps */
function compute(steps) {
  for (let i = 0; i < steps; i++) state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return state;
}

/**
 * Steps, not time: a thread that has to wait for a core would count that as work.
 *
 * @param {number} us
 * @returns {() => void}
 */
export function worker(us) {
  let perUs = 0;
  for (let i = 0; i < 50; i++) {
    const since = performance.now();
    compute(200_000);
    perUs = Math.max(perUs, 200 / (performance.now() - since));
  }
  const steps = Math.round(us * perUs);
  return () => void compute(steps);
}
