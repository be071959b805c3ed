/**
 * Stands in for `@std/testing/time` where JSR cannot be reached: the same `FakeTime`, over
 * the clock of `@sinonjs/fake-timers`.
 *
 * The clock declares `timerHeap`, `timers` and `duringTick` but calls them internal, which is
 * why `deno.json` asks for one exact version: without them it differs from the original where
 * timers throw, or set further ones for the same moment.
 *
 * @module
 */

import { type Clock, withGlobal } from "@sinonjs/fake-timers";

/** The most ms the clock waits; beyond it fires after 1 ms, as the runtime does, but not the original. */
const LONGEST_WAIT = 2 ** 31 - 1;

const real = { Date, setTimeout, clearTimeout, setInterval, clearInterval };
const realSignalTimeout = AbortSignal.timeout;

/**
 * Where clocks are made: a world whose timers are numbers, since the clock copies the kind it
 * finds, and the runtime's own are objects.
 */
const numbered = withGlobal({
  Date,
  setTimeout: () => 0,
  clearTimeout: () => {},
  setInterval: () => 0,
  clearInterval: () => {},
});

/** A fake time's clock, for the functions that all fake times share. */
let clockOf: (time: FakeTime) => Clock;

/** The fake time in force. */
let active: FakeTime | undefined;

/** What is wrong when time is faked twice, or used as fake when it is real. */
export class TimeError extends Error {
  override name = "TimeError";
}

/** How fake time moves by itself. */
export interface FakeTimeOptions {
  /** Fake milliseconds per real one. */
  advanceRate: number;
  /** Real milliseconds between two moves, 10 if left out. */
  advanceFrequency?: number;
}

/** What ends a {@linkcode FakeTime.delay} early. */
export interface DelayOptions {
  /** Rejects the delay when it aborts. */
  signal?: AbortSignal;
}

/**
 * Puts a clock that only moves when told in the place of the real one, until disposed.
 *
 * It replaces `Date`, `setTimeout`, `setInterval`, their clears and `AbortSignal.timeout`;
 * everything else, `performance` among it, goes on in real time.
 */
export class FakeTime {
  static {
    clockOf = (time) => time.#clock;
  }

  readonly #clock: Clock;
  readonly #start: number;
  readonly #advancing: ReturnType<typeof setInterval> | undefined;

  constructor(start?: number | string | Date | null, options?: FakeTimeOptions) {
    if (active) throw new TimeError("Cannot construct FakeTime: time is already faked");
    this.#start = new Date(start ?? Date.now()).getTime();
    if (Number.isNaN(this.#start)) {
      throw new TypeError(`Cannot construct FakeTime: '${start}' is not a time`);
    }
    const clock = numbered.createClock(this.#start);
    this.#clock = clock;
    install();
    active = this;

    const { advanceRate = 0, advanceFrequency = 10 } = options ?? {};
    if (advanceRate > 0) {
      const advance = () => this.tick(advanceRate * advanceFrequency);
      this.#advancing = real.setInterval(advance, advanceFrequency);
    }
  }

  /** Brings real time back. */
  static restore(): void {
    if (!active) throw new TimeError("Cannot restore time: time is not faked");
    active.restore();
  }

  /** Calls `callback` in real time, which lasts until what it returns has settled. */
  static async restoreFor<T, Args extends unknown[] = unknown[]>(
    callback: (...args: Args) => Promise<T> | T,
    ...args: Args
  ): Promise<T> {
    if (!active) throw new TimeError("Cannot restore time: time is not faked");
    uninstall();
    try {
      const result = callback(...args);
      // No await for a plain value: other tasks would get to see real time.
      return result instanceof Promise ? await result : result;
    } finally {
      install();
    }
  }

  /** Fake milliseconds since the epoch; setting it calls all timers due by then, in order. */
  get now(): number {
    return this.#clock.now;
  }

  set now(value: number) {
    if (value < this.now) {
      throw new RangeError(`Cannot set time back to ${value}: use ${this.now} or later`);
    }
    // Timer by timer, so that one that throws stops time where it is, as the original does;
    // the clock's own tick would go on to the end and throw then.
    for (let due = this.#nextDue(); due !== undefined && due <= value; due = this.#nextDue()) {
      this.#clock.next();
    }
    this.#clock.now = value;
  }

  /** Fake milliseconds since the epoch when time was faked. */
  get start(): number {
    return this.#start;
  }

  /** Resolves after `ms` real milliseconds, fake time standing still. */
  delay(ms: number, { signal }: DelayOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        real.clearTimeout(timer);
        reject(new DOMException("Delay was aborted", "AbortError"));
      };
      const timer = real.setTimeout(() => {
        signal?.removeEventListener("abort", abort);
        resolve();
      }, ms);
      if (signal?.aborted) abort();
      else signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Resolves once all microtasks have run, and those they asked for. */
  runMicrotasks(): Promise<void> {
    return this.delay(0);
  }

  /** Moves time on by `ms`, calling the timers due by then. */
  tick(ms = 0): void {
    this.now += ms;
  }

  /** Runs the microtasks, then moves time on by `ms`. */
  async tickAsync(ms = 0): Promise<void> {
    await this.runMicrotasks();
    this.tick(ms);
  }

  /** Moves time on to the next timer; `false` if there is none. */
  next(): boolean {
    const due = this.#nextDue();
    if (due === undefined) return false;
    this.now = due;
    return true;
  }

  /** Runs the microtasks, then moves time on to the next timer; `false` if there is none. */
  async nextAsync(): Promise<boolean> {
    await this.runMicrotasks();
    return this.next();
  }

  /** Moves time on until no timer is left. */
  runAll(): void {
    while (this.next());
  }

  /** Moves time on until no timer is left, running the microtasks before each. */
  async runAllAsync(): Promise<void> {
    while (this.#nextDue() !== undefined) await this.nextAsync();
  }

  /** Brings real time back. */
  restore(): void {
    if (!active) throw new TimeError("Cannot restore time: time is already restored");
    active = undefined;
    uninstall();
    real.clearInterval(this.#advancing);
  }

  /** Brings real time back. */
  [Symbol.dispose](): void {
    this.restore();
  }

  #nextDue(): number | undefined {
    return this.#clock.timerHeap?.peek()?.callAt;
  }
}

/** Put in place each time: the original's are its module's, too, so that their identity says nothing. */
const fake = {
  Date: Object.assign(FakeDate, { now: fakeNow }),
  setTimeout: (callback: unknown, delay = 0, ...args: unknown[]) =>
    setTimer("setTimeout", callback, Math.max(0, delay), args),
  setInterval: (callback: unknown, delay = 0, ...args: unknown[]) =>
    setTimer("setInterval", callback, Math.max(1, delay), args),
  clearTimeout: clearTimer,
  clearInterval: clearTimer,
};

/** A function, as `Date()` without `new` gives a text. */
function FakeDate(...args: unknown[]): unknown {
  if (new.target === undefined) return new real.Date(fakeNow()).toString();
  return Reflect.construct(real.Date, args.length === 0 ? [fakeNow()] : args, new.target);
}
Object.setPrototypeOf(FakeDate, real.Date);
FakeDate.prototype = real.Date.prototype;

function fakeNow(): number {
  return active?.now ?? real.Date.now();
}

function fakeSignalTimeout(delay: number): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(new DOMException("Signal timed out.", "TimeoutError"));
  setTimer("setTimeout", abort, delay, []);
  return controller.signal;
}

function install(): void {
  Object.assign(globalThis, fake);
  AbortSignal.timeout = fakeSignalTimeout;
}

function uninstall(): void {
  Object.assign(globalThis, real);
  AbortSignal.timeout = realSignalTimeout;
}

function setTimer(
  kind: "setTimeout" | "setInterval",
  callback: unknown,
  delay: number,
  args: unknown[],
): number {
  if (!active) throw new TimeError(`Cannot ${kind}: time is not faked`);
  const clock = clockOf(active);
  if (typeof callback !== "function") {
    throw new TimeError(`Cannot ${kind} with '${callback}': use a function`);
  }
  if (!(delay <= LONGEST_WAIT)) {
    throw new RangeError(`Cannot ${kind} with ${delay} ms: use at most ${LONGEST_WAIT}`);
  }
  // Else the clock makes a timer of 0 ms that is set by a timer 1 ms late; the original does not.
  clock.duringTick = false;
  const call = (...args: unknown[]): unknown => callback(...args);
  return Number(clock[kind](call, Math.floor(delay), ...args));
}

function clearTimer(id: unknown): void {
  if (!active) throw new TimeError("Cannot clear a timer: time is not faked");
  const clock = clockOf(active);
  // Only its own: the clock warns of timers it does not know, the original passes over them.
  if (typeof id === "number" && clock.timers?.has(id)) clock.clearTimeout(id);
}
