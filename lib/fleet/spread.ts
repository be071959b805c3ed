/** Has a worker wait with its next accept while another one has fewer connections. @module */

import type { Board } from "./board.ts";

/**
 * How many connections a worker may be ahead of the least of all. With none it would wait for a worker
 * that has taken as many and not counted the last yet.
 */
const SLACK = 1;

/**
 * Ms for which it waits at most: the others may be busy, and then it had better serve. With 5
 * ms the spread of 100 connections over 4 busy workers was 16, 16, 52 and 16.
 */
const LONGEST = 20;

/** Ms between two looks; the shortest that a timer waits. */
const PAUSE = 1;

/**
 * The even spread of connections. All workers wait at one kernel queue, which wakes them all: the one that
 * is quickest takes what comes, and of long-lived connections one worker would have 88 of 100.
 */
export class Spread {
  readonly #board: Board;
  readonly #row: number;
  /** What all accept loops of this worker wait for: its end, and the timer that ends it at the latest. */
  #pause: PromiseWithResolvers<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(board: Board, row: number) {
    this.#board = board;
    this.#row = row;
  }

  /** Resolves when this worker may accept; `undefined` if it may now. */
  turn(): Promise<void> | undefined {
    return this.#isAhead ? this.#wait() : undefined;
  }

  /**
   * A connection of this worker has ended. Where they are short that is what ends most waits: with the
   * timer alone a fleet of two answered 3,200 new clients a second instead of 12,000.
   */
  left(): void {
    if (this.#pause !== undefined && !this.#isAhead) this.#endPause();
  }

  get #isAhead(): boolean {
    return this.#board.active(this.#row) > this.#board.least + SLACK;
  }

  async #wait(): Promise<void> {
    const since = performance.now();
    do await this.#beginPause(); while (this.#isAhead && performance.now() - since < LONGEST);
  }

  #beginPause(): Promise<void> {
    if (this.#pause === undefined) {
      this.#pause = Promise.withResolvers();
      this.#timer = setTimeout(() => this.#endPause(), PAUSE);
    }
    return this.#pause.promise;
  }

  #endPause(): void {
    clearTimeout(this.#timer);
    this.#pause!.resolve();
    this.#pause = undefined;
  }
}
