/** Makes the errors that Deno throws when a system call fails. @module */

/** The error that Deno throws: its class, its message, and whether its `code` is the errno name. */
type Words = readonly [
  ErrorClass: new (message: string) => Error,
  message: string,
  hasCode: boolean,
];

/** The errno names that a socket or a listener may fail with. */
type SystemError = AcceptErrno | "EPIPE" | "EINTR" | "EBADF";

/** The numbers in the messages are Linux's; programs look at the class and the `code`. */
const WORDS: Record<SystemError, Words> = {
  EMFILE: [Error, "Too many open files (os error 24)", true],
  // Deno 2.9 sets no code for it.
  ENFILE: [Error, "Too many open files in system (os error 23)", false],
  ENOBUFS: [Error, "No buffer space available (os error 105)", true],
  ENOMEM: [Error, "Cannot allocate memory (os error 12)", true],
  ENOTCONN: [Deno.errors.NotConnected, "Transport endpoint is not connected (os error 107)", true],
  ECONNABORTED: [
    Deno.errors.ConnectionAborted,
    "Software caused connection abort (os error 103)",
    true,
  ],
  ECONNRESET: [Deno.errors.ConnectionReset, "Connection reset by peer (os error 104)", true],
  EPIPE: [Deno.errors.BrokenPipe, "Broken pipe (os error 32)", true],
  EINTR: [Deno.errors.Interrupted, "operation canceled", true],
  EBADF: [Deno.errors.BadResource, "Bad resource ID", false],
};

/**
 * Why `accept()` fails, by errno name.
 *
 * - `ENOTCONN`, `ECONNABORTED`, `ECONNRESET`: the client was gone before it was accepted
 * - `EMFILE`, `ENFILE`: no descriptor is free, in the process or in the whole system
 * - `ENOBUFS`, `ENOMEM`: no memory is left
 *
 * @example A client that is gone ends nothing
 * ```ts
 * import { serve } from "@usher/server";
 * import {
 *   type AcceptErrno,
 *   pair,
 *   scriptedListener,
 * } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const gone: AcceptErrno = "ENOTCONN";
 * const [client, socket] = pair();
 * const listener = scriptedListener([gone, socket]);
 * await using server = serve({ listeners: [listener] }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 *
 * assertEquals(await new Response(client.readable).text(), "hello");
 * assertEquals(server.stats().acceptFailures, { aborted: 1, resources: 0 });
 * ```
 *
 * @category Testing
 */
export type AcceptErrno =
  | "EMFILE"
  | "ENFILE"
  | "ENOBUFS"
  | "ENOMEM"
  | "ENOTCONN"
  | "ECONNABORTED"
  | "ECONNRESET";

/** Makes the error that Deno would throw. */
export function systemError(name: SystemError): Error {
  if (!Object.hasOwn(WORDS, name)) {
    throw new TypeError(`Cannot fail with '${name}': use one of ${Object.keys(WORDS).join(", ")}`);
  }
  const [ErrorClass, message, hasCode]: Words = WORDS[name];
  const error = new ErrorClass(message);
  return hasCode ? Object.assign(error, { code: name }) : error;
}
