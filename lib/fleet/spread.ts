/** Has a worker wait with its next accept while another one has fewer connections. @module */

import type { Board } from "./board.ts";

/**
 * How many connections a worker may be ahead of the least of all. With none it would wait for a worker
 * that has taken as many and not counted the last yet.
 */
const SLACK = 1;

/**
 * Ms for which it waits at most: the others may be busy, and then it serves rather than nobody. With 5
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

  constructor(board: Board, row: number) {
    this.#board = board;
    this.#row = row;
  }

  /** Resolves when this worker may accept; `undefined` if it may now. */
  turn(): Promise<void> | undefined {
    return this.#isAhead ? this.#wait() : undefined;
  }

  get #isAhead(): boolean {
    return this.#board.active(this.#row) > this.#board.least + SLACK;
  }

  async #wait(): Promise<void> {
    const since = performance.now();
    do await new Promise((resolve) => setTimeout(resolve, PAUSE)); while (
      this.#isAhead && performance.now() - since < LONGEST
    );
  }
}
