/** Makes a read give up at its timeout or by its signal. @module */

import { checkKeys, checkSignal, checkTime } from "../check.ts";
import { type CoarseClock, TICK, type Ticking } from "./coarse_clock.ts";
import { Lifeline, type ReadGaveUp } from "./lifeline.ts";

/**
 * How long to wait for a read.
 *
 * @example Ask again, and lose nothing
 * ```ts
 * import { connection, type ReadOptions, serve } from "@usher/server";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.readLine();
 *   await conn.write(new TextEncoder().encode("late\n"));
 * });
 *
 * await using client = connection(await Deno.connect({ port: server.addr.port }));
 * const options: ReadOptions = { timeout: 20 };
 * await assertRejects(() => client.readLine(options), DOMException, "timeout");
 * await client.write(new TextEncoder().encode("now\n"));
 * assertEquals(await client.readLine(), "late");
 * ```
 *
 * @category Connections
 */
export interface ReadOptions {
  /**
   * Ms after which this read gives up with a `DOMException` "TimeoutError". The connection lives on
   * and no byte is lost: the next read gets them. From 100 ms up it is up to 200 ms late. A handler that
   * passes the error on ends as `read_timeout`, which is counted and not reported.
   *
   * @default {Infinity}
   */
  timeout?: number;
  /**
   * Aborting it makes this read give up with the signal's reason; no byte is lost. A handler that passes
   * the reason on ends as `read_aborted`, or as `completed` if the signal is a `drainSignal`.
   */
  signal?: AbortSignal;
}

/** What makes one read give up; to be disposed when the read has settled. */
export class Cancellation implements Ticking, Disposable {
  #onCancel: ((error: unknown) => void) | undefined;
  /** Why the read gave up, once it has. */
  #reason: { readonly error: unknown } | undefined;
  readonly #clock: CoarseClock;
  readonly #signal: AbortSignal | undefined;
  readonly #timeout: number;
  #deadline = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onAbort = () => this.#fire(this.#signal!.reason, "read_aborted");

  private constructor(clock: CoarseClock, timeout: number, signal: AbortSignal | undefined) {
    this.#clock = clock;
    this.#timeout = timeout;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#onAbort);
    if (timeout === Infinity) return;
    if (timeout < TICK) {
      // The shared clock is too coarse for this one.
      this.#timer = setTimeout(() => this.#timedOut(), timeout);
    } else {
      this.#deadline = clock.deadline(timeout);
      clock.watch(this);
    }
  }

  /**
   * What `options` ask for, if they do; `known` are further options of that read.
   *
   * @throws {TypeError} If an option is unknown or of the wrong type.
   * @throws {RangeError} If `timeout` is out of range.
   * @throws The signal's reason, if it is aborted already.
   */
  static from(
    clock: CoarseClock,
    options: ReadOptions | undefined,
    ...known: string[]
  ): Cancellation | undefined {
    if (options === undefined) return undefined;
    checkKeys("read", options, ["timeout", "signal", ...known]);
    const { timeout, signal } = options;
    if (timeout === undefined && signal === undefined) return undefined;
    if (timeout !== undefined) checkTime("read", "timeout", timeout);
    if (signal !== undefined) checkSignal("read", signal);
    if (signal?.aborted) {
      Lifeline.markGivenUp(signal.reason, "read_aborted");
      throw signal.reason;
    }
    return new Cancellation(clock, timeout ?? Infinity, signal);
  }

  /** Called once, with the error that the read rejects with: at once if that is decided already. */
  set onCancel(reject: (error: unknown) => void) {
    this.#onCancel = reject;
    // It was decided while the read waited for something else, such as a flush.
    if (this.#reason !== undefined) reject(this.#reason.error);
  }

  tick(now: number): void {
    if (now >= this.#deadline) this.#timedOut();
  }

  [Symbol.dispose](): void {
    this.#onCancel = undefined;
    this.#clock.unwatch(this);
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#onAbort);
  }

  #timedOut(): void {
    this.#fire(
      new DOMException(`The read gave up after its timeout of ${this.#timeout} ms`, "TimeoutError"),
      "read_timeout",
    );
  }

  #fire(error: unknown, why: ReadGaveUp): void {
    const reject = this.#onCancel;
    this[Symbol.dispose]();
    Lifeline.markGivenUp(error, why); // a silent peer causes it at will
    this.#reason = { error };
    reject?.(error);
  }
}
