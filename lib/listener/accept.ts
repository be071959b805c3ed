/** Takes the next socket from a listener, outliving everything but its closing. @module */

import { AcceptFailures } from "./accept_failure.ts";
import { descriptorReserves } from "./descriptor_reserves.ts";

/** First wait in ms after accept fails for want of resources; short, because most shortages are. */
const FIRST_BACKOFF = 5;

/** Longest wait in ms: a server whose shortage is over serves again within a second. */
const LONGEST_BACKOFF = 1000;

/** An accept() that finds a queued client settles within this many microtasks. */
const READY_MICROTASKS = 6;

/**
 * Failures in a row after which the event loop gets a turn: failures at once come in microtasks, and
 * a flood of them would keep established connections from being read.
 */
const YIELD_EVERY = 128;

/** Taken while the module loads, so that a fake clock does not stop accepting. */
const realSetTimeout = setTimeout;

/** Learns what accepting fails with. */
export interface AcceptWatcher {
  /** A client left before it was accepted. */
  aborted(): void;
  /** Accepting failed for want of resources, or for an unknown reason, and will be tried again. */
  resources(error: unknown): void;
}

/** The accept loop's one step, with what it has to remember from one step to the next. */
export class Acceptor {
  readonly #listener: Deno.Listener;
  readonly #watcher: AcceptWatcher;
  readonly #failures = new AcceptFailures();
  #closed = false;
  /** Closes when an accept finds the queue empty; `"soon"` until the first of those begins. */
  #closing: "soon" | "now" | undefined;
  #over = false;
  #backoff = FIRST_BACKOFF;
  #unref = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | undefined;

  constructor(listener: Deno.Listener, watcher: AcceptWatcher) {
    this.#listener = listener;
    this.#watcher = watcher;
  }

  /** `close()` was called here; the listener may also have been closed elsewhere. */
  get closed(): boolean {
    return this.#closed;
  }

  /** No socket will come any more. */
  get over(): boolean {
    return this.#closed || this.#over;
  }

  /** Accepting has failed and waits to be tried again. */
  get backingOff(): boolean {
    return this.#wake !== undefined;
  }

  /**
   * The next socket, or `null` when the listener is closed. A socket may still come after `close()`:
   * the kernel had handed it over by then.
   *
   * @throws The failure itself, when it is unknown and has lasted for 30 s without a success.
   */
  next(): Promise<Deno.Conn | null> {
    if (this.#closing === "soon") return this.#nextApart();
    // Not `async`, as most sockets come without a failure: that frame is a tenth of an accept.
    return this.#closed ? Promise.resolve(null) : this.#accept().then(this.#took, this.#failed);
  }

  /**
   * The descriptor closes only in the next turn of the event loop. So the look that finds the queue empty
   * does not come amid what this turn's other sockets have brought: 64 TLS handshakes take longer than a
   * client needs to connect.
   */
  async #nextApart(): Promise<Deno.Conn | null> {
    this.#closing = "now";
    await new Promise((resolve) => setImmediate(resolve));
    return await this.next();
  }

  /** Rejects where a custom listener throws. */
  #accept(): Promise<Deno.Conn> {
    try {
      const accepting = this.#listener.accept();
      if (this.#closing !== undefined) this.#closeIfPending(accepting);
      return accepting;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #closeIfPending(accepting: Promise<unknown>): Promise<void> {
    if (await isPending(accepting)) this.close();
  }

  readonly #took = (socket: Deno.Conn): Deno.Conn => {
    this.#backoff = FIRST_BACKOFF;
    this.#failures.works();
    return socket;
  };

  readonly #failed = async (error: unknown): Promise<Deno.Conn | null> => {
    for (let failures = 1;; failures++) {
      // Only our own flag is certain: an interrupted accept4(2) looks like a closed listener.
      switch (this.#closed ? "closed" : this.#failures.sort(error)) {
        case "closed":
          this.#over = true;
          return null;
        case "aborted":
          this.#watcher.aborted();
          if (failures % YIELD_EVERY === 0) await new Promise((resolve) => realSetTimeout(resolve));
          break;
        case "resources":
          // Giving up is reported by the caller; announcing another try before that would be wrong.
          if (this.#failures.isBroken) throw error;
          this.#watcher.resources(error);
          do await this.#pause(); while (!this.#closed && !reservesAreFull());
      }
      if (this.#closed) return null;
      try {
        const accepting = this.#accept();
        if (await isPending(accepting)) this.#failures.pended();
        return this.#took(await accepting);
      } catch (next) {
        error = next;
      }
    }
  };

  /** Closes the listener as soon as an accept finds the kernel's queue empty. */
  closeWhenIdle(): void {
    this.#closing ??= "soon";
  }

  /** Closes the listener and ends a wait at once; safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    try {
      this.#listener.close();
    } catch {
      // It was closed elsewhere: closed is closed.
    }
  }

  ref(): void {
    this.#unref = false;
    this.#listener.ref();
    if (this.#timer !== undefined) Deno.refTimer(this.#timer as unknown as number);
  }

  unref(): void {
    this.#unref = true;
    this.#listener.unref();
    if (this.#timer !== undefined) Deno.unrefTimer(this.#timer as unknown as number);
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = setTimeout(resolve, this.#backoff);
      if (this.#unref) Deno.unrefTimer(this.#timer as unknown as number);
    });
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#wake = undefined;
    this.#failures.waited(this.#backoff);
    this.#backoff = Math.min(2 * this.#backoff, LONGEST_BACKOFF);
  }
}

function reservesAreFull(): boolean {
  return descriptorReserves.values().every((reserve) => reserve.refill());
}

/** Whether it is still pending when a queued client would have been handed over. */
async function isPending(accepting: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const settled = () => pending = false;
  accepting.then(settled, settled);
  for (let i = 0; i < READY_MICROTASKS && pending; i++) await null;
  return pending;
}
