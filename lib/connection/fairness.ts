/** Whose turn is it to read, when more have something to read than Deno serves at once? @module */

/** Socket operations that the event loop completes in one go: tokio's budget for a task. */
const BUDGET = 128;

/** Ms of a round of silence. */
const QUIET = 1;

/**
 * Such rounds in a row after which nobody else has anything to read. A timer fires before it is told who
 * has, so that after a go that took long the first one proves nothing.
 */
const QUIET_ROUNDS = 2;

/** Most rounds in a row that end by what is known of an earlier one. */
const MOST_TRUST = 128;

/** Runs something later, unless what it gives back is called before. */
type Later = (run: () => void, ms: number) => () => void;

/**
 * With more than 128 connections that are busy at once, Deno's event loop serves some of them hundreds
 * of times more often than others: whom its budget does not reach is asked last in the next go, behind
 * those who were served and are busy again. So after a go that has used up the budget, whoever was
 * served waits with his next read until a smaller go shows that the others had theirs, or silence.
 *
 * One for all servers of a thread, as they share its event loop. Up to 128 connections it costs the
 * comparison of a number, above them a microtask for all reads of a go.
 */
export class Fairness {
  /** Who wants to read has to wait for its {@linkcode turn}. */
  rationed = false;
  readonly #later: Later;
  /** Connections that are there. */
  #open = 0;
  /** Those that wait. */
  #waiting = 0;
  #round = Promise.withResolvers<void>();
  /** Reads of this go. */
  #reads = 0;
  /** Goes that used up the budget, and how many the timer has seen. */
  #fullGoes = 0;
  #fullGoesSeen = 0;
  #quietRounds = 0;
  /** Ends the timer, while there is one. */
  #end: (() => void) | undefined;
  /**
   * How many took part in the last round that only silence has ended, and for how many more rounds that
   * counts: where exactly 128, or twice as many, are busy and others idle, each would end in silence.
   */
  #known = 0;
  #trust = 0;
  #patience = 0;

  constructor(later: Later) {
    this.#later = later;
  }

  /** A connection is there. */
  enter(): void {
    this.#open++;
  }

  /** A connection is gone. */
  leave(): void {
    this.#open--;
    if (this.rationed && this.#waiting >= this.#open) this.#begin();
    if (this.#open > 0) return;
    this.#end?.();
    this.#end = undefined;
  }

  /** A read has brought something. */
  count(): void {
    if (this.#open > BUDGET && this.#reads++ === 0) queueMicrotask(this.#endGo);
  }

  /** Resolves when the others have had their turn. */
  turn(): Promise<void> {
    const { promise } = this.#round;
    this.#waiting++;
    if (this.#trust > 0 && this.#waiting >= this.#known) {
      this.#trust--;
      this.#begin();
    } else if (this.#waiting >= this.#open) this.#begin();
    return promise;
  }

  /** Runs when all reads of a go have been counted: it stands behind them in the queue. */
  readonly #endGo = (): void => {
    const reads = this.#reads;
    this.#reads = 0;
    if (reads >= BUDGET) {
      this.#fullGoes++;
      if (!this.rationed) this.#ration();
    } else if (this.rationed) this.#begin();
  };

  #ration(): void {
    this.rationed = true;
    this.#fullGoesSeen = this.#fullGoes;
    this.#quietRounds = 0;
    this.#end ??= this.#later(this.#listen, QUIET);
  }

  /** Without a go, nobody else would end the round. */
  readonly #listen = (): void => {
    this.#end = undefined;
    if (!this.rationed) return;
    if (this.#fullGoes !== this.#fullGoesSeen) this.#quietRounds = 0;
    else if (++this.#quietRounds === QUIET_ROUNDS) return this.#endInSilence();
    this.#fullGoesSeen = this.#fullGoes;
    this.#end = this.#later(this.#listen, QUIET);
  };

  #endInSilence(): void {
    this.#patience = this.#waiting > this.#known ? 1 : Math.min(2 * this.#patience, MOST_TRUST);
    this.#trust = this.#patience;
    this.#known = this.#waiting;
    this.#begin();
  }

  /** A new round. */
  #begin(): void {
    this.rationed = false;
    this.#waiting = 0;
    const { resolve } = this.#round;
    this.#round = Promise.withResolvers();
    resolve();
  }
}

// Taken here and now: a test that fakes time must not stop who waits for his turn.
const start = setTimeout, stop = clearTimeout;

/** Those of this thread. */
export const fairness = new Fairness((run, ms) => {
  const timer = start(run, ms);
  return () => stop(timer);
});
