/** Limits how often something may happen, by the generic cell rate algorithm. @module */

import { bad, checkKeys, checkNumber } from "../check.ts";

/**
 * How often something may happen.
 *
 * @example Ten a minute, three of them at once
 * ```ts
 * import { rateLimit, type RateLimitOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: RateLimitOptions = { rate: 10, per: 60_000, burst: 3 };
 * const logins = rateLimit(options);
 * assertEquals([1, 2, 3, 4].map(() => logins.take()), [true, true, true, false]);
 * ```
 *
 * @category Limits
 */
export interface RateLimitOptions {
  /** How many in each period of `per`; any number above 0. */
  rate: number;
  /**
   * The period in ms, fractions allowed.
   *
   * @default {1000}
   */
  per?: number;
  /** How many at once after a quiet time; a whole number from 1, `rate` rounded up unless given. */
  burst?: number;
}

/**
 * A limit of a rate; see {@linkcode rateLimit}.
 *
 * @example A gate in front of a handler's commands
 * ```ts
 * import { rateLimit, type RateLimit } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const answer = (commands: RateLimit) => commands.take() ? "ok" : "slow down";
 * assertEquals(answer(rateLimit({ rate: 1 })), "ok");
 * ```
 *
 * @category Limits
 */
export interface RateLimit {
  /**
   * Takes `n` at once if the rate allows them now; takes none of them otherwise.
   *
   * @param n How many; 1 unless given.
   * @returns Whether they were taken.
   * @throws {RangeError} If `n` is more than `burst`: they could never be taken.
   */
  take(n?: number): boolean;
  /**
   * Takes `n` as soon as the rate allows them. Calls that wait are served in their order, and `take()`
   * does not overtake them.
   *
   * @param n How many; 1 unless given.
   * @param options `signal` gives up: what it had reserved is free again if nothing was reserved behind it.
   * @returns Resolves when they are taken.
   * @throws {RangeError} If `n` is more than `burst`.
   * @throws What `signal` aborts with.
   */
  wait(n?: number, options?: { signal?: AbortSignal }): Promise<void>;
}

/** What holds in place of what is not given. */
export const RATE_DEFAULTS: { readonly per: number } = Object.freeze({ per: 1000 });

/**
 * Limits how often something may happen: messages of a client, logins of an address, calls of a backend.
 *
 * The state is one number, the time at which everything taken so far would be due at the given rate
 * (GCRA, as in ATM's traffic management). There is no timer behind it, and an idle limit costs nothing.
 *
 * @param options The rate.
 * @returns The limit.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If an option is out of range.
 *
 * @example A client that floods is slowed down, not cut off
 * ```ts
 * import { connection, framed, lines, rateLimit, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const commands = rateLimit({ rate: 100, burst: 20 });
 *   const io = framed(conn, lines());
 *   for await (const line of io) {
 *     await commands.wait(1, { signal: conn.signal });
 *     await io.send(line.toUpperCase());
 *   }
 * });
 *
 * const client = connection(await Deno.connect({ port: server.addr.port }));
 * await client.write(new TextEncoder().encode("hello\n"));
 * assertEquals(await client.readLine(), "HELLO");
 * await client.end();
 * ```
 *
 * @category Limits
 */
export function rateLimit(options: RateLimitOptions): RateLimit {
  return new Cell(completeRate("limit a rate", options));
}

/** A rate as the algorithm wants it. */
export interface CompleteRate {
  /** Ms between two at the given rate. */
  readonly interval: number;
  /** How many at once. */
  readonly burst: number;
}

/** Checks the options of a rate, and completes them; `name` is the option that holds them, if one does. */
export function completeRate(attempt: string, options: unknown, name?: string): CompleteRate {
  checkKeys(attempt, options, ["rate", "per", "burst"], name);
  const { rate, per = RATE_DEFAULTS.per, burst = Math.max(1, Math.ceil(rate as number)) } =
    options as Record<string, unknown>;
  const place = (key: string) => name === undefined ? key : `${name}.${key}`;
  checkPositive(attempt, place("rate"), rate);
  checkPositive(attempt, place("per"), per);
  checkNumber(attempt, place("burst"), burst, 1, Number.MAX_SAFE_INTEGER);
  return { interval: per as number / (rate as number), burst: burst as number };
}

function checkPositive(attempt: string, name: string, value: unknown): void {
  const wanted = "a number above 0";
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(attempt, name, value, wanted));
  }
  if (!(value > 0) || value === Infinity) throw new RangeError(bad(attempt, name, value, wanted));
}

/**
 * The step of the algorithm, which keeps no state: when something may happen and what the state is then.
 *
 * @param due The state: when everything taken so far would be due, in ms; 0 for none.
 * @returns The ms to wait for `n` more, and the state once they are taken.
 */
export function nextDue(
  { interval, burst }: CompleteRate,
  due: number,
  n: number,
  now: number,
): { readonly wait: number; readonly due: number } {
  const after = Math.max(now, due) + n * interval;
  return { wait: Math.max(0, after - burst * interval - now), due: after };
}

/**
 * Ms by which a token may be taken late: timers fire late, the more so in a busy server, and without it
 * each wait would be that much longer. With `burst: 1` half of a rate of 500 was reached.
 */
const LATE = 20;

/**
 * The state once a token is taken by what waits for each one by itself: one that is taken a little late
 * counts from when it was due.
 */
export function dueAfterWait({ interval }: CompleteRate, due: number, now: number): number {
  return (now - due < LATE ? due : now) + interval;
}

class Cell implements RateLimit {
  readonly #rate: CompleteRate;
  #due = 0;
  #now = 0;

  constructor(rate: CompleteRate) {
    this.#rate = rate;
  }

  take(n = 1): boolean {
    this.#check(n);
    const now = this.#lookAtClock();
    const { wait, due } = nextDue(this.#rate, this.#due, n, now);
    if (wait > 0) return false;
    this.#due = due;
    return true;
  }

  async wait(n = 1, options: { signal?: AbortSignal } = {}): Promise<void> {
    this.#check(n);
    checkKeys("wait for a rate", options, ["signal"]);
    const { signal } = options;
    signal?.throwIfAborted();
    const now = this.#lookAtClock();
    const { wait, due } = nextDue(this.#rate, this.#due, n, now);
    this.#due = due;
    if (wait === 0) return;
    try {
      await passed(wait, signal);
    } catch (error) {
      if (this.#due === due) this.#due -= n * this.#rate.interval;
      throw error;
    }
  }

  /** A wall clock that is set back takes the state along; one that is set forward gives a burst at most. */
  #lookAtClock(): number {
    const now = Date.now();
    if (now < this.#now) this.#due -= this.#now - now;
    return this.#now = now;
  }

  #check(n: unknown): void {
    checkNumber("take from a rate", "n", n, 0, this.#rate.burst);
  }
}

/** Resolves after so many ms, unless the signal aborts before. */
async function passed(ms: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let timer: ReturnType<typeof setTimeout>;
  const sleep = (left: number) => {
    if (left <= 0) return resolve();
    const step = Math.min(Math.ceil(left), LONGEST_TIMER);
    timer = setTimeout(sleep, step, left - step);
  };
  const onAbort = () => reject(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  sleep(ms);
  try {
    await promise;
  } finally {
    clearTimeout(timer!);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** Ms that a timer can take; one of more would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;
