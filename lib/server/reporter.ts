/** Passes errors on to `onError`, or writes a limited number of lines to stderr. @module */

import { isPromiseLike } from "../check.ts";
import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import type { Connection } from "../connection/connection.ts";
import { formatAddress, oneLine } from "../format_address.ts";
import { extendMessage, RefusedError } from "../errors.ts";

/** Lines on stderr per second; those beyond are counted, and the count is one line. */
const LINES_PER_SECOND = 10;

/** Characters in such a line: a peer can make a message long, and often. */
const MAX_LINE = 2000;

/** What each line begins with. */
const PREFIX = "usher: ";

/** Ms between two reports of the same shortage. */
const SECOND = 1000;

/**
 * Passes errors to `onError`, or to stderr where there is none. Nothing here throws: an error of
 * `onError` itself goes to stderr, and that is the end of it.
 */
export class Reporter implements Ticking {
  readonly #onError: ((error: unknown, conn?: Connection) => unknown) | undefined;
  readonly #clock: CoarseClock;
  /** On the clock: when the second that is being counted is over. */
  #secondEnds = 0;
  #lines = 0;
  #omitted = 0;
  #starvedAt = -Infinity;
  #ended = false;

  constructor(
    onError: ((error: unknown, conn?: Connection) => unknown) | undefined,
    clock: CoarseClock,
  ) {
    this.#onError = onError;
    this.#clock = clock;
  }

  /** An error of a handler or a hook, or one that keeps the server from its work. */
  report(error: unknown, conn?: Connection): void {
    const onError = this.#onError;
    if (onError === undefined) return this.#write(describe(error, conn));
    // Without the second argument where there is no connection, as the hook's type promises.
    const call = () => conn === undefined ? onError(error) : onError(error, conn);
    this.call("onError", call, (failure) => {
      this.#write(describe(error, conn));
      this.#write(describe(failure));
    });
  }

  /** The same shortage again and again: passed on once a second at most. */
  starved(error: unknown, addr: Deno.Addr): void {
    if (this.#clock.now < this.#starvedAt + SECOND) return;
    this.#starvedAt = this.#clock.now;
    this.#watchTheClock();
    extendMessage(
      error,
      `Cannot accept on ${formatAddress(addr)}: `,
      "; trying again until it works (for more descriptors raise 'ulimit -n' or lower " +
        "'maxConnections')",
    );
    this.report(error);
  }

  /** Calls a hook of the user, whose failures end nothing. */
  call(
    name: string,
    hook: () => unknown,
    failed: (error: unknown) => void = (error) => this.report(error),
  ): void {
    const blame = (error: unknown) => {
      extendMessage(error, `Hook '${name}' failed: `);
      failed(error);
    };
    try {
      const result = hook();
      if (isPromiseLike(result)) result.then(undefined, blame);
    } catch (error) {
      blame(error);
    }
  }

  /**
   * The server has stopped, and the clock with it. Writes how many lines were left out; a hook that
   * rejects even later is reported, too, up to as many lines as fit into a second.
   */
  end(): void {
    this.#flush();
    this.#ended = true;
  }

  tick(now: number): void {
    if (now < this.#secondEnds) return;
    this.#flush();
    if (now >= this.#starvedAt + SECOND) this.#clock.unwatch(this);
  }

  #flush(): void {
    this.#lines = 0;
    if (this.#omitted > 0) write(`${this.#omitted} more errors in the last second`);
    this.#omitted = 0;
  }

  #write(line: string): void {
    if (!this.#ended) this.#watchTheClock();
    if (++this.#lines > LINES_PER_SECOND) this.#omitted++;
    else write(line);
  }

  #watchTheClock(): void {
    if (this.#clock.now >= this.#secondEnds || this.#lines === 0) {
      this.#secondEnds = this.#clock.now + SECOND;
    }
    this.#clock.watch(this);
  }
}

/** What happened, and where in the program, so that it can be looked up in the source. */
function describe(error: unknown, conn?: Connection): string {
  const subject = conn === undefined
    ? ""
    : `connection ${conn.id}${labelOf(conn)} from ${from(conn)}: `;
  try {
    // Nothing in the source is to blame for it.
    if (error instanceof RefusedError) return error.message;
    if (!(error instanceof Error)) return line(`${subject}${String(error)}`, " was thrown");
    const place = placeOf(error);
    const suffix = place === undefined ? "" : ` (at ${place})`;
    return line(`${subject}${error.name}: ${error.message}`, suffix);
  } catch {
    return `${subject}something was thrown that cannot be shown`;
  }
}

/** One line that is not too long; what comes last is kept, as it says where to look. */
function line(text: string, suffix: string): string {
  const end = oneLine(suffix).slice(0, MAX_LINE / 2);
  // Cut before as well: escaping makes six characters of one.
  const begin = oneLine(text.slice(0, MAX_LINE));
  const room = MAX_LINE - PREFIX.length - end.length;
  return `${begin.length > room ? `${begin.slice(0, room - 1)}…` : begin}${end}`;
}

/** Where this library is, unless it is bundled: frames in it say nothing about the program that uses it. */
const LIBRARY = /^.*\/lib\/(?=server\/reporter\.\w+$)/.exec(import.meta.url)?.[0];

/**
 * The first frame of the program's own code. It is looked for behind the message, in which a peer may
 * have put something that looks like a frame. An error that has none is not the program's.
 */
function placeOf({ stack, message }: Error): string | undefined {
  if (typeof stack !== "string") return undefined;
  const frames = stack.split("\n").slice(String(message).split("\n").length)
    .flatMap((line) => /^ +at (?!.*\b(?:ext|node):)(.*:\/\/.*)$/.exec(line)?.[1] ?? []);
  return frames.find((frame) => LIBRARY === undefined || !frame.includes(LIBRARY));
}

function labelOf({ label }: Connection): string {
  return label === undefined ? "" : ` (${label})`;
}

function from(conn: Connection): string {
  const { remoteAddr } = conn;
  // A Unix peer has no address of its own: the socket that it came through says more.
  return formatAddress("path" in remoteAddr ? conn.localAddr : remoteAddr);
}

function write(line: string): void {
  // deno-lint-ignore no-console -- the one place where the library writes unasked
  console.error(`${PREFIX}${oneLine(line)}`);
}
