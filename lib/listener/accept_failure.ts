/** Sorts what accept() fails with into three words, by what it is and not by one system's error numbers. @module */

/**
 * - `closed`: the listener is closed.
 * - `aborted`: that client is gone, the listener is well.
 * - `resources`: descriptors or memory are short, or the listener looks broken.
 */
export type AcceptFailure = "closed" | "aborted" | "resources";

/**
 * Unknown failures in a row that count as `aborted`. A listener that works keeps accept pending or
 * hands something over, so they are clients that left, in words of a system that is not in the tables
 * here (macOS: EINVAL, or an error without a code); and no queue of the kernel's holds more of them.
 */
const MOST_UNKNOWN = 4096;

/** Ms of waiting through nothing but unknown failures after which the listener counts as broken. */
const GIVE_UP_AFTER = 30_000;

/**
 * Ms within which a second `BadResource` has to follow the first: a closed listener fails at once
 * each time. If the event loop stood still for longer in between, the third one decides.
 */
const REPEAT_WINDOW = 100;

/** Sorts the failures of one listener; what one means may depend on those before it. */
export class AcceptFailures {
  readonly #errnos: Readonly<Record<number, string>>;
  /** Unknown failures in a row. */
  #unknown = 0;
  /** Ms waited since something other than an unknown failure happened. */
  #waited = 0;
  #badResourceAt = -Infinity;

  /** @param os The system that the numbers in messages come from. */
  constructor(os: string = Deno.build.os) {
    this.#errnos = ERRNOS[os] ?? {};
  }

  /** Only the listener's owner knows for sure that it is closed: ask there first. */
  sort(error: unknown): AcceptFailure {
    if (error instanceof Deno.errors.BadResource) {
      // An interrupted accept4(2) looks the same, once.
      const before = this.#badResourceAt;
      this.#badResourceAt = Date.now();
      return this.#badResourceAt - before <= REPEAT_WINDOW ? "closed" : "aborted";
    }
    this.#badResourceAt = -Infinity;
    const errno = errnoOf(error, this.#errnos);
    if (ABORTED.has(errno)) return "aborted";
    if (SHORTAGES.has(errno)) {
      this.works();
      return "resources";
    }
    return ++this.#unknown > MOST_UNKNOWN ? "resources" : "aborted";
  }

  /** Counts the ms waited before the next try, which may find as many unknown failures again. */
  waited(ms: number): void {
    if (this.#unknown > 0) this.#waited += ms;
    this.#unknown = 0;
  }

  /** Nothing but unknown failures through 30 s of waiting: the listener is broken. */
  get isBroken(): boolean {
    return this.#waited >= GIVE_UP_AFTER;
  }

  /** An accept was pending: a broken listener would have failed at once. */
  pended(): void {
    this.#waited = 0;
  }

  /** A socket came, or a failure that only a listener in order can have. */
  works(): void {
    this.#unknown = this.#waited = 0;
    this.#badResourceAt = -Infinity;
  }
}

/** Shortages end by themselves or by an operator: never a reason to give up. */
const SHORTAGES: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]);

/**
 * What concerns one client: it left before it was accepted (Deno's getpeername(2) then fails with
 * ENOTCONN), a firewall forbids it, or the network reported an error for the new socket, which
 * Linux passes on through accept(2) ("Error handling" in its manual page). Waiting here would let
 * resetting clients hold up the others.
 */
const ABORTED: ReadonlySet<string> = new Set([
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

/**
 * The numbers in Deno's messages, by system: some errors come without a `code`, and there the number
 * is all there is. Windows numbers are those of Winsock, and of the system below 1000.
 */
const ERRNOS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
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
  windows: {
    4: "EMFILE", // ERROR_TOO_MANY_OPEN_FILES
    8: "ENOMEM", // ERROR_NOT_ENOUGH_MEMORY
    10024: "EMFILE",
    10042: "ENOPROTOOPT",
    10045: "EOPNOTSUPP",
    10050: "ENETDOWN",
    10051: "ENETUNREACH",
    10053: "ECONNABORTED",
    10054: "ECONNRESET",
    10055: "ENOBUFS",
    10057: "ENOTCONN",
    10060: "ETIMEDOUT",
    10064: "EHOSTDOWN",
    10065: "EHOSTUNREACH",
  },
};

function errnoOf(error: unknown, errnos: Readonly<Record<number, string>>): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  const number = /\(os error (\d+)\)/.exec(error.message)?.[1];
  const known = number === undefined ? undefined : errnos[Number(number)];
  if (known !== undefined) return known;
  // Custom listeners throw Deno's classes without a code.
  if (error instanceof Deno.errors.NotConnected) return "ENOTCONN";
  if (error instanceof Deno.errors.ConnectionAborted) return "ECONNABORTED";
  if (error instanceof Deno.errors.ConnectionReset) return "ECONNRESET";
  return "";
}
