/** Notices which workers of a fleet do not respond, and which do again. @module */

import type { Place } from "./place.ts";
import type { Thread } from "./thread.ts";
import type { Threads } from "./threads.ts";

/** Ms between two looks. */
const LOOK = 50;

/** Ms that count at most between two looks: a machine that was suspended stopped every thread. */
const MOST_PER_LOOK = 500;

/** Ms of silence after which other workers do not wait for this one any more. */
const LATE = 200;

/** A worker's last sign of life. */
interface Seen {
  beat: number;
  /** Ms since. */
  silence: number;
}

/** Looks at the beats of all workers. */
export class Pulse {
  readonly #threads: Threads;
  readonly #places: readonly Place[];
  readonly #hangTimeout: number;
  readonly #onLook: () => void;
  readonly #seen = new WeakMap<Thread, Seen>();
  readonly #timer: ReturnType<typeof setInterval>;
  #lookedAt = performance.now();

  /** @param onLook Called at each look. */
  constructor(
    threads: Threads,
    places: readonly Place[],
    hangTimeout: number,
    onLook: () => void,
  ) {
    this.#threads = threads;
    this.#places = places;
    this.#hangTimeout = hangTimeout;
    this.#onLook = onLook;
    this.#timer = setInterval(() => this.#look(), LOOK);
    Deno.unrefTimer(this.#timer as unknown as number);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const passed = Math.min(now - this.#lookedAt, MOST_PER_LOOK);
    this.#lookedAt = now;
    this.#threads.tick();
    for (const place of this.#places) {
      for (const thread of place.threads) {
        if (thread.isListening) this.#feel(place, thread, passed);
      }
    }
    this.#onLook();
  }

  #feel(place: Place, thread: Thread, passed: number): void {
    const { board } = this.#threads;
    const beat = board.beat(thread.row);
    const seen = this.#seen.get(thread);
    if (seen === undefined || seen.beat !== beat) {
      this.#seen.set(thread, { beat, silence: 0 });
      if (seen !== undefined && seen.silence >= LATE) this.#responds(place, thread);
      return;
    }
    seen.silence += passed;
    if (seen.silence >= LATE && board.stage(thread.row) === "serving") {
      board.setStage(thread.row, "late");
    }
    if (seen.silence < this.#hangTimeout || thread.hung) return;
    thread.hung = true;
    if (this.#threads.stopping) return thread.terminate();
    const { worker } = place;
    const seconds = Math.round(seen.silence / 100) / 10;
    this.#threads.failed(
      new DOMException(
        `Worker ${worker} of the fleet has not responded for ${seconds} s: another one takes its ` +
          `place, and its ${board.active(thread.row)} connections hang; start the process again`,
        "TimeoutError",
      ),
    );
    place.desert(thread);
  }

  #responds(place: Place, thread: Thread): void {
    const { board } = this.#threads;
    if (board.stage(thread.row) !== "late") return;
    if (thread === place.serving) return board.setStage(thread.row, "serving");
    // Another one has its place.
    thread.hung = false;
    place.drain(thread, { lameDuck: 0, timeout: undefined, spread: 0, sweep: false });
  }
}
