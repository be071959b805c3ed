/** Ends a connection unless what has begun is done in time. @module */

import type { Ticking } from "./coarse_clock.ts";
import type { Lifeline } from "./lifeline.ts";

/** A time by which something on a connection must be done, which disposing it says. */
export class Deadline implements Ticking, Disposable {
  readonly #life: Lifeline;
  readonly #ms: number;
  readonly #due: number;

  constructor(life: Lifeline, ms: number) {
    this.#life = life;
    this.#ms = ms;
    this.#due = life.clock.deadline(ms);
    if (!life.closed) life.clock.watch(this);
  }

  tick(now: number): void {
    if (now < this.#due && !this.#life.closed) return;
    this[Symbol.dispose]();
    if (this.#life.closed) return;
    this.#life.timeOut("deadline", `what had begun was not done within ${this.#ms} ms`);
  }

  [Symbol.dispose](): void {
    this.#life.clock.unwatch(this);
  }
}
