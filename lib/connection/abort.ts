/** Ends what is under way when a signal fires before it is done. @module */

import { checkKeys, checkSignal } from "../check.ts";
import { rejected } from "./lifeline.ts";

/**
 * What may end an operation that cannot be given up without ending its connection, as bytes may have
 * left of which nothing says how many.
 *
 * @example Send it within a second, or not at all
 * ```ts
 * import { type AbortOptions, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const options: AbortOptions = { signal: AbortSignal.timeout(1_000) };
 *   await conn.write(new TextEncoder().encode("news"), options);
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(client.readable).text(), "news");
 * ```
 *
 * @category Connections
 */
export interface AbortOptions {
  /**
   * Aborting it ends the connection (`dismissed`), and what was under way rejects with the signal's
   * reason. One that is aborted already rejects at once, and nothing is done.
   */
  signal?: AbortSignal;
}

/** Runs `begin`; a signal that fires before it has settled calls `end` with its reason. */
export function untilAborted<T>(
  attempt: string,
  options: AbortOptions | undefined,
  end: (reason: unknown) => void,
  begin: () => Promise<T>,
): Promise<T> {
  let signal;
  try {
    if (options !== undefined) checkKeys(attempt, options, ["signal"]);
    signal = options?.signal;
    if (signal !== undefined) checkSignal(attempt, signal);
  } catch (error) {
    return rejected(error);
  }
  if (signal === undefined) return begin();
  if (signal.aborted) return rejected(signal.reason);
  const onAbort = () => end(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  const begun = begin();
  const done = () => signal.removeEventListener("abort", onAbort);
  begun.then(done, done);
  return begun;
}
