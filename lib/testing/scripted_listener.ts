/** A listener whose connections and failures come from a script. @module */

import { bad, isObject } from "../check.ts";
import { SERVER } from "./pair.ts";
import { type AcceptErrno, systemError } from "./system_error.ts";

/**
 * The outcome of one `accept()`: a connection, a failure by its errno name, or any error.
 *
 * @example A shortage of descriptors, and then a client
 * ```ts
 * import { type AcceptStep, pair, scriptedListener } from "@usher/server/testing";
 * import { assertEquals, assertRejects } from "@std/assert";
 *
 * const [, socket] = pair();
 * const script: AcceptStep[] = ["EMFILE", socket];
 * using listener = scriptedListener(script);
 * await assertRejects(() => listener.accept(), Error, "Too many open files");
 * assertEquals(await listener.accept(), socket);
 * ```
 *
 * @category Testing
 */
export type AcceptStep = Deno.Conn | AcceptErrno | Error;

/**
 * A listener that plays a script.
 *
 * @example Observe what a server does with it
 * ```ts
 * import { serve } from "@usher/server";
 * import { type ScriptedListener, scriptedListener } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const listener: ScriptedListener = scriptedListener([]);
 * const server = serve({ listeners: [listener] }, async () => {});
 * assertEquals(listener.accepts, 1);
 * await server.shutdown();
 * assertEquals(listener.closed, true);
 * ```
 *
 * @category Testing
 */
export interface ScriptedListener extends Deno.Listener {
  /** How often `accept()` was called. */
  readonly accepts: number;
  /** An `accept()` is pending: the script has been played to its end. */
  readonly waiting: boolean;
  /** `close()` was called. */
  readonly closed: boolean;
  /**
   * Makes a step for each `accept()` after the end of the script. Without it such an `accept()` waits.
   */
  otherwise: (() => AcceptStep) | undefined;
  /**
   * Whether `close()` leaves a pending `accept()` pending, as when the kernel has already handed over
   * a socket; the next step settles it. At first it does not.
   */
  holdsAtClose: boolean;
  /**
   * Adds to the script; an `accept()` that is pending takes the first step at once.
   *
   * @throws {TypeError} If a step is of another kind; then none is added.
   */
  play(...steps: AcceptStep[]): void;
}

/**
 * Makes a listener for the option `listeners` of `serve()` that plays a script: each `accept()` gives
 * the next connection or fails with the next failure. Then it waits for more, as a quiet listener does.
 *
 * Closing it resets the connections of the script that were not accepted, as the kernel does.
 *
 * @param script The steps. Each is taken only when it is needed, so the script may be endless.
 * @param addr The address that it pretends to listen on.
 * @returns The listener.
 * @throws {TypeError} If a step is of another kind; with an iterator `accept()` rejects instead.
 *
 * @example Two clients of one server
 * ```ts
 * import { serve } from "@usher/server";
 * import { pair, scriptedListener } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [ada, first] = pair();
 * const [bob, second] = pair();
 * const listener = scriptedListener([first, "ECONNABORTED", second]);
 * await using _server = serve({ listeners: [listener] }, async (conn) => {
 *   await conn.write(new TextEncoder().encode(`You are number ${conn.id}`));
 * });
 *
 * assertEquals(await new Response(ada.readable).text(), "You are number 1");
 * assertEquals(await new Response(bob.readable).text(), "You are number 2");
 * ```
 *
 * @category Testing
 */
export function scriptedListener(
  script: Iterable<AcceptStep>,
  addr: Deno.Addr = SERVER,
): ScriptedListener {
  return new Script(script, addr);
}

class Script implements ScriptedListener {
  readonly addr: Deno.Addr;
  accepts = 0;
  closed = false;
  /** Steps that are made when they are needed; they come before the others. */
  #made: Iterator<AcceptStep> | undefined;
  readonly #steps: AcceptStep[] = [];
  otherwise: (() => AcceptStep) | undefined;
  holdsAtClose = false;
  #pending: PromiseWithResolvers<Deno.Conn> | undefined;

  constructor(script: Iterable<AcceptStep>, addr: Deno.Addr) {
    this.addr = addr;
    if (Array.isArray(script)) this.play(...script);
    else this.#made = script[Symbol.iterator]();
  }

  get waiting(): boolean {
    return this.#pending !== undefined;
  }

  play(...steps: AcceptStep[]): void {
    steps.forEach(check);
    this.#steps.push(...steps);
    if (this.#pending === undefined || this.#steps.length === 0) return;
    const { resolve } = this.#pending;
    this.#pending = undefined;
    resolve(outcome(this.#steps.shift()!));
  }

  accept(): Promise<Deno.Conn> {
    this.accepts++;
    if (this.closed) return Promise.reject(closed());
    if (this.waiting) {
      return Promise.reject(new Deno.errors.Busy("Another accept task is ongoing"));
    }
    const step = this.#next() ?? this.otherwise?.();
    if (step !== undefined) return outcome(step);
    this.#pending = Promise.withResolvers();
    return this.#pending.promise;
  }

  close(): void {
    if (this.closed) throw closed();
    this.closed = true;
    if (!this.holdsAtClose) {
      this.#pending?.reject(closed());
      this.#pending = undefined;
    }
    for (const step of this.#steps.splice(0)) if (isConn(step)) reset(step);
  }

  /** Nothing here keeps a process alive. */
  ref(): void {}

  unref(): void {}

  [Symbol.dispose](): void {
    if (!this.closed) this.close();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Deno.Conn> {
    for (;;) {
      try {
        yield await this.accept();
      } catch (error) {
        if (this.closed) return;
        throw error;
      }
    }
  }

  #next(): AcceptStep | undefined {
    const made = this.#made?.next();
    return made === undefined || made.done ? this.#steps.shift() : made.value;
  }
}

// deno-lint-ignore require-await -- a failure is a rejection
async function outcome(step: AcceptStep): Promise<Deno.Conn> {
  check(step);
  if (isConn(step)) return step;
  throw typeof step === "string" ? systemError(step) : step;
}

function check(step: AcceptStep): void {
  if (typeof step === "string") systemError(step); // throws if the name is unknown
  else if (!(step instanceof Error) && !isConn(step)) {
    const wanted = 'connections, errors and names of failures, such as "EMFILE"';
    throw new TypeError(bad("play a script", "step", step, wanted));
  }
}

function isConn(step: unknown): step is Deno.Conn {
  return isObject(step) && typeof step["read"] === "function";
}

function reset(conn: Deno.Conn): void {
  if ("reset" in conn && typeof conn.reset === "function") conn.reset();
  else conn[Symbol.dispose]();
}

function closed(): Error {
  return new Deno.errors.BadResource("Listener has been closed");
}
