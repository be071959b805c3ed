/** Finds the sockets that systemd has started this process with. @module */

/** The first descriptor that is passed: those before it are the standard streams. */
const FIRST = 3;

/** What is set by whatever passes sockets, as sd_listen_fds(3) has it. */
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] as const;

/**
 * A socket that this process was started with.
 *
 * @example The one with a certain name
 * ```ts
 * import { type InheritedListener, inheritedListeners } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const inherited = inheritedListeners();
 * const admin: InheritedListener | undefined = inherited.find((listener) =>
 *   listener.name === "admin"
 * );
 * assertEquals(admin?.fd, undefined); // as systemd has not started this
 * ```
 *
 * @category Listeners
 */
export interface InheritedListener {
  /** Its descriptor, for the option `fd`. */
  readonly fd: number;
  /** What `FileDescriptorName=` of its `.socket` unit says: by default the unit's own name. */
  readonly name: string;
}

/**
 * The sockets that systemd, or anything that does as sd_listen_fds(3) says, has started this process
 * with; none where it was started otherwise. A program that this one starts gets no
 * sockets and finds none, as the variables name the process that they are for.
 *
 * Needs `--allow-env=LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES`.
 *
 * @returns The sockets, in the order of the `ListenStream=` lines.
 * @throws {Deno.errors.NotCapable} If `--allow-env` does not cover the three variables.
 * @throws {Deno.errors.InvalidData} If `LISTEN_FDS` is not a number of sockets.
 *
 * @example Serve on all of them, or on a port where there are none
 * ```ts
 * import { inheritedListeners, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const inherited = inheritedListeners();
 * const listeners = inherited.length > 0
 *   ? inherited
 *   : [{ port: 0, hostname: "127.0.0.1" }];
 * await using server = serve({ listeners }, async () => {});
 * assertEquals(server.addrs.length, 1);
 * ```
 *
 * @category Listeners
 */
export function inheritedListeners(): InheritedListener[] {
  const [pid, count, names] = VARIABLES.map(readVariable);
  // They are inherited by children as well, which do not have the sockets.
  if (count === undefined || Number(pid) !== Deno.pid) return [];
  if (!/^\d{1,4}$/.test(count)) {
    throw new Deno.errors.InvalidData(
      `Cannot find inherited listeners with LISTEN_FDS of "${count}": use a whole number`,
    );
  }
  const given = names === undefined ? [] : names.split(":");
  return Array.from({ length: Number(count) }, (_, i) => ({
    fd: FIRST + i,
    name: given[i] ?? "unknown",
  }));
}

/** Not by trying, as Deno would ask at the terminal, and keep the program waiting for an answer. */
function readVariable(variable: string): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable }).state === "granted") {
    return Deno.env.get(variable);
  }
  throw new Deno.errors.NotCapable(
    `Cannot find inherited listeners without ${variable}: run again with ` +
      `--allow-env=${VARIABLES.join(",")}`,
  );
}
