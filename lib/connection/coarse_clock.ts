/** Counts time in steps of about 100 ms, for every timeout of a server. @module */

/** Milliseconds between two ticks: fine enough for timeouts of seconds, cheap enough to forget. */
export const TICK = 100;

/**
 * Milliseconds that one tick adds at most, however late it is: timeouts keep their length when
 * handlers keep the loop busy, and a machine that wakes after an hour ends no client that speaks at once.
 */
const MOST_PER_TICK = 1000;

/** The real timers: a test that fakes time puts others in their place. */
const real = { setTimeout, clearTimeout };

/** Something that has deadlines. */
export interface Ticking {
  /** Called at each tick while watching; `now` is the clock's own count of ms. */
  tick(now: number): void;
}

/**
 * One timer for all the timeouts of a server: setting a deadline is storing a number, which is what
 * keeps timeouts off the price of a read. Each tick adds what `Date.now()` says has passed, at least
 * 100 ms and at most 1 s, so a fake clock moves it and a step of the wall clock costs a second at most.
 */
export class CoarseClock {
  /** Milliseconds counted so far; stands still while nothing watches. */
  now = 0;
  /** What `now` was before the last tick. */
  before = 0;
  readonly #watching = new Set<Ticking>();
  readonly #lingers: boolean;
  /** The run of ticks in progress. A timer of an earlier one does nothing any more. */
  #run: Run | undefined;

  /**
   * @param lingers Whether the timer outlives its last watcher until its next tick: a server whose
   * connections come and go one by one would else start a timer for each.
   */
  constructor(lingers: boolean) {
    this.#lingers = lingers;
  }

  /** When something that may take `timeout` ms from now is overdue: never early, a tick late at most. */
  deadline(timeout: number): number {
    // Behind a slow handler the next tick adds more than a tick's time, which has passed already.
    const passed = this.#run === undefined ? 0 : Date.now() - this.#run.tickedAt;
    return this.now + timeout + Math.max(TICK, Math.min(passed, MOST_PER_TICK));
  }

  /** Calls `ticking.tick` from now on. */
  watch(ticking: Ticking): void {
    this.#watching.add(ticking);
    // Whether a faked timer still runs cannot be seen: the fake time that it was set in may be over,
    // and the next one have put the same functions in place.
    if (this.#run === undefined || this.#run.setWith !== setTimeout || isFake()) this.#start();
  }

  /** Ends what `watch` began. */
  unwatch(ticking: Ticking): void {
    this.#watching.delete(ticking);
    if (!this.#lingers && this.#watching.size === 0) this.stop();
  }

  /** Ends the ticking at once; a later `watch` starts it again. */
  stop(): void {
    // A faked timer is left to come and do nothing: its number may be another timer's by now.
    if (this.#run?.setWith === real.setTimeout) real.clearTimeout(this.#run.timer);
    this.#run = undefined;
  }

  /** Starts the ticking, or goes on with it by the timers that are in place now. */
  #start(): void {
    const now = Date.now();
    const { tickedAt } = this.#run ?? { tickedAt: now };
    const due = tickedAt + TICK - now;
    this.stop();
    // Another fake time has a date of its own.
    const isDue = due > 0 && due <= TICK;
    this.#wait(isDue ? tickedAt : now, isDue ? due : TICK);
  }

  #wait(tickedAt: number, ms: number): void {
    const run: Run = {
      tickedAt,
      setWith: setTimeout,
      timer: setTimeout(() => {
        if (this.#run === run) this.#tick();
      }, ms),
    };
    // A deadline by itself must not keep the process alive.
    if (!isFake()) Deno.unrefTimer(run.timer as unknown as number);
    this.#run = run;
  }

  #tick(): void {
    if (this.#watching.size === 0) return this.stop();
    const now = Date.now();
    const passed = Math.min(Math.max(now - this.#run!.tickedAt, TICK), MOST_PER_TICK);
    this.before = this.now;
    this.now += passed;
    this.#wait(now, TICK);
    for (const ticking of this.#watching) ticking.tick(this.now);
  }
}

/** A clock's next tick: since when it is waited for, and the timer, as it was set. */
interface Run {
  readonly tickedAt: number;
  readonly setWith: typeof setTimeout;
  readonly timer: ReturnType<typeof setTimeout>;
}

function isFake(): boolean {
  return setTimeout !== real.setTimeout;
}
