/** Who hears of an error, and how often? @module */

import { isPromiseLike } from "../check.ts";
import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import type { Connection } from "../connection/connection.ts";
import { formatAddress, oneLine } from "../format_address.ts";
import { extendMessage, RefusedError } from "../errors.ts";

/** Lines on stderr per second; what is more is counted and said in one line. */
const LINES_PER_SECOND = 10;

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
  #unsaid = 0;
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
    if (onError === undefined) return this.#say(describe(error, conn));
    // Without the second argument where there is no connection, as the hook's type promises.
    const tell = () => conn === undefined ? onError(error) : onError(error, conn);
    this.call("onError", tell, (failure) => {
      this.#say(describe(error, conn));
      this.#say(describe(failure));
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
   * The server has stopped, and the clock with it. Says what was left unsaid; a hook that rejects even
   * later is heard, too, up to as many lines as fit into a second.
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
    if (this.#unsaid > 0) write(`${this.#unsaid} more errors in the last second`);
    this.#unsaid = 0;
  }

  #say(line: string): void {
    if (!this.#ended) this.#watchTheClock();
    if (++this.#lines > LINES_PER_SECOND) this.#unsaid++;
    else write(line);
  }

  #watchTheClock(): void {
    if (this.#clock.now >= this.#secondEnds || this.#lines === 0) {
      this.#secondEnds = this.#clock.now + SECOND;
    }
    this.#clock.watch(this);
  }
}

/** One line: what happened, and where, so that it can be looked up in the source. */
function describe(error: unknown, conn?: Connection): string {
  const who = conn === undefined ? "" : `connection ${conn.id} from ${from(conn)}: `;
  try {
    // Nothing in the source is to blame for it.
    if (error instanceof RefusedError) return error.message;
    if (!(error instanceof Error)) return `${who}${String(error)} was thrown`;
    const place = /^\s+at (.*)$/m.exec(error.stack ?? "")?.[1] ?? "ext:";
    return `${who}${error.name}: ${error.message}${place.includes("ext:") ? "" : ` (at ${place})`}`;
  } catch {
    return `${who}something was thrown that cannot be shown`;
  }
}

function from(conn: Connection): string {
  const { remoteAddr } = conn;
  // A Unix peer has no address of its own: the socket that it came through says more.
  return formatAddress("path" in remoteAddr ? conn.localAddr : remoteAddr);
}

function write(line: string): void {
  // deno-lint-ignore no-console -- the one place where the library speaks unasked
  console.error(`usher: ${oneLine(line)}`);
}
