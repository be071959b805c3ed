/**
 * Finds timers that were not cleared. To be imported before anything that keeps a timer function.
 *
 * @module
 */

const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;

const open = new Set<number>();

/** Timers that were set, did not fire, and were not cleared. */
export function openTimers(): number {
  return open.size;
}

function countingTimeout(run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) {
  const id = setTimeout(() => {
    open.delete(id);
    run(...args);
  }, ms) as unknown as number;
  open.add(id);
  return id;
}

function countingInterval(run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) {
  const id = setInterval(run, ms, ...args) as unknown as number;
  open.add(id);
  return id;
}

function forgetting(clear: (id?: number) => void): (id?: number) => void {
  return (id) => {
    if (id !== undefined) open.delete(id);
    clear(id);
  };
}

Object.assign(globalThis, {
  setTimeout: countingTimeout,
  setInterval: countingInterval,
  clearTimeout: forgetting(clearTimeout as (id?: number) => void),
  clearInterval: forgetting(clearInterval as (id?: number) => void),
});
