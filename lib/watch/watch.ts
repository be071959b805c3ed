/** Shows servers on an HTTP port: a status page, metrics and probes. @module */

import { formatAddress } from "../format_address.ts";
import { extendMessage } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { answer } from "./answer.ts";
import { checkServer } from "./observed.ts";
import { LiveFeed } from "./live_feed.ts";
import { completeWatchOptions, type WatchOptions } from "./watch_options.ts";

/** Ms for answers that are under way when the page is told to stop; then they are cut off. */
const PATIENCE = 1000;

/**
 * The HTTP server of a status page.
 *
 * @example Where is it?
 * ```ts
 * import { serve } from "@usher/server";
 * import { type StatusPage, watch } from "@usher/server/watch";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using page: StatusPage = watch(server, { port: 0 });
 * assertEquals(page.url, `http://127.0.0.1:${page.addr.port}/`);
 * ```
 */
export interface StatusPage extends AsyncDisposable {
  /** Where it listens, with the port that was chosen for port 0. */
  readonly addr: Deno.NetAddr;
  /** The address of the page for a browser on this machine. */
  readonly url: string;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
  /**
   * Stops: whoever has the page open is sent away, and answers under way get a second. Safe to call
   * again. The server that is watched goes on.
   *
   * @returns `finished`.
   */
  shutdown(): Promise<void>;
  /** `shutdown()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Shows a server on an HTTP port of its own:
 *
 * - `/` is a page with its state, its figures as pictures, and its connections, which updates itself
 * - `/metrics` is {@linkcode metricsText}
 * - `/readyz` says 200 while clients are accepted, and 503 when the server is full, paused, short of
 *   resources, draining or stopped
 * - `/livez` says 200 until the server has stopped
 * - `/connections` lists connections as JSON; `sort` by any of their fields, `order` (`asc`, `desc`),
 *   `offset`, `limit`, `filter` and `state` choose which
 * - `POST /connections/ID/close` closes one and `POST /drain` calls `shutdown()`, both only with
 *   `Authorization: Bearer` and the token that was given in the options
 *
 * It is for this machine alone unless `hostname` says otherwise. It answers until it is told to stop,
 * also when the server that it watches has stopped before; so stop it after that one. It keeps no
 * process alive, unless somebody has the page open while the server is one that was `unref()`ed.
 *
 * @param server The server.
 * @param options Where, and what may be done there.
 * @returns The page's own server.
 * @throws {TypeError} If it is no server, or an option is unknown or of the wrong type.
 * @throws {RangeError} If `port` is out of range or `token` too short.
 * @throws {Deno.errors.AddrInUse} If something listens there already.
 *
 * @example Probes
 * ```ts
 * import { serve } from "@usher/server";
 * import { watch } from "@usher/server/watch";
 * import { assertEquals } from "@std/assert";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using page = watch(server, { port: 0 });
 * const status = async (path: string) => {
 *   const response = await fetch(new URL(path, page.url));
 *   await response.body?.cancel();
 *   return response.status;
 * };
 * assertEquals([await status("readyz"), await status("livez")], [200, 200]);
 * await server.shutdown();
 * assertEquals([await status("readyz"), await status("livez")], [503, 503]);
 * ```
 */
export function watch(server: Server, options: WatchOptions): StatusPage {
  checkServer("watch", server);
  const complete = completeWatchOptions(options);
  const feed = new LiveFeed(server, complete.token !== undefined);
  const force = new AbortController();
  const { hostname, port } = complete;
  const underWay = new Set<Promise<void>>();
  let stopped: Promise<void> | undefined;
  const handler = (request: Request, { completed }: Deno.ServeHandlerInfo<Deno.NetAddr>) => {
    if (stopped !== undefined) return new Response("stopping\n", { status: 503 });
    const over = completed.catch(() => {}).finally(() => underWay.delete(over));
    underWay.add(over);
    return answer(request, server, complete, feed);
  };
  const http = listen(formatAddress({ transport: "tcp", hostname, port }), () =>
    Deno.serve(
      { hostname, port, signal: force.signal, onListen: () => {}, onError: failed },
      handler,
    ));
  http.unref();
  // Nothing more will be new; and open streams are all that could keep a process alive here.
  server.finished.then(() => feed.end(), () => feed.end());
  const shutdown = async () => {
    feed.end();
    http.ref(); // what is awaited below has to come
    const { promise: enough, resolve } = Promise.withResolvers<"enough">();
    const timer = setTimeout(resolve, PATIENCE, "enough");
    const first = await Promise.race([Promise.all(underWay), enough]);
    clearTimeout(timer);
    // Deno's own `shutdown()` waits for ever for who does not read, and nothing can cut it short then.
    if (first !== "enough") return http.shutdown();
    force.abort();
    return http.finished;
  };
  return {
    addr: http.addr,
    url: urlOf(http.addr),
    finished: http.finished,
    shutdown: () => stopped ??= shutdown(),
    [Symbol.asyncDispose]: () => stopped ??= shutdown(),
  };
}

/** Without a word about the cause, which is nobody's business who may not see the log. */
function failed(): Response {
  return new Response("The page failed\n", { status: 500 });
}

function listen<T>(where: string, begin: () => T): T {
  try {
    return begin();
  } catch (error) {
    const taken = error instanceof Deno.errors.AddrInUse;
    extendMessage(error, `Cannot watch on ${where}: `, taken ? "; use another port, or 0" : "");
    throw error;
  }
}

/** Whoever listens everywhere is to be found on this machine, too. */
function urlOf({ hostname, port }: Deno.NetAddr): string {
  const host = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[hostname] ??
    (hostname.includes(":") ? `[${hostname}]` : hostname);
  return `http://${host}:${port}/`;
}
