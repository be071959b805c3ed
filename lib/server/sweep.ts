/** Empties the kernel's queues of connections before the listeners close. @module */

import type { Acceptor } from "../listener/accept.ts";

/**
 * Ms without an accept after which the kernel's queues count as empty. A turn of the event loop, or
 * 1 ms, is shorter than a turn under load takes: then it counts too early, and clients are reset.
 */
const QUIET = 5;

/**
 * Such rounds in a row. With one, where others had the processor meanwhile, one stop in twenty reset the
 * clients of a burst whose sender had paused, and with two none did in 300.
 */
const QUIET_ROUNDS = 2;

/**
 * The same where other processes listen on the same port, in the first {@linkcode STORM_AFTER} ms: they go
 * on answering clients, which come again here, after a time that is longer with TLS.
 */
const QUIET_ROUNDS_BESIDE_OTHERS = 16;

/**
 * Ms from the timer of a round to its end above which it is not the last one beside others: sockets that
 * have brought work then belong to clients that are about to come again, and the queue is closed unseen.
 */
const CLEAN = 0.5;

/**
 * Ms after which a round proves little, because this thread was not there to accept. It counts
 * when there is no time for a better one.
 */
const LATE = 10;

/**
 * Turns of the event loop before a round is over. Timers fire before it is known what has connected, so
 * that after a standstill a round would end with clients in the queue.
 */
const TURNS = 3;

/** Ms after which a storm that has no such rounds is cut at the first accept that has to wait. */
const STORM_AFTER = 100;

/** The same beside others, whose clients come in bursts: such an accept may be amid one. */
const STORM_AFTER_BESIDE_OTHERS = 200;

/** Ms after which the listeners are closed in any case. */
const LONGEST = 250;

/**
 * The kernel goes on completing handshakes while a listener is open, and resets all that are in
 * its queue when that is closed. So accepting goes on until the queue is empty; what comes
 * is held, because a client that is served may come again at once.
 *
 * Of 500 clients that connect at once a plain `close()` resets some 20, and this none.
 */
export class Sweep {
  readonly #acceptors: readonly Acceptor[];
  readonly #statistics: { readonly accepted: number };
  readonly #besideOthers: boolean;
  /** Ends the moment that is being waited for. */
  #wake: (() => void) | undefined;
  #cut = false;

  /** @param besideOthers Whether other processes listen on the same port (`reusePort`). */
  constructor(
    acceptors: readonly Acceptor[],
    statistics: { readonly accepted: number },
    besideOthers: boolean,
  ) {
    this.#acceptors = acceptors;
    this.#statistics = statistics;
    this.#besideOthers = besideOthers;
  }

  /** Closes the listeners once their queues are empty; resolves when they are closed. */
  async run(): Promise<void> {
    const since = performance.now();
    const elapsed = () => performance.now() - since;
    for (const acceptor of this.#acceptors) {
      // Nothing can be accepted there, and nothing shows when that changes.
      if (acceptor.backingOff) acceptor.close();
    }
    for (let quiet = 0, done = false; this.#isOpen && !done && elapsed() < LONGEST;) {
      const [before, began] = [this.#statistics.accepted, elapsed()];
      const isStorm = began >= this.#stormAfter;
      for (const acceptor of isStorm ? this.#acceptors : []) acceptor.closeWhenIdle();
      await this.#moment(QUIET);
      const woke = elapsed();
      for (let i = 0; i < TURNS; i++) await new Promise((resolve) => setImmediate(resolve));
      const isQuiet = before === this.#statistics.accepted && (isStorm || elapsed() - began < LATE);
      quiet = isQuiet ? quiet + 1 : 0;
      const isClean = isStorm || !this.#besideOthers || elapsed() - woke < CLEAN;
      done = quiet >= this.#roundsAt(began) && isClean;
    }
    this.cut();
  }

  /** Closes the listeners at once. */
  cut(): void {
    this.#cut = true;
    for (const acceptor of this.#acceptors) acceptor.close();
    this.#wake?.();
  }

  get #stormAfter(): number {
    return this.#besideOthers ? STORM_AFTER_BESIDE_OTHERS : STORM_AFTER;
  }

  #roundsAt(ms: number): number {
    return this.#besideOthers && ms < STORM_AFTER ? QUIET_ROUNDS_BESIDE_OTHERS : QUIET_ROUNDS;
  }

  get #isOpen(): boolean {
    return !this.#cut && this.#acceptors.some((acceptor) => !acceptor.over);
  }

  async #moment(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = startTimer(resolve, ms);
    });
    stopTimer(timer);
    this.#wake = undefined;
  }
}

/** The kernel knows nothing of a test that has put a fake clock in the place of these. */
const startTimer = setTimeout;
const stopTimer = clearTimeout;
