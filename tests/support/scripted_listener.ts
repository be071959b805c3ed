/** A listener whose every move the test decides. @module */

/** What an `accept()` comes to: a socket, or a failure that is thrown. */
type Step = { readonly socket: Deno.Conn } | { readonly error: unknown };

/** A `Deno.Listener` without a network: it gives the sockets and the failures that it is told. */
export class ScriptedListener implements Deno.Listener {
  readonly addr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 7 };
  /** How often `accept()` was called. */
  accepts = 0;
  closed = false;
  /** What each `accept()` comes to for which nothing else was said; pending without it. */
  otherwise: (() => Step) | undefined;
  /** Leaves a pending `accept()` pending at `close()`, as if its socket were on the way. */
  holdsAtClose = false;
  readonly #script: Step[] = [];
  #pending: PromiseWithResolvers<Deno.Conn> | undefined;

  /** An `accept()` is waiting. */
  get waiting(): boolean {
    return this.#pending !== undefined;
  }

  /** The `accept()` now pending, or else the next one, gives this socket. */
  give(socket: Deno.Conn): void {
    this.#add({ socket });
  }

  /** The `accept()` now pending, or else the next one, throws this. */
  fail(error: unknown): void {
    this.#add({ error });
  }

  accept(): Promise<Deno.Conn> {
    this.accepts++;
    const step = this.#script.shift() ?? (this.closed ? CLOSED() : this.otherwise?.());
    this.#pending = Promise.withResolvers();
    const { promise } = this.#pending;
    if (step !== undefined) this.#settle(step);
    return promise;
  }

  close(): void {
    this.closed = true;
    if (!this.holdsAtClose && this.waiting) this.#settle(CLOSED());
  }

  ref(): void {}

  unref(): void {}

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Deno.Conn> {
    throw new TypeError("Cannot iterate: the server never uses a listener's own iterator");
  }

  #add(step: Step): void {
    if (this.waiting) this.#settle(step);
    else this.#script.push(step);
  }

  #settle(step: Step): void {
    const { resolve, reject } = this.#pending!;
    this.#pending = undefined;
    if ("socket" in step) resolve(step.socket);
    else reject(step.error);
  }
}

/** What Deno's own listeners say when they are closed. */
const CLOSED = (): Step => ({
  error: new Deno.errors.BadResource("Listener has been closed"),
});

/** What Deno throws when no descriptor is free. */
export function emfile(): Error {
  return Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" });
}
