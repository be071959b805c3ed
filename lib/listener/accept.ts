/** Takes the next socket from a listener, outliving everything but its closing. @module */

import { descriptorReserves } from "./descriptor_reserves.ts";

/** First wait in ms after accept fails for want of resources; short, because most shortages are. */
const FIRST_BACKOFF = 5;

/** Longest wait in ms: a server whose shortage is over serves again within a second. */
const LONGEST_BACKOFF = 1000;

/** Ms of waiting through one unknown failure after another before the listener counts as broken. */
const GIVE_UP_AFTER = 30_000;

/**
 * Ms within which a second `BadResource` has to follow the first: a listener that is closed says so
 * at once each time. If the event loop stood still for longer meanwhile, the third one tells.
 */
const AT_ONCE = 100;

/** Microtasks in which an accept settles that need not wait. */
const AT_HAND = 6;

/** `closed`: the listener is. `lost`: that client is gone. `starved`: anything else. */
type AcceptFailure = "closed" | "lost" | "starved";

/** Who is told what became of accepting. */
export interface AcceptWatcher {
  /** A client left before it was accepted. */
  lost(): void;
  /** Accepting failed for another reason and will be tried again. */
  starved(error: unknown): void;
}

/** The accept loop's one step, with what it has to remember from one step to the next. */
export class Acceptor {
  readonly #listener: Deno.Listener;
  readonly #watcher: AcceptWatcher;
  #closed = false;
  #closing = false;
  #over = false;
  #backoff = FIRST_BACKOFF;
  /** Ms waited so far, and how many of them before the first of the unknown failures in a row. */
  #waited = 0;
  #unknownSince: number | undefined;
  #badResourceAt = -Infinity;
  #unref = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | undefined;

  constructor(listener: Deno.Listener, watcher: AcceptWatcher) {
    this.#listener = listener;
    this.#watcher = watcher;
  }

  /** `close()` was called, rather than somebody else having closed the listener. */
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
    // Not `async`, as most sockets come without a failure: that frame is a tenth of an accept.
    return this.#closed ? Promise.resolve(null) : this.#accept().then(this.#took, this.#failed);
  }

  /** Never throws at once, whatever listeners of other makes do. */
  #accept(): Promise<Deno.Conn> {
    try {
      const accepting = this.#listener.accept();
      if (this.#closing) this.#closeIfPending(accepting);
      return accepting;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Somebody who was in the queue is there within some microtasks. */
  async #closeIfPending(accepting: Promise<unknown>): Promise<void> {
    let pending = true;
    const settled = () => pending = false;
    accepting.then(settled, settled);
    for (let i = 0; i < AT_HAND && pending; i++) await null;
    if (pending) this.close();
  }

  readonly #took = (socket: Deno.Conn): Deno.Conn => {
    this.#recovered();
    return socket;
  };

  readonly #failed = async (error: unknown): Promise<Deno.Conn | null> => {
    for (;;) {
      switch (this.#sort(error)) {
        case "closed":
          this.#over = true;
          return null;
        case "lost":
          this.#watcher.lost();
          break;
        case "starved":
          // Who gives up reports it; to promise another try before that would be wrong.
          if (this.#hopeless) throw error;
          this.#watcher.starved(error);
          do await this.#pause(); while (!this.#closed && !reservesAreFull());
      }
      if (this.#closed) return null;
      try {
        return this.#took(await this.#accept());
      } catch (next) {
        error = next;
      }
    }
  };

  /** Closes the listener as soon as an accept finds nobody in the kernel's queue. */
  closeWhenIdle(): void {
    this.#closing = true;
  }

  /** Closes the listener and ends a wait at once; safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake?.();
    try {
      this.#listener.close();
    } catch {
      // Somebody else has closed it: closed is closed.
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

  #recovered(): void {
    this.#backoff = FIRST_BACKOFF;
    this.#unknownSince = undefined;
    this.#badResourceAt = -Infinity;
  }

  get #hopeless(): boolean {
    return this.#unknownSince !== undefined && this.#waited - this.#unknownSince >= GIVE_UP_AFTER;
  }

  #sort(error: unknown): AcceptFailure {
    // Only our own flag tells for sure: an interrupted accept4(2) looks like a closed listener.
    if (this.#closed) return "closed";
    if (error instanceof Deno.errors.BadResource) {
      const before = this.#badResourceAt;
      this.#badResourceAt = Date.now();
      return this.#badResourceAt - before <= AT_ONCE ? "closed" : "lost";
    }
    this.#badResourceAt = -Infinity;
    const code = codeOf(error);
    if (LOST.has(code)) return "lost";
    if (SHORTAGES.has(code)) this.#unknownSince = undefined;
    else this.#unknownSince ??= this.#waited;
    return "starved";
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
    this.#waited += this.#backoff;
    this.#backoff = Math.min(2 * this.#backoff, LONGEST_BACKOFF);
  }
}

function reservesAreFull(): boolean {
  return descriptorReserves.values().every((reserve) => reserve.refill());
}

/** Want of resources, which ends by itself or by an operator: never a reason to give up. */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/**
 * What is about one client: it left before it was accepted (then Deno's getpeername(2) says
 * ENOTCONN), a firewall forbids it, or the network reported an error for the new socket, which
 * Linux passes on through accept(2) ("Error handling" in its manual page). Waiting here would let
 * resetting clients hold up the others.
 */
const LOST: ReadonlySet<string> = new Set([
  "ENOTCONN",
  "ECONNABORTED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EPROTO",
  "EPERM",
  "ENETDOWN",
  "ENETUNREACH",
  "ENONET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENOPROTOOPT",
  "EOPNOTSUPP",
]);

/** Numbers of the errors that Deno hands on without a `code`; they differ between systems. */
const ERRNO: Record<string, Record<number, string>> = {
  linux: {
    12: "ENOMEM",
    23: "ENFILE",
    24: "EMFILE",
    64: "ENONET",
    71: "EPROTO",
    92: "ENOPROTOOPT",
    95: "EOPNOTSUPP",
    100: "ENETDOWN",
    105: "ENOBUFS",
    112: "EHOSTDOWN",
  },
  darwin: {
    12: "ENOMEM",
    23: "ENFILE",
    24: "EMFILE",
    42: "ENOPROTOOPT",
    50: "ENETDOWN",
    55: "ENOBUFS",
    64: "EHOSTDOWN",
    100: "EPROTO",
    102: "EOPNOTSUPP",
  },
};

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  const errno = /\(os error (\d+)\)/.exec(error.message)?.[1];
  const known = errno === undefined ? undefined : ERRNO[Deno.build.os]?.[Number(errno)];
  if (known !== undefined) return known;
  // Listeners of other makes throw Deno's classes without a code.
  if (error instanceof Deno.errors.NotConnected) return "ENOTCONN";
  if (error instanceof Deno.errors.ConnectionAborted) return "ECONNABORTED";
  if (error instanceof Deno.errors.ConnectionReset) return "ECONNRESET";
  return "";
}
